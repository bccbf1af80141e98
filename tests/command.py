"""The command in a process of its own."""

import os
import subprocess
import sys


def run(*arguments, cwd=None, **options):
    command = [sys.executable, "-m", "mapping", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, **options)
