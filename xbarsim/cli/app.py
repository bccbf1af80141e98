"""The ``xbarsim`` command: its verbs, each a parser and one call of the Python interface, and how it ends."""

from __future__ import annotations

import os
import signal
import sys

import typer

from xbarsim.cli.crossbars import solve, spice
from xbarsim.cli.devices import devices
from xbarsim.errors import XbarsimError

app = typer.Typer(
    help="Circuit-exact memristive crossbars, and binarized spiking networks on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (solve, spice, devices):
    app.command()(verb)


def main() -> None:
    """Run the command; errors made on purpose become one line and exit status 2.

    Ctrl-C gives 130, by typer; SIGTERM, as batch systems send it, ends a command in the same way and gives 143.
    """
    os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")  # idle OpenMP threads would slow torch's down
    terminated = []

    def terminate(*_: object) -> None:
        terminated.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        app()
    except XbarsimError as error:
        print(f"xbarsim: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        sys.exit(143 if terminated and end.code == 130 else end.code)
    finally:
        signal.signal(signal.SIGTERM, before)
