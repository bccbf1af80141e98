"""Netlists, and whatever a program named ngspice answers."""

import os
import re
import shutil

import numpy as np
import pytest

import xbarsim as xb
from xbarsim.spice import run_ngspice


def test_netlist_is_readable_and_one_read():
    netlist = xb.to_spice(xb.Crossbar(np.full((2, 2), 2.0**-17), wires=xb.Wires(r_wordline=1.0)), [0.3, 0.0])
    assert "rc0_1 w0_1 s1 131072.0" in netlist and "vd0 d0 0 dc 0.3" in netlist and netlist.endswith(".end\n")
    with pytest.raises(xb.ParameterError, match="a netlist is one read"):
        xb.to_spice(xb.Crossbar([[1e-5]]), [[0.3]])


def test_ngspice_errors(monkeypatch):
    if shutil.which("ngspice"):
        with pytest.raises(xb.FileError, match="ngspice found no solution"):
            run_ngspice("* empty\n.end\n")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(xb.FileError, match="install the Debian package ngspice"):
        run_ngspice("")


WHOLE = "i(vd0) = -3.0e-06\ni(vs0) = 3.0e-06"


@pytest.mark.parametrize(
    ("printed", "status", "words"),
    [
        (WHOLE.replace("3.0e-06", "nan"), 0, "found no solution"),
        (WHOLE.replace("3.0e-06", "1.#INF"), 0, "found no solution"),
        (WHOLE, 1, "found no solution"),
        (WHOLE.splitlines()[0], 0, "found no solution"),
        (WHOLE.replace("3.0e-06", "3.0.0e"), 0, "found no solution"),
        ("\\377\\376", 0, "found no solution"),
        ("", 0, "found no solution (no output)"),
        (None, 0, "took longer than 1 s"),
        (WHOLE, 0, None),
    ],
)
def test_whatever_ngspice_answers(printed, status, words, tmp_path, monkeypatch):
    """A program of that name that gives no number, part of them, no text, an error, or never ends."""
    program = tmp_path / "ngspice"
    answer = "sleep 30" if printed is None else f"printf '{printed}'"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\n{answer}\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    netlist = xb.to_spice(xb.Crossbar([[1e-5]]), [0.3])
    if words is None:
        assert run_ngspice(netlist).i_bitline == pytest.approx([3e-6])
        return
    with pytest.raises(xb.FileError, match=re.escape(words)) as told:
        run_ngspice(netlist, timeout=1.0)
    assert len(str(told.value)) < 200 and "\n" not in str(told.value)
