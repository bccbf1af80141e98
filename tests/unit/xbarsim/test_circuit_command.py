"""The circuit verbs of the command, and array files."""

import json
import shutil

import numpy as np
import pytest

import xbarsim as xb
from tests.builders.crossbars import G, expected
from tests.builders.processes import run

WIRES = ("--r-wordline", "2", "--r-bitline", "2 Ohm", "--r-driver", "0.1 kOhm", "--r-sense", "50")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "r.csv").write_text("100 kOhm, 1 MOhm, 50 kOhm\n1 MOhm, 100k, 200 kOhm\n")
    np.savetxt(tmp_path / "g.csv", G, delimiter=",")
    np.save(tmp_path / "v.npy", [[0.3, 0.1], [0.0, 0.3]])
    return tmp_path


@pytest.mark.parametrize("cells", [("g.csv",), ("r.csv", "--resistance")])
def test_solve(files, cells):
    done = run("solve", cells[0], "v.npy", *cells[1:], *WIRES, "--json", "out.json", "--plot", "out.png", cwd=files)
    assert done.returncode == 0, done.stderr
    assert "bitline 2" in done.stdout and "uA" in done.stdout
    values = json.loads((files / "out.json").read_text())
    np.testing.assert_allclose(values["i_bitline"], expected().i_bitline, rtol=1e-12)
    assert max(values["residual"]) < 1e-12 and max(values["power_balance"]) < 1e-9
    assert (files / "out.png").stat().st_size > 10_000


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="the Debian package ngspice is not installed")
def test_spice_verify(files):
    done = run("spice", "g.csv", "v.npy", *WIRES, "--verify", "--v-char", "0.2", "--json", "out.json", cwd=files)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1].split(":")[1].split()[0]) < 1e-8
    assert json.loads((files / "out.json").read_text())["deviation"] < 1e-8


def test_spice_prints_the_netlist(files):
    done = run("spice", "g.csv", "v.npy", *WIRES, cwd=files)
    wires = xb.Wires(r_wordline=2, r_bitline=2, r_driver=100, r_sense=50)
    assert done.stdout == xb.to_spice(xb.Crossbar(G, wires=wires), [0.3, 0.1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2\n3\n", "row 2 has 1 entries where row 1 has 2"),
        ("1,2\n3,much\n", "row 2, column 2: 'much' is no quantity"),
        ("1 V,2\n", "row 1, column 1: '1 V' has the unit 'V' where S is expected"),
        ("", "is empty"),
        ("1,-2\n", r"g[0, 1] = -2 S: a conductance cannot be negative"),
    ],
)
def test_bad_csv_files(files, content, message):
    (files / "bad.csv").write_text(content)
    done = run("solve", "bad.csv", "v.npy", cwd=files)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.csv", "v.npy"), "none.csv: cannot be read"),
        (("g.pdf", "v.npy"), "g.pdf: is of an unknown kind"),
        (("g.csv", "g.csv"), "the last axis must be the 2 rows"),
        (("g.csv", "v.npy", "--r-driver", "-1"), "a resistance is 0 or more"),
        (("g.csv", "v.npy", "--resistance", "--plot", "no/out.png"), "no/out.png: cannot be written"),
    ],
)
def test_bad_arguments(files, arguments, message):
    done = run("solve", *arguments, cwd=files)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_npz_files(tmp_path):
    np.savez(tmp_path / "two.npz", a=G, b=2 * G)
    np.testing.assert_array_equal(xb.read_table(tmp_path / "two.npz", "S", name="b"), 2 * G)
    with pytest.raises(xb.FileError, match="holds the arrays a, b; name the one to read"):
        xb.read_table(tmp_path / "two.npz", "S")
    with pytest.raises(xb.FileError, match="has no array 'c'"):
        xb.read_table(tmp_path / "two.npz", "S", name="c")
    np.save(tmp_path / "text.npy", np.array(["a"]))
    with pytest.raises(xb.FileError, match="not real numbers"):
        xb.read_table(tmp_path / "text.npy", "S")


def test_the_command_says_what_it_read(tmp_path, command):
    r, v = tmp_path / "r.csv", tmp_path / "v.csv"
    r.write_text("200000,100000\n50000,1e6\n")
    v.write_text("0.3\n0.1\n")
    code, out, err = command("solve", r, v)
    assert code == 2 and out == "" and "1 MS = 1 uOhm" in err and "--resistance" in err and err.count("\n") == 1
    code, out, err = command("solve", r, v, "--resistance", "--json", tmp_path / "out.json")
    assert code == 0
    for words in (
        "2 x 2 cells, read in Ohm",
        "smallest 1 uS = 1 MOhm, median 7.5 uS = 133 kOhm, largest 20 uS = 50 kOhm",
        "1 read of 2 wordlines, 100 mV to 300 mV",
        "wires: 0 Ohm (ideal)",
    ):
        assert words in out
    i = json.loads((tmp_path / "out.json").read_text())["i_bitline"][0]
    np.testing.assert_allclose(i, [0.3 / 2e5 + 0.1 / 5e4, 0.3 / 1e5 + 0.1 / 1e6], rtol=1e-12)  # by Ohm's law
    code, out, _ = command("solve", r, v, "--any-conductance")
    assert code == 0 and "largest 1 MS" in out
    r.write_text("R (kOhm),R (kOhm)\n200,\n50,1e3\n")
    code, _, err = command("solve", r, v)
    assert code == 2 and "row 2, column 2 is empty" in err and "--missing" in err
    code, out, _ = command("solve", r, v, "--missing", "open", "--r-driver", "2 k\u03a9")
    assert code == 0 and "1 open" in out and "read in Ohm, as the file says" in out and "wires: r_driver 2 kOhm" in out
    code, _, err = command("solve", r, v, "--missing", "open", "--v-reference", "0.3")
    assert code == 2 and "give --v-char too" in err
    sinh = ("--v-char", "0.1", "--v-reference", "0.3", "--json", tmp_path / "out.json")
    v.write_text("0.3,0\n")
    assert command("solve", r, v, "--missing", "open", *sinh)[0] == 0
    i = json.loads((tmp_path / "out.json").read_text())["i_bitline"][0]
    np.testing.assert_allclose(i, [0.3 / 2e5, 0.0], rtol=1e-9, atol=1e-18)
    code, _, err = command("solve", r, v, "--missing", "open", "--r-wordline", "2,5")
    assert code == 2 and "write 2.5" in err
