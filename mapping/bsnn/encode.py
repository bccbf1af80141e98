"""Input encodings: images as a constant current, random spikes or one early spike; or a given array of spikes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mapping.bsnn.spec import NetworkSpec
from xbarsim.errors import ParameterError
from xbarsim.streams import stream


def encode(images: np.ndarray, spec: NetworkSpec, *, seed: int = 0, numbers: Sequence[int] | None = None) -> np.ndarray:
    """Bring images or spikes into the layout that networks run on, in float32.

    Parameters
    ----------
    images : array
        (n, h, w) or (n, c, h, w): uint8 in 0..255 or float in [0, 1], encoded as ``spec.encoding`` says;
        (n, t_steps, c, h, w): spikes in {0, 1}, for example of an event camera, by :func:`mapping.events`.
    spec : NetworkSpec
        The network they are meant for.
    seed, numbers : int, sequence of int
        For rate encoding: the root seed, and the number of each image, which tells its draws from those of others;
        0 to n - 1 unless given.

    Returns
    -------
    array, (1, n, c, h, w) or (t_steps, n, c, h, w)
        Direct: one entry that stands for every step. Rate: a spike with the probability x at each step. Latency: one
        spike at step round((t_steps - 1)(1 - x)), none for x = 0.

    Raises
    ------
    ParameterError
        For a wrong shape or type, values that are not finite, or values outside the range.
    """
    x = check_images(images, spec)
    if x.ndim == 4:
        return _encoded(x, spec, seed, range(len(x)) if numbers is None else numbers)
    return np.ascontiguousarray(np.moveaxis(x, 1, 0))


def check_images(images: np.ndarray, spec: NetworkSpec) -> np.ndarray:
    """Return images or spikes as (n, c, h, w) or (n, t_steps, c, h, w) in float32, as :func:`encode` takes them."""
    images = np.asarray(images)
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise ParameterError(f"images have the type {images.dtype}; give uint8 in 0..255 or floats in [0, 1]")
    if images.ndim == 3:
        images = images[:, None]
    expected = spec.input_shape
    if images.ndim not in (4, 5) or images.shape[-3:] != expected or len(images) == 0:
        raise ParameterError(
            f"images have the shape {images.shape}; the network takes (n, {', '.join(map(str, expected))}) with n > 0"
        )
    if images.ndim == 5 and images.shape[1] != spec.t_steps:
        raise ParameterError(f"spikes have {images.shape[1]} time steps; the network runs {spec.t_steps}")
    if images.dtype == np.uint8:
        x = images.astype(np.float32) / (255.0 if images.ndim == 4 else 1.0)
    else:
        x = images.astype(np.float32)
    if not (np.isfinite(x).all() and x.min() >= 0 and x.max() <= 1):
        raise ParameterError("images hold values outside [0, 1] or not finite; scale floats to [0, 1]")
    if images.ndim == 5 and np.any((x != 0) & (x != 1)):
        raise ParameterError("spike arrays hold values other than 0 and 1; give an image array for analog input")
    return x


def is_analog(images: np.ndarray, spec: NetworkSpec) -> bool:
    """Return whether these inputs reach the first layer as levels, not as spikes."""
    return np.ndim(images) < 5 and spec.encoding == "direct"


def _encoded(x: np.ndarray, spec: NetworkSpec, seed: int, numbers: Sequence[int]) -> np.ndarray:
    if spec.encoding == "direct":
        return x[None]
    steps = np.arange(spec.t_steps).reshape(-1, 1, 1, 1, 1)
    if spec.encoding == "latency":
        fires = np.rint((spec.t_steps - 1) * (1 - x))
        return np.asarray((steps == fires) & (x > 0), np.float32)
    spikes = np.empty((spec.t_steps, *x.shape), np.float32)
    for k, number in enumerate(numbers):
        drawn = stream(seed, "rate encoding", int(number)).random((spec.t_steps, *x.shape[1:]), np.float32)
        spikes[:, k] = drawn < x[k]
    return spikes
