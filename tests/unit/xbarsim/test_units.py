"""Quantities: against a parser that shares no line with ours, and separators that mean two things."""

import re
from decimal import Decimal, InvalidOperation

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from xbarsim.units import format_quantity, format_result, parse_quantity

PREFIX = dict(zip("yzafpnumckKMGTPEZY", (-24, -21, -18, -15, -12, -9, -6, -3, -2, 3, 3, 6, 9, 12, 15, 18, 21, 24)))
PREFIX |= {"": 0, "\u00b5": -6, "\u03bc": -6}
OHMS = ("Ohm", "ohm", "ohms", "Ohms", "OHM", "\u03a9", "\u2126")


def _times(number, power):
    """Return a decimal number times a power of ten, inf beyond the range of numbers."""
    try:
        return float(number.scaleb(power))
    except ArithmeticError:
        return np.inf


def naive(text):
    """Read ohms by cutting at every place: what Python's Decimal takes, then a prefix and a unit from a list."""
    found = set()
    for cut in range(len(text), 0, -1):
        try:
            float(text[:cut])  # which is strict about underscores,
            number = Decimal(text[:cut].strip())  # and this about rounding
        except (ValueError, InvalidOperation):
            continue
        if not number.is_finite() or "_" in "".join(re.split("[.eE]", text[:cut])[1:]):
            continue  # underscores stand between thousands only
        for prefix, power in PREFIX.items():
            if text[cut:].strip() in (prefix, *(prefix + ohm for ohm in OHMS)):
                value = _times(number, power)
                if np.isfinite(value) and (value != 0 or number == 0):
                    found.add(value)
    assert len(found) <= 1
    return found.pop() if found else None


digits = st.from_regex(r"[+-]?([0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9})([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@settings(max_examples=300, deadline=None)
@given(digits, st.sampled_from(["", " ", "\u00a0"]), st.sampled_from(sorted(PREFIX)), st.sampled_from(OHMS))
def test_every_spelling_is_read_as_another_parser_reads_it(number, space, prefix, ohm):
    text = f"{number}{space}{prefix}{ohm}"
    assert parse_quantity(text, "Ohm") == naive(text.replace("\u00a0", " ")) != None  # noqa: E711


@settings(max_examples=500, deadline=None)
@given(st.text("0123456789.,eE+-_' kKmMu\u00b5\u03bc\u03a9\u2126Ohms", max_size=9))
def test_any_text_is_read_right_or_refused(text):
    expected = naive(text)
    try:
        value = parse_quantity(text, "Ohm")
    except ValueError as error:
        assert expected is None and "\n" not in str(error) and len(str(error)) < 200
    else:
        assert value == expected


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 10**9),
    st.integers(0, 999),
    st.sampled_from([(",", "."), (".", ","), ("'", "."), ("\u2019", ","), (" ", ","), (" ", "."), ("", ",")]),
    st.sampled_from(["", "", " kOhm"]),
)
def test_separators_are_refused_and_the_remedy_is_the_number(whole, part, marks, unit):
    """One number as different countries write it: whatever is proposed instead includes the number meant."""
    thousands, decimal = marks
    text = f"{whole:,}".replace(",", thousands) + (f"{decimal}{part}" if part else "")
    meant = float(f"{whole}.{part}") * (1e3 if unit else 1)
    if not set(text) & set(",'\u2019 ") and text.count(".") < 2:
        return  # with points alone this is a number
    with pytest.raises(ValueError, match="no other separator") as error:
        parse_quantity(text + unit, "Ohm")
    proposed = str(error.value).split("; write ")[1].split(", or put")[0].split(" or ")
    assert meant == pytest.approx(parse_quantity(proposed[0], "Ohm")) or (
        len(proposed) == 2 and meant == pytest.approx(parse_quantity(proposed[1], "Ohm"))
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2,5", "write 2.5$"),
        ("2,5 Ohm", "write 2.5 Ohm$"),
        ("1,2,3", "write one number$"),
        ("1,234", "write 1.234 or 1234$"),
        ("1e999", "beyond the range"),
        ("0x10", "is no quantity"),
        ("9" * 8000, r"'99999999999999999999\.\.\.' is no quantity"),
    ],
)
def test_what_is_refused(text, words):
    for refused in (lambda: parse_quantity(text, "Ohm"), lambda: xb.Wires(r_wordline=text)):
        with pytest.raises(ValueError, match=words) as error:
            refused()
        assert len(str(error.value)) < 200


def test_numbers_beyond_floats_and_what_is_no_number():
    with pytest.raises(ValueError, match="beyond the range"):
        parse_quantity(10**400, "V")
    for value in (10**400, [10**400], b"5", ["5"], [True], [b"5"], [[1], [2, 3]], None):
        with pytest.raises(xb.ParameterError, match=r"Wires\.r_driver: ") as error:
            xb.Wires(r_driver=value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_a_letter_that_is_prefix_and_unit_is_no_unit():
    for text, unit in (("2 a", "A"), ("5 f", "F"), ("5 m", "s")):
        with pytest.raises(ValueError, match="has no unit"):
            parse_quantity(text, unit)


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-20, 1e20), st.sampled_from(["S", "Ohm", "A", "V"]))
def test_what_is_written_is_read(value, unit):
    assert parse_quantity(format_quantity(value, unit, digits=6), unit) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("3 uA", "A", 3e-6),
        ("100 kOhm", "Ohm", 1e5),
        ("2", "V", 2.0),
        ("25 ns", "s", 25e-9),
        ("1 day", "s", 86400.0),
        ("10years", "s", 315576000.0),
        ("1.5 h", "s", 5400.0),
        ("300 K", "K", 300.0),
        ("300K", "K", 300.0),
        ("85 C", "K", 358.15),
        ("85 c", "K", 358.15),
        ("2 Weeks", "s", 1209600.0),
        ("-40 °C", "K", 233.15),
        ("1.1 eV", "eV", 1.1),
    ],
)
def test_quantities_are_read(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value)


def test_quantities_are_written():
    assert [format_quantity(1.23456e-7, "J"), format_quantity(1e5, "Ohm")] == ["123 nJ", "100 kOhm"]
    assert [format_quantity(x, "J") for x in (4.9e-9, 2.0, 0.0)] == ["4.9 nJ", "2 J", "0 J"]
    assert [format_result(x, "J") for x in (4.9e-9, 2.0, 0.0, 99.96e-9)] == ["4.90 nJ", "2.00 J", "0 J", "100 nJ"]
