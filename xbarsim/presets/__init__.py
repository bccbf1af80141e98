"""Published devices as data files: each number with its citation, what a source does not give left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xbarsim.errors import ParameterError
from xbarsim.parameters import read_toml


@dataclass(frozen=True)
class Preset:
    """A published device.

    Attributes
    ----------
    name, kind : str
    paper, seen_in : str
        The publication, and where its numbers were read.
    left_out : str
        What the source does not give, or gives and :class:`xbarsim.Device` does not hold.
    device : dict
        Fields of :class:`xbarsim.Device`, as far as given.
    valid : dict
        Where they are backed by the source's data, fields of :class:`xbarsim.validity.Valid`.
    cite : dict
        For each number, by its path such as ``"retention.nu.lrs"``: what the source says.
    """

    name: str
    kind: str
    paper: str
    seen_in: str
    device: dict[str, Any]
    cite: dict[str, str]
    left_out: str = ""
    valid: dict[str, Any] = field(default_factory=dict)


def list_devices() -> list[str]:
    """Return the names of the published devices that come with xbarsim."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """Return a published device with its sources; raise :class:`ParameterError` if there is none of that name."""
    if name not in list_devices():
        raise ParameterError(f"device {name!r} is unknown; give one of {', '.join(list_devices())}, or a .toml file")
    return Preset(name, **read_toml(Path(__file__).parent / f"{name}.toml"))
