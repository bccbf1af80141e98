"""What this machine can hold."""

from __future__ import annotations

import os

from xbarsim.errors import ParameterError
from xbarsim.units import format_quantity


def check_memory(n_rows: int, n_cols: int, n_reads: int, arrays: float) -> None:
    """Raise an error if so many arrays of a crossbar and the line currents of n reads exceed the memory installed."""
    needed = 8 * (n_rows * n_cols * arrays + 2 * n_reads * (n_rows + n_cols))
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.9 * installed:
        raise ParameterError(
            f"{n_reads} read(s) of {n_rows} x {n_cols} cells need {format_quantity(needed, 'B')} of memory, this "
            f"machine has {format_quantity(installed, 'B')}; solve fewer reads at a time or a smaller crossbar"
        )
