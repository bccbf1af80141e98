"""What a NIR file does not store, and a user has to say beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from mapping.importers.load import load_network
from mapping.networks.network import Network
from xbarsim.parameters import Parameters


class NirRules(Parameters):
    """How networks of NIR files run; see :func:`mapping.load_network`.

    Attributes
    ----------
    dt : float or str
        Time step of the file [s].
    reset_mechanism : {"subtract", "zero", "none"}
    fire : {">=", ">"}
    reset_delay : bool or "snntorch"
    t_steps : int
        Time steps of one inference.
    input_shape : int or tuple of int, optional
        Channels, height, width of an input, where the file does not tell.
    decoder : str, optional
        How classes are read.
    """

    dt: float | str
    reset_mechanism: str
    fire: str
    reset_delay: bool | Literal["snntorch"] = True
    t_steps: int = Field(default=25, ge=1)
    input_shape: int | tuple[int, ...] | None = None
    decoder: str | None = None

    def load(self, source: str | Path, quantize: str | int | None = None) -> Network:
        """Load a NIR file."""
        return load_network(
            source, quantize=quantize, **{name: getattr(self, name) for name in type(self).model_fields}
        )
