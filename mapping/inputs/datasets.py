"""Data sets by name or file: images in their published IDX form, shipped, fetched or from a folder; speech."""

from __future__ import annotations

import gzip
import hashlib
import struct
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np

from mapping.inputs import series
from mapping.inputs.arrays import Counts, arranged, as_spikes
from mapping.inputs.resources import data_folder, path_of
from xbarsim.errors import UNREADABLE, FileError, ParameterError, brief, extra, shown
from xbarsim.parameters import array_of, read_toml

Split = Literal["train", "test"]

_PUBLISHED = read_toml(data_folder() / "published.toml")
HASHES = {name: one["sha256"] for name, one in _PUBLISHED.items()}  # of uncompressed IDX files
NAMED = (*HASHES, series.NAME)
MIRRORS = {name: one["mirror"] for name, one in _PUBLISHED.items()}
_LARGEST = 1 << 31  # bytes that an IDX file may declare
_PREFIX = {"train": "train", "test": "t10k"}


def load_dataset(
    name: str | Path, split: Split = "test", folder: str | Path | None = None, *, axes: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Load images and labels.

    Parameters
    ----------
    name : str or path
        ``"mnist"``, ``"fashion-mnist"``, or ``"japanese-vowels"``, speech as spikes, see
        :func:`mapping.inputs.series.load_series`; or a folder with IDX files (``*-images-idx3-ubyte[.gz]``); or a
        ``.npz`` file with arrays ``images``, or ``spikes`` (0 or 1), and ``labels``.
    split : {"train", "test"}
        Which set; a ``.npz`` file holds one set only and ignores it.
    folder : path, optional
        A local folder with the files of a named set, used in place of a download or of those that a package brings.
    axes : str, optional
        Of images or spikes in a ``.npz`` file, as for :func:`events`; the file may say it itself, as a text ``axes``.
        Without it, spikes are (t, n, ...) or (n, t, ...), whichever fits the number of labels.

    Returns
    -------
    images : uint8 array, (n, height, width); from ``.npz`` as stored or (n, c, h, w), or spikes (n, t_steps, c, h, w)
    labels : integer array, (n,)

    Raises
    ------
    FileError
        If files are missing, truncated, or differ from their published SHA-256; if images or labels are no numbers or
        not finite, or do not match; or if spikes have as many samples as time steps, and no axes.
    ParameterError
        For an unknown name or split.
    """
    if not isinstance(split, str) or split not in _PREFIX:
        raise ParameterError(f"split = {shown(split)}: it is 'train' or 'test'")
    path = path_of(name, "dataset")
    if path.suffix == ".npz" and path.is_file():
        return _read_npz(path, axes)
    if axes is not None and (not isinstance(axes, str) or axes != "nhw"):
        raise ParameterError(f"axes = {shown(axes)}: only a .npz file can have others than (n, h, w)")
    key = str(name).lower()
    if key == series.NAME:
        return series.load_series(split, None if folder is None else path_of(folder, "folder"))
    if key in HASHES:
        source = path_of(folder, "folder") if folder is not None else data_folder() / key
        x, y = (_locate(key, file, source, folder is None) for file in _files(split))
        return _read_pair(x, y, HASHES[key])
    if path.is_dir():
        x, y = (_existing(path, file) for file in _files(split))
        return _read_pair(x, y, {})
    raise ParameterError(
        f"dataset {str(name)!r} is unknown; give one of {', '.join(NAMED)}, a folder with IDX files or a .npz file"
    )


def events(spikes: np.ndarray, axes: str | None = None, counts: Counts = "refuse") -> np.ndarray:
    """Bring spikes in any order of axes, for example time first, into the layout (n, t, c, h, w).

    Parameters
    ----------
    spikes : array
        0 or 1.
    axes : str
        A letter for each axis: n (samples), t (time steps), c (channels), h (height), w (width); those left out have
        the length 1. Event-camera tools give a sample as ``"tchw"``, and batches as ``"tnchw"`` or ``"ntchw"``, which
        no shape tells apart, so that it has to be said.
    counts : {"refuse", "clip"}
        What happens to events of the same pixel in the same time step: an error, or one spike. More and shorter time
        steps keep them apart.

    Returns
    -------
    array, (n, t, c, h, w)
        uint8, or the type of floats.

    Examples
    --------
    >>> events(np.zeros((25, 2, 34, 34)), "tchw").shape
    (1, 25, 2, 34, 34)

    Raises
    ------
    ParameterError
        Without axes; for values other than 0 and 1, or counts, unless they are clipped.
    """
    x = array_of(spikes, "spikes")
    if axes is None:
        raise ParameterError(
            f"spikes of the shape {x.shape} do not tell which axis is what; give axes = 'tnchw', 'ntchw', 'tchw', ..."
        )
    x = arranged(x, axes, "spikes")
    if x.ndim != 5:
        raise ParameterError(f"axes = {axes!r}: spikes need time steps, t")
    return as_spikes(x, counts)


def _files(split: Split) -> tuple[str, str]:
    prefix = _PREFIX[split]
    return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


def _existing(folder: Path, file: str) -> Path:
    for path in (folder / f"{file}.gz", folder / file):
        if path.is_file():
            return path
    raise FileError(f"{folder}: holds neither {file}.gz nor {file}; give a folder with the published IDX files")


def _locate(name: str, file: str, folder: Path, may_fetch: bool) -> Path:
    try:
        return _existing(folder, file)
    except FileError:
        if not may_fetch:
            raise
    return fetch(name, file)


def fetch(name: str, file: str) -> Path:
    """Download one IDX file into the cache folder, once; raise :class:`FileError` if the mirror cannot be reached."""
    with extra("networks", f"fetching {name}"):
        import pooch
        import requests

    cache = Path(pooch.os_cache("xbarsim")) / name
    pooch.get_logger().setLevel("WARNING")
    try:
        path = pooch.retrieve(f"{MIRRORS[name]}{file}.gz", known_hash=None, fname=f"{file}.gz", path=cache)
    except (requests.RequestException, OSError) as error:
        raise FileError(
            f"{name}: {file}.gz could not be fetched ({brief(error)}); give a local folder with the IDX files"
        ) from None
    try:
        _check(Path(path), _raw(Path(path)), HASHES[name])
    except FileError:
        Path(path).unlink()
        raise
    return Path(path)


def _raw(path: Path) -> bytes:
    """Return the bytes of an IDX file, unpacked, up to one more than it declares."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(4)
            if len(raw) < 4 or raw[:3] != b"\0\0\x08" or raw[3] > 4:
                return raw
            raw += file.read(4 * raw[3])
            declared = prod(struct.unpack(f">{(len(raw) - 4) // 4}I", raw[4 : len(raw) // 4 * 4]))
            if declared > _LARGEST:
                raise FileError(f"{path}: declares {declared} bytes, more than {_LARGEST}; replace the file")
            return raw + file.read(declared + 1)
    except FileError:
        raise
    except UNREADABLE as error:
        raise FileError(f"{path}: cannot be read ({brief(error)}); replace the file") from None


def _check(path: Path, raw: bytes, hashes: dict[str, str]) -> None:
    expected = hashes.get(path.name.removesuffix(".gz"))
    if expected is not None and hashlib.sha256(raw).hexdigest() != expected:
        raise FileError(f"{path}: differs from the published file (SHA-256 of the raw bytes); replace the file")


def _read_idx(path: Path, n_dims: int, hashes: dict[str, str]) -> np.ndarray:
    raw = _raw(path)
    _check(path, raw, hashes)
    header = 4 + 4 * n_dims
    if len(raw) < header or raw[:4] != bytes((0, 0, 8, n_dims)):
        raise FileError(f"{path}: not an IDX file of bytes with {n_dims} dimension(s); replace the file")
    shape = struct.unpack(f">{n_dims}I", raw[4:header])
    if len(raw) - header != prod(shape):
        fault = "truncated" if len(raw) - header < prod(shape) else "too long"
        raise FileError(
            f"{path}: {fault}, {len(raw) - header} bytes of data where {shape} is declared; replace the file"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _read_pair(images: Path, labels: Path, hashes: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    x, y = _read_idx(images, 3, hashes), _read_idx(labels, 1, hashes).astype(np.int64)
    return x, _matching(images, x, y)


def _read_npz(path: Path, axes: str | None) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            what = "spikes" if "spikes" in file else "images"
            x, y, stored = file[what], file["labels"], str(file["axes"]) if "axes" in file else None
    except UNREADABLE as error:
        raise FileError(f"{path}: needs arrays 'images' (or 'spikes') and 'labels' ({brief(error)})") from None
    if None not in (axes, stored) and axes != stored:
        raise ParameterError(f"axes = {axes!r}: {path} says {stored!r}; leave it out")
    axes = axes if stored is None else stored
    try:
        x = array_of(x, what)
        if axes is None and (what == "spikes" or x.ndim == 5):
            axes = _axes_by_labels(x, len(y) if y.ndim else 0)
        x = x if axes is None else arranged(x, axes, what)
        if what == "spikes" and x.ndim != 5:
            raise ParameterError(f"axes = {axes!r}: spikes need time steps, t")
        x = as_spikes(x) if x.ndim == 5 else x
    except ParameterError as error:
        raise FileError(f"{path}: {error}") from None
    if not np.isfinite(x).all():
        raise FileError(f"{path}: images hold values that are not finite")
    return x, _matching(path, x, y)


def _axes_by_labels(x: np.ndarray, n: int) -> str:
    """Return the axes of spikes that are (t, n, ...) or (n, t, ...), of which there are n."""
    rest = {3: "c", 4: "hw", 5: "chw"}.get(x.ndim)
    if rest is None or n not in x.shape[:2]:
        raise ParameterError(f"spikes of the shape {x.shape} with {n} labels; give axes, for example 'tnchw'")
    if x.shape[0] == x.shape[1] > 1:
        raise ParameterError(f"spikes of the shape {x.shape} have as many samples as steps; give axes, as 'tnchw'")
    return ("tn" if x.shape[1] == n else "nt") + rest


def _matching(path: Path, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.ndim == 0 or y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise FileError(
            f"{path}: {len(x) if x.ndim else 0} images need as many integer labels; the labels have shape {y.shape}, "
            f"{y.dtype}"
        )
    if y.size and y.min() < 0:
        raise FileError(f"{path}: labels go from {y.min()}; classes are numbered from 0")
    return y
