"""What was run: all that a number in a report depends on, and what tells one network or data set from another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from mapping.chip.chip import Chip
from mapping.inputs.sample import Sample
from xbarsim.units import format_quantity
from xbarsim.version import __version__

if TYPE_CHECKING:
    from mapping.networks.ann import Ann
    from mapping.networks.network import Network


def now() -> str:
    """Return date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Run:
    """What was run, as it stands in reports.

    Attributes
    ----------
    network, network_hash : str
        Name or file, and the first 16 digits of the SHA-256 of its specification and tensors.
    dataset, split, images : str
        See :class:`mapping.Sample`.
    data_hash : str
        As of the network, of the images used, as the network sees them, and their labels.
    chip, chip_hash : str
        Its name, and as of the network of all its fields.
    v_read, g_lrs, on_off_ratio : float
        Of its device [V, S].
    levels : int or "analog"
        That its cells are used at; no part of :meth:`to_dict` where it is 2.
    rows, cols : int
        Of one array.
    wires, readout : str
        In words.
    readout_bits : int
    seed : int
        Root seed of all that was drawn.
    dies : tuple of int
        Which dies of that seed.
    version, date : str
        Of xbarsim; when the run ended, UTC.
    """

    network: str
    network_hash: str
    dataset: str
    split: str
    images: str
    data_hash: str
    chip: str
    chip_hash: str
    v_read: float
    g_lrs: float
    on_off_ratio: float
    rows: int
    cols: int
    wires: str
    readout: str
    readout_bits: int
    seed: int
    dies: tuple[int, ...]
    version: str = __version__
    date: str = field(default_factory=now, compare=False)
    levels: int | str = 2

    @classmethod
    def of(
        cls,
        network: Network | Ann,
        chip: Chip,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        die: int,
        sample: Sample | None,
    ) -> Run:
        """Collect it for one die; without ``sample`` the images are said to be given as arrays."""
        used = sample or Sample(images=f"{len(images)} of shape {images.shape[1:]}, {images.dtype}")
        return cls(
            network=network.name or "given in Python",
            network_hash=network_hash(network),
            dataset=used.dataset,
            split=used.split,
            images=used.images,
            data_hash=data_hash(images, labels),
            chip=chip.name,
            chip_hash=digest(np.array(chip_text(chip))),
            v_read=chip.device.v_read,
            g_lrs=chip.device.g_lrs,
            on_off_ratio=chip.device.on_off_ratio,
            rows=chip.rows,
            cols=chip.cols,
            wires=chip.wires.summary().removeprefix("wires: "),
            readout=chip.readout.text if chip.readout.converts else f"{chip.readout.text}, {chip.neuron.kind} neurons",
            readout_bits=chip.readout.n_bits,
            seed=seed,
            dies=(die,),
            levels=chip.cell_levels,
        )

    def and_dies(self, other: Run) -> Run:
        """Return the same with the dies of another run, which ended later."""
        return replace(self, dies=self.dies + other.dies, date=other.date)

    @property
    def device(self) -> str:
        """The device in words."""
        lrs = f"{format_quantity(self.g_lrs, 'S')} ({format_quantity(1 / self.g_lrs, 'Ohm')})"
        levels = {2: "", "analog": ", analog"}.get(self.levels, f", {self.levels} levels")
        return f"{format_quantity(self.v_read, 'V')}, LRS {lrs}, on/off {self.on_off_ratio:.3g}{levels}"

    def __str__(self) -> str:
        images = ", ".join(part for part in (self.dataset, self.split, self.images) if part)
        first, last = self.dies[0], self.dies[-1]
        listed = ", ".join(map(str, self.dies))
        whole = len(self.dies) > 2 and self.dies == tuple(range(first, last + 1))
        dies = f"die{'s' if len(self.dies) > 1 else ''} {f'{first} to {last}' if whole else listed}"
        return (
            f"network {self.network} ({self.network_hash}); data {images} ({self.data_hash}); seed {self.seed}, "
            f"{dies}; xbarsim {self.version}, {self.date}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, but for the levels of cells that have two, which earlier files do not have."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("levels", 2)}


def network_hash(network: Network | Ann) -> str:
    """Return the first digits of the SHA-256 of what a file holds of a network, the same before and after storing."""
    from mapping.networks.store import stored_tensors

    stored = stored_tensors(network)
    numbers = (stored[name].detach().cpu().float().numpy() for name in sorted(stored))
    return digest(*numbers, np.array(network.spec.model_dump_json()))


def data_hash(images: np.ndarray, labels: np.ndarray) -> str:
    """Return the first digits of the SHA-256 of images (n, c, h, w) or spikes (n, t, c, h, w), and their labels."""
    levels = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 and images.ndim == 4 else 1)
    return digest(levels, labels.astype(np.int64))


def chip_text(chip: Chip) -> str:
    """Return all fields of a chip as one text, the same for equal chips."""

    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray) else repr(value)

    return json.dumps(chip.model_dump(), sort_keys=True, default=plain)


def digest(*arrays: np.ndarray) -> str:
    """Return the first 16 digits of the SHA-256 of arrays, their types and shapes."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:16]
