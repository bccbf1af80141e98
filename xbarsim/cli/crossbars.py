"""The verbs of the ``xbarsim`` command that deal with one crossbar: solve and spice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarsim.errors import ParameterError
from xbarsim.outputs import console, picture, writable, write_picture, write_text
from xbarsim.plausible import RANGE
from xbarsim.sheets import KINDS

if TYPE_CHECKING:
    import numpy as np

    from xbarsim.crossbar import Crossbar

Cells = Annotated[Path, typer.Argument(help=f"Conductances in S, wordlines x bitlines: {KINDS}.")]
Voltages = Annotated[Path, typer.Argument(help="Driver voltages in V: one read per line, or one column.")]
Resistance = Annotated[bool, typer.Option("--resistance", help="The first file holds resistances in ohm.")]
AnyConductance = Annotated[
    bool, typer.Option("--any-conductance", help=f"Also take cells that no memristor has, outside {RANGE}.")
]
Missing = Annotated[str, typer.Option(help="Empty cells and nan: 'error', 'open', or a value such as '1 MOhm'.")]
Name = Annotated[str | None, typer.Option(help="Array, variable or worksheet of the first file, if it has several.")]
Ohm = Annotated[str, typer.Option(help="Resistance, for example '2.5' or '1 kOhm'.")]
BothEnds = Annotated[bool, typer.Option(help="Whether the lines are connected at both ends.")]
WAITING = "solving (the first run also compiles, about half a minute)"
VoltageName = Annotated[str | None, typer.Option(help="The same of the second file.")]
Reference = Annotated[
    str, typer.Option(help="Voltage at which sinh cells have these conductances, i / v; zero bias without it.")
]
Characteristic = Annotated[str, typer.Option(help="Voltage scale of sinh cells; ohmic cells without it.")]


def _circuit(
    cells: Path,
    voltages: Path,
    what: dict[str, Any],
    voltage_name: str | None,
    wires: dict[str, Any],
    law: dict[str, str],
) -> tuple[Crossbar, np.ndarray, list[str]]:
    """Return crossbar, voltages (n, n_rows), and lines that say what was read."""
    import numpy as np

    import xbarsim as xb
    from xbarsim.files import conductances, read_table
    from xbarsim.units import format_quantity

    g, said = conductances(cells, **what)
    crossbar = xb.Crossbar(
        g,
        wires=xb.Wires(**wires),
        cell=xb.Sinh(**law) if law else xb.Ohmic(),
        plausible=what["plausible"],
    )
    v = read_table(voltages, "V", name=voltage_name)
    if v.ndim == 2 and v.shape[1] == 1 and crossbar.n_rows == v.shape[0]:
        v = v.T
    v = np.atleast_2d(v)
    low, high = (format_quantity(float(value), "V") for value in (v.min(initial=np.inf), v.max(initial=-np.inf)))
    reads = f"{len(v)} read{'s' if len(v) != 1 else ''} of {v.shape[-1]} wordlines"
    return crossbar, v, [said, f"{voltages}: {reads}, {low} to {high}", crossbar.wires.summary()]


def _what(resistance: bool, any_conductance: bool, missing: str, name: str | None) -> dict[str, Any]:
    unit = "Ohm" if resistance else None
    return {"unit": unit, "plausible": not any_conductance, "missing": missing, "name": name}


def _law(v_char: str, v_reference: str) -> dict[str, str]:
    if v_reference and not v_char:
        raise ParameterError("--v-reference: ohmic cells conduct the same at any voltage; give --v-char too")
    return {name: value for name, value in (("v_char", v_char), ("v_reference", v_reference)) if value}


def solve(
    cells: Cells,
    voltages: Voltages,
    resistance: Resistance = False,
    any_conductance: AnyConductance = False,
    missing: Missing = "error",
    name: Name = None,
    voltage_name: VoltageName = None,
    r_wordline: Ohm = "0",
    r_bitline: Ohm = "0",
    r_driver: Ohm = "0",
    r_sense: Ohm = "0",
    drive_both_ends: BothEnds = False,
    sense_both_ends: BothEnds = False,
    v_char: Characteristic = "",
    v_reference: Reference = "",
    plot: Annotated[Path | None, typer.Option(help="Draw the first read to this image file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write currents and certificate.")] = None,
) -> None:
    """Solve a crossbar: bitline currents, power and certificate of each read."""
    from rich.table import Table

    import xbarsim as xb
    from xbarsim.units import format_result

    picture(plot)
    writable(json_file)
    ends = {"r_wordline": r_wordline, "r_bitline": r_bitline, "r_driver": r_driver, "r_sense": r_sense}
    both = {"drive_both_ends": drive_both_ends, "sense_both_ends": sense_both_ends}
    crossbar, v, said = _circuit(
        cells,
        voltages,
        _what(resistance, any_conductance, missing, name),
        voltage_name,
        ends | both,
        _law(v_char, v_reference),
    )
    with console(stderr=True).status(WAITING):
        solution = xb.solve(crossbar, v)
    typer.echo("\n".join(said))
    table = Table(title=f"{crossbar.n_rows} x {crossbar.n_cols}, bitline currents into the sense nodes")
    headings = ["read", *(f"bitline {j}" for j in range(min(3, crossbar.n_cols))), "all", "power", "residual"]
    for heading in headings:
        table.add_column(heading, justify="right")
    for k, current in enumerate(solution.i_bitline):
        shown = [format_result(float(i), "A", 4) for i in (*current[:3], current.sum())]
        table.add_row(str(k), *shown, format_result(float(solution.power[k]), "W"), f"{solution.residual[k]:.0e}")
    console().print(table)
    if plot is not None:
        from xbarsim.plot import overview

        write_picture(plot, overview(xb.solve(crossbar, v[0])))
    if json_file is not None:
        names = ("i_bitline", "i_wordline", "power", "iterations", "residual", "power_balance")
        values = {name: getattr(solution, name).tolist() for name in names}
        write_text(json_file, json.dumps({"read": said} | values, indent=2))


def spice(
    cells: Cells,
    voltages: Voltages,
    resistance: Resistance = False,
    any_conductance: AnyConductance = False,
    missing: Missing = "error",
    name: Name = None,
    voltage_name: VoltageName = None,
    r_wordline: Ohm = "0",
    r_bitline: Ohm = "0",
    r_driver: Ohm = "0",
    r_sense: Ohm = "0",
    drive_both_ends: BothEnds = False,
    sense_both_ends: BothEnds = False,
    v_char: Characteristic = "",
    v_reference: Reference = "",
    verify: Annotated[bool, typer.Option("--verify", help="Run ngspice and print the agreement instead.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the netlist, or the agreement.")] = None,
) -> None:
    """Print the first read of a crossbar as an ngspice netlist, or verify it with ngspice."""
    import xbarsim as xb

    writable(json_file)
    ends = {"r_wordline": r_wordline, "r_bitline": r_bitline, "r_driver": r_driver, "r_sense": r_sense}
    both = {"drive_both_ends": drive_both_ends, "sense_both_ends": sense_both_ends}
    crossbar, v, said = _circuit(
        cells,
        voltages,
        _what(resistance, any_conductance, missing, name),
        voltage_name,
        ends | both,
        _law(v_char, v_reference),
    )
    if verify:
        with console(stderr=True).status(WAITING):
            deviation = xb.verify(crossbar, v[0])
        typer.echo("\n".join(said))
        typer.echo(f"largest deviation of xbarsim from ngspice: {deviation:.1e} of the largest current")
        result: dict[str, float | str] = {"deviation": deviation}
    else:
        result = {"netlist": xb.to_spice(crossbar, v[0])}
        typer.echo("\n".join(said), err=True)
        typer.echo(result["netlist"], nl=False)
    if json_file is not None:
        write_text(json_file, json.dumps(result, indent=2))
