"""Errors are one line: what they quote is cut where it is long, their own words never."""

import ast
from pathlib import Path

import pytest

import xbarsim as xb

ROOT = Path(xb.__file__).parents[1]


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


def words(node):
    """Return what a literal or formatted string says, with 'x' for what it quotes."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "'x'" for part in parts)


def test_our_own_words_are_never_cut():
    found = []
    for path in (*ROOT.glob("xbarsim/**/*.py"), *ROOT.glob("mapping/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error") and node.args:
                texts = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.JoinedStr | ast.Constant)]
                found += [words(text) for text in texts if isinstance(getattr(text, "value", ""), str)]
    assert len(found) > 400
    assert [text for text in found if str(xb.XbarsimError(text)) != " ".join(text.splitlines())] == []
