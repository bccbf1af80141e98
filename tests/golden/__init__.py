"""What chips do, as they did it at one commit: spikes, energies, areas, times. Structure may change none of them.

Written by ``python -m tests.golden``; whoever writes them anew says why in the commit.
"""

from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent


def machine() -> dict[str, str]:
    """Return what the last bits of a number depend on."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.is_file() else []
    packages = ("numpy", "scipy", "numba", "torch")
    return {"cpu": names[0].partition(": ")[2] if names else ""} | {name: version(name) for name in packages}


def stored(name: str) -> str:
    """Return the name of a case's file."""
    return name.replace(", ", "-").replace(" ", "-")
