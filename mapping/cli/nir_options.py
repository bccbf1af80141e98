"""Options of commands that take NIR files."""

from __future__ import annotations

from typing import Annotated

import typer

from xbarsim.errors import ParameterError

Reset = Annotated[str, typer.Option(help="What a spike takes from the membrane: subtract, zero or none.")]
Fire = Annotated[str, typer.Option(help="Neurons fire at their threshold, '>=', or only above it, '>'.")]
InputShape = Annotated[
    str | None, typer.Option(help="Channels, height, width: 1,28,28.", show_default="what the file says")
]
ResetDelay = Annotated[
    str | None, typer.Option(help="When the membrane loses it: true, a step later; false, at once; snntorch.")
]


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """Return an input shape from an option."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (1, 3) or not all(part.isdecimal() and int(part) for part in parts):
        raise ParameterError(f"--input-shape {text}: give channels, height, width, as 1,28,28, or a number of features")
    return tuple(map(int, parts))


def delay_of(text: str) -> bool | str:
    """Return when membranes are reset, from an option."""
    known: dict[str, bool | str] = {"true": True, "false": False, "snntorch": "snntorch"}
    if text not in known:
        raise ParameterError(f"--reset-delay {text}: give {', '.join(known)}")
    return known[text]
