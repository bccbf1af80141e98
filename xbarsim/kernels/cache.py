"""Compiled kernels on disk: in a folder of their own, each with its digest, so that none that is damaged ever runs.

Numba recompiles a kernel when its own file changes, but not when a kernel that it calls does. The folder therefore
carries a hash of all kernels, so that an upgraded or edited kernel never runs against stale callees, and of Numba's
version, so that environments with another one keep out of each other's files while both run. One Python
function may be compiled for one thread and for all; each has a folder of its own, as Numba tells them not apart.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import IndexDataCacheFile

_DIGEST = 32  # bytes


class KernelFile(IndexDataCacheFile):  # type: ignore[misc]
    """The compiled variants of a kernel: an index of their signatures, and a file for each."""

    def _dump(self, obj: Any) -> bytes:
        data: bytes = super()._dump(obj)
        return hashlib.sha256(data).digest() + data

    def _whole(self, path: Path, data: bytes) -> Any:
        digest, data = data[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(data).digest() != digest:
            warnings.warn(f"{path}: compiled kernels are damaged; they are compiled again", stacklevel=2)
            raise OSError
        return pickle.loads(data)

    def _load_index(self) -> dict[Any, str]:
        path = Path(self._index_path)
        try:
            version = pickle.dumps(self._version, protocol=-1)
            data = path.read_bytes()
            stamp, found = self._whole(path, data[len(version) :]) if data.startswith(version) else (None, {})
        except OSError:  # none yet, or damaged
            return {}
        return found if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        path = Path(self._data_path(name))
        return self._whole(path, path.read_bytes())

    def save(self, key: Any, data: Any) -> None:
        """Save a compiled kernel, or say that this is not possible."""
        try:
            super().save(key, data)
        except OSError as error:
            _not_kept(f"{self._cache_path}: cannot be written ({error.strerror})")


@cache
def _not_kept(reason: str) -> None:
    """Say once that kernels are not kept."""
    warnings.warn(
        f"{reason}; kernels are compiled again in every process: set NUMBA_CACHE_DIR to a folder with room",
        stacklevel=2,
    )


def kept(kernel: Any) -> Any:
    """Return a kernel that Numba keeps on disk, with digests."""
    numba_cache = getattr(kernel, "_cache", None)  # none without compiling
    if numba_cache is not None:
        its = numba_cache._impl
        numba_cache._cache_file = KernelFile(
            cache_path=numba_cache._cache_path,
            filename_base=its.filename_base,
            source_stamp=its.locator.get_source_stamp(),
        )
    return kernel


@cache
def cache_folder(kernels: Path) -> Path | None:
    """Return the folder for the compiled kernels of a folder of sources; None if none can be written to."""
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in sorted({kernels, Path(__file__).parent}):
        for file in sorted(folder.glob("*.py")):
            digest.update(file.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "xbarsim" / f"kernels-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        _not_kept(f"{folder}: cannot be written ({error.strerror})")
        return None
