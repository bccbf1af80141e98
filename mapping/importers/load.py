"""Networks from anywhere: shipped, stored, a chain of snnTorch modules, or a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from mapping.importers.nir import graph_of_nir
from mapping.importers.snntorch import graph_of_modules
from mapping.inputs.resources import path_of
from mapping.networks.from_graph import network_of
from mapping.networks.network import Network
from mapping.networks.store import load_stored
from xbarsim.errors import ParameterError
from xbarsim.units import quantity


def load_network(
    source: str | Path | nn.Module,
    *,
    input_shape: int | tuple[int, ...] | None = None,
    t_steps: int | None = None,
    dt: float | str | None = None,
    reset_mechanism: str | None = None,
    reset_delay: bool | Literal["snntorch"] | None = None,
    fire: str | None = None,
) -> Network:
    """Load a network of this project, a NIR file, or a chain of snnTorch modules.

    Parameters
    ----------
    source : str, path or nn.Sequential
        ``"mnist-bsnn"`` (see :func:`list_networks`); a ``.safetensors`` file of this project; a ``.nir`` file; or an
        ``nn.Sequential`` of Conv2d, Linear, batch norm, pooling, Flatten, Dropout and ``snntorch.Leaky``, taken as they
        are in inference. Layers whose weights are plus and minus one number for each output become binary ones.
    input_shape : int or tuple of int, optional
        Channels, height, width of an input, or its features, where the source does not tell.
    t_steps : int
        Time steps of one inference of an imported network; 25 unless given.
    dt, reset_mechanism, reset_delay, fire
        What a NIR file does not store: its time step [s] (snnTorch exports with 1e-4, Sinabs with 1), and how neurons
        reset and compare, see :class:`NeuronSpec`; one step later unless given, ``reset_delay=False`` for what Norse,
        Rockpool, Sinabs and SpikingJelly do. Of LIF nodes the decay is 1 - dt/tau and the gain r dt/tau, of IF nodes 1
        and r dt.

    Returns
    -------
    Network

    Raises
    ------
    FileError
        If a file is missing, damaged, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown, an option is given that the source has itself, or a module or node cannot be taken over;
        its name is given.
    """
    how = {"dt": dt, "reset_mechanism": reset_mechanism, "reset_delay": reset_delay, "fire": fire}
    if isinstance(source, nn.Module):
        _refuse(type(source).__name__, **how)
        network = network_of(graph_of_modules(source, input_shape), 25 if t_steps is None else t_steps)
        network.name = type(source).__name__
        return network
    path = path_of(source, "network")
    if path.suffix == ".nir":
        if dt is None or reset_mechanism is None or fire is None:
            raise ParameterError(
                f"{path}: NIR stores neither time step, reset nor comparison; give dt (1e-4 for snnTorch's exports, 1 "
                "for Sinabs'), reset_mechanism ('subtract', 'zero', 'none') and fire ('>=', '>')"
            )
        dt = quantity(dt, "s", "dt")
        if not 0 < dt < float("inf"):
            raise ParameterError(f"dt = {dt:g} s: give the time of one step, above 0")
        how |= {"reset_delay": True if reset_delay is None else reset_delay}
        del how["dt"]
        network = network_of(graph_of_nir(path, input_shape, dt, how), 25 if t_steps is None else t_steps)
        network.name = path.name
        return network
    _refuse(str(source), input_shape=input_shape, t_steps=t_steps, **how)
    return load_stored(Network, source)


def _refuse(source: str, **options: object) -> None:
    """Refuse options that would change nothing: the network of this source has its own."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ParameterError(f"{source}: has its own {', '.join(given)}; leave out what the source says itself")
