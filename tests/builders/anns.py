"""Conventional networks that tests of several rooms use."""

from mapping.ann.network import Ann
from mapping.ann.spec import AnnSpec


def small_ann():
    spec = AnnSpec(input_shape=(1, 4, 4), layers=[{"kind": "dense", "out": 3}], weight_bits=3, activation_bits=3)
    return Ann(spec)
