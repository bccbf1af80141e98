"""One fabricated array: programmed, read, aged step by step."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from xbarsim.cells import Cell, Ohmic
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.drift import ROOM_TEMPERATURE
from xbarsim.errors import ParameterError
from xbarsim.faults import HEALTHY, OPEN_CELL, SHORTED, STUCK_HRS, STUCK_LRS, bridged, broken
from xbarsim.kernels.disturb import count_reads
from xbarsim.levels import States, nominal, picked, stuck
from xbarsim.machine import check_reads
from xbarsim.read_noise import NoiseState
from xbarsim.streams import stream, whole_number
from xbarsim.units import quantity
from xbarsim.validity import Exposure
from xbarsim.wires import Wires

Device = Any  # of xbarsim.device, which fabricates dies
_GROWTH = 100.0  # of the logarithm of a conductance, by drift; beyond there are none


@dataclass
class _State:
    """What changes: from write to write, from read to read, with time."""

    states: States  # stuck cells as they are
    written: np.ndarray  # conductances just after the write [S]
    cut: np.ndarray | None  # cells whose written conductance was cut to the physical range
    pulses: np.ndarray | None
    reads: np.ndarray
    moving: np.ndarray  # flat indices of the cells that reads can move
    moving_states: States  # theirs
    moved: np.ndarray | None  # their state under the read-disturb law, None before any read
    floor: np.ndarray | None  # conductances below which that law does not bring them [S]
    writes: int
    noise: NoiseState | None = None  # telegraph and 1/f noise, from the first time that it is looked at
    truncated_reads: int = 0
    steps: int = 0
    time: float = 0.0
    age: float = 0.0  # time at the reference temperature of retention
    temperatures: tuple[float, ...] = ()  # the coldest and the hottest of all that [K]
    stress: np.ndarray | None = None  # time under voltage of the moving cells [s]
    v_cell: float | None = None  # largest magnitude of their voltages [V]


@dataclass(frozen=True)
class Snapshot:
    """The state of a die at one moment, for :meth:`Die.restore`."""

    time: float
    _state: _State = field(repr=False)
    _die: tuple[Any, ...] = field(repr=False)


class DieCircuit(NamedTuple):
    """A die as a circuit. Bridged lines make the crossbar larger: its true lines are ``rows`` and ``cols``."""

    crossbar: Crossbar
    rows: np.ndarray
    cols: np.ndarray


def _fixed(array: np.ndarray) -> np.ndarray:
    """Return the array as one that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


class Die:
    """One fabricated array; made by :meth:`Device.fabricate`.

    Every draw is keyed by (seed, purpose, die, key) and, where it happens more than once, by the number of the write,
    read or step: results depend on what was done, not on when or in which order other arrays did it.

    Attributes
    ----------
    device : Device
    shape : (n_rows, n_cols)
    faults : int8 array, (n_rows, n_cols), or None
        0 healthy, 1 stuck in LRS, 2 stuck in HRS, 3 open, 4 shorted.
    """

    def __init__(
        self, device: Device, shape: tuple[int, int], seed: int, die: int = 0, key: tuple[int, ...] = ()
    ) -> None:
        try:
            n_rows, n_cols = (whole_number(length, "shape") for length in shape)
            keys = tuple(whole_number(part, "key") for part in key)
        except (TypeError, ValueError):
            n_rows, n_cols, keys = 0, 0, ()
        if min(n_rows, n_cols) < 1:
            raise ParameterError(
                f"shape = {shape!r}, key = {key!r}: give (n_rows, n_cols), both above 0, and a tuple of whole numbers"
            )
        check_reads(n_rows, n_cols)
        self.device, self.shape, self.seed = device, (n_rows, n_cols), whole_number(seed, "seed")
        self.key = (whole_number(die, "die"), *keys)
        self.faults = device.faults.draw_cells(self.shape, seed, self.key)
        self._lines = device.faults.draw_lines(self.shape, seed, self.key)
        self._z = device.d2d.draw(self.shape, seed, self.key)
        self._offset = device.d2d.offset(seed, die)
        self._now: _State | None = None
        self._g: np.ndarray | None = None
        if self.faults is not None:
            self.faults.flags.writeable = False

    def program(self, bits: Any, *, seed: int | None = None) -> np.ndarray:
        """Write bits, 1 for the low-resistance state, or levels; return what was written, (n_rows, n_cols) [S].

        A write sets back age, reads and disturb. What it returns is free of read noise; :attr:`conductance` has the
        slow part of it.

        Parameters
        ----------
        bits : array, (n_rows, n_cols)
            0 or 1; of devices with n levels 0 to n - 1, of analog ones 0 to 1, see :class:`Device`.
        seed : int, optional
            Tells writes apart; by default each write of this die draws anew.
        """
        device, bits = self.device, np.asarray(bits)
        if bits.shape != self.shape:
            raise ParameterError(f"{device.written} have the shape {bits.shape}; the die has {self.shape}")
        wanted = device.states(bits)
        states, fixed = wanted, None
        if self.faults is not None:
            fixed = self.faults != HEALTHY
            states = stuck(wanted, self.faults == STUCK_LRS, self.faults == STUCK_HRS)
        own, writes = self._own(states), self._now.writes if self._now else 0
        purpose, number = ("c2c", writes) if seed is None else ("c2c, seeded", seed)
        draws = stream(self.seed, purpose, *self.key, whole_number(number, "seed"))
        target = nominal(wanted, device.g_lrs, device.g_hrs) if device.c2c.write_verify else own
        written, pulses = device.c2c.write(own, target, states, fixed, draws)
        written, cut = self._within(written)
        moving, floor = np.zeros(0, np.intp), None
        if device.read_disturb is not None:
            able = device.read_disturb.moving(states)
            moving = np.flatnonzero(able if fixed is None else able & ~fixed)
            if device.read_disturb.stops_at_hrs:
                hrs, _ = self._within(self._own(np.zeros(self.shape, bool)))
                floor = np.minimum(hrs, written).reshape(-1)[moving]
        self._now = _State(
            states, written, cut, pulses, np.zeros(self.shape), moving, picked(states, moving), None, floor, writes + 1
        )
        self._g = None
        return written.copy()

    def _own(self, states: States) -> np.ndarray:
        """Return what each cell conducts in a state on average over writes."""
        nominal_states = self.device.g_lrs, self.device.g_hrs
        g: np.ndarray = self._offset * self.device.d2d.conductance(states, nominal_states, self._z)
        if self.faults is not None:
            g[self.faults == OPEN_CELL] = 0.0
            if self.device.faults.r_short is not None:
                g[self.faults == SHORTED] = 1 / self.device.faults.r_short
        return g

    def _within(self, g: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Cut conductances to the physical range, except of open and shorted cells; return them and which were cut."""
        low, high = self.device.g_range
        if low <= g.min() and g.max() <= high:
            return g, None
        beyond = (g < low) | (g > high)
        if self.faults is not None:
            beyond &= self.faults < OPEN_CELL
        return np.where(beyond, np.clip(g, low, high), g), beyond

    @property
    def _state(self) -> _State:
        if self._now is None:
            raise ParameterError("the die is blank; program it first")
        return self._now

    @property
    def conductance(self) -> np.ndarray:
        """What cells conduct now, without white read noise, (n_rows, n_cols) [S]; not to be written to."""
        if self._g is None:
            g, cut = self._within(self._drifted())
            both = [mask for mask in (cut, self._state.cut) if mask is not None]
            self._truncated = int(np.count_nonzero(np.logical_or.reduce(both))) if both else 0
            g.flags.writeable = False
            self._g = g
        return self._g

    @property
    def truncated(self) -> int:
        """Cells whose conductance was cut to the physical range, by the last write or by what came after."""
        return self._truncated if self.conductance is not None else 0

    @property
    def truncated_reads(self) -> int:
        """Draws of read noise since the last write that were cut to the physical range, each time they were drawn."""
        return self._state.truncated_reads

    def _drifted(self) -> np.ndarray:
        """Return conductances after retention, disturb and slow noise; faulty cells have none of these."""
        device, now = self.device, self._state
        g = now.written.copy()
        if device.retention is not None and now.age > 0:
            g *= device.retention.factor(self._exponents(now.states), now.age)
        if device.read_disturb is not None and now.moved is not None:
            at, flat = now.moving, g.reshape(-1)
            after = flat[at] * device.read_disturb.ratio(now.moved, now.moving_states)
            flat[at] = after if now.floor is None else np.maximum(after, np.minimum(flat[at], self._floor(now)))
        if device.read_noise.remembers:
            g *= self._noise.factor(now.states)
        if self.faults is not None:
            g = np.where(self.faults == HEALTHY, g, now.written)
        return g

    def _floor(self, now: _State) -> Any:
        """Return what the moving cells would conduct in HRS by now."""
        if self.device.retention is None or now.age == 0:
            return now.floor
        nu = self._exponents(np.zeros(self.shape, bool))
        return now.floor * self.device.retention.factor(
            np.broadcast_to(nu, self.shape).reshape(-1)[now.moving], now.age
        )

    @property
    def _noise(self) -> NoiseState:
        now = self._state
        if now.noise is None:
            traps, draws = stream(self.seed, "traps", *self.key), stream(self.seed, "noise", *self.key, now.writes)
            now.noise = NoiseState(self.device.read_noise, self.shape, traps, draws)
        return now.noise

    def _exponents(self, states: States) -> Any:
        """Return the drift exponents of cells in these states, each device's own."""
        retention = self.device.retention
        assert retention is not None
        nu = retention.nu.of(states)
        return nu + retention.nu_spread.of(states) * self._nu_z if retention.nu_spread else nu

    @cached_property
    def _nu_z(self) -> np.ndarray:
        return stream(self.seed, "retention", *self.key).standard_normal(self.shape)

    @property
    def faulty_lines(self) -> int:
        """Broken wordlines and bitlines, and bridges."""
        return sum(map(len, self._lines)) if self._lines is not None else 0

    @property
    def read_spread(self) -> np.ndarray:
        """Standard deviation of each cell's conductance from read to read, (n_rows, n_cols) [S]."""
        spread = self.conductance * self.device.read_noise.gaussian.of(self._state.states)
        return spread if self.faults is None else np.where(self.faults == HEALTHY, spread, 0.0)

    def read(self, number: int) -> np.ndarray:
        """Return what cells conduct in read ``number``, with white read noise, (n_rows, n_cols) [S]; ages nothing."""
        if not self.device.read_noise.gaussian:
            return self.conductance
        z = stream(self.seed, "read", *self.key, whole_number(number, "number")).standard_normal(self.shape)
        g, cut = self._within(self.conductance + self.read_spread * z)
        self._state.truncated_reads += 0 if cut is None else int(np.count_nonzero(cut))
        return g

    def advance(
        self, v_cell: Any = None, n_reads: Any = None, *, dt: Any = 0.0, temperature: Any = ROOM_TEMPERATURE
    ) -> None:
        """Let reads and time pass.

        Parameters
        ----------
        v_cell : array, (n_rows, n_cols), optional
            Voltage across each cell during these reads, wordline minus bitline, from the solved circuit [V].
        n_reads : number or array broadcastable to (n_rows, n_cols), optional
            How many such reads of ``t_read`` each cell sees; one unless told.
        dt : float or str
            Time that passes [s]; reads by themselves take none.
        temperature : float or str
            [K]. Retention and read disturb hold at their ``t_ref``; others need their ``activation_energy``.
        """
        now, dt, temperature = self._state, quantity(dt, "s", "dt"), quantity(temperature, "K", "temperature")
        if dt < 0:
            raise ParameterError(f"dt = {dt:g} s: give a time from 0")
        if temperature <= 0:
            raise ParameterError(f"temperature = {temperature:g} K: give one above 0 K")
        self.device.check_temperature(temperature, time=dt > 0, reads=v_cell is not None)
        ageing = self.device.retention.ageing(temperature) if self.device.retention and dt > 0 else 0.0
        if ageing:
            self._check_growth(now, dt, ageing)
        if v_cell is not None:
            n_reads = 1 if n_reads is None else n_reads
            self._disturb(now, real_array(v_cell, "v_cell", "voltages in volts"), n_reads, temperature)
        elif n_reads is not None:
            raise ParameterError(f"n_reads = {n_reads}: reads need v_cell, the voltages of the cells during them")
        if dt > 0 or v_cell is not None:
            met = (*now.temperatures, temperature)
            now.temperatures = (min(met), max(met))
        now.time += dt
        if self.device.retention is not None:
            now.age += dt * ageing
        if self.device.read_noise.remembers and dt > 0:
            self._noise.advance(dt, stream(self.seed, "noise step", *self.key, now.writes, now.steps))
            now.steps += 1
        self._g = None

    def _check_growth(self, now: _State, dt: float, ageing: float) -> None:
        """Refuse a time after which negative drift exponents would make conductances overflow."""
        assert self.device.retention is not None
        nu = float(np.min(self._exponents(now.states)))
        growth = -nu * float(np.log1p((now.age + dt * ageing) / self.device.retention.t0))
        if not growth < _GROWTH:
            raise ParameterError(
                f"dt = {dt:g} s: with a drift exponent of {nu:g} conductances would grow exp({growth:.3g})-fold; give "
                "a shorter time, or retention.nu nearer to 0"
            )

    def _disturb(self, now: _State, v: np.ndarray, n_reads: Any, temperature: float) -> None:
        if v.shape != self.shape:
            raise ParameterError(f"v_cell has the shape {v.shape}; the die has {self.shape}")
        n = real_array(n_reads, "n_reads", "numbers of reads")
        if n.size and n.min() < 0:
            raise ParameterError(f"n_reads = {n.min():g}: numbers of reads are not negative")
        try:
            n = n.reshape(1) if n.size == 1 else np.broadcast_to(n, self.shape).reshape(-1)
        except ValueError:
            raise ParameterError(f"n_reads has the shape {n.shape}; give one that fits {self.shape}") from None
        device, v = self.device, v.reshape(-1)
        if device.read_disturb is not None:
            at = now.moving
            if now.moved is None:
                now.moved, now.stress = device.read_disturb.start(len(at)), np.zeros(len(at))
            time = np.full(len(at), n[0]) if len(n) == 1 else n.take(at)
            time *= device.t_read
            across = v.take(at)
            device.read_disturb.advance(now.moved, now.moving_states, across, time, temperature)
            felt = np.abs(across) * (time > 0)
            now.stress += time * (felt > 0)
            now.v_cell = max(now.v_cell or 0.0, float(felt.max(initial=0.0)))
        count_reads(v, n, 0.5 * device.v_read, now.reads.reshape(-1))

    @property
    def reads(self) -> np.ndarray:
        """Reads since the last write in which a cell saw at least half of v_read, (n_rows, n_cols); a view."""
        return _fixed(self._state.reads)

    @property
    def time(self) -> float:
        """Time since the last write [s]."""
        return self._state.time

    @property
    def exposure(self) -> Exposure:
        """What the die went through since the last write."""
        now = self._state
        if now.stress is not None:
            return Exposure(now.time, float(now.stress.max(initial=0.0)), now.temperatures, now.v_cell)
        most = float(now.reads.max())
        return Exposure(now.time, most * self.device.t_read if most else 0.0, now.temperatures)

    @property
    def pulses(self) -> np.ndarray:
        """Pulses that the last write took in each cell, int (n_rows, n_cols)."""
        pulses = self._state.pulses
        return _fixed(np.ones(self.shape, np.int32) if pulses is None else pulses)

    def snapshot(self) -> Snapshot:
        """Return the present state, to be restored later."""
        return Snapshot(self.time, deepcopy(self._state), (self.device, self.shape, self.seed, self.key))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a state of this die; what follows is drawn as it was the first time."""
        if not isinstance(snapshot, Snapshot) or snapshot._die != (self.device, self.shape, self.seed, self.key):
            raise ParameterError(f"{snapshot!r} is of another die; restore what snapshot() of this one returned")
        self._now, self._g = deepcopy(snapshot._state), None

    def circuit(self, wires: Wires | None = None, cell: Cell | None = None) -> DieCircuit:
        """Return the die as a circuit, with its broken and bridged lines.

        Parameters
        ----------
        wires : Wires, optional
            Resistances of the lines as designed.
        cell : optional
            The cell model; bridges and shorted cells need Ohmic ones.
        """
        shorted = self.faults is not None and bool((self.faults == SHORTED).any())
        bridges = self._lines is not None and bool(self._lines.bridged_wordlines or self._lines.bridged_bitlines)
        if (shorted or bridges) and not isinstance(cell or Ohmic(), Ohmic):
            raise ParameterError(f"cells are {type(cell).__name__}; bridged lines and shorted cells need Ohmic ones")
        g, wires, lines = self.conductance, wires or Wires(), self._lines
        rows, cols = np.arange(self.shape[0]), np.arange(self.shape[1])
        if lines is not None:
            wires.check(*self.shape)
            wires = broken(wires, lines, *self.shape)
            if bridges:
                r_short = self.device.faults.r_short
                assert r_short is not None  # Faults sees to that
                g, wires, rows, cols = bridged(g, wires, lines, r_short)
        return DieCircuit(Crossbar(g, wires=wires, cell=cell, plausible=self.device.plausible), rows, cols)

    def __repr__(self) -> str:
        if self._now is None:
            return f"Die({self.shape[0]} x {self.shape[1]}, blank)"
        return (
            f"Die({self.shape[0]} x {self.shape[1]}, {self.time:g} s and up to {self.reads.max():g} reads after the "
            f"last write, {self.truncated} cells cut to the physical range)"
        )
