"""How a mapped network is evaluated: one validated set of options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mapping.cost.accounting import Accounting
from mapping.engines.executor import EngineName
from mapping.networks.network import engine_called
from xbarsim.drift import ROOM_TEMPERATURE
from xbarsim.parameters import Parameters
from xbarsim.units import Temperature


class Evaluation(Parameters):
    """How a mapped network is evaluated.

    Attributes
    ----------
    accounting : Accounting
    engine : {"auto", "events", "dense"}
    refresh : float, optional
    ageing_by : {"step", "batch"}
    batch_size : int, optional
    temperature : float
        See :meth:`mapping.MappedNetwork.evaluate`.
    """

    accounting: Accounting
    engine: EngineName = "auto"
    refresh: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    ageing_by: Literal["step", "batch"] = "step"
    batch_size: int | None = Field(default=None, gt=0)
    temperature: Temperature = ROOM_TEMPERATURE

    @model_validator(mode="after")
    def _can_age(self) -> Self:
        if self.refresh is not None and engine_called(self.engine) not in ("auto", self.needed):
            raise ValueError(f"engine = {self.engine!r}: ageing by {self.ageing_by} needs {self.needed!r}; use 'auto'")
        return self

    @property
    def needed(self) -> EngineName:
        """The engine that all else allows."""
        if self.refresh is None:
            return self.engine
        return "dense" if self.ageing_by == "step" else "events"

    def batch(self, n_images: int) -> int:
        """Return how many images are classified, and age the arrays, together."""
        if self.refresh is None:
            return n_images
        return self.batch_size or (25 if self.ageing_by == "step" else -(-n_images // 4))
