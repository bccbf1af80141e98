"""Resistances of lines and of their ends."""

from __future__ import annotations

from xbarsim.parameters import Parameters
from xbarsim.units import Resistance


class Wires(Parameters):
    """Wire, driver and sense resistances, all in ohm and all allowed to be zero.

    Wordline i is driven at column 0, bitline j is sensed after the last row::

        driver i --r_driver-- (i,0) --r_wordline-- (i,1) -- ... -- (i,n-1)
        (0,j) --r_bitline-- (1,j) -- ... -- (m-1,j) --r_sense-- sense node j

    Attributes
    ----------
    r_wordline, r_bitline : float
        One segment of wire between neighbouring cells.
    r_driver : float
        Everything between the ideal source and the first cell of a wordline.
    r_sense : float
        Everything between the last cell of a bitline and its sense node.
    """

    r_wordline: Resistance = 0.0
    r_bitline: Resistance = 0.0
    r_driver: Resistance = 0.0
    r_sense: Resistance = 0.0
