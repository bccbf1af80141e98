"""The verbs of the ``xbarsim`` command that show what is published: devices, adcs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mapping.outputs import console, writable, write_text

if TYPE_CHECKING:
    from mapping.periphery.adc_laws import Law
    from mapping.periphery.sar_adc import SarAdc


def devices(
    name: Annotated[str, typer.Argument(help="One of them, with the source of each number.")] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write them with all sources.")] = None,
) -> None:
    """List the published devices, or show where the numbers of one come from."""
    from rich.table import Table
    from rich.text import Text

    from xbarsim.presets import list_devices, load_preset
    from xbarsim.validity import Valid

    writable(json_file)
    presets = [load_preset(one) for one in ([name] if name else list_devices())]
    if name:
        table = Table(title=f"{name}: {presets[0].kind}")
        for heading in ("number", "value", "what the source says"):
            table.add_column(heading)
        for path, words in presets[0].cite.items():
            value = presets[0].device
            for part in path.split("."):
                value = value[part]
            table.add_row(path, str(value), words)
        known = Valid(**presets[0].valid)
        ranges = [f"{part} {one.text(known.UNITS[part])} ({one.source})" for part, one in known.ranges.items()]
        notes = {"Paper": presets[0].paper, "Read in": presets[0].seen_in, "Left out": presets[0].left_out}
        notes["Backed by data"] = "; ".join(ranges) or "its source gives no range of use"
        text = "\n".join(f"{heading}: {words}" for heading, words in notes.items() if words)
    else:
        table = Table(title="Published devices")
        table.add_column("name", no_wrap=True)
        for heading in ("kind", "LRS", "on/off", "to be added where used"):
            table.add_column(heading)
        for preset in presets:
            given = preset.device
            missing = ", ".join(field for field in ("v_read", "t_read") if field not in given)
            lrs = given.get("g_lrs") or f"{given['i_lrs']} at {given['v_read']}"
            table.add_row(preset.name, preset.kind, lrs, str(given["on_off_ratio"]), missing, end_section=True)
        text = (
            "`xbarsim devices NAME` shows the source of each number. In a chip, [device] takes preset = "
            '"NAME", and with it what the source leaves to be added.'
        )
    terminal = console()
    terminal.print(table)
    terminal.print(Text(text))
    if json_file is not None:
        write_text(json_file, json.dumps([asdict(preset) for preset in presets], indent=2))


def adcs(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write them with all sources.")] = None,
) -> None:
    """List the laws by which the energy of a converter grows with its resolution, and where they come from."""
    from rich.table import Table
    from rich.text import Text

    from mapping.periphery.adc_laws import LAWS, survey_envelope
    from mapping.periphery.sar_adc import published_adcs
    from xbarsim.units import format_result

    writable(json_file)
    published, bits = published_adcs(), (1, 4, 8, 12)
    table = Table(title="Energy of a conversion, at published numbers; in brackets: extrapolated")
    table.add_column("law", no_wrap=True)
    for heading in ("backed by data", *(f"{n} bit" for n in bits), "8 to 1 bit"):
        table.add_column(heading, justify="right")
    for name, adc in published.items():
        energies, known = [adc.energy_at(n) for n in bits], LAWS[name].backed(adc.anchor_bits)
        backed = [known is None or known.holds(n) for n in bits]
        texts = (format_result(energy, "J") for energy in energies)
        cells = (text if inside else f"({text})" for text, inside in zip(texts, backed))
        table.add_row(name, known.text("bit") if known else "all", *cells, f"{energies[2] / energies[0]:.3g}x")
    envelope = (format_result(survey_envelope(n), "J") for n in bits)
    table.add_section()
    table.add_row("survey", "", *(f"({text})" if n == 1 else text for text, n in zip(envelope, bits)))
    terminal = console()
    terminal.print(table)
    terminal.print(
        Text("survey: the envelope of B. Murmann's ADC Performance Survey 1997-2025 at so many effective bits\n")
    )
    for name, law in LAWS.items():
        needs = ", ".join(law.needs) or "nothing more"
        text = f"{name}: {law.text}; needs {needs}. From {min(law.bits)} to {max(law.bits)} bits, backed by data "
        text += f"{_backed(law)}. Source: {law.source}"
        terminal.print(Text(text + "\n"))
    if json_file is not None:
        values = {
            name: {
                "text": law.text,
                "source": law.source,
                "backed": _backed(law),
                "energies": _energies(published.get(name)),
            }
            for name, law in LAWS.items()
        }
        write_text(json_file, json.dumps(values, indent=2))


def _backed(law: Law) -> str:
    if law.known is None:
        return "where energies are given"
    return "at anchor_bits" if law.known == "anchor_bits" else f"at {law.known.text('bit')} ({law.known.source})"


def _energies(adc: SarAdc | None) -> dict[int, float] | None:
    return None if adc is None else {n: adc.energy_at(n) for n in range(1, 13)}
