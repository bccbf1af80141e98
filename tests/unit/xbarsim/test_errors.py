"""Errors are one line, and what they quote is cut where it is long."""

import pytest

import xbarsim as xb


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net 'abc': one\nand two\r\nthree", "net 'abc': one and two three"),
        ("bell \x07 and escape \x1b[31m", r"bell \x07 and escape \x1b[31m"),
        ("x = '" + "ab " * 40 + "' is no number", "x = 'ab ab ab ab ab ab ab ab ...ab ab ab ' is no number"),
        ("a." + "title" * 30 + " is no field", "a.titletitletitletitletit...titletitle is no field"),
        ("/home/" + "long" * 30 + "/study.toml: no such file", "/home/" + "long" * 30 + "/study.toml: no such file"),
        ("fire = '>': a membrane kept at its threshold never fires; use '>='", None),
        ("the driver's line, and every bitline of the array's second half, is open", None),
    ],
)
def test_what_is_quoted_is_cut(text, said):
    assert str(xb.ParameterError(text)) == (said or text)
