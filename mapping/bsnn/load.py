"""Networks from anywhere: shipped, stored, a chain of snnTorch modules, or a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from mapping.bsnn.chain import build
from mapping.bsnn.from_modules import layers_of_modules
from mapping.bsnn.from_nir import layers_of_nir
from mapping.bsnn.network import Network
from mapping.bsnn.store import load_file, shipped_network
from xbarsim.errors import ParameterError
from xbarsim.units import quantity


def load_network(
    source: str | Path | nn.Module,
    *,
    input_shape: int | tuple[int, ...] | None = None,
    t_steps: int = 25,
    dt: float | str | None = None,
    reset_mechanism: str | None = None,
    reset_delay: bool | Literal["snntorch"] = True,
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
        Time steps of one inference of an imported network.
    dt, reset_mechanism, reset_delay, fire
        What a NIR file does not store: its time step [s] (snnTorch exports with 1e-4, Sinabs with 1), and how neurons
        reset and compare, see :class:`NeuronSpec`; ``reset_delay=False`` for what Norse, Rockpool, Sinabs and
        SpikingJelly do. Of LIF nodes the decay is 1 - dt/tau and the gain r dt/tau, of IF nodes 1 and r dt.

    Returns
    -------
    Network

    Raises
    ------
    FileError
        If a file is missing, damaged, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown, or a module or node cannot be taken over; its name is given.
    """
    if isinstance(source, nn.Module):
        network = build(layers_of_modules(source), input_shape, t_steps)
        network.name = type(source).__name__
        return network
    path = Path(source)
    if path.suffix == ".nir":
        if dt is None or reset_mechanism is None or fire is None:
            raise ParameterError(
                f"{path}: NIR stores neither time step, reset nor comparison; give dt (1e-4 for snnTorch's exports, 1 "
                "for Sinabs'), reset_mechanism ('subtract', 'zero', 'none') and fire ('>=', '>')"
            )
        dt = quantity(dt, "s", "dt")
        if not 0 < dt < float("inf"):
            raise ParameterError(f"dt = {dt:g} s: give the time of one step, above 0")
        how = {"reset_mechanism": reset_mechanism, "reset_delay": reset_delay, "fire": fire}
        stages, stored_shape = layers_of_nir(path, dt, how)
        network = build(stages, input_shape or stored_shape, t_steps)
        network.name = path.name
        return network
    return load_file(path) if path.suffix == ".safetensors" else shipped_network(str(source))
