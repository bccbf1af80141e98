"""The memristor: its two states, its read pulse, and the dies that are made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, model_validator

from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters
from xbarsim.streams import stream
from xbarsim.units import Conductance, Time, Voltage, parse_quantity


class Device(Parameters):
    """A two-state memristor.

    Attributes
    ----------
    g_lrs : float
        Conductance in the low-resistance state [S]; may be given as ``i_lrs`` [A] at ``v_read`` instead.
    on_off_ratio : float
        g_lrs / g_hrs, above 1.
    v_read : float
        Read voltage [V].
    t_read : float
        Length of a read pulse [s].
    d2d : float
        Device-to-device spread: relative standard deviation of a lognormal factor of mean 1 on each conductance.
    """

    g_lrs: Conductance
    on_off_ratio: float = Field(gt=1, allow_inf_nan=False)
    v_read: Voltage
    t_read: Time
    d2d: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _from_current(cls, values: Any) -> Any:
        if isinstance(values, dict) and "i_lrs" in values:
            if "g_lrs" in values:
                raise ValueError("Device: give g_lrs or i_lrs, not both")
            if "v_read" not in values:
                raise ValueError("Device.v_read is missing; i_lrs needs the voltage at which it flows")
            values = dict(values)
            current, voltage = parse_quantity(values.pop("i_lrs"), "A"), parse_quantity(values["v_read"], "V")
            if not (isinstance(current, int | float) and current > 0):
                raise ValueError(f"Device.i_lrs = {current!r}: give a current above 0 A")
            if isinstance(voltage, int | float) and voltage > 0:
                values["g_lrs"] = current / voltage
        return values

    @property
    def g_hrs(self) -> float:
        """Conductance in the high-resistance state [S]."""
        return float(self.g_lrs / self.on_off_ratio)

    def fabricate(self, shape: tuple[int, int], *, seed: int, key: tuple[int, ...] = ()) -> Die:
        """Make an array of devices; device-to-device variation is drawn here, once.

        Parameters
        ----------
        shape : (n_rows, n_cols)
            Size of the array.
        seed : int
            Root seed.
        key : tuple of int
            Tells arrays of one die apart, for example (layer, row tile, column tile).
        """
        draws = stream(seed, "d2d", *key)
        sigma = np.sqrt(np.log1p(self.d2d**2))
        if sigma == 0.0:
            return Die(self, np.ones(shape))
        normal = draws.standard_normal(shape)
        return Die(self, np.exp(sigma * normal - sigma**2 / 2))

    def program(self, bits: Any, *, seed: int) -> np.ndarray:
        """Fabricate an array and write ``bits`` (n_rows, n_cols) into it; return conductances [S]."""
        bits = np.asarray(bits)
        if bits.ndim != 2:
            raise ParameterError(f"bits have the shape {bits.shape}; give (n_rows, n_cols)")
        return self.fabricate((bits.shape[0], bits.shape[1]), seed=seed).program(bits)


class Die:
    """One fabricated array: what its devices conduct relative to the nominal device."""

    def __init__(self, device: Device, factor: np.ndarray) -> None:
        self.device, self.factor = device, factor

    def program(self, bits: Any) -> np.ndarray:
        """Write ``bits`` in {0, 1}, 1 for the low-resistance state; return conductances (n_rows, n_cols) [S]."""
        bits = np.asarray(bits)
        if bits.shape != self.factor.shape:
            raise ParameterError(f"bits have the shape {bits.shape}; the die has {self.factor.shape}")
        if not np.isin(bits, (0, 1)).all():
            raise ParameterError("bits hold values other than 0 and 1")
        return np.asarray(np.where(bits == 1, self.device.g_lrs, self.device.g_hrs) * self.factor)
