"""A row tile: the arrays that hold the same inputs of a layer side by side, and what reads their bitlines."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import block_diag
from torch import Tensor

from mapping.chip.array import Tile
from mapping.chip.chip import Chip
from mapping.chip.periphery.converters import converters_of
from mapping.chip.periphery.current_limit import CurrentLimit
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.periphery.sar_adc import SarAdc
from mapping.chip.reading import Reading
from mapping.ir.shapes import Geometry, Pair
from mapping.lower.stages import Rows
from mapping.networks.event_tables import channels_of, kernel_of
from mapping.networks.layers import weighted_input
from xbarsim.errors import ParameterError
from xbarsim.streams import stream


class RowTile:
    """Arrays on the same wordlines, bitline by bitline: noise, limiter, converters, and how they combine.

    Parameters
    ----------
    layer : Rows
    chip : Chip
    tiles : list of Tile
    reading : Reading
    key : (seed, die, layer number, row tile)
        Of its converters.
    dtype : torch.dtype

    Attributes
    ----------
    rows : slice
        Inputs of the layer that it holds.
    n_rows, n_lines : int
        How many these are, and bitlines in use.
    gains : array, (n_out,)
        What calibration multiplies its outputs by.
    arrives : float
        What a unit of weight is at passive neurons, over that of a current; 1 for others.
    full_scale : float
        Of its converters [A], those of the whole layer alike.
    converters : list of Converters
        Of each array, if a SarAdc reads them.
    """

    def __init__(
        self,
        layer: Rows,
        chip: Chip,
        tiles: list[Tile],
        reading: Reading,
        key: tuple[int, int, int, int],
        dtype: torch.dtype,
    ) -> None:
        self.tiles, self._layer, self._chip, self._reading, self._dtype = tiles, layer, chip, reading, dtype
        self.rows, self.n_rows = tiles[0].patch.rows, tiles[0].patch.n_rows
        self.n_lines = sum(tile.n_lines for tile in tiles)
        self.gains, self.arrives = np.ones(layer.spec.out), 1.0
        seed, *rest = key
        rngs = (stream(seed, "converters", *rest, c) for c in range(len(tiles)))
        self.converters = converters_of(chip.readout, map(self._conversions, tiles), rngs)
        self.full_scale = 0.0 if self.adc is None else self._given_full_scale(self.adc)

    def _conversions(self, tile: Tile) -> int:
        return self._chip.readout.lines(tile.n_lines, tile.patch.n_outputs)

    @property
    def adc(self) -> SarAdc | None:
        """What its converters are built as."""
        return self.converters[0].adc if self.converters else None

    @property
    def lsb(self) -> float:
        """The step of its converters in units of a weight; 1 without."""
        return self.full_scale / self.adc.top_code / self._chip.unit_current if self.adc else 1.0

    @property
    def n_seen(self) -> int:
        """Currents that carry read noise of their own: bitlines, or outputs."""
        return sum(len(tile.seen) for tile in self.tiles)

    @property
    def n_conversions(self) -> int:
        """Values that are converted in a read."""
        return sum(map(self._conversions, self.tiles))

    def _given_full_scale(self, adc: SarAdc) -> float:
        """Return the full scale that is given, or the largest that rows at v_read can drive without a limiter [A]."""
        least = self._chip.device.v_read * self._chip.device.g_hrs
        if not isinstance(adc.full_scale, float):
            converted = (t.decode @ t.transfer if adc.sense == "difference" else t.transfer for t in self.tiles)
            return max(float(np.abs(lines).sum(1).max()) for lines in converted) * self._chip.device.v_read
        if adc.full_scale < least:
            raise ParameterError(
                f"{self._chip.name}: SarAdc.full_scale = {adc.full_scale:g} A is below {least:.3g} A, what one cell in "
                "the HRS carries; give more"
            )
        return adc.full_scale

    def lines(self, what: str) -> np.ndarray:
        """Return transfer [S] or noise [S^2] as the read-out sees it, (n_seen, n_rows)."""
        parts = (tile.noise if what == "noise" else tile.seen @ tile.transfer for tile in self.tiles)
        return np.vstack([part for part in parts if part is not None])

    def partial(
        self, x: Tensor, read_noise: Tensor | None, adc_noise: Tensor | None, repeats: int, ledger: Ledger
    ) -> Tensor:
        """Return what the arrays contribute for samples, in units of a weight.

        Averaged over the pool already, but not yet its maximum.

        Parameters
        ----------
        x : Tensor, (n, ...)
        read_noise, adc_noise : Tensor, (steps, n, n_seen or n_conversions, rows, cols), optional
            Standard normal numbers.
        repeats : int
            How often each read happens.
        ledger : Ledger
            Added to: what depends on the currents.

        Returns
        -------
        Tensor, (steps n or n, n_out, height, width)
        """
        chip, adc = self._chip, self.adc
        seen = self.seen(x, read_noise, repeats, ledger)
        if adc is not None:
            codes = self._averaged(self._converted(seen, adc_noise, adc, ledger))
            return self._combined(codes, adc.sense == "bitline", self.lsb * self.gains[:, None])
        if chip.neuron.mirrors and chip.by_bitline:  # mirrors pass what the limiter does
            reads = repeats * len(x) / len(seen)  # drawn noise tells repeated reads apart
            copies = torch.from_numpy(np.concatenate([tile.copies for tile in self.tiles]))
            ledger.mirrored += reads * chip.unit_current * float(seen.double().sum((0, 2, 3)) @ copies)
        return self._averaged(self._combined(seen, chip.by_bitline, self.gains[:, None] / self.arrives))

    def seen(self, x: Tensor, read_noise: Tensor | None, repeats: int, ledger: Ledger) -> Tensor:
        """Return what the read-out sees, in units of a weight, (n, n_seen or n_conversions, rows, cols)."""
        chip, scale = self._chip, self._chip.device.v_read / self._chip.unit_current
        if chip.inactive == "ground":
            seen = self._weighted(x, self.lines("transfer") * scale)
        else:
            seen = self._patterns(x, repeats, ledger)
        if read_noise is not None:
            seen = noisy(seen, self._weighted(x**2, self.lines("noise") * scale**2), read_noise)
        if chip.limiting is not None:
            seen = self._limited(seen, chip.limiting, ledger)
            if self.adc is not None and self.adc.sense == "difference":
                seen = self._combined(seen, True, 1.0)
        return seen

    def _converted(self, seen: Tensor, noise: Tensor | None, adc: SarAdc, ledger: Ledger) -> Tensor:
        """Return codes; ``seen`` is overwritten."""
        values = seen.mul_(self._chip.unit_current * adc.top_code / self.full_scale)
        if noise is not None:
            values = noisy(values, values.new_tensor((adc.noise * adc.top_code) ** 2).expand(values.shape), noise)
        ledger.simulated += values.numel()
        parts = []
        for part, converters in zip(values.split(list(map(self._conversions, self.tiles)), 1), self.converters):
            codes, clipped = converters.convert(part)
            ledger.clipped += clipped
            parts.append(codes)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _patterns(self, x: Tensor, repeats: int, ledger: Ledger) -> Tensor:
        """Read with open or gated wordlines, pattern by pattern."""
        chip, parts = self._chip, []
        for reads in self._reading.patches(x.numpy()):
            currents = []
            for tile in self.tiles:
                lines, power = tile.read(reads[:, self.rows])
                ledger.power += repeats * power
                ledger.current += repeats * float(lines.sum())
                if chip.neuron.mirrors and not chip.by_bitline:
                    ledger.mirrored += repeats * float((lines @ tile.copies).sum())
                currents.append(lines @ (tile.seen.T / chip.unit_current))
            parts.append(np.hstack(currents))
        seen = torch.from_numpy(np.concatenate(parts)).to(self._dtype)
        rows, cols = self._layer.spec.read_positions(self._layer.in_shape)
        return seen.reshape(len(x), rows, cols, -1).permute(0, 3, 1, 2).contiguous()

    def _limited(self, seen: Tensor, limiter: CurrentLimit, ledger: Ledger) -> Tensor:
        most = limiter.i_max / self._chip.unit_current
        ledger.passed += seen.numel()
        ledger.limited += int(torch.count_nonzero(seen > most))
        return seen.clamp(max=most) if limiter.kind == "hard" else most * torch.tanh(seen / most)

    def _averaged(self, x: Tensor) -> Tensor:
        pool = self._layer.spec.pool
        return F.avg_pool2d(x, pool) if pool != 1 and self._layer.spec.pool_by == "average" else x

    def _combined(self, x: Tensor, by_bitline: bool, factors: np.ndarray | float) -> Tensor:
        """Combine bitlines, or outputs, into outputs at every position."""
        blocks = (tile.decode if by_bitline else np.eye(tile.patch.n_outputs) for tile in self.tiles)
        matrix = torch.from_numpy(block_diag(*blocks) * factors).to(self._dtype)
        return weighted_input(x, matrix[:, :, None, None], 1)

    def _weighted(self, x: Tensor, matrix: np.ndarray) -> Tensor:
        """Apply a matrix (n, rows of this tile) at every position, on the input channels that it needs."""
        spec = self._layer.spec
        kernel = kernel_of(matrix, self.rows, spec)
        rows, cols = spec.read_positions(self._layer.in_shape)
        return weighted(x[:, slice(*channels_of(self.rows, spec))], kernel, spec, 1)[..., :rows, :cols]


def weighted(x: Tensor, matrix: np.ndarray, spec: Geometry, pool: int | Pair) -> Tensor:
    """Apply a matrix (n_out, n_in) at every position of the kernel, average pooling included."""
    kernel = torch.from_numpy(matrix.reshape(len(matrix), -1, spec.side, spec.side)).to(x.dtype)
    return weighted_input(x, kernel, pool, spec.margin, spec.step)


def noisy(current: Tensor, variance: Tensor, z: Tensor) -> Tensor:
    """Add noise of a variance, z (steps, n, ...), to currents (n, ...) of all steps or (steps n, ...)."""
    shape = (-1, z.shape[1], *current.shape[1:])
    return (current.reshape(shape) + variance.reshape(shape).sqrt() * z).flatten(0, 1)
