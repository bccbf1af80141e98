"""The verb of the ``xbarsim`` command that shows published devices."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.outputs import console, writable, write_text


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
