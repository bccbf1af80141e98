"""That a network gives the spikes that a module gave, layer by layer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from mapping.networks.network import Network
from mapping.networks.wiring import INPUT
from xbarsim.errors import InputWarning, ParameterError

_TIE = 1e-5  # of a threshold or of the largest membrane: what single precision may leave a comparison to
_TIES = 1e-3  # of the neurons, at most, or _FEW
_FEW = 2


def prove(
    network: Network, names: Sequence[str], x: Tensor, theirs: Sequence[Tensor], gains: Mapping[str, float]
) -> None:
    """Refuse a network whose layers differ from those of a module on the spikes of the module itself.

    Parameters
    ----------
    network : Network
    names : sequence of str
        Of its layers.
    x : Tensor, (1 or t_steps, n, channels, height, width)
    theirs : sequence of Tensor, (t_steps, n, numbers)
        Spikes of each layer in the module, or the numbers that it reads out.
    gains : mapping
        How many times our membranes numbers that are read out are, by layer; 1 unless given.

    Raises
    ------
    ParameterError
        With the first layer that differs. Neurons whose membrane is within rounding of its threshold may.

    Warns
    -----
    InputWarning
        Of layers that do not fire, of which nothing is shown.
    """
    exact = deepcopy(network).double()
    spikes = {k: part.double().reshape(*part.shape[:2], *exact.spec.shapes()[k][1]) for k, part in enumerate(theirs)}
    silent = [name for k, name in enumerate(names) if not spikes[k].any()]
    for k, name in enumerate(names):
        with torch.no_grad():
            ours, membrane = exact.alone(k, spikes | {INPUT: x.double()})
        if exact.layers[k].neuron.fire == "never":
            _compare_numbers(name, gains.get(name, 1.0) * membrane / exact.layers[k].threshold, spikes[k])
        else:
            _compare_spikes(name, ours, spikes[k], membrane, exact.layers[k].threshold)
    if silent:
        proven = "never fires on the sample, which proves little; give more inputs or others"
        warnings.warn(f"{silent[0]}: {proven}", InputWarning, stacklevel=4)


def _compare_numbers(name: str, ours: Tensor, theirs: Tensor) -> None:
    error, most = float((ours - theirs).abs().max()), float(theirs.abs().max())
    if not error <= 1e-4 * most:
        raise ParameterError(
            f"{name}: what it gives differs from the module's own by up to {error:.3g}, of {most:.3g} at most; it does "
            "more than its class says"
        )


def _compare_spikes(name: str, ours: Tensor, theirs: Tensor, membrane: Tensor, threshold: Tensor) -> None:
    wrong = ours != theirs
    if not wrong.any():
        return
    first = wrong.long().argmax(0, keepdim=True)  # up to which the membranes are the same
    at = membrane.gather(0, first)[0]
    scale = torch.maximum(membrane.abs().amax(0), threshold.to(membrane).expand(membrane.shape[1:]))
    tied = wrong.any(0) & ((at - threshold).abs() <= _TIE * scale)
    if wrong.any(0).equal(tied) and int(tied.sum()) <= max(_FEW, _TIES * tied.numel()):
        return
    step = int(wrong.flatten(1).any(1).long().argmax()) + 1
    raise ParameterError(
        f"{name}: {int(wrong.sum())} of {wrong.numel()} spikes differ from the module's own, from time step {step} on; "
        "it does not compute what its class says"
    )
