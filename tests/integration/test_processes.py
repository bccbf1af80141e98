"""Processes that are killed, terminated or forked: nothing stays behind, hangs or is lost."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.builders.processes import alive, family, until, working

SLOW = """
import sys
import time
import xbarsim as xb

def slow(rng, a):
    ends = time.perf_counter() + 0.5
    while time.perf_counter() < ends:
        pass
    return {"x": rng.random()}

if __name__ == "__main__":
    xb.sweep(slow, {"a": list(range(1000))}, n_trials=1, workers=2, store=sys.argv[1])
"""
SEARCH = """
import sys
import numpy as np
import mapping as mp
from mapping.training.search import Search, SearchSpace

if __name__ == "__main__":
    recipe = mp.load_recipe("mnist-bsnn").changed(epochs=1000, n_validation=20, batch_size=20)
    plan = Search(recipe=recipe, space=SearchSpace(), images=60, test_images=20)
    images, labels = mp.load_dataset("mnist")
    mp.search(plan, (images[:80], labels[:80]), (images[:20], labels[:20]), sys.argv[1], n_trials=50, processes=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("script", [SLOW, SEARCH], ids=["study", "search"])
def test_children_end_within_five_seconds_of_a_killed_parent(script, tmp_path):
    (tmp_path / "run.py").write_text(script)
    run = subprocess.Popen([sys.executable, tmp_path / "run.py", tmp_path / "store"], stdout=subprocess.PIPE)
    try:
        children = working(run)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    until(lambda: not alive(children), 5, "children live on")
    run.stdout.read()  # nobody holds it open
    run.stdout.close()


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sigterm_ends_a_study_as_ctrl_c_does(tmp_path):
    """What was done is kept, what was running is dropped, and the exit status is 143."""
    path = tmp_path / "mine.toml"
    path.write_text(
        'network = "mnist-bsnn"\nchip = "paper-bsnn"\nimages = 20\ntrials = 500\n'
        '[[axes]]\nname = "d2d"\nsets = ["chip.device.d2d"]\nvalues = [0.1, 0.2]\n'
    )
    store = tmp_path / "store"
    command = [sys.executable, "-m", "mapping", "study", str(path), "--store", str(store), "--workers", "2"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = store / "study.sqlite-wal"
    try:
        until(lambda: log.exists() and log.stat().st_size > 100_000, 120, "nothing done")
        children = family(run.pid)
        run.send_signal(signal.SIGTERM)
        text, error = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 143 and "trials are not done; run the same command again to go on" in " ".join(
        text.split()
    )
    assert "Traceback" not in error
    until(lambda: not alive(children), 5, "children live on")
    with closing(sqlite3.connect(store / "study.sqlite")) as database:
        (count,) = database.execute("SELECT count(*) FROM results WHERE error = ''").fetchone()
        (all_of_them,) = database.execute("SELECT count(*) FROM results").fetchone()
    assert 0 < count == all_of_them < 1000


POOL = """
import multiprocessing
import sys
from multiprocessing.pool import ThreadPool

import numpy as np

import xbarsim as xb

def solve(seed):
    g = np.random.default_rng(seed).uniform(1e-6, 1e-5, (8, 8))
    crossbar = xb.Crossbar(g, wires=xb.Wires(r_wordline=1.0, r_bitline=1.0))
    return xb.solve(crossbar, np.full((40, 8), 0.3), method="nodes").i_bitline.tobytes().hex()

if __name__ == "__main__":
    expected = [solve(seed) for seed in range(4)]
    if sys.argv[1] == "threads":
        pool = ThreadPool(4)
    elif sys.argv[1] == "loky":  # what joblib starts
        from loky import get_reusable_executor as pool_of

        assert list(pool_of(2).map(solve, range(4))) == expected
        sys.exit()
    else:
        pool = multiprocessing.get_context(sys.argv[1]).Pool(2)
    try:
        assert pool.map_async(solve, range(4)).get(60) == expected
    except xb.XbarsimError as error:
        sys.exit(f"refused: {error}")
    finally:
        pool.terminate()
"""


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("method", "layer"),
    [("fork", "omp"), ("fork", "workqueue"), ("spawn", "omp"), ("forkserver", "omp"), ("threads", "workqueue"),
     ("threads", "omp"), ("loky", "omp")],
)  # fmt: skip
def test_solves_in_other_processes_and_threads_give_the_same_bits(method, layer, tmp_path):
    """But for OpenMP after a fork, which is refused at once where it would hang."""
    (tmp_path / "run.py").write_text(POOL)
    environment = os.environ | {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    command = [sys.executable, "run.py", method]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    if (method, layer) == ("fork", "omp"):
        assert run.returncode == 1 and run.stderr.startswith("refused: this process was forked after a parallel kernel")
    else:
        assert run.returncode == 0, run.stderr


DAEMON = """
import multiprocessing
import xbarsim as xb

def trial(rng):
    return {"x": rng.random()}

def study(queue):
    alone = xb.monte_carlo(trial, 4)
    try:
        xb.monte_carlo(trial, 4, workers=2)
    except xb.ParameterError as error:
        queue.put((alone["x"].values.tolist(), str(error)))

if __name__ == "__main__":
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=study, args=(queue,), daemon=True)
    process.start()
    found, refusal = queue.get(timeout=60)
    assert found == xb.monte_carlo(trial, 4, workers=1)["x"].values.tolist()
    print(refusal)
"""


def test_a_daemonic_process_runs_a_study_by_itself(tmp_path):
    (tmp_path / "run.py").write_text(DAEMON)
    run = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert run.stdout == "this process is daemonic and may start no others; give workers=1, or a cluster\n", run.stderr
