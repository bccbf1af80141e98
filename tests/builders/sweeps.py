"""Studies of circuits in this process and others."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = str(Path(__file__).parents[2])


def noisy(rng, gain, offset):
    return {"sum": gain * rng.normal() + offset, "wave": ("time", gain * rng.normal(size=3))}


def failing(rng, a):
    if a == 2:
        raise ValueError("no")
    return {"x": a * rng.normal()}


def start(store, workers, result, **environment):
    env = os.environ | {"PYTHONPATH": ROOT} | environment
    call = "from tests.oracles.study_script import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", call, store, str(workers), result]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


def wait_for(path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.005)
