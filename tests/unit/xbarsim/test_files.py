"""Files of laboratories: every style a table is written in gives the numbers of the table, or one clear line."""

import contextlib
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

import xbarsim as xb
from xbarsim.files import conductances
from xbarsim.plausible import LARGEST, SMALLEST

IN_FOLDER = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def refused(function, *arguments, words=None, path=None, **options):
    """Check that a refusal is one line of at most 200 characters beyond the path; return it."""
    with pytest.raises(xb.XbarsimError, match=words) as error:
        function(*arguments, **options)
    text = str(error.value)
    assert "\n" not in text and len(text.replace(str(path or arguments[0]), "file")) <= 200, text
    return text


@st.composite
def styles(draw):
    """A way to write a table with pandas: separator and decimal sign, header with unit, index, comments, byte order."""
    separator, decimal = draw(st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ",")]))
    scales = st.sampled_from([("Ohm", 1), ("kOhm", 1e3), ("k\u03a9", 1e3), ("M\u2126", 1e6), ("ohms", 1)])
    units = draw(st.lists(scales, min_size=3, max_size=3))
    around = draw(st.sampled_from(["R{} ({})", "R{} [{}]", "R{} / {}", "cell {} ( {} )"]))
    index = draw(st.sampled_from([None, "counted", "named"]))
    above = draw(st.sampled_from(["", "# lab 3, 2026\n", "% a\n\n", "sep=" + separator + "\n"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return separator, decimal, units, around, index, above, encoding, end


@settings(max_examples=80, **IN_FOLDER)
@given(styles(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_any_style_gives_the_numbers_of_the_table(tmp_path, style, n_rows, n_cols, seed):
    separator, decimal, units, around, index, above, encoding, end = style
    r = 10 ** np.random.default_rng(seed).uniform(3, 9, (n_rows, n_cols))
    names = [around.format(chr(97 + k), units[k][0]) for k in range(n_cols)]
    frame = pd.DataFrame(r / [factor for _, factor in units[:n_cols]], columns=names)
    if index == "named":
        frame.index = [f"WL{k}" for k in range(n_rows)]
    text = frame.to_csv(sep=separator, decimal=decimal, index=index is not None, lineterminator=end)
    path = tmp_path / ("r.csv" if separator != "\t" else "r.tsv")
    path.write_bytes((above + text).encode(encoding))
    if decimal == "," and n_cols == 1 and index is None and "sep" not in above:  # no separator says what a comma is
        refused(xb.read_conductances, path)
        return
    np.testing.assert_allclose(xb.read_conductances(path), 1 / r, rtol=1e-14)
    np.testing.assert_allclose(xb.read_table(path, "Ohm"), r, rtol=1e-14)
    _, said = conductances(path)
    assert "read in Ohm, as the file says" in said and f"{n_rows} x {n_cols} cells" in said


UNREAD = ["R{} {}", "R{}_{}", "R{}:{}", "R{} in {}", "R{} (1/{})", "R{} (10 {})", "R{} [1e-6 {}]", "R{} ({}) mean"]
PLACES = [
    "names",
    "title",
    "comment",
    "title and names",
    "comment and names",
    "first name",
    "line below",
    "cells",
    "one",
]


@settings(max_examples=150, **IN_FOLDER)
@given(
    st.sampled_from([",", ";", "\t", " "]),
    st.sampled_from([("kOhm", 1e3), ("k\u03a9", 1e3), ("M\u2126", 1e6), ("kohms", 1e3)]),
    st.sampled_from(["R{} ({})", "R{} [{}]", "R{} / {}", *UNREAD]),
    st.sampled_from(PLACES),
    st.sampled_from([1, 2, 3]),
    st.lists(st.sampled_from([100.0, 50.0, 0.5, 1.0]), min_size=6, max_size=6),
)
def test_a_unit_holds_wherever_it_stands_or_the_file_is_refused(tmp_path, separator, scale, around, place, n, numbers):
    """Whoever reads the file would take the unit for that of all numbers, or ask: a factor of 1000 is never dropped."""
    unit, factor = scale
    numbers = np.reshape(numbers[: 2 * n], (2, n))
    names = separator.join(f"BL{k}" for k in range(n))
    stated = separator.join(around.format(k, unit) for k in range(n))
    rows = [separator.join(f"{number:g}" for number in row) for row in numbers]
    lone = around.format("", unit)
    lines = {
        "names": [stated],
        "title": [lone],
        "comment": [f"# {lone}"],
        "title and names": [lone, names],
        "comment and names": [f"# {lone}", "# lot 7", names],
        "first name": [separator.join([lone, *(f"BL{k}" for k in range(1, n))])],
        "line below": [names, separator.join([f"({unit})"] * n)],
        "cells": [],
        "one": [],
    }[place]
    if place in ("cells", "one"):
        units = np.full((2, n), f" {unit}", object)
        units[int(place == "one") :, 0] = "" if place == "one" else units[0, 0]
        separator = ";" if separator == " " else separator
        rows = [separator.join(f"{a:g}{b}" for a, b in zip(*pair)) for pair in zip(numbers, units)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([*lines, *rows]), encoding="utf-8")
    try:
        g = xb.read_conductances(path, plausible=False)
    except xb.FileError as error:
        assert "\n" not in str(error) and len(str(error).replace(str(path), "file")) <= 200
        plainly = place == "cells" or (around not in UNREAD and place in ("names", "comment", "comment and names"))
        assert not plainly, error
    else:
        np.testing.assert_allclose(g, 1 / (numbers * factor), rtol=1e-14)


@settings(max_examples=60, **IN_FOLDER)
@given(
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["read{}", "WL{}", "die{} a", "n{}"]),
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 0.3]), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(1, 3),
    st.sampled_from([None, "", "WL", "index", "device"]),
)
def test_named_rows_keep_all_their_numbers(tmp_path, separator, name, rows, n, corner):
    """Also where they are 0 and 1, as counted columns are; those have an empty corner, or one that says so."""
    rows = [row[:n] for row in rows]
    cells = [[name.format(k), *map(str, row)] for k, row in enumerate(rows)]
    if corner is not None:
        cells = [[corner or '""', *map(str, range(n))], *cells]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(separator.join(row) for row in cells))
    if corner == "device":  # names of columns without a corner that says so: no number may come of them
        with contextlib.suppress(xb.FileError):
            assert xb.read_table(path, "V").tolist() == rows
    else:
        assert xb.read_table(path, "V").tolist() == rows


@settings(max_examples=100, **IN_FOLDER)
@given(
    st.sampled_from([";", "\t"]),
    st.lists(st.decimals(0, 999, places=3), min_size=2, max_size=6),
    st.lists(st.sampled_from(["", "", "12,5", "0,25", "7"]), max_size=2),
)
def test_commas_that_may_be_thousands_are_refused(tmp_path, separator, numbers, others):
    """A comma is decimal if one cell says so, as 0,123 or 12,5 does; 1,200 does not."""
    texts = [str(number).replace(".", ",") for number in numbers] + [other for other in others if other]
    path = tmp_path / "t.csv"
    path.write_text(separator.join(texts) + "\n")
    if any("," in text and (text[0] == "0" or len(text.split(",")[1]) != 3) for text in texts):
        assert xb.read_table(path, "V").tolist() == [[float(text.replace(",", ".")) for text in texts]]
    else:
        said = refused(xb.read_table, path, "V", words=r"' is .* or .*; write decimal points")
        assert texts[0].replace(",", "") in said and texts[0].replace(",", ".") in said


@settings(max_examples=60, **IN_FOLDER)
@given(
    st.floats(np.log10(1 / LARGEST) + 1e-9, np.log10(1 / SMALLEST) - 1e-9),
    st.lists(st.floats(-2, 2), min_size=1, max_size=5),
)
def test_resistances_and_conductances_are_never_taken_for_each_other(tmp_path, level, steps):
    """All that a memristor may have, in ohm: as siemens without a word it is refused, and the other way round."""
    r = 10 ** np.clip(level + np.array(steps), 1 + 1e-9, 15 - 1e-3)  # where an HRS is one too
    path = tmp_path / "r.npy"
    np.save(path, r)
    refused(xb.read_conductances, path, words="--resistance")
    np.testing.assert_allclose(xb.read_conductances(path, "Ohm"), 1 / r, rtol=1e-15)
    np.testing.assert_array_equal(xb.read_conductances(path, plausible=False), r)
    np.save(path, 1 / r)
    refused(xb.read_conductances, path, "Ohm", words="leave it out")
    np.testing.assert_array_equal(xb.read_conductances(path), 1 / r)
    if np.median(r) > 1:
        with pytest.raises(xb.ParameterError, match="give conductances in siemens"):
            xb.Crossbar(r[:, None])
    assert xb.Crossbar(r[:, None], plausible=False).g.shape == (len(r), 1)
    pulse = {"on_off_ratio": 1.001, "v_read": 0.3, "t_read": 1e-8}
    with pytest.raises(xb.ParameterError, match=r"Device\.g_(lrs|hrs) is"):
        xb.Device(g_lrs=float(r[0]), **pulse)
    for source in (r, path):
        np.save(path, r)
        with pytest.raises(xb.ParameterError, match=r'd2d\.samples_lrs: .* unit = "Ohm"'):
            xb.Device(g_lrs=float(np.median(1 / r)), **pulse, d2d={"samples_lrs": source})
        assert xb.D2D(samples_lrs=source, unit="Ohm").samples_lrs == pytest.approx(np.sort(1 / r), rel=1e-14)


@settings(max_examples=60, **IN_FOLDER)
@given(st.binary(max_size=60), st.sampled_from([".csv", ".txt", ".npy", ".npz", ".mat", ".xlsx"]), st.booleans())
def test_damaged_files_end_in_one_line(tmp_path, junk, kind, inside):
    path, good = tmp_path / f"bad{kind}", tmp_path / f"good{kind}"
    if not good.exists():
        write(good, np.array([[1e-5, 2e-5], [3e-5, 4e-5]]))
    data = good.read_bytes()
    cut = int.from_bytes(junk[:2], "big") % len(data)
    path.write_bytes(data[:cut] + junk[2:] + (data[cut + len(junk) :] if inside else b""))
    try:
        g = xb.read_conductances(path, plausible=False)
        assert g.dtype == float and np.isfinite(g).all() and (g >= 0).all()
    except xb.XbarsimError as error:
        assert "\n" not in str(error) and len(str(error).replace(str(path), "file")) <= 200


def write(path, values):
    """Write an array by the tool of its kind."""
    match path.suffix:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez(path, g=values)
        case ".mat":
            savemat(path, {"g": values})
        case ".xlsx":
            pd.DataFrame(values).to_excel(path, header=False, index=False)
        case ".csv":
            np.savetxt(path, values, delimiter=",")
        case _:
            np.savetxt(path, values, header="G (S)")


@pytest.mark.parametrize("kind", [".csv", ".txt", ".dat", ".npy", ".npz", ".mat", ".xlsx"])
def test_every_kind_of_file(tmp_path, kind):
    g = np.array([[1e-5, 2e-6, 3e-4], [4e-5, 5e-5, 0.0]])
    write(tmp_path / f"g{kind}", g)
    np.testing.assert_allclose(xb.read_conductances(tmp_path / f"g{kind}"), g, rtol=1e-15)


def test_one_of_several(tmp_path):
    with pd.ExcelWriter(tmp_path / "two.xlsx") as book:
        pd.DataFrame({"R (kOhm)": [100, None, 50]}).to_excel(book, sheet_name="die 1")
        pd.DataFrame({"R (kOhm)": [200, 25]}).to_excel(book, sheet_name="die 2")
    assert xb.read_conductances(tmp_path / "two.xlsx", name="die 2").tolist() == [[1 / 2e5], [1 / 2.5e4]]
    opened = xb.read_conductances(tmp_path / "two.xlsx", name="die 1", missing="open")
    assert opened.tolist() == [[1e-5], [0.0], [2e-5]]
    refused(xb.read_conductances, tmp_path / "two.xlsx", words="holds the sheets die 1, die 2; name the one to read")
    refused(xb.read_conductances, tmp_path / "two.xlsx", name="die 1", words="row 3, column 2 is empty or nan, 1 in")
    savemat(tmp_path / "two.mat", {"a": np.eye(2), "b": np.eye(3)})
    refused(xb.read_table, tmp_path / "two.mat", words="holds the variables a, b; name the one to read")
    assert xb.read_table(tmp_path / "two.mat", name="b").shape == (3, 3)


def test_worksheets_need_their_reader(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "r.xlsx").write_bytes(b"PK")
    refused(xb.read_table, tmp_path / "r.xlsx", words=r'needs the extra files .*; run pip install "xbarsim\[files\]"')


@pytest.mark.parametrize(
    ("text", "g"),
    [
        ("100 kOhm, 1 MOhm\n50 k\u03a9, 200 kohms\n", [[1e-5, 1e-6], [2e-5, 5e-6]]),
        (",0,1\n0,1e-5,1e-6\n1,2e-5,5e-6\n", [[1e-5, 1e-6], [2e-5, 5e-6]]),
        ("WL,BL0,BL1\nWL0,1e-5,1e-6\n", [[1e-5, 1e-6]]),
        ("Resistance,Resistance\n(kOhm),(MOhm)\n100,1\n", [[1e-5, 1e-6]]),
        ("# R (kOhm)\n100;50\n", [[1e-5, 2e-5]]),
        ("0,01 mS;20 uS\n", [[1e-5, 2e-5]]),
        ("1e-5\t1E-06\n", [[1e-5, 1e-6]]),
        ("10 uS\n\n20 uS\n", [[1e-5], [2e-5]]),
        ("1e-5,2e-5,\n2e-5,1e-5,\n,,\n", [[1e-5, 2e-5], [2e-5, 1e-5]]),
        ("kOhm\n100\n", [[1e-5]]),
        ("R (kOhm)\nBL0,BL1\n100,50\n", [[1e-5, 2e-5]]),
        ("# G (uS)\n# R_series = 2 kOhm\nBL0,BL1\n10,20\n", [[1e-5, 2e-5]]),
        ("R1 (kOhm) R2 (MOhm)\n100 1\n", [[1e-5, 1e-6]]),
        ("G\n1e-5\n2e-5\n", [[1e-5], [2e-5]]),
    ],
)
def test_tables_by_hand(tmp_path, text, g):
    (tmp_path / "t.csv").write_text(text)
    np.testing.assert_allclose(xb.read_conductances(tmp_path / "t.csv"), g, rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"1,5",2\n', r"row 1, column 1: '1,5' is no quantity.*write 1\.5"),
        ("# a comment\n1e-5,2e-5\n1e-5\n", "row 3 has 1 entries where row 2 has 2"),
        ("1e-5;2,5\n1.5;2\n", "row 2, column 1: '1.5': some cells have a decimal comma, some a decimal point"),
        ("R (kiloohm)\n100\n", r"column 1: \(kiloohm\) is no unit"),
        ("R (kOhm),R\n100,1e5\n", "column 2 has no unit, others are in Ohm"),
        ("100 kOhm,120 kOhm\n130,140\n", "row 2, column 1: '130' has no unit, other cells are in Ohm"),
        ("R (kOhm)\n0,5\n1,6\n", "one name stands above two columns"),
        ("G (uS)\n1e9\n", r"row 2, column 1: 1 kS .*: the file says S, plausible=False"),
        ("G x1000 (S)\n.01\n", "column 1: 'G x1000' is a multiple or a logarithm"),
        ("log10 R (Ohm)\n50\n", "column 1: 'log10 R' is a multiple or a logarithm"),
        ("# values in units of 1e-6 S\n.01\n", "in units of 1e-6 S' names S"),
        (".01\n.02\n# all in uS\n", "'all in uS' names uS"),
        ("R (kOhm)\nG (uS)\nBL0\n1\n", "state several units; leave one"),
        ("R (kOhm),G (S)\n100,1e-5\n", "column 2 is in S, others are in Ohm"),
        ("V (mV),R (Ohm)\n100,1e5\n", "column 1 is in V where S is expected, or Ohm"),
        ("R (kOhm)\n100k\n", "'100k' has a prefix, and the heading a unit"),
        (",a\n3e-6,1e-6\n", "column 1 has no name"),
        ("1 000\n2 000\n", "write 1000, or put a semicolon or tab"),
        ("1e-5,,nan\n", "row 1, column 2 is empty or nan, 2 in all"),
        ("1e-5,inf\n", r"row 1, column 2: g\[0, 1\] = inf S: a conductance is finite"),
        ("R (Ohm)\n0\n", r"row 2, column 1: R\[0, 0\] = 0 Ohm: resistances are above 0"),
        ("1e-20\n", "memristors have 1 fS to 100 mS"),
        ("a,b\n", "holds names, but no numbers"),
    ],
)
def test_what_is_refused(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    refused(xb.read_conductances, tmp_path / "t.csv", words=words)


def test_missing_cells_and_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n,V (mV),I,state\n1,100,1e-6,ok\n2,200,NaN,ok\n")
    assert xb.read_table(path, columns=["V", "I"], missing=0).tolist() == [[0.1, 1e-6], [0.2, 0.0]]
    refused(xb.read_table, path, columns=["U"], words="no column is named 'U'; it has n, V, I, state")
    refused(xb.read_table, path, columns=[7], words="column 7: there are 4, counted from 0")
    refused(xb.read_table, path, columns=["V", "I"], missing="open", words="only cells are open")
    refused(xb.read_table, path, columns=["V", "I"], missing="1,5", words="give 'error', 'open' or a value")
    refused(xb.read_conductances, path, "A", words="give 'S' or 'Ohm'", path=path)
    for nothing in ("nan", np.nan):
        refused(xb.read_table, path, columns=["V", "I"], missing=nothing, words="nan is none")
    for unit in ("mV", "Volt", "kOhm", "ohm", b"V", 1):
        refused(xb.read_table, path, unit, words="without a prefix", path=path)


@pytest.mark.parametrize(
    "number", ['"0.\n3",0.1\n', '"0.\r\n3"\n', '"0.\n3"\n0.1\n', '"0.\n# 1\n3";2\n', '"1\n2"\t3\n']
)
def test_line_breaks_in_quotes_join_no_numbers(tmp_path, number):
    path = tmp_path / "t.csv"
    path.write_bytes(number.encode())
    refused(xb.read_table, path, words="column 1: .* is no quantity")
    path.write_bytes(b'"R\n(kOhm)","R (kOhm)"\n100,50\n')
    assert xb.read_conductances(path).tolist() == [[1e-5, 2e-5]]


def test_columns_are_names_or_numbers(tmp_path):
    path, array = tmp_path / "t.csv", tmp_path / "t.npy"
    path.write_text("a,b,c\n1,2,3\n")
    np.save(array, [[1.0, 2.0, 3.0]])
    for file in (path, array):
        assert xb.read_table(file, columns=[np.int64(1), 0]).tolist() == [[2.0, 1.0]]
        for columns in (1, "ca", b"ca", [True], [None], [0.0], [-1], []):
            refused(xb.read_table, file, columns=columns, words="^columns? ")
        refused(xb.read_table, file, columns=[3], words="from 0|counted from 0")
        refused(xb.read_table, file, name="x", words="one table without a name")
    for nothing in (None, 3, b"t.csv", ""):
        with pytest.raises(xb.ParameterError, match=r"^path = .*: give the path of a file$"):
            xb.read_conductances(nothing)


@settings(max_examples=40, deadline=None)
@given(st.floats(-2, 9), st.integers(1, 3))
def test_no_array_of_shorts_is_taken_for_cells(level, n):
    """Above 1 S, 1 ohm, no memristor conducts: neither 800 S, which are 800 ohm by mistake, nor more."""
    g = np.full((n, n), 10**level)
    if 10**level > 1:
        with pytest.raises(xb.ParameterError, match="give conductances in siemens"):
            xb.Crossbar(g)
        with pytest.raises(xb.ParameterError, match=r"g_lrs = .* above 0 S and up to 1 S$"):
            xb.read_margin([n], [10.0], g_lrs=10**level)
    else:
        assert xb.Crossbar(g).g[0, 0] == 10**level


def test_samples_of_devices(tmp_path):
    """10 kohm taken for a conductance would be 10 kS; by its unit it is 100 uS."""
    r = np.array([9.5e3, 1e4, 1.1e4])
    np.save(tmp_path / "r.npy", r)
    fields = {"g_lrs": "100 uS", "on_off_ratio": 10, "v_read": 0.3, "t_read": 1e-8}
    for samples in (tmp_path / "r.npy", r):
        with pytest.raises(xb.ParameterError, match=r'samples_lrs: 11 kS = 90.9 uOhm where .* unit = "Ohm"'):
            xb.Device(**fields, d2d={"samples_lrs": samples})
        device = xb.Device(**fields, d2d={"samples_lrs": samples, "unit": "Ohm"})
        np.testing.assert_allclose(device.d2d.samples_lrs, np.sort(1 / r), rtol=1e-15)
        assert device.replace(v_read=0.2).d2d == device.d2d  # converted once
    (tmp_path / "r.csv").write_text("R (kOhm)\n9.5\n10\n11\n")
    device = xb.Device(**fields, d2d={"samples_lrs": tmp_path / "r.csv"})
    np.testing.assert_allclose(device.d2d.samples_lrs, np.sort(1 / r), rtol=1e-14)
    with pytest.raises(xb.ParameterError, match="the state is 10 uS = 100 kOhm"):
        xb.Device(**fields, d2d={"samples_hrs": [5e-9, 6e-9]})  # 2,000 times off
    assert xb.Device(**fields, d2d={"samples_hrs": [5e-9, 6e-9]}, plausible=False).d2d.samples_hrs[0] == 5e-9
    with pytest.raises(xb.ParameterError, match="D2D.unit = 'kOhm'"):
        xb.D2D(samples_lrs=r, unit="kOhm")
    with pytest.raises(xb.ParameterError, match="Device.g_lrs is 100 kS = 10 uOhm"):
        xb.Device(**fields | {"g_lrs": 1e5})
