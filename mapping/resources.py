"""Where shipped networks, chips and test sets lie: beside the sources, or inside the wheel."""

from __future__ import annotations

from pathlib import Path


def data_folder() -> Path:
    """Return the folder of shipped data, the same for an editable install and for a wheel."""
    package = Path(__file__).resolve().parent
    inside_wheel = package / "data"
    return inside_wheel if inside_wheel.is_dir() else package.parent / "data"
