"""The challenges of table 1 as studies: the non-ideality grows, and two designs on the same arrays bear it, or do not.

``data/table1.toml`` has the rows and their source.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mapping.inputs.resources import data_folder
from mapping.study.study_spec import Axis, Study
from xbarsim.parameters import Parameters, read_toml

BOTH: dict[str, dict[str, Any]] = {
    "ANN, 8 bit": {"network": "mnist-ann", "chip": "paper-ann"},
    "BSNN, 1 bit": {"network": "mnist-bsnn", "chip": "paper-bsnn"},
}


class Challenge(Parameters):
    """One row of the table.

    Attributes
    ----------
    name : str
        Of its study, and of its folder in a store.
    level : {"device", "circuit", "system", "algorithm"}
    challenge, offer : str
        What hurts arrays, and what spiking networks have against it.
    axis : Axis, optional
        What grows, from nothing to much.
    cases : dict
        The designs that are compared.
    changes : dict
        What is set in all of them.
    result : str
        What is compared.
    dataset : str, optional
    """

    name: str
    level: str
    challenge: str
    offer: str
    axis: Axis | None = None
    cases: dict[str, dict[str, Any]] = BOTH
    changes: dict[str, Any] = Field(default_factory=dict)
    result: str = "accuracy"
    dataset: str | None = None

    def study(self, *, images: int, trials: int, seed: int, quick: bool) -> Study:
        """Return the study that measures it; of the axis only the first value and the last but one if ``quick``."""
        axes = [Axis(name="design", cases=self.cases)]
        if self.axis is not None:
            values = [self.axis.values[0], self.axis.values[-2]] if quick else self.axis.values
            axes.insert(0, self.axis.replace(values=values))
        return Study(
            name=self.name,
            title=self.challenge,
            dataset=self.dataset,
            images=images,
            trials=trials,
            seed=seed,
            changes=self.changes,
            axes=axes,
        )


CHALLENGES = tuple(Challenge(**row) for row in read_toml(data_folder() / "table1.toml")["challenge"])
