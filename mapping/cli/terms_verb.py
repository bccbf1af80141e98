"""The verb of the ``xbarsim`` command that defines what reports show."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mapping.cost.definitions import DEFINITIONS
from xbarsim.errors import ParameterError
from xbarsim.outputs import console, writable, write_text


def terms(
    name: Annotated[str, typer.Argument(help="One of them, as in JSON, or as tables call it.")] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write them to this file.")] = None,
) -> None:
    """Define the quantities of reports, studies and memory reads, with their formulas."""
    from rich.table import Table
    from rich.text import Text

    writable(json_file)
    found = {key: one for key, one in DEFINITIONS.items() if name in ("", key, one.label)}
    if not found:
        raise ParameterError(f"term {name!r} is unknown; give one of {', '.join(DEFINITIONS)}")
    table = Table(title="Terms")
    for heading in ("name", "unit", "definition"):
        table.add_column(heading)
    for key, one in found.items():
        text = Text.assemble((one.label, "bold"), f"\n{one.text}\n", (one.formula, "italic"))
        table.add_row(key, one.unit, text, end_section=True)
    console().print(table)
    if json_file is not None:
        write_text(json_file, json.dumps({key: asdict(one) for key, one in found.items()}, indent=2))
