"""Arrays that are solved already: points of a study that have arrays in common solve them once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

import numpy as np

from xbarsim.crossbar import Crossbar
from xbarsim.ports import PortModel, reduce

_MOST_BYTES = 256 << 20  # a die of the largest shipped network has 160 MB of them


class PortCache:
    """:func:`xbarsim.reduce`, with the results of the last arrays kept, by all that their circuits consist of.

    Parameters
    ----------
    most_bytes : int
        Of results; the oldest ones make room.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most, self._held, self._lock = most_bytes, 0, Lock()
        self._ports: OrderedDict[bytes, PortModel] = OrderedDict()

    def __call__(self, crossbar: Crossbar) -> PortModel:
        """Return the ports of an array."""
        key = _digest(crossbar)
        with self._lock:
            if key in self._ports:
                self._ports.move_to_end(key)
                return self._ports[key]
        ports = reduce(crossbar)
        with self._lock:
            self._held += _size(ports) if key not in self._ports else 0
            self._ports[key] = ports
            while self._held > self._most:
                self._held -= _size(self._ports.popitem(last=False)[1])
        return ports

    def __reduce__(self) -> tuple[type[PortCache], tuple[int]]:
        return PortCache, (self._most,)  # another process starts with none


def _size(ports: PortModel) -> int:
    return ports.transfer.nbytes + ports.admittance.nbytes + ports.driver_admittance.nbytes


def _digest(crossbar: Crossbar) -> bytes:
    digest = hashlib.blake2b(f"{crossbar.g.shape} {crossbar.cell!r}".encode() + crossbar.g.tobytes())
    for name, value in crossbar.wires:
        array = np.asarray(value)
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.digest()
