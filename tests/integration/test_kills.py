"""What is killed at random moments goes on where it was, and leaves nothing behind."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from safetensors.torch import load_file

import mapping as mp
from mapping.study.table import rows
from tests.builders.processes import until, working
from tests.builders.studies import write
from tests.builders.tasks import states


def trained(path):
    """Return how many trials have finished an epoch."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT count(DISTINCT trial_id) FROM trial_intermediate_values").fetchone()[0]


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGKILL))],
    ids=lambda number: number.name,
)
def test_trials_of_a_search_that_ends_early_have_failed(number, tmp_path):
    """At once; of one that was killed, when the next search finds that it has shown no sign of life."""
    path, digits = tmp_path / "search.db", tmp_path / "digits.npz"
    images, labels = mp.load_dataset("mnist")
    np.savez(digits, images=images[:300], labels=labels[:300])
    options = {
        "processes": 2,
        "epochs": 1000,
        "images": 300,
        "validation": 20,
        "dataset": digits,
        "test-dataset": digits,
    }
    command = [sys.executable, "-m", "mapping", "search", path, *(f"--{k}={v}" for k, v in options.items())]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        working(run)
        until(lambda: trained(path) == 2, 60, "no trials")
        if number == signal.SIGINT:
            os.killpg(run.pid, number)  # as a terminal does
        else:
            run.send_signal(number)
        text = run.communicate(timeout=60)[0].decode()
    finally:
        run.kill()
    assert "Traceback" not in text, text
    assert run.returncode in (128 + number, -number)
    if number == signal.SIGKILL:
        assert "RUNNING" in states(path)
    else:
        until(lambda: "FAIL" in states(path) and "RUNNING" not in states(path), 10, states(path))


TRAIN = """
import sys
import mapping as mp
from tests.builders.tasks import LONG, SMALL, small_task

network = mp.train(SMALL, *small_task(), LONG, checkpoint=sys.argv[1])
mp.save_network(network, sys.argv[1] + "/net.safetensors")
"""


@pytest.mark.compiled
@pytest.mark.slow
def test_training_that_is_killed_twenty_times_is_the_same_bit_for_bit(tmp_path):
    """Each time at a random moment, the writing of checkpoints included."""
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    command = [sys.executable, "-c", TRAIN]
    subprocess.run([*command, calm], check=True)
    moments, kills = random.Random(1), 0
    while kills < 20:
        run = subprocess.Popen([*command, killed])
        path, epochs = killed / "run.safetensors", moments.randrange(1, 4)
        seen, stamps = None, 0
        while stamps < epochs and run.poll() is None:  # not before some epochs, so that it gets on
            now = path.stat().st_mtime_ns if path.exists() else None
            seen, stamps = now, stamps + (now != seen)
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))
        if run.poll() is not None:
            break
        run.send_signal(signal.SIGKILL)
        run.wait()
        kills += 1
    subprocess.run([*command, killed], check=True)
    assert kills == 20
    assert sorted(path.name for path in killed.iterdir()) == ["net.safetensors", "run.safetensors"]
    expected, found = load_file(calm / "net.safetensors"), load_file(killed / "net.safetensors")
    assert expected.keys() == found.keys() and all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(study, tmp_path):
    path = write(study.replace(trials=40), tmp_path / "mine.toml")
    store, result = tmp_path / "store", tmp_path / "out.json"
    command = [sys.executable, "-m", "mapping", "study", str(path), "--store", str(store), "--workers", "1"]
    command += ["--json", str(result)]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    log = store / "study.sqlite-wal"
    while not log.exists() or log.stat().st_size < 100_000:  # about ten trials
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with closing(sqlite3.connect(store / "study.sqlite")) as database:
        assert 0 < database.execute("SELECT count(*) FROM results").fetchone()[0] < 80
    assert not result.exists()
    assert subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=300).returncode == 0
    whole = rows(mp.run_study(study.replace(trials=40), workers=1))
    assert json.loads(result.read_text())["trials"] == whole
