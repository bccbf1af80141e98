"""Networks and chips as functions are given them: themselves, or their names or files."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from mapping.chip.chip import Chip, load_chip
from mapping.importers.load import load_network
from mapping.networks.ann import Ann
from mapping.networks.network import Network
from mapping.networks.store import load_ann
from xbarsim.errors import FileError, ParameterError, of_kind, shown
from xbarsim.streams import whole_number

Source = str | os.PathLike[str]


def as_network(network: Network | Source) -> Network:
    """Return a spiking network, loaded if its name or file is given."""
    if isinstance(network, str | os.PathLike):
        return load_network(Path(network) if isinstance(network, os.PathLike) else network)
    return of_kind(Network, network, "network", "a Network, its name or file (an Ann is for map_ann)")


def as_ann(network: Ann | Source) -> Ann:
    """Return a conventional network, loaded if its name or file is given."""
    if isinstance(network, str | os.PathLike):
        return load_ann(Path(network))
    return of_kind(Ann, network, "network", "an Ann, its name or file (a Network is for map_network)")


def as_chip(chip: Chip | Source) -> Chip:
    """Return a chip, loaded if its name or file is given."""
    if isinstance(chip, str | os.PathLike):
        return load_chip(Path(chip))
    return of_kind(Chip, chip, "chip", "a Chip, or the name or file of one")


def check_mapping(seed: int, die: int, dtype: torch.dtype, solve: object) -> None:
    """Refuse what says how networks are mapped, if it cannot be."""
    whole_number(seed, "seed")
    whole_number(die, "die")
    if not isinstance(dtype, torch.dtype) or dtype not in (torch.float32, torch.float64):
        raise ParameterError(f"dtype = {shown(dtype)}: give torch.float32 or torch.float64")
    if not callable(solve):
        raise ParameterError(f"solve is a {type(solve).__name__}; give a function that reduces arrays, as reduce")


def refuse_nir(source: str | Path, remedy: str) -> None:
    """Refuse a NIR file where nothing says what it does not store."""
    path = Path(source)
    if path.suffix == ".nir" and not path.is_file():
        raise FileError(f"{path}: no such file")
    if path.suffix == ".nir":
        raise ParameterError(
            f"{path}: NIR stores neither time step, reset nor comparison; give {remedy}, or a file that xbarsim import "
            "has made of it"
        )


def trained_for(network: Network | Ann, source: str, remedy: str) -> str:
    """Return the data set that a network's file says it was trained for; without one, refuse to guess."""
    dataset = network.metadata.get("dataset")
    if not isinstance(dataset, str) or not dataset:
        raise ParameterError(f"{source}: does not say which data set it was trained for; give {remedy}")
    return dataset
