"""Networks from anywhere: shipped, stored, a torch module, or NIR."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from mapping.importers.modules import network_of_module
from mapping.importers.nir import graph_of_nir
from mapping.importers.snntorch import graph_of_modules
from mapping.inputs.resources import path_of
from mapping.lower.levels import Kind
from mapping.networks.from_graph import network_of
from mapping.networks.network import Network
from mapping.networks.store import load_stored
from xbarsim.errors import ParameterError, shown
from xbarsim.units import quantity

_CHECKPOINTS = (".pt", ".pth", ".ckpt")
_MOST_BITS = 8  # of weights that are put on levels


def load_network(
    source: str | Path | nn.Module | Any,
    *,
    sample: Any = None,
    input_shape: int | tuple[int, ...] | None = None,
    t_steps: int | None = None,
    dt: float | str | None = None,
    reset_mechanism: str | None = None,
    reset_delay: bool | Literal["snntorch"] | None = None,
    fire: str | None = None,
    decoder: str | None = None,
    quantize: Kind | str | None = None,
) -> Network:
    """Load a network of this project, a NIR graph, or a torch module.

    Parameters
    ----------
    source : str, path, nir.NIRGraph or nn.Module
        ``"mnist-bsnn"`` (see :func:`list_networks`); a ``.safetensors`` file of this project; a ``.nir`` file or graph
        of Linear, Affine, Conv1d, Conv2d, AvgPool2d, SumPool2d, Scale, Flatten, Delay, IF, LIF, CubaLIF, Threshold, and
        LI, I, CubaLI or weights at the output, with sums, several inputs, loops and subgraphs, and several outputs, one
        after the other; or a torch module with a ``sample``; or, without one, an ``nn.Sequential`` of Conv1d, Conv2d,
        Linear, batch norm, pooling, Flatten, Dropout and snnTorch's Leaky, Synaptic, RLeaky and RSynaptic, taken as
        they are in inference. Layers whose weights are plus and minus one number for each output become binary ones,
        those on a few evenly spaced levels ternary or n-bit ones.
    sample : Tensor or array, optional
        A few inputs on which a module is run, in inference, to find out what it computes in each time step: what
        ``forward`` does, loops over time, wrapped weights and sums included, between neurons of snnTorch (those above),
        SpikingJelly (IFNode, LIFNode, ParametricLIFNode) and Norse (LIFCell, LIFBoxCell, IAFCell, LIF, IAF, and LICell,
        LIBoxCell and LI at the output). The network is proven on it: with the spikes of the module as inputs, each
        layer gives those of the module, but for membranes within rounding of a threshold. Inputs (n, features), (n,
        channels, length) or (n, channels, height, width), read in every step; or sequences, (t_steps, n, ...) or (n,
        t_steps, ...). A module that takes one step in a call is called ``t_steps`` times, or with one frame of
        (t_steps, n, ...) after the other. It is left as it was.
    input_shape : int or tuple of int, optional
        Channels, height, width of an input, or its features, where the source does not tell; channels and length where
        convolutions run along one axis, of inputs (channels, 1, length).
    t_steps : int
        Time steps of one inference of an imported network; 25 unless given, or as many as a module takes itself.
    dt, reset_mechanism, reset_delay, fire
        What a NIR file does not store: its time step [s] (snnTorch exports with 1e-4, Sinabs with 1), and how neurons
        reset and compare, see :class:`NeuronSpec`; one step later unless given, ``reset_delay=False`` for what Norse,
        Rockpool, Sinabs and SpikingJelly do. Of LIF nodes the decay is 1 - dt/tau and the gain r dt/tau, of IF nodes 1
        and r dt. Connections that close a loop take one step. With ``reset_mechanism="zero"`` neurons are reset to
        their v_reset, from which they start.
    decoder : str, optional
        How classes are read from an imported network, see :class:`NetworkSpec`; unless given from spikes, or from
        membranes where it ends without neurons that fire.
    quantize : {"binary", "ternary"} or int, optional
        First aid for real weights, which two-state cells do not hold: the nearest signs, signs or 0, or levels of so
        many bits, of each layer. What that costs is the difference of the two accuracies in software.

    Returns
    -------
    Network

    Raises
    ------
    FileError
        If a file is missing, damaged, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown, an option is given that the source has itself, or a module or node cannot be taken over;
        its name is given, and of a module that gives other spikes the first layer that does.

    Warns
    -----
    InputWarning
        If a layer never fires on a sample, which then proves little.
    """
    rules = {"dt": dt, "reset_mechanism": reset_mechanism, "reset_delay": reset_delay, "fire": fire}
    steps = 25 if t_steps is None else t_steps
    kind = _kind(quantize)
    if isinstance(source, nn.Module):
        _refuse(type(source).__name__, **rules)
        if sample is None:
            network = network_of(graph_of_modules(source, input_shape), steps, decoder, kind)
        else:
            network = network_of_module(source, sample, input_shape, t_steps, decoder, kind)
        network.name = type(source).__name__
        return network
    if sample is not None:
        raise ParameterError(f"sample: is for torch modules, not for {shown(source)}; leave it out")
    is_graph = type(source).__name__ == "NIRGraph"
    name = "NIRGraph" if is_graph else str(path_of(source, "network"))
    if is_graph or name.endswith(".nir"):
        step, how = _rules_of(name, rules)
        graph, outputs = graph_of_nir(source if is_graph else Path(name), input_shape, step, how)
        network = network_of(graph, steps, decoder, kind, outputs)
        network.name = Path(name).name
        return network
    if name.endswith(_CHECKPOINTS):
        raise ParameterError(
            f"{name}: holds numbers and not what they are for; build the module, "
            "module.load_state_dict(torch.load(path, weights_only=True)), then load_network(module, sample=a batch)"
        )
    _refuse(str(source), input_shape=input_shape, t_steps=t_steps, decoder=decoder, **rules)
    network = load_stored(Network, source)
    return network if kind is None else quantized(network, kind)


def _kind(given: Any) -> Kind | None:
    """Return the levels that weights are to be put on, bits as a number."""
    kind = int(given) if isinstance(given, str) and given.isdecimal() else given
    whole = isinstance(kind, int) and not isinstance(kind, bool) and 2 <= kind <= _MOST_BITS
    if not (kind in (None, "binary", "ternary") or whole):
        raise ParameterError(f"quantize = {shown(given)}: give 'binary', 'ternary' or 2 to {_MOST_BITS} bits")
    found: Kind | None = kind
    return found


def quantized(network: Network, kind: Kind) -> Network:
    """Return a network with its weights put on levels, see :func:`mapping.lower.levels.made_levels`."""
    spec = network.spec
    outputs = [f"{name}, neurons" for name in spec.outputs]
    made = network_of(network.graph(), spec.t_steps, spec.decoder, kind, outputs)
    made.spec = made.spec.replace(encoding=spec.encoding)
    made.metadata = network.metadata | {"quantized": kind}
    made.name = f"{network.name}, {kind if isinstance(kind, str) else f'{kind}-bit'} weights"
    return made


def _rules_of(name: str, rules: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """Return the time step that is given for a NIR graph, and how its neurons reset and compare."""
    how = dict(rules)
    dt = how.pop("dt")
    if dt is None or how["reset_mechanism"] is None or how["fire"] is None:
        raise ParameterError(
            f"{name}: NIR stores neither time step, reset nor comparison; give dt (1e-4 for snnTorch's exports, 1 "
            "for Sinabs'), reset_mechanism ('subtract', 'zero', 'none') and fire ('>=', '>')"
        )
    step = quantity(dt, "s", "dt")
    if not 0 < step < float("inf"):
        raise ParameterError(f"dt = {step:g} s: give the time of one step, above 0")
    return step, how | {"reset_delay": True if how["reset_delay"] is None else how["reset_delay"]}


def _refuse(source: str, **options: object) -> None:
    """Refuse options that would change nothing: the network of this source has its own."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ParameterError(f"{source}: has its own {', '.join(given)}; leave out what the source says itself")
