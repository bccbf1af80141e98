"""Study: which network runs on which chip, and what is varied; from TOML or Python."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mapping.importers.nir_rules import NirRules
from mapping.inputs.resources import file_of, shipped
from mapping.study.results import DESCRIPTIONS, RESULTS
from xbarsim.parameters import Parameters, beside_toml
from xbarsim.units import parse_quantity

_DIMENSIONS = ("trial", "image", "layer", "module", "error")  # of a study's data set, beside its axes
NETWORK = ("t_steps", "threshold_scale", "weight_bits", "activation_bits")
_CHOICE = "a .toml file, or one that `xbarsim study` and mapping.list_studies() list"
HISTORY = {"n_reads": "", "n_inferences": "", "time": "s", "temperature": "K"}  # what ``past.FIELD`` sets


class Axis(Parameters):
    """What is varied together along one dimension.

    Attributes
    ----------
    name : str
        Of the dimension; a word.
    label : str
        On plots and tables; the name unless given.
    unit : str
        Texts among the values may carry it, with a prefix: ``"5 mOhm"``.
    sets : tuple of str
        What each value is given to: ``chip`` or ``network``, another one of them by name or file; a field of the chip,
        as ``chip.device.d2d``; ``network.t_steps``, ``network.threshold_scale`` (of all thresholds but those of the
        last layer), ``network.weight_bits`` and ``network.activation_bits`` (of conventional networks);
        and what arrays go through before they are used, ``past.n_reads`` or ``past.n_inferences``, ``past.time`` and
        ``past.temperature``.
    values : tuple
        Numbers or texts.
    cases : dict
        Instead of both: what each of some texts stands for, ``{"ANN": {"network": "mnist-ann", "chip": "paper-ann"}}``.
    """

    name: str = Field(pattern=r"^[A-Za-z_]\w*$")
    label: str = ""
    unit: str = ""
    sets: tuple[str, ...] = ()
    values: tuple[bool | int | float | str, ...] = ()
    cases: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if (
            self.name in (*DESCRIPTIONS, *_DIMENSIONS)
            or self.name.removesuffix("_low").removesuffix("_high") in RESULTS
        ):
            raise ValueError(f"axis {self.name}: results are called so; give another name")
        given = () if self.cases and self.values == tuple(self.cases) else self.values  # validated before
        if bool(self.cases) == bool(self.sets or given) or bool(self.sets) != bool(given):
            raise ValueError(f"axis {self.name}: give what it sets and values, or cases")
        for path in {*self.sets, *(path for case in self.cases.values() for path in case)}:
            check_path(f"axis {self.name}", path)
        if self.cases:
            object.__setattr__(self, "values", tuple(self.cases))
        if self.unit:
            numbers = (parse_quantity(value, self.unit) if isinstance(value, str) else value for value in self.values)
            object.__setattr__(self, "values", tuple(numbers))
        return self

    @property
    def title(self) -> str:
        """What a reader sees."""
        return self.label or self.name.replace("_", " ")

    def settings(self, value: Any) -> list[tuple[str, Any]]:
        """Return paths, and what they are set to, of one of the values."""
        return list(self.cases[value].items()) if self.cases else [(path, value) for path in self.sets]


class Study(Parameters):
    """A network on dies of a chip, at every point of some axes.

    Attributes
    ----------
    name, title, description : str
        Shown with the results.
    network, chip : str
        Names or files.
    dataset : str, optional
        Name, folder or file; what the network was trained for, unless given.
    nir : NirRules, optional
        What NIR files among the networks do not store.
    folder : str
        What relative paths in the study are relative to: the folder of its TOML file; otherwise where it runs.
    images : int or str
        How many of the test set, drawn with the seed, of each class as many; "first:N"; or "all".
    trials : int
        Dies at each point, the same ones at all points as far as these allow.
    seed : int
        Root seed; trial k is die k of :func:`mapping.evaluate_dies`.
    accounting : str
        See ``mapping.cost.CONVENTIONS``.
    changes : dict
        What is set at all points, by the paths of :class:`Axis`.
    axes : tuple of Axis
    show : tuple of str
        Results that tables and plots show first.
    """

    later: ClassVar = ("nir",)
    name: str = "custom"
    title: str = ""
    description: str = ""
    network: str = "mnist-bsnn"
    chip: str = "paper-bsnn"
    dataset: str | None = None
    nir: NirRules | None = None
    folder: str = Field(default="", exclude=True)  # where results are shown, it would only tell machines apart
    images: int | str = 1000
    trials: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    accounting: str = "full"
    changes: dict[str, Any] = Field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    show: tuple[str, ...] = ("accuracy", "energy_per_inference")

    @model_validator(mode="before")
    @classmethod
    def _beside_toml(cls, values: Any) -> Any:
        folder = beside_toml("")
        if not isinstance(values, dict) or folder == Path():
            return values
        return values | {"folder": str((folder / str(values.get("folder", ""))).resolve())}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not re.fullmatch(r"all|(first:)?[1-9][0-9]*", str(self.images)):
            raise ValueError(f"Study.images = {self.images!r}: give a whole number from 1, 'first:N', or 'all'")
        names = [axis.name for axis in self.axes]
        if len(set(names)) < len(names):
            raise ValueError(f"Study.axes: {', '.join(names)}: give each name once")
        for path in self.changes:
            check_path("Study.changes", path)
            if path in ("chip", "network"):
                raise ValueError(f"Study.changes: give {path} as a field of the study, not as a change")
        unknown = [name for name in self.show if name not in RESULTS]
        if unknown or not self.show:
            raise ValueError(f"Study.show: {', '.join(unknown) or 'empty'}; give some of {', '.join(RESULTS)}")
        return self

    def named(self, what: Literal["chip", "network"]) -> tuple[Any, ...]:
        """Return the names or files of all chips or networks."""
        every = [item for axis in self.axes for value in axis.values for item in axis.settings(value)]
        found = dict.fromkeys(value for path, value in every if path == what)
        return tuple(found) or (getattr(self, what),)


def check_path(where: str, path: str) -> None:
    """Refuse a path that leads to nothing that a study can vary."""
    whole, _, field = path.partition(".")
    settable = {"chip": True, "network": field in ("", *NETWORK), "past": field in HISTORY}
    if not settable.get(whole, False):
        fields = {"network": NETWORK, "past": tuple(HISTORY)}.get(whole)
        known = (
            f"{whole}.{f', {whole}.'.join(fields)}"
            if fields
            else "chip, chip.FIELD, network, network.FIELD, past.FIELD"
        )
        raise ValueError(f"{where}: {path!r} cannot be set; give {known}")


def list_studies() -> list[str]:
    """Return the names of the shipped studies."""
    return shipped("studies")


def load_study(source: str | Path) -> Study:
    """Load a study by name (see :func:`list_studies`) or from a TOML file.

    Raises
    ------
    FileError
        If the file is missing or not TOML.
    ParameterError
        If the name is unknown or a field is not allowed.
    """
    path = file_of(source, "study", "studies", choice=_CHOICE)
    study = Study.from_toml(path)
    return study if "name" in study.model_fields_set else study.replace(name=path.stem)
