"""All challenges and statements, measured one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mapping.chip.chip import load_chip
from mapping.cost.checks import once
from mapping.importers.load import load_network
from mapping.inputs.datasets import load_dataset
from mapping.inputs.sample import Sample
from mapping.study.paper import statements
from mapping.study.paper.challenges import CHALLENGES, Challenge
from mapping.study.results import warned
from mapping.study.run import prepared, run_study
from xbarsim.intervals import Difference, Interval, combined
from xbarsim.study.dataset import NOT_DONE

if TYPE_CHECKING:
    import xarray as xr

LOSS = 0.01  # of accuracy, up to which it counts as borne


@dataclass(frozen=True)
class Figure:
    """What one design showed in one row.

    Attributes
    ----------
    design : str
    first, last : float
        The result, averaged over dies, where the non-ideality is least and greatest; NaN if all dies failed.
    first_interval, last_interval : (float, float)
        95 % intervals of these, if they are accuracies; otherwise NaN.
    borne : float, optional
        The greatest value of the axis up to which the loss of accuracy against the first one is surely, by its 95 %
        interval, 1 % or less; None if that is so nowhere, or the row is not about accuracy.
    not_borne : float, optional
        The first value at which the loss is surely more.
    area_share : float
        The ADC area share.
    """

    design: str
    first: float
    last: float
    first_interval: Interval
    last_interval: Interval
    borne: float | None
    not_borne: float | None
    area_share: float


@dataclass(frozen=True)
class Row:
    """One row of the table: a challenge, and its study's results."""

    challenge: Challenge
    data: xr.Dataset

    @property
    def figures(self) -> list[Figure]:
        """What each design showed."""
        return [self._figure(design) for design in self.designs]

    @property
    def designs(self) -> list[str]:
        """Their names."""
        return [str(design) for design in self.data["design"].values]

    @property
    def about_accuracy(self) -> bool:
        """Whether it is accuracy that something costs."""
        return self.challenge.axis is not None and self.challenge.result == "accuracy"

    @property
    def verdict(self) -> Difference | None:
        """How much less accuracy the second of two designs loses in all.

        None of other rows, without results, and of a single die, which tells nothing of others.
        """
        if not self.about_accuracy or len(self.designs) != 2 or self.data.sizes["trial"] < 2:
            return None
        first, second = ([self._correct(design, at) for at in (0, -1)] for design in self.designs)
        parts = [(-1.0, first[1]), (1.0, first[0]), (1.0, second[1]), (-1.0, second[0])]
        return combined(parts) if all(len(correct) for _, correct in parts) else None

    def _correct(self, design: str, at: int) -> np.ndarray:
        """Return which images the dies of a design classified correctly at a point of the axis, (n_dies, n_images)."""
        axis = self.challenge.axis
        assert axis is not None
        if "correct" not in self.data:
            return np.empty((0, 0), bool)
        given = self.data["correct"].sel(design=design).isel({axis.name: at}).transpose("trial", "image").values
        given = given.astype(float)
        return np.asarray(given[~np.isnan(given).any(1)] > 0)

    def _figure(self, design: str) -> Figure:
        of_design, result = self.data.sel(design=design), self.challenge.result
        values = np.atleast_1d(of_design[result].mean("trial").values)
        first: Interval = (np.nan, np.nan)
        last: Interval = (np.nan, np.nan)
        if self.about_accuracy:
            low, high = (of_design[f"accuracy_{end}"].values for end in ("low", "high"))
            first, last = ((float(low[k]), float(high[k])) for k in (0, -1))
        borne, not_borne = self._borne(design)
        area = float(of_design["adc_area_share"].mean())
        return Figure(design, float(values[0]), float(values[-1]), first, last, borne, not_borne, area)

    def _borne(self, design: str) -> tuple[float | None, float | None]:
        """Return the last value of the axis up to which losses are surely borne, and the first where one is not."""
        if not self.about_accuracy or self.challenge.axis is None:
            return None, None
        values, first = self.data[self.challenge.axis.name].values, self._correct(design, 0)
        borne, not_borne, all_borne = None, None, True
        for k in range(1, len(values)):
            now = self._correct(design, k)
            if min(len(first), len(now)) < 2:
                break
            low, high = combined([(1.0, first), (-1.0, now)]).interval
            all_borne &= high <= LOSS
            borne = float(values[k]) if all_borne else borne
            if low > LOSS:
                not_borne = float(values[k])
                break
        return borne, not_borne


@dataclass(frozen=True)
class Table1:
    """The table with its numbers, and the statements.

    Attributes
    ----------
    rows : list of Row
    statements : dict of DataFrame
        By the names of the functions in ``mapping.study.paper.statements``.
    images, trials, seed : int
    """

    rows: list[Row]
    statements: dict[str, pd.DataFrame]
    images: int
    trials: int
    seed: int

    @property
    def failures(self) -> list[str]:
        """The errors of trials that failed."""
        return [error for row in self.rows for error in row.data["error"].values.ravel().tolist() if error]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes results questionable."""
        return once(line for row in self.rows for line in warned(row.data))

    @property
    def dies(self) -> str:
        """How many there are at each point, in words."""
        return f"{self.trials} dies" if self.trials > 1 else "1 die"

    @property
    def run(self) -> dict[str, str]:
        """What was run: networks with their hashes, images, chips, version, date of the last row."""
        attrs = [row.data.attrs for row in self.rows]
        parts = {
            name: dict.fromkeys(text for of_row in attrs for text in of_row[name].split("; "))
            for name in ("networks", "images", "version_xbarsim")
        }
        chips = {name: text for of_row in attrs for name, text in json.loads(of_row["chips"]).items()}
        found = {name: "; ".join(texts) for name, texts in parts.items()}
        return found | {"chips": json.dumps(chips), "date": max(of_row["date"] for of_row in attrs)}

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values; what is no number is None."""
        values = {
            "run": self.run,
            "images": self.images,
            "trials": self.trials,
            "seed": self.seed,
            "warnings": list(self.warnings),
            "rows": [
                {
                    "level": row.challenge.level,
                    "challenge": row.challenge.challenge,
                    "offer": row.challenge.offer,
                    "result": row.challenge.result,
                    "axis": row.challenge.axis.name if row.challenge.axis else None,
                    "values": row.data[row.challenge.axis.name].values.tolist() if row.challenge.axis else [],
                    "designs": {
                        str(design): row.data[row.challenge.result].sel(design=design).mean("trial").values.tolist()
                        for design in row.data["design"].values
                    },
                    "figures": [vars(figure) for figure in row.figures],
                    "verdict": row.verdict.to_dict() if row.verdict else None,
                }
                for row in self.rows
            ],
            "statements": {name: frame.to_dict("records") for name, frame in self.statements.items()},
        }
        return cast(dict[str, Any], _plain(values))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if value != value else value


def measure(
    *,
    images: int = 200,
    trials: int = 2,
    seed: int = 0,
    quick: bool = False,
    store: Path | None = None,
    workers: int | None = 1,
    cluster: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Table1:
    """Run the studies of all rows, and measure all statements.

    Parameters
    ----------
    images, trials, seed : int
        Test images, dies at each point, root seed.
    quick : bool
        Two points of each axis.
    store : path, optional
        Takes the results of each row at once, in a folder of its own.
    workers, cluster
        See :func:`xbarsim.sweep`; one process uses all cores for the arrays of a die.
    progress : callable, optional
        Called with what is being measured, how many parts are done, and how many there are.
    """
    studies = {
        challenge: challenge.study(images=images, trials=trials, seed=seed, quick=quick) for challenge in CHALLENGES
    }
    for study in studies.values():
        prepared(study)  # refuses all that cannot be run before the first one is
    measures = _statements(images, seed, quick)
    total = len(studies) + len(measures)

    def show(what: str, done: int) -> None:
        if progress is not None:
            progress(what, done, total)

    rows = []
    for k, (challenge, study) in enumerate(studies.items()):
        show(challenge.challenge, k)
        folder = None if store is None else store / challenge.name
        options: dict[str, Any] = {"cluster": cluster} if cluster else {"workers": workers}
        data = run_study(study, store=folder, progress=False, **options)
        if (data["error"] == NOT_DONE).any():
            raise KeyboardInterrupt  # that the study has caught, to return what was done
        rows.append(Row(challenge, data))
    found = {}
    for k, (name, function) in enumerate(measures.items(), start=len(rows)):
        show(name.replace("_", " "), k)
        found[name] = function()
    show("", total)
    return Table1(rows, found, images, trials, seed)


def _statements(images: int, seed: int, quick: bool) -> dict[str, Callable[[], pd.DataFrame]]:
    network, chip = load_network("mnist-bsnn"), load_chip("paper-bsnn")
    x, y = load_dataset("mnist")
    index = Sample.of(y, images, seed=seed).index
    x, y = x[index], y[index]
    few = x[: 10 if quick else 50]
    disturbed = chip.replace(device__read_disturb="power-law")
    return {
        "bitline_current": lambda: statements.bitline_current(chip, seed),
        "disturb_by_sparsity": lambda: statements.disturb_by_sparsity(
            network, disturbed, few, seed=seed, scales=statements.SCALES[::2] if quick else statements.SCALES
        ),
        "convolution_shares": statements.convolution_shares,
        "collisions": lambda: statements.collisions(network, chip, few, seed=seed),
        "largest_current_only": lambda: statements.largest_current_only(network, chip, x, y, seed=seed),
    }
