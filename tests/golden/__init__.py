"""What chips do, as they did it at one commit: spikes, energies, areas, times. Structure may change none of them.

Written by ``python -m tests.golden``; whoever writes them anew says why in the commit.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def stored(name: str) -> str:
    """Return the name of a case's file."""
    return name.replace(", ", "-").replace(" ", "-")
