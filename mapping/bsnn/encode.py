"""Input encodings: images as a constant current, or a given array of spikes."""

from __future__ import annotations

import numpy as np

from mapping.bsnn.spec import NetworkSpec
from xbarsim.errors import ParameterError


def encode(images: np.ndarray, spec: NetworkSpec) -> np.ndarray:
    """Bring images or spikes into the layout that networks run on, in float32.

    Parameters
    ----------
    images : array
        (n, h, w) or (n, c, h, w): uint8 in 0..255 or float in [0, 1], a constant current at every step;
        (n, t_steps, c, h, w): spikes in {0, 1}.
    spec : NetworkSpec
        The network they are meant for.

    Returns
    -------
    array, (1, n, c, h, w) or (t_steps, n, c, h, w)

    Raises
    ------
    ParameterError
        For a wrong shape or type, values that are not finite, or values outside the range.
    """
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
    if images.ndim == 4:
        return x[None]
    if np.any((x != 0) & (x != 1)):
        raise ParameterError("spike arrays hold values other than 0 and 1; give an image array for analog input")
    return np.ascontiguousarray(np.moveaxis(x, 1, 0))
