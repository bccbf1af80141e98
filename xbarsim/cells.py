"""Cell models: what current a cell carries at a given voltage."""

from __future__ import annotations

from xbarsim.parameters import Parameters


class Ohmic(Parameters):
    """A linear cell, i = g v."""
