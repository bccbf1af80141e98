"""Recipes: data set, network and training settings in one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator

from mapping.inputs.datasets import NAMED
from mapping.inputs.resources import file_of, located, shipped
from mapping.networks.spec import NetworkSpec
from mapping.training.settings import TrainingSettings
from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters, beside_toml


class Recipe(Parameters):
    """How a network comes about.

    Attributes
    ----------
    dataset : str
        Name, or folder with IDX files, its path relative to the recipe's file.
    network : NetworkSpec
    training : TrainingSettings
    """

    dataset: str = "mnist"
    network: NetworkSpec
    training: TrainingSettings = TrainingSettings()

    @field_validator("dataset")
    @classmethod
    def _beside_toml(cls, name: str) -> str:
        return located(name, beside_toml(""), NAMED)

    def changed(self, **values: Any) -> Recipe:
        """Return a copy with fields of network or training changed, wherever they belong; None changes nothing."""
        given = {name: value for name, value in values.items() if value is not None}
        network = {name: value for name, value in given.items() if name in NetworkSpec.model_fields}
        training = {name: value for name, value in given.items() if name in TrainingSettings.model_fields}
        unknown = given.keys() - network.keys() - training.keys()
        if unknown:
            fields = ", ".join([*NetworkSpec.model_fields, *TrainingSettings.model_fields])
            raise ParameterError(f"{min(unknown)} belongs neither to network nor training; the fields are {fields}")
        return self.replace(network=self.network.replace(**network), training=self.training.replace(**training))


def list_recipes() -> list[str]:
    """Return the names of the shipped recipes: the rows of Table 3 of Eshraghian et al. 2022, a recurrent network."""
    return shipped("recipes")


def load_recipe(source: str | Path) -> Recipe:
    """Load a recipe by name (see :func:`list_recipes`) or from a TOML file.

    Raises
    ------
    FileError
        If the file is missing or not TOML.
    ParameterError
        If the name is unknown or a field is not allowed.
    """
    return Recipe.from_toml(file_of(source, "recipe", "recipes"))
