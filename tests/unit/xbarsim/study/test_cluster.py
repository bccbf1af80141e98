"""Studies on a Dask cluster whose workers and schedulers come and go."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import xbarsim as xb
from tests.builders.sweeps import ROOT, failing, noisy, wait_for
from tests.oracles.study_script import AXES, TRIALS, loss
from xbarsim.study.store import check


def marked(folder):
    """Return the study's function, slowed down and leaving a mark for each trial, and the folder of marks."""
    marks = folder / "marks"
    marks.mkdir()

    def slow(rng, on_off_ratio, r_wire):
        (marks / f"{on_off_ratio}-{r_wire}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(0.03)
        return loss(rng, on_off_ratio, r_wire)

    return slow, marks


class TestCluster:
    @pytest.fixture
    def begin(self, tmp_path):
        """Begins a scheduler and two workers, each a process of its own on the loopback interface."""
        pytest.importorskip("distributed")
        running, env = [], os.environ | {"PYTHONPATH": ROOT, "DASK_DISTRIBUTED__ADMIN__LOG_LENGTH": "0"}

        def process(kind, *options):
            command = [sys.executable, "-W", "ignore", "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *options]
            with (tmp_path / f"{kind}{len(running)}").open("w") as log:
                running.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=tmp_path))
            return running[-1]

        def all_of_them(*options):
            address_file = tmp_path / f"scheduler{len(running)}.json"
            scheduler = process("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", address_file)
            wait_for(address_file)
            address = json_of(address_file)["address"]
            workers = [worker(address, *(options or ["--no-nanny"])) for _ in range(2)]
            for each in workers:
                each.scheduler = scheduler
            return address, workers

        def worker(address, *options):
            return process("worker", address, "--nthreads", "1", "--name", str(len(running)), *options)

        all_of_them.worker = worker
        yield all_of_them
        for each in reversed(running):
            each.kill()
            each.wait()

    @pytest.fixture
    def cluster(self, begin):
        return begin()

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            (
                "raise ImportError('libtorch is not there')",
                "cannot import xbarsim (ImportError('libtorch is not there'))",
            ),
            ("", "No module named 'xbarsim.study'"),
        ],
    )
    def test_a_worker_that_cannot_import_the_package_is_refused(self, source, words, cluster, tmp_path):
        """Whatever its environment says is installed."""
        (tmp_path / "other/xbarsim").mkdir(parents=True)
        (tmp_path / "other/xbarsim/__init__.py").write_text(source)
        env = os.environ | {"PYTHONPATH": str(tmp_path / "other")}
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster[0], "--no-nanny", "--no-dashboard"]
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as worker:
            try:
                while "Starting established connection" not in worker.stderr.readline():
                    assert worker.poll() is None
                with pytest.raises(xb.ParameterError) as told:
                    xb.sweep(noisy, {"gain": [1.0]}, parameters={"offset": 0.0}, cluster=cluster[0])
                assert words in str(told.value)
            finally:
                worker.kill()

    @pytest.mark.compiled
    def test_one_of_two_workers_is_killed_half_way(self, cluster, expected, tmp_path):
        address, workers = cluster
        slow, marks = marked(tmp_path)

        def kill():
            while len({mark.name.split("-")[2] for mark in marks.iterdir()}) < 2 or len(list(marks.iterdir())) < 40:
                time.sleep(0.01)
            workers[0].kill()

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        data = xb.sweep(slow, AXES, n_trials=TRIALS, seed=5, cluster=address, store=tmp_path / "s")
        killer.join()
        assert workers[0].wait() < 0 and workers[1].poll() is None
        for name in ("lost", "i_bitline"):
            assert (data[name].values == expected[name].values).all()
        assert (data["error"] == "").all()

    @pytest.mark.compiled
    def test_the_scheduler_is_killed_and_another_one_started(self, begin, cluster, expected, tmp_path):
        """The study ends in order, and goes on with the next scheduler where it was."""
        address, workers = cluster
        slow, marks = marked(tmp_path)

        def kill():
            while len(list(marks.iterdir())) < 40:
                time.sleep(0.01)
            workers[0].scheduler.kill()

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        began = time.monotonic()
        with pytest.raises(xb.XbarsimError, match="the Dask scheduler at .* is gone; with a store, run again to go on"):
            xb.sweep(slow, AXES, n_trials=TRIALS, seed=5, cluster=address, store=tmp_path / "s")
        assert time.monotonic() - began < 60
        killer.join()
        done, damaged = check(tmp_path / "s")
        assert 20 < done < 120 and not damaged
        data = xb.sweep(slow, AXES, n_trials=TRIALS, seed=5, cluster=begin()[0], store=tmp_path / "s")
        for name in ("lost", "i_bitline"):
            assert (data[name].values == expected[name].values).all()
        assert len(list(marks.iterdir())) < 120 + 40

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:no workers are left")  # while both begin anew
    def test_trials_without_room_fail_and_others_go_on(self, begin):
        """One asks for more than there is; one is killed by the system wherever it runs, as Dask's nannies notice."""

        def greedy(rng, share):
            if share == 1:
                return {"x": np.zeros(1 << 50).sum()}
            if share == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return {"x": share}

        address, _ = begin("--nanny")
        with pytest.warns(UserWarning, match="4 of 12 trials failed"):
            data = xb.sweep(greedy, {"share": list(range(6))}, n_trials=2, cluster=address)
        assert data["x"].mean("trial").values[[0, 3, 4, 5]].tolist() == [0, 3, 4, 5]
        assert all("MemoryError" in text for text in data["error"].values[1])
        assert all("KilledWorker" in text for text in data["error"].values[2])

    @pytest.mark.slow
    def test_a_study_without_workers_says_that_it_waits(self, begin, monkeypatch):
        monkeypatch.setattr("xbarsim.study.engines._LOOKS", 0.2)
        address, workers = begin()

        def last(rng):
            os.kill(os.getpid(), signal.SIGKILL)

        over = threading.Event()

        def replace():
            while not over.wait(4):  # those that died, as batch systems do
                begin.worker(address, "--no-nanny")

        replacing = threading.Thread(target=replace, daemon=True)
        replacing.start()
        with (
            pytest.warns(UserWarning, match="no workers are left at .*: waiting for others"),
            pytest.raises(xb.TrialError, match="all 1 trials failed, the first: KilledWorker"),
        ):
            xb.monte_carlo(last, 1, cluster=address)
        over.set()
        replacing.join()
        assert all(worker.wait() < 0 for worker in workers)

    def test_no_scheduler_there(self):
        pytest.importorskip("distributed")
        with pytest.raises(xb.ParameterError, match="no Dask scheduler answers"):
            xb.monte_carlo(failing, 1, cluster="tcp://127.0.0.1:9")


def json_of(path):
    import json

    deadline = time.monotonic() + 30
    while True:
        try:
            return json.loads(path.read_text())
        except ValueError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
