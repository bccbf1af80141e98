"""Input encodings: images as a constant current, random spikes or one early spike; or a given array of spikes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapping.inputs.arrays import arranged, as_spikes, told
from mapping.networks.ann_spec import AnySpec
from xbarsim.errors import InputWarning, ParameterError
from xbarsim.machine import check_memory
from xbarsim.parameters import array_of
from xbarsim.streams import stream

_READINGS = {  # what an array may be that comes without axes, the usual meaning first
    2: ("nc", "hw"),
    3: ("nhw", "thw", "ntc", "tnc"),
    4: ("nchw", "tchw", "nthw", "tnhw"),
    5: ("ntchw", "tnchw"),
}
_FEW = 16  # whole numbers below may be counts of events, not the 256 levels of an image
_PART = 256  # samples that are looked at together


def encode(images: np.ndarray, spec: AnySpec, *, seed: int = 0, numbers: Sequence[int] | None = None) -> np.ndarray:
    """Bring images or spikes into the layout that networks run on, in float32.

    Parameters
    ----------
    images : array
        As :func:`check_images` takes them. Images are encoded as ``spec.encoding`` says, spikes are taken as they are.
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
        See :func:`check_images`.
    """
    x = np.asarray(check_images(images, spec))
    levels = x.astype(np.float32) / np.float32(255 if x.dtype == np.uint8 and x.ndim == 4 else 1)
    if x.ndim == 4:
        return _encoded(levels, spec, seed, range(len(x)) if numbers is None else numbers)
    return np.ascontiguousarray(np.moveaxis(levels, 1, 0))


class Checked(np.ndarray):
    """Images (n, c, h, w) or spikes (n, t_steps, c, h, w) that :func:`check_images` let pass, or some of them.

    Read-only, and what is computed from them is a plain array, to be checked anew.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Compute with plain arrays."""
        plain = (np.asarray(x) if isinstance(x, Checked) else x for x in inputs)
        return getattr(ufunc, method)(*plain, **options)


def check_images(images: np.ndarray, spec: AnySpec, axes: str | None = None, *, spiking: bool = True) -> Checked:
    """Return images as (n, c, h, w) or spikes as (n, t_steps, c, h, w), if a network can take them.

    Parameters
    ----------
    images : array
        (n, h, w) or (n, c, h, w): uint8 in 0..255, float in [0, 1] or bool; or (n, t_steps, c, h, w): spikes, 0 or 1.
    spec : NetworkSpec
    axes : str, optional
        Any other order of these axes, a letter for each: ``"tnchw"``, ``"tchw"`` for the spikes of one sample,
        ``"nhwc"``. Needed where an array could mean two things: as many samples as time steps, or zeros and ones (or
        few enough counts) of the shape (t_steps, c, h, w), which are as many images or the spikes of one sample. Height
        always comes before width, and channels before both, unless this says otherwise.
    spiking : bool
        Whether spikes are taken at all.

    Raises
    ------
    ParameterError
        For a wrong shape or type, values that are not finite or outside the range, or axes that could be others.

    Warns
    -----
    InputWarning
        Of images in uint8 that hold nothing but 0 and 1, since white is 255.
    """
    if isinstance(images, Checked) and _still_fits(images, spec) and (spiking or images.ndim == 4):
        return images
    largest = max(math.prod(shape) for pair in spec.shapes() for shape in pair)
    steps = f"the spikes of an image over t_steps = {spec.t_steps}, {largest} inputs or neurons at a time,"
    check_memory(8 * spec.t_steps * largest, steps, "give fewer steps or smaller layers")
    x = array_of(images, "images")
    timed = x.ndim == 5 if axes is None else "t" in str(axes)
    if x.dtype.kind in "iu" and x.dtype != np.uint8 and not timed:
        raise ParameterError(
            f"images have the type {x.dtype}; give uint8 in 0..255, floats in [0, 1], or the spikes of one sample with "
            "axes = 'tchw'; counts of events: mapping.events(..., counts='clip')"
        )
    x = arranged(x, _only_reading(x, spec, spiking) if axes is None else axes, "images")
    _check_shape(x, spec, spiking)
    if x.dtype == np.uint8 and x.ndim == 4 and x.max() == 1:
        warnings.warn(
            "images are uint8 of 0 and 1 only, where white is 255: multiply them by 255, or give floats (or, if they "
            "are the spikes of one sample, axes = 'tchw')",
            InputWarning,
            stacklevel=3,
        )
    for k in range(0, len(x), _PART):
        _check_values(x[k : k + _PART])
    passed = (x.astype(np.uint8, copy=False) if x.ndim == 5 and x.dtype.kind in "iu" else x).view(Checked)
    passed.flags.writeable = False
    return passed


def _still_fits(images: Checked, spec: AnySpec) -> bool:
    inner = (spec.input_shape, (spec.t_steps, *spec.input_shape))
    return images.ndim > 3 and images.shape[1:] in inner and len(images) > 0


def _check_values(x: np.ndarray) -> None:
    if x.ndim == 5:
        as_spikes(x)
    elif x.dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, and is refused
            levels = x.astype(np.float32)
        if not (np.isfinite(levels).all() and levels.min() >= 0 and levels.max() <= 1):
            raise ParameterError("images hold values outside [0, 1] or not finite; scale floats to [0, 1]")


def _only_reading(x: np.ndarray, spec: AnySpec, spiking: bool) -> str:
    """Return the axes of an array that come without being told; refuse what could mean two things."""
    usual = told(x) or ""
    fitting = [axes for axes in _READINGS.get(x.ndim, ()) if _fits(x, axes, spec, spiking)]
    if usual in fitting and len(fitting) > 1 and not (x.ndim == 5 and x.shape[:2] == (1, 1)):
        meanings = " or ".join(repr(axes) for axes in fitting)
        raise ParameterError(f"images or spikes of the shape {x.shape} could be {meanings}; say which by axes = ...")
    if usual not in fitting and (fitting or len(usual) != x.ndim):
        hint = f"; if it is meant so, give axes = {' or '.join(map(repr, fitting))}" if fitting else ""
        raise ParameterError(f"images have the shape {x.shape}; the network takes {_shapes(spec, spiking)}{hint}")
    return usual


def _fits(x: np.ndarray, axes: str, spec: AnySpec, spiking: bool) -> bool:
    shape = arranged(x, axes, "images").shape
    if shape[-3:] != spec.input_shape or "t" not in axes:
        return shape[-3:] == spec.input_shape
    return spiking and shape[1] == spec.t_steps and (x.ndim == 5 or _may_be_spikes(x))


def _may_be_spikes(x: np.ndarray) -> bool:
    """Return whether an array may hold spikes, or counts of events, rather than levels."""
    if x.dtype.kind == "f":
        return bool(((x == 0) | (x == 1)).all())
    return x.size == 0 or bool(x.max() < _FEW)


def _check_shape(x: np.ndarray, spec: AnySpec, spiking: bool) -> None:
    if x.ndim == 5 and not spiking:
        raise ParameterError("images have 5 dimensions, as spikes have; an Ann takes (n, h, w) or (n, c, h, w)")
    if x.shape[-3:] != spec.input_shape or len(x) == 0:
        raise ParameterError(f"images have the shape {x.shape}; the network takes {_shapes(spec, spiking)} with n > 0")
    if x.ndim == 5 and x.shape[1] != spec.t_steps:
        first = "; if time comes first, give axes = 'tnchw'" if len(x) == spec.t_steps else ""
        raise ParameterError(f"spikes have {x.shape[1]} time steps; the network runs {spec.t_steps}{first}")


def _shapes(spec: AnySpec, spiking: bool) -> str:
    inner = ", ".join(map(str, spec.input_shape))
    return f"(n, {inner})" + (f" or spikes (n, {spec.t_steps}, {inner})" if spiking else "")


def check_labels(labels: np.ndarray, n_images: int, n_classes: int, what: str = "labels") -> np.ndarray:
    """Return labels (n,) in int64, if there is a class of the network for each image.

    Raises
    ------
    ParameterError
        If they are no whole numbers, of another shape, or not all from 0 to ``n_classes`` - 1.
    """
    y = array_of(labels, what)
    if y.shape != (n_images,) or y.dtype.kind not in "iu":
        raise ParameterError(
            f"{what} have the shape {y.shape} and type {y.dtype}; {n_images} images need whole numbers, ({n_images},)"
        )
    if n_images and (y.min() < 0 or y.max() >= n_classes):
        raise ParameterError(f"{what} go from {y.min()} to {y.max()}; the network has classes 0 to {n_classes - 1}")
    return y.astype(np.int64)


def is_analog(images: np.ndarray, spec: AnySpec) -> bool:
    """Return whether these inputs reach the first layer as levels, not as spikes."""
    return np.ndim(images) < 5 and spec.encoding == "direct"


def _encoded(x: np.ndarray, spec: AnySpec, seed: int, numbers: Sequence[int]) -> np.ndarray:
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
