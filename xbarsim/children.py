"""Processes that do not outlive the one that started them, however that one ends."""

from __future__ import annotations

import os
import threading
import time

_LOOKS = 0.5  # seconds between two


def end_with(parent: int) -> None:
    """End this process soon after its parent, given by its process ID, is gone.

    A killed process cannot tell its children. They would go on working, and hold its output open.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, name="end with the parent", daemon=True).start()
