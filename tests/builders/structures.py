"""Networks whose layers read each other: branches, shortcuts, loops, spikes that are joined and pooled."""

import numpy as np
import torch
from hypothesis import strategies as st

import mapping as mp
from mapping.networks.network import Network
from xbarsim.errors import ParameterError

POOLS = {"input_pool": 2, "input_pool_by": "average"}, {"input_pool": 2, "input_pool_by": "maximum"}, {
    "input_pool": 3, "input_pool_by": "sum"}, {}, {}  # fmt: skip


@st.composite
def structures(draw, t_steps, weights=("binary", "ternary", "float", 3), most=4):
    """Specifications of one to four layers, each of which reads some of the others."""
    shape = draw(st.sampled_from([(2, 5, 5), (1, 4, 6), (3, 1, 1)]))
    count, layers, kinds = draw(st.integers(1, most)), [], []
    channels = draw(st.integers(2, 3))
    flat = shape[1:] == (1, 1)
    for number in range(1, count + 1):
        dense = flat or draw(st.booleans()) or (number == count and draw(st.booleans()))
        kinds.append("dense" if dense else "conv")
        layers.append(draw(_layer(number, kinds, channels, flat)))
    spec = {"beta": 0.8, "threshold": 1.3, "t_steps": t_steps, "weights": draw(st.sampled_from(weights))}
    found = None
    while found is None:  # what does not fit is left out, the last layer first
        try:
            found = mp.NetworkSpec(input_shape=shape, layers=layers, **spec)
        except ParameterError:
            for key in ("branches", "shortcuts", "inputs", "join", "delay", "input_pool", "input_pool_by", "pool"):
                if any(key in layer for layer in layers):
                    next(layer for layer in reversed(layers) if key in layer).pop(key)
                    break
            else:
                layers, kinds = [{"kind": "dense", "out": channels}], ["dense"]
    return found.replace(outputs=draw(st.lists(st.sampled_from(found.wiring.names), max_size=2, unique=True)))


@st.composite
def _layer(draw, number, kinds, channels, flat):
    kind = kinds[-1]
    layer = {"kind": kind, "out": channels, "bias": draw(st.booleans())}
    if kind == "conv":
        layer |= draw(
            st.sampled_from([{"kernel": 3}, {"kernel": 1}, {"kernel": 3, "stride": 2}, {"kernel": 2, "padding": 0}])
        )
        layer |= draw(st.sampled_from([{"pool": 2}, {}, {}]))
    earlier = ["input", *(f"layer {k}" for k in range(1, number))]
    layer["inputs"] = tuple(draw(st.lists(st.sampled_from(earlier), min_size=1, max_size=2, unique=True)))
    layer |= {"join": draw(st.sampled_from(["sum", "concatenate"]))}
    layer |= {} if flat else draw(st.sampled_from(POOLS))
    layer["delay"] = draw(st.sampled_from([0, 0, 0, 1, 2]))
    branches = []
    for _ in range(draw(st.integers(0, 2))):
        source = draw(st.sampled_from([*earlier, f"layer {number}", f"layer {number}"]))
        own = source == f"layer {number}"
        branches.append(
            {
                "kind": kind,
                "out": channels,
                "inputs": (source,),
                "delay": draw(st.integers(1, 2)) if own else draw(st.integers(0, 1)),
            }
            | ({"kernel": 3} if kind == "conv" and "stride" not in layer and draw(st.booleans()) else {})
            | {"bias": draw(st.booleans())}
        )
    layer["branches"] = branches
    if draw(st.booleans()):
        layer["shortcuts"] = (draw(st.sampled_from(earlier)),)
    if draw(st.booleans()) and not branches:
        layer["batch_norm"] = True
    return layer


def most_spikes(spec, spikes):
    """Classes (n,) by the spikes of all layers, (t_steps, n, ...): counts of the output layers, one after the other."""
    read = [spikes[spec.wiring.names.index(name)] for name in spec.outputs or spec.wiring.names[-1:]]
    return np.concatenate([s.sum(0).reshape(s.shape[1], -1) for s in read], 1).argmax(1)


def network_of_seed(spec, seed):
    """A network in double precision whose numbers are drawn."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = Network(spec).double().eval()
    for layer in network.layers:
        for part in (layer, *layer.branches):
            if part.bias is not None:
                part.bias.data = torch.from_numpy(rng.normal(0, 0.5, len(part.bias)))
        if layer.norm is not None:
            layer.norm.running_mean = torch.from_numpy(rng.normal(0, 0.5, layer.spec.out))
            layer.norm.weight.data = torch.from_numpy(rng.uniform(0.3, 2, layer.spec.out) * rng.choice([-1, 1]))
        shape = layer.spec.out if layer.spec.kind == "dense" else (layer.spec.out, 1, 1)
        layer.threshold = torch.from_numpy(rng.uniform(0.7, 2.1, shape)).reshape(-1, 1, 1)
    return network
