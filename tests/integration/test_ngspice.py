"""The netlist against ngspice itself, for every boundary condition and every cell."""

import re
import shutil
import subprocess

import numpy as np
import pytest

import xbarsim as xb
from xbarsim.spice import run_ngspice

ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="the Debian package ngspice is not installed")
RNG = np.random.default_rng(11)
G = 10 ** RNG.uniform(-6, -4, (7, 5)) * (RNG.random((7, 5)) < 0.9)
V = RNG.uniform(-0.4, 0.4, 7)
WIRES = xb.Wires(r_wordline=2.0, r_bitline=3.0, r_driver=50.0, r_sense=20.0)
SEGMENTS = RNG.choice([0.0, 1.0, 100.0, np.inf], (7, 4), p=[0.2, 0.3, 0.4, 0.1])

BOUNDARIES = {
    "one-sided": (WIRES, {}),
    "both ends": (WIRES.replace(drive_both_ends=True, sense_both_ends=True), {}),
    "no wires": (xb.Wires(), {}),
    "joined bitlines": (WIRES.replace(r_bitline=0.0, r_sense=0.0), {}),
    "broken and joined segments": (WIRES.replace(r_wordline=SEGMENTS, drive_both_ends=True), {}),
    "sense nodes at a voltage": (WIRES, {"v_bitline": [0.1, -0.2, 0.0, 0.05, 0.3]}),
    "floating lines": (
        WIRES,
        {"floating_wordlines": np.arange(7) % 3 == 1, "floating_bitlines": np.arange(5) == 2},
    ),
}
CELLS = {
    "sinh": xb.Sinh(v_char=0.1),
    "sinh at a reference": xb.Sinh(v_char=0.1, v_reference=0.3),
    "selector": xb.OneSelectorOneResistor(i_selector=1e-9, v_selector=0.03),
    "MIEC selector": xb.MIEC_SELECTOR,
    "table": xb.Table(v=[-1.0, -0.2, 0.0, 0.1, 0.4], i=[-8.0, -1.0, 0.0, 0.7, 4.0]),
}


@ngspice
@pytest.mark.parametrize("name", BOUNDARIES)
def test_boundaries(name):
    wires, boundary = BOUNDARIES[name]
    assert xb.verify(xb.Crossbar(G, wires=wires), V, **boundary) < 1e-9


@ngspice
@pytest.mark.parametrize("name", CELLS)
def test_cells(name):
    volts = 4 * V if name == "MIEC selector" else V  # below that its currents come near ngspice's abstol
    assert xb.verify(xb.Crossbar(G, wires=WIRES, cell=CELLS[name]), volts) < 1e-8


@ngspice
def test_gated_rows():
    crossbar = xb.Crossbar(G, wires=WIRES, cell=xb.OneTransistorOneResistor(r_on=3e3, g_off=1e-9))
    assert xb.verify(crossbar, V, selected=np.arange(7) < 4) < 1e-9


@ngspice
def test_a_wrong_circuit_is_noticed():
    netlist = xb.to_spice(xb.Crossbar(G, wires=WIRES), V)
    other = xb.solve(xb.Crossbar(G, wires=WIRES.replace(r_sense=21.0)), V)
    apart = np.abs(run_ngspice(netlist).i_bitline - other.i_bitline).max() / np.abs(other.i_bitline).max()
    assert apart > 1e-5


@ngspice
def test_charge_equals_a_transient_simulation():
    ports, c, v0 = xb.reduce(xb.Crossbar(G, wires=WIRES)), 50e-15, np.array([0.1, 0.0, -0.05, 0.2, 0.0])
    netlist = xb.to_spice(xb.Crossbar(G, wires=WIRES), V).split(".control")[0].splitlines()
    lines = [line for line in netlist if not line.startswith("vs")]
    lines += [f"cs{j} s{j} 0 {c} ic={start}" for j, start in enumerate(v0.tolist())]
    lines += [f"rs{j} s{j} 0 1meg" for j in range(5)]  # a leakage of 1 uS
    for t in (30e-12, 300e-12):  # the time constants are near 200 ps
        points = " ".join(f"v(s{j})" for j in range(5))
        control = [f".tran {t / 2000} {t} uic", ".control", "run", "set numdgt=12"]
        control += [f"print {name}[length({name})-1]" for name in points.split()] + ["quit", ".endc", ".end"]
        done = subprocess.run(["ngspice", "-b"], input="\n".join(lines + control), capture_output=True, text=True)
        found = [float(value) for value in re.findall(r"^v\(s\d\)\[.* = (\S+)$", done.stdout, re.MULTILINE)]
        ours = ports.charge(V, c, t, g_leak=1e-6, v0=v0)
        np.testing.assert_allclose(ours, found, rtol=0, atol=2e-6)
        assert np.abs(ours - v0).max() > 0.01
