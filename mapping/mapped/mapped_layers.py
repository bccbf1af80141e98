"""A network on a chip, spiking or conventional: layers of arrays, which reads and time age, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np

from mapping.chip.activity import Activity
from mapping.chip.ageing import CellVoltages, wear
from mapping.chip.array import Tile
from mapping.chip.calibration_codes import CalibrationCodes
from mapping.chip.chip import Chip
from mapping.chip.layer import MappedLayer
from mapping.engines.codecs import Codec
from mapping.engines.executor import Inference
from mapping.networks.encode import Checked
from xbarsim.die import Snapshot
from xbarsim.drift import ROOM_TEMPERATURE
from xbarsim.errors import ParameterError
from xbarsim.threads import in_threads
from xbarsim.units import format_time, quantity


def check_replication(chip: Chip, n_layers: int) -> None:
    """Raise an error if a chip tells of copies of more layers than a network has."""
    if len(chip.replication) > n_layers:
        raise ParameterError(f"{chip.name}: replication = {chip.replication} for {n_layers} layers; give no more")


class MappedLayers:
    """The layers of a network on their arrays, and what these have been through.

    Attributes
    ----------
    network : Network or Ann
    chip : Chip
    layers : sequence of MappedLayer
    seed : int
    inference : Inference
    """

    def __init__(self, codec: Codec, chip: Chip, layers: Sequence[MappedLayer], seed: int) -> None:
        self.network, self.chip, self.layers, self.seed = codec.network, chip, layers, seed
        self.codec, self.inference = codec, Inference(codec, layers)
        self._history: list[str] = []
        self._since_calibration = 0.0  # [s]

    def checked(self, images: np.ndarray, axes: str | None = None) -> Checked:
        """Return images or spikes in the order that layers take them, if they are fit for the network."""
        return self.codec.checked(images, axes)

    def calibrate(self) -> None:
        """Set the codes of all layers to what the arrays are now."""
        for layer in self.layers:
            layer.calibrate()
        self._since_calibration = 0.0

    def age(
        self,
        *,
        n_reads: float | None = None,
        n_inferences: float | None = None,
        images: np.ndarray | None = None,
        dt: float | str = 0.0,
        temperature: float | str = ROOM_TEMPERATURE,
        axes: str | None = None,
    ) -> None:
        """Let reads and time pass for all arrays, solve them again, and calibrate them as the chip's schedule says.

        Every cell is read at the voltage that it sees on average, by a solve of the circuit, in the reads that
        ``images`` cause: while its wordline is active, and while it is inactive. See
        :class:`mapping.chip.ageing.CellVoltages` for what averages leave out.

        Parameters
        ----------
        n_reads : float, optional
            Reads of every array.
        n_inferences : float, optional
            Instead: classifications, each with as many reads as one of ``images`` causes.
        images : array, optional
            Inputs that tell which wordlines are active how often; without them all are, at v_read, in every read. As
            for ``evaluate``.
        dt : float or str
            Time that passes [s], reads included.
        temperature : float or str
            [K]. Retention and read disturb hold at their ``t_ref``; others need their ``activation_energy``.
        axes : str, optional
            The order of the axes of ``images``, see :meth:`mapping.Network.predict`.
        """
        dt, temperature = quantity(dt, "s", "dt"), quantity(temperature, "K", "temperature")
        if dt < 0 or temperature <= 0:
            raise ParameterError(f"dt = {dt:g} s at {temperature:g} K: give a time from 0 s, and more than 0 K")
        if n_reads is not None and n_inferences is not None:
            raise ParameterError("give n_reads or n_inferences, not both")
        if n_inferences is not None and images is None:
            raise ParameterError(f"n_inferences = {n_inferences:g} needs images, which tell how often arrays are read")
        count = quantity(n_reads or 0 if n_inferences is None else n_inferences, "", "number of reads or inferences")
        if count < 0:
            raise ParameterError(f"{count:g} reads or inferences: give a number from 0")
        if count:
            self._check_reads_age()
        self.chip.device.check_temperature(temperature, time=dt > 0, reads=count > 0)
        images = None if images is None else self.checked(images, axes)
        kept, since = self._keep(), self._since_calibration
        try:
            for share, calibrates in self._schedule(dt):
                self._wear(share * count, n_inferences is not None, images, share * dt, temperature)
                for layer in self.layers:
                    layer.refresh()
                self._since_calibration += share * dt
                if calibrates:
                    self.calibrate()
        except BaseException:
            self._since_calibration = since
            self._restore(kept)
            raise
        parts = [f"{count:g} {'reads of each array' if n_inferences is None else 'inferences'}"] if count else []
        parts += [f"{format_time(dt)} at {temperature:g} K"] if dt else []
        self._history += [" and ".join(parts)] if parts else []

    def _check_reads_age(self) -> None:
        if self.chip.inactive != "ground" or self.chip.neuron.floating or self.chip.t_on > self.chip.device.t_read:
            raise ParameterError(
                f"{self.chip.name}: reads age cells only where inactive wordlines are grounded, bitlines at virtual "
                "ground and arrays driven for t_read; leave reads out"
            )

    def _schedule(self, dt: float) -> list[tuple[float, bool]]:
        """Return the parts of a time, and whether the chip is calibrated at their end; earlier times do not matter."""
        calibration = self.chip.calibration
        if calibration is None or calibration.interval is None:
            return [(1.0, False)]
        elapsed = self._since_calibration + dt
        if not dt or elapsed < calibration.interval:
            return [(1.0, False)]
        rest = elapsed % calibration.interval
        return [(1 - rest / dt, True), (rest / dt, False)]

    def _wear(self, count: float, inferences: bool, images: np.ndarray | None, dt: float, temperature: float) -> None:
        """Let all dies see so many reads or inferences, and time."""
        if count:
            activities = self._activities(images)
            work = []
            for (_, part), rows in zip(self.inference.wordlines, activities):
                for row, activity in zip(part.row_tiles, rows):
                    base = len(images) if inferences and images is not None else activity.n_reads
                    scale = count / base
                    work += [(tile, activity, scale) for tile in row.tiles]

            def use(item: tuple[Tile, Activity, float]) -> None:
                tile, activity, scale = item
                wear(tile, CellVoltages.of(tile, activity), activity, scale, temperature)

            list(in_threads(use, work))
        for tile in self._tiles:
            tile.die.advance(dt=dt, temperature=temperature)

    def _activities(self, images: np.ndarray | None) -> list[list[Activity]]:
        """Count, for the wordlines of each source and each row tile, what they do while images are classified."""
        if images is None:
            return [part.worst_case() for _, part in self.inference.wordlines]
        totals: list[list[Activity]] = []
        for start in range(0, len(images), 25):
            parts = [
                [of_row.times(repeats) for of_row in part.activity(samples, analog)]
                for (_, part), (samples, analog, repeats) in zip(
                    self.inference.wordlines, self.inference.driven(images[start : start + 25], start)
                )
            ]
            totals = [[a + b for a, b in zip(*both)] for both in zip(totals, parts)] if totals else parts
        return totals

    @property
    def _truncated(self) -> int:
        return sum(tile.die.truncated for tile in self._tiles)

    def _keep(self) -> tuple[list[tuple[Tile, Tile, Snapshot]], list[CalibrationCodes]]:
        return [(tile, copy(tile), tile.die.snapshot()) for tile in self._tiles], [layer.codes for layer in self.layers]

    def _restore(self, kept: tuple[list[tuple[Tile, Tile, Snapshot]], list[CalibrationCodes]]) -> None:
        tiles, codes = kept
        for tile, before, snapshot in tiles:
            tile.__dict__.update(before.__dict__)
            tile.die.restore(snapshot)
        for layer, code in zip(self.layers, codes):
            layer.apply(code)

    @property
    def _tiles(self) -> list[Tile]:
        return [tile for layer in self.layers for tile in layer.tiles]
