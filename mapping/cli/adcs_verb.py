"""The verb of the ``xbarsim`` command that shows the energy laws of converters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.outputs import console, writable, write_text

if TYPE_CHECKING:
    from mapping.chip.periphery.sar_adc import SarAdc
    from xbarsim.adc_laws import Law


def adcs(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write them with all sources.")] = None,
) -> None:
    """List the laws by which the energy of a converter grows with its resolution, and where they come from."""
    from rich.table import Table
    from rich.text import Text

    from mapping.chip.periphery.sar_adc import published_adcs
    from xbarsim.adc_laws import LAWS, survey_envelope
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
