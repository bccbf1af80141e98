"""Processes of the command and of whatever is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path


def family(pid):
    """Return the processes that descend from one, by Linux's own record."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    for _ in range(5):
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def alive(pids):
    """Return which of some processes run still; those that nobody has collected do not."""
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def until(condition, seconds, what):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


def working(process):
    """Return the children of a process when they have used a second of processor time, as only those at work do."""

    def busy(pid):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return int(fields[11]) + int(fields[12]) > os.sysconf("SC_CLK_TCK")

    until(lambda: sum(map(busy, family(process.pid))) >= 2 or process.poll() is not None, 120, "no children at work")
    assert process.poll() is None
    return family(process.pid)


def run(*arguments, cwd=None, **options):
    command = [sys.executable, "-m", "mapping", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, **options)
