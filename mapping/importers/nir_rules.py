"""What a NIR file does not store, and a user has to say beside it; knows nothing of torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

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

    @property
    def options(self) -> dict[str, Any]:
        """All fields, as :func:`mapping.load_network` takes them."""
        return {name: getattr(self, name) for name in type(self).model_fields}
