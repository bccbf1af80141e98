"""Convolutions of any geometry: kernels, steps and margins for each axis, dilation, groups, along one axis too."""

from hypothesis import strategies as st

import mapping as mp
from xbarsim.errors import ParameterError

SHAPES = {False: (4, 6, 7), True: (4, 1, 7)}  # whether they are lines


@st.composite
def geometries(draw, modes=("zeros", "circular", "reflect", "replicate")):
    """A convolution as fields of a layer, and the shape of its inputs."""
    line = draw(st.booleans())

    def pair(most, least=1):
        return (least if line else draw(st.integers(least, most))), draw(st.integers(least, most))

    values = {"kind": "conv", "out": 4, "kernel": pair(3), "stride": pair(2), "dilation": pair(2)}
    values |= {"padding": draw(st.sampled_from([None, pair(2, 0)])), "padding_mode": draw(st.sampled_from(modes))}
    groups = draw(st.sampled_from([{}, {"groups": 2}, {"groups": 4}, {"depthwise": True}]))
    return values | groups | {"bias": draw(st.booleans())}, SHAPES[line]


@st.composite
def general_networks(draw, t_steps, weights=("binary", "ternary", 3), **options):
    """Specifications of a convolution of any geometry, pooled where that fits, and a dense layer."""
    values, shape = draw(geometries(**options))
    side = draw(st.sampled_from([2, (1, 2), (2, 1)]))
    pools = [{"pool": side}, {"input_pool": side}, {"input_pool": side, "input_pool_by": "maximum"}, {}]
    spec = {"beta": 0.8, "threshold": 1.3, "t_steps": t_steps, "weights": draw(st.sampled_from(weights))}
    for more in (draw(st.sampled_from(pools)), {}):
        try:
            layers = [values | more, {"kind": "dense", "out": 3}]
            return mp.NetworkSpec(input_shape=shape, layers=layers, **spec)
        except ParameterError as error:
            message = str(error)
    raise AssertionError(message)
