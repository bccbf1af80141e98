"""Neurons of snnTorch, SpikingJelly and Norse as they are found in modules; none of these is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from mapping.importers.fields import neurons, numbers
from mapping.importers.snntorch import NEURONS, neurons_of
from mapping.ir.ops import Lif, Op
from xbarsim.errors import ParameterError

_KNOWN = {
    "snntorch": NEURONS,
    "spikingjelly": ("IFNode", "LIFNode", "ParametricLIFNode"),
    "norse": ("LIFCell", "LIFBoxCell", "IAFCell", "LIF", "IAF", "LICell", "LIBoxCell", "LI"),
}
_NEURONS = ("snntorch._neurons", "spikingjelly.activation_based.neuron")  # where these have them
_READ = ("LICell", "LIBoxCell", "LI")  # membranes that never fire


def taken(part: nn.Module) -> tuple[str, str] | None:
    """Return the framework and the class of neurons that can be taken over, those of subclasses too."""
    for kind in type(part).__mro__:
        framework = kind.__module__.partition(".")[0]
        if framework in _KNOWN:
            return (framework, kind.__name__) if kind.__name__ in _KNOWN[framework] else None
    return None


def check_neurons(part: nn.Module, what: str) -> None:
    """Refuse neurons of these frameworks that cannot be taken over, with those that can."""
    for kind in type(part).__mro__ if taken(part) is None else ():
        framework = kind.__module__.partition(".")[0]
        if kind.__module__.startswith(_NEURONS) or (framework == "norse" and kind.__name__.startswith("SNN")):
            raise ParameterError(f"{what}: is not supported; of {framework} use {', '.join(_KNOWN[framework])}")


def steps_all(part: nn.Module) -> bool:
    """Return whether neurons take all time steps in one call."""
    framework, name = taken(part) or ("", "")
    return name in ("LIF", "IAF", "LI") if framework == "norse" else getattr(part, "step_mode", "s") == "m"


def stateless(part: nn.Module) -> bool:
    """Return whether neurons start anew unless they are given their states."""
    return (taken(part) or ("", ""))[0] == "norse"


def reset(module: nn.Module) -> None:
    """Reset neurons that keep their states."""
    for part in module.modules():
        if type(part).__module__.startswith("spikingjelly.") or (taken(part) or ("",))[0] == "spikingjelly":
            getattr(part, "reset", lambda: None)()
        elif (taken(part) or ("",))[0] == "snntorch":
            getattr(part, "reset_mem", lambda: None)()


def lif_of(part: Any, what: str, weights: Op | None) -> tuple[Lif, float]:
    """Return neurons that follow such weights, and how many times theirs their outputs are; 1 of spikes."""
    framework, name = taken(part) or ("", "")
    if framework == "snntorch":
        return neurons_of(part, what, weights, name), 1.0
    if framework == "spikingjelly":
        return _of_spikingjelly(part, what, name), 1.0
    return _of_norse(part, what, name)


def _of_spikingjelly(part: Any, what: str, name: str) -> Lif:
    """Return neurons by their distance from the potential they are reset to, over what arrives of an input."""
    rest = 0.0 if part.v_reset is None else part.v_reset
    leak = 0.0 if name == "IFNode" else 1 / part.tau if name == "LIFNode" else _value(part.w.sigmoid())
    gain = leak if name != "IFNode" and part.decay_input else 1.0
    threshold, beta = _number((part.v_threshold - rest) / gain, what, "v_threshold"), _number(1 - leak, what, "tau")
    mechanism = "subtract" if part.v_reset is None else "zero"
    return neurons(what, threshold, beta, reset_mechanism=mechanism, reset_delay=False, fire=">=")


def _of_norse(part: Any, what: str, name: str) -> tuple[Lif, float]:
    """Return neurons, or what integrates to be read, over what arrives of an input."""
    p, rules = part.p, dict[str, Any]()
    integrates, fires = name.startswith("IAF"), name not in _READ
    gain = 1.0 if integrates else _value(p.tau_mem_inv) * part.dt
    beta = _number(1.0 if integrates else 1 - gain, what, "tau_mem_inv", least=0, most=1)
    if not integrates and "Box" not in name:
        rules["alpha"] = float(_number(1 - _value(p.tau_syn_inv) * part.dt, what, "tau_syn_inv", least=0, most=1))
    subtracts = getattr(getattr(p, "reset_method", None), "__name__", "reset_value") == "reset_subtract"
    rest = _value(p.v_reset) if fires and not subtracts else 0.0
    if not integrates and _value(p.v_leak) != rest:
        why = f"{rest:g}, to which its neurons are reset" if fires else "0 where membranes are read"
        raise ParameterError(f"{what}: v_leak = {_value(p.v_leak):g}; it has to be {why}")
    if not fires:
        return neurons(what, np.ones(()), beta, reset_mechanism="none", fire="never", **rules), gain
    threshold = _number((_value(p.v_th) - rest) / gain, what, "v_th")
    mechanism = "subtract" if subtracts else "zero"
    return neurons(what, threshold, beta, reset_mechanism=mechanism, reset_delay=False, fire=">", **rules), 1.0


def _value(x: Any) -> float:
    return float(torch.as_tensor(x).detach())


def _number(value: float, what: str, name: str, **limits: float) -> np.ndarray:
    return numbers(np.asarray(value), what, name, **limits)
