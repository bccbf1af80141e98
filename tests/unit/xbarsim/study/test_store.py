"""Studies: the same numbers for any number of workers, whatever is killed; stores refuse what is not theirs."""

import collections
import functools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xbarsim as xb
from tests.oracles.study_script import AXES, TRIALS, loss, study
from xbarsim.streams import stream
from xbarsim.study.identity import describe
from xbarsim.study.store import DAMAGED, check

ROOT = str(Path(__file__).parents[4])


def noisy(rng, gain, offset):
    return {"sum": gain * rng.normal() + offset, "wave": ("time", gain * rng.normal(size=3))}


def one(rng):
    return 1


def failing(rng, a):
    if a == 2:
        raise ValueError("no")
    return {"x": a * rng.normal()}


def killing(rng, a):
    if a == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"x": a + rng.normal()}


@pytest.fixture(scope="module")
def expected():
    return study(None, 1)


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


class TestNumbers:
    def test_each_point_is_the_function_of_its_values_and_the_trials_generator(self):
        axes = {"gain": [1.0, 3.0], "offset": [0, 5, 7]}
        data = xb.sweep(noisy, axes, n_trials=4, seed=9, workers=1, units={"gain": "S", "sum": "A"})
        for (i, gain), (j, offset), trial in product(enumerate([1.0, 3.0]), enumerate([0, 5, 7]), range(4)):
            rng = stream(9, "trial", trial)
            assert data["sum"].values[i, j, trial] == gain * rng.normal() + offset
            assert (data["wave"].values[i, j, trial] == gain * rng.normal(size=3)).all()
        assert data["sum"].dims == ("gain", "offset", "trial")
        assert data["wave"].dims == ("gain", "offset", "trial", "time")
        assert data["gain"].attrs == {"units": "S"} and data["sum"].attrs == {"units": "A"}
        assert (data["error"] == "").all()
        assert data.attrs["seed"] == "9" and data.attrs["version_xbarsim"] == xb.__version__
        assert data.attrs["function"] == "tests.unit.xbarsim.study.test_store.noisy"

    def test_monte_carlo_is_a_sweep_without_axes(self):
        data = xb.monte_carlo(lambda rng: {"x": rng.normal()}, 5, seed=2, workers=1)
        assert data["x"].dims == ("trial",)
        assert list(data["x"].values) == [stream(2, "trial", k).normal() for k in range(5)]

    def test_trials_do_not_depend_on_their_number(self):
        few, many = (xb.sweep(noisy, {"gain": [2], "offset": [1]}, n_trials=n, workers=1) for n in (2, 6))
        xr.testing.assert_equal(few, many.isel(trial=slice(2)))

    def test_any_number_of_workers_gives_the_same(self, expected):
        xr.testing.assert_identical(study(None, 2), expected)
        xr.testing.assert_identical(study(None, 3), expected)

    def test_functions_of_functions_go_to_other_processes(self):
        factor = 3.0
        data = xb.monte_carlo(lambda rng: {"x": factor * rng.random()}, 3, workers=2)
        assert list(data["x"].values) == [3.0 * stream(0, "trial", k).random() for k in range(3)]

    def test_short_arrays_and_missing_results_are_no_numbers(self):
        def ragged(rng, n):
            return {"a": ("row", np.ones(n, dtype=int))} | ({"b": n} if n > 1 else {})

        data = xb.sweep(ragged, {"n": [1, 3]}, workers=1)
        assert np.array_equal(data["a"].values[:, 0], [[1, np.nan, np.nan], [1, 1, 1]], equal_nan=True)
        assert np.array_equal(data["b"].values[:, 0], [np.nan, 3], equal_nan=True)

    def test_whole_numbers_stay_whole(self):
        data = xb.monte_carlo(lambda rng: {"n": 3, "yes": True}, 2, workers=1)
        assert data["n"].dtype == np.int64 and data["yes"].dtype == bool

    def test_the_data_set_survives_a_netcdf_file(self, expected, tmp_path):
        expected.to_netcdf(tmp_path / "study.nc")
        with xr.open_dataset(tmp_path / "study.nc") as read:
            xr.testing.assert_identical(read.load().drop_vars("error"), expected.drop_vars("error"))


class TestFailures:
    def test_a_failing_point_is_recorded_and_the_others_go_on(self):
        with pytest.warns(UserWarning, match="2 of 6 trials failed, the first: ValueError: no"):
            data = xb.sweep(failing, {"a": [1, 2, 3]}, n_trials=2, workers=1)
        assert list(data["error"].values.ravel()) == ["", "", "ValueError: no", "ValueError: no", "", ""]
        assert np.isnan(data["x"].values[1]).all() and not np.isnan(data["x"].values[[0, 2]]).any()

    def test_or_ends_the_study_if_told(self, tmp_path):
        with pytest.raises(xb.TrialError, match="a = 2, trial 0: ValueError: no") as told:
            xb.sweep(failing, {"a": [1, 2, 3]}, workers=1, on_error="raise", store=tmp_path)
        assert "\n" not in str(told.value) and "in failing" in told.value.__notes__[0]
        with pytest.warns(UserWarning, match="1 of 3"):
            assert xb.sweep(failing, {"a": [1, 2, 3]}, workers=1, store=tmp_path)["x"].count() == 2

    def test_failed_trials_are_tried_again_when_told(self, tmp_path):
        door = tmp_path / "door"

        def entering(rng):
            return {"x": len(door.read_text())}

        with pytest.raises(xb.TrialError, match="FileNotFoundError"):
            xb.monte_carlo(entering, 2, workers=1, store=tmp_path)
        door.write_text("open")
        with pytest.raises(xb.TrialError, match="all 2 trials failed"):
            xb.monte_carlo(entering, 2, workers=1, store=tmp_path)
        assert list(xb.monte_carlo(entering, 2, workers=1, store=tmp_path, retry_failed=True)["x"]) == [4, 4]

    @pytest.mark.parametrize(
        ("returned", "reason"),
        [
            ([1], "returned list"),
            ({"x": "text"}, "x = 'text'"),
            ({"trial": 1}, "named 'trial'"),
            ({"a": 1}, "named 'a'"),
            ({"x": (("a",), [1, 2])}, "dimensions"),
            ({"x": (("u", "v"), [1, 2])}, "dimensions"),
        ],
    )
    def test_results_that_are_no_numbers(self, returned, reason):
        with pytest.raises(xb.TrialError, match=reason):
            xb.sweep(lambda rng, a: returned, {"a": [1]}, workers=1, on_error="raise")

    def test_a_process_that_dies_fails_its_trial_only(self):
        with pytest.warns(UserWarning, match="2 of 8 trials failed, the first: its process died"):
            data = xb.sweep(killing, {"a": [1, 2, 3, 4]}, n_trials=2, workers=2)
        alive = data.isel(a=[0, 2, 3])
        assert (alive["error"] == "").all()
        for trial in range(2):
            assert (alive["x"].values[:, trial] == np.array([1, 3, 4]) + stream(0, "trial", trial).normal()).all()

    def test_dimensions_that_differ_fail_their_trial(self):
        def changing(rng, n):
            return {"x": np.zeros((2,) * n)}

        with pytest.warns(UserWarning, match="dimensions"):
            data = xb.sweep(changing, {"n": [1, 2]}, workers=1)
        assert data["x"].shape == (2, 1, 2) and "dimensions" in str(data["error"].values[1, 0])

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"axes": {"a": []}}, "no values"),
            ({"axes": {"a": [1, 1]}}, "each value once"),
            ({"axes": {"a": [1, "x"]}}, "not both"),
            ({"axes": {"a": "abc"}}, "list of values"),
            ({"axes": {"trial": [1]}}, "axis 'trial'"),
            ({"axes": {"a": [float("nan")]}}, "nan"),
            ({"axes": {"a": [[1]]}}, r"\[1\]"),
            ({"n_trials": 0}, "n_trials = 0"),
            ({"seed": -1}, "seed = -1"),
            ({"workers": 0}, "workers = 0"),
            ({"on_error": "ignore"}, "on_error = 'ignore'"),
            ({"workers": 1, "cluster": "tcp://127.0.0.1:1"}, "not both"),
            ({"function": 3}, "function = 3"),
        ],
    )
    def test_wrong_arguments_are_refused_before_work(self, options, reason):
        def never(rng, a):
            raise AssertionError

        with pytest.raises(xb.ParameterError, match=reason):
            xb.sweep(**{"function": never, "axes": {"a": [1]}} | options)

    def test_a_function_that_cannot_be_sent_is_refused_with_its_cause(self):
        class Handle:
            def __reduce__(self):
                raise OSError("the instrument is in use")

        handle = Handle()

        def task(rng, a):
            return {"x": a if isinstance(handle, Handle) else None}

        with pytest.raises(xb.ParameterError, match=r"\(OSError: the instrument is in use\).*workers=1") as caught:
            xb.sweep(task, {"a": [1, 2]}, workers=2)
        assert isinstance(caught.value.__cause__, OSError)
        np.testing.assert_array_equal(xb.sweep(task, {"a": [1, 2]}, workers=1)["x"].values.ravel(), [1, 2])


class TestInterruptions:
    @pytest.mark.slow
    def test_killed_at_ten_random_moments_and_resumed_it_is_the_same(self, expected, tmp_path):
        rng, store, log = random.Random(1), tmp_path / "store", tmp_path / "log"
        done = []
        for attempt in range(10):
            begun = tmp_path / f"begun{attempt}"
            workers = 1 + attempt % 2
            running = start(
                store, workers, tmp_path / "no.nc", STUDY_BEGUN=str(begun), STUDY_PAUSE="0.01", STUDY_LOG=str(log)
            )
            if attempt % 3:  # while it computes, rather than while it starts
                wait_for(begun)
            time.sleep(rng.uniform(0, 0.12 if attempt % 3 else 1.5))
            running.kill()
            running.wait()
            running.stderr.close()
            done.append(len(log.read_text().splitlines()) if log.exists() else 0)
        assert 0 < done[-1] < len(AXES["on_off_ratio"]) * len(AXES["r_wire"]) * TRIALS, "kills came too early or late"
        final = start(store, 2, tmp_path / "end.nc", STUDY_LOG=str(log))
        assert final.wait() == 0, final.stderr.read()
        final.stderr.close()
        with xr.open_dataset(tmp_path / "end.nc") as read:
            xr.testing.assert_identical(read.load().drop_vars("error"), expected.drop_vars("error"))
        ends = log.read_text().splitlines()
        assert len(ends) - len(set(ends)) <= 2 * len(done), "more is repeated than what was on its way at a kill"
        assert len(set(ends)) == expected["lost"].size

    @pytest.mark.compiled
    @pytest.mark.parametrize("workers", [1, 2])
    def test_ctrl_c_keeps_what_is_done(self, workers, expected, tmp_path):
        begun, result = tmp_path / "begun", tmp_path / "part.nc"
        running = start(tmp_path / "store", workers, result, STUDY_BEGUN=str(begun), STUDY_PAUSE="0.02")
        wait_for(begun)
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        assert running.wait() == 0, running.stderr.read()
        running.stderr.close()
        with xr.open_dataset(result) as part:
            done = (part["error"] == "").values
            assert 0 < done.sum() < done.size
            assert (part["error"].values[~done] == "not done").all()
            assert (part["lost"].values[done] == expected["lost"].values[done]).all()
            assert np.isnan(part["lost"].values[~done]).all()

    def test_ctrl_c_without_a_store_returns_what_is_done(self):
        def interrupting(rng, a):
            if a == 3:
                raise KeyboardInterrupt
            return {"x": a}

        with pytest.warns(UserWarning, match="interrupted"):
            data = xb.sweep(interrupting, {"a": [1, 2, 3, 4]}, workers=1)
        assert list(data["error"].values.ravel()) == ["", "", "not done", "not done"]


class TestStore:
    def test_a_study_may_get_more_trials_and_values(self, tmp_path):
        calls = tmp_path / "calls"

        def counted(rng, a):
            with calls.open("a") as file:
                file.write(".")
            return {"x": a * rng.normal()}

        xb.sweep(counted, {"a": [1, 2]}, n_trials=2, workers=1, store=tmp_path / "s")
        grown = xb.sweep(counted, {"a": [1, 1.5, 2.0]}, n_trials=3, workers=1, store=tmp_path / "s")
        assert len(calls.read_text()) == 9
        fresh = xb.sweep(counted, {"a": [1, 1.5, 2.0]}, n_trials=3, workers=1)
        xr.testing.assert_identical(grown, fresh)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"seed": 1}, "its seed differs: 0 there, 1 now"),
            ({"function": noisy}, "its function differs"),
            ({"axes": {"a": [1, 3]}}, "holds results at a = 2"),
            ({"axes": {"b": [1, 2]}}, "its axes differs"),
            ({"n_trials": 1}, "holds 2 trials"),
            ({"parameters": {"g_lrs": 1e-6}}, "its parameters differs"),
        ],
    )
    def test_another_study_is_refused_and_the_store_left_alone(self, change, reason, tmp_path):
        def function(rng, a):
            return {"x": a * rng.normal()}

        given = {"function": function, "axes": {"a": [1, 2]}, "n_trials": 2, "workers": 1, "store": tmp_path}
        first = xb.sweep(**given)
        content = (tmp_path / "study.sqlite").read_bytes()
        with pytest.raises(xb.FileError, match=reason):
            xb.sweep(**given | change)
        assert (tmp_path / "study.sqlite").read_bytes() == content
        xr.testing.assert_identical(xb.sweep(**given), first)

    def test_a_function_that_has_changed_is_another_study(self, tmp_path):
        def made(factor):
            return lambda rng: {"x": factor * rng.normal()}

        xb.monte_carlo(made(1), 1, workers=1, store=tmp_path)
        xb.monte_carlo(made(1), 1, workers=1, store=tmp_path)
        with pytest.raises(xb.FileError, match="its code differs"):
            xb.monte_carlo(made(2), 1, workers=1, store=tmp_path)

    def test_digests_tell_functions_apart(self):
        def keyed(a, b=1):
            return a + b

        def calls_itself(n):
            return calls_itself(n - 1) if n else 0

        functions = [
            keyed,
            functools.partial(keyed, 1),
            functools.partial(keyed, 2),
            functools.partial(keyed, b=np.arange(3)),
            functools.partial(keyed, b=np.arange(4)),
            functools.partial(keyed, b={"u": 1, "v": 2}),
            functools.partial(keyed, b={"u": 1, "v": 3}),
            functools.partial(keyed, b=xb.Wires(r_wordline=1)),
            functools.partial(keyed, b=xb.Wires(r_wordline=2)),
            calls_itself,
            random.Random(1).gauss,
        ]
        codes = [describe(function)["code"] for function in functions]
        assert len(set(codes)) == len(codes)
        assert codes == [describe(function)["code"] for function in functions]
        swapped = functools.partial(keyed, b={"v": 2, "u": 1})
        assert describe(swapped)["code"] == codes[5]

    def test_a_store_of_another_version_is_refused(self, tmp_path):
        def function(rng):
            return {"x": 1}

        xb.monte_carlo(function, 1, workers=1, store=tmp_path)
        file = tmp_path / "study.sqlite"
        with sqlite3.connect(file) as store:
            store.execute("UPDATE study SET value = replace(value, ?, '0.0.9')", (xb.__version__,))
            store.execute("DELETE FROM study WHERE name = 'digest'")
        store.close()
        content = file.read_bytes()
        with pytest.raises(xb.FileError, match=f"made by xbarsim 0.0.9, this is {xb.__version__}"):
            xb.monte_carlo(function, 1, workers=1, store=tmp_path)
        assert file.read_bytes() == content

    def test_other_versions_of_packages_are_noted(self, tmp_path):
        def function(rng):
            return {"x": 1}

        xb.monte_carlo(function, 1, workers=1, store=tmp_path)
        with sqlite3.connect(tmp_path / "study.sqlite") as store:
            store.execute("UPDATE study SET value = replace(value, ?, '1.0.0')", (np.__version__,))
            store.execute("DELETE FROM study WHERE name = 'digest'")
        store.close()
        data = xb.monte_carlo(function, 2, workers=1, store=tmp_path)
        assert data.attrs["version_numpy"] == f"1.0.0, {np.__version__}"

    @pytest.fixture
    def stored(self, tmp_path):
        """A store of twelve trials, what they are, and how to get them again."""

        def function(rng, a):
            return {"x": a * rng.normal(), "wave": ("time", rng.normal(size=40))}

        def again(**options):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of trials that failed
                return xb.sweep(function, {"a": [1, 2, 3]}, n_trials=4, workers=1, store=tmp_path, **options)

        return tmp_path / "study.sqlite", again(), again

    def test_damaged_trials_fail_alone_and_are_done_again_when_asked(self, stored):
        file, data, again = stored
        with sqlite3.connect(file) as store:
            rows = store.execute("SELECT rowid, arrays FROM results").fetchall()
            blob = bytearray(rows[5][1])
            blob[len(blob) // 3] ^= 1
            store.execute("UPDATE results SET arrays = ? WHERE rowid = ?", (bytes(blob), rows[5][0]))
            store.execute("UPDATE results SET dims = '{' WHERE rowid = ?", (rows[7][0],))
        store.close()
        count, damaged = check(file.parent)
        assert count == 12 and len(damaged) == 2 and all(text.startswith("trial ") for text in damaged)
        found = again()
        bad = found["error"].values == DAMAGED
        assert bad.sum() == 2 and not (found["error"].values[~bad] != "").any()
        np.testing.assert_array_equal(found["x"].values[~bad], data["x"].values[~bad])
        xr.testing.assert_identical(again(retry_failed=True), data)
        assert check(file.parent) == (12, [])

    def test_flipped_bytes_never_change_a_value_silently(self, stored):
        """500 files with one to eight flipped bytes, and 50 that are cut off: refused, or trials are damaged."""
        file, data, again = stored
        content, rng, kinds = file.read_bytes(), np.random.default_rng(0), collections.Counter()
        for k in range(550):
            broken = bytearray(content)
            if k < 500:
                for place in rng.integers(len(content), size=rng.integers(1, 9)):
                    broken[place] ^= 1 << rng.integers(8)
            else:
                del broken[rng.integers(len(content)) :]
            for left in file.parent.glob("study.sqlite-*"):
                left.unlink()
            file.write_bytes(broken)
            try:
                check(file.parent)
                found = again()
            except xb.FileError as error:
                assert len(str(error)) < 200 + len(str(file))
                kinds["refused"] += 1
                continue
            bad = (found["error"] != "").values
            assert set(found["error"].values[bad]) <= {DAMAGED}
            for name in ("x", "wave"):
                np.testing.assert_array_equal(found[name].values[~bad], data[name].values[~bad])
            kinds["damaged" if bad.any() else "whole"] += 1
        assert kinds["refused"] > 50 and kinds["damaged"] > 50

    def test_stores_without_digests_go_on(self, stored):
        file, data, again = stored
        with sqlite3.connect(file) as store:
            store.execute("ALTER TABLE results DROP COLUMN digest")
            store.execute("DELETE FROM study WHERE name = 'digest'")
            store.execute("UPDATE study SET value = '1' WHERE name = 'format'")
            store.execute("DELETE FROM results WHERE trial = 3")
        store.close()
        assert check(file.parent) == (9, [])
        xr.testing.assert_identical(again(), data)
        assert check(file.parent) == (12, [])

    @pytest.mark.parametrize("text", ["\ud800", None], ids=["surrogate", "cannot be written"])
    def test_errors_that_are_no_texts_are_kept(self, text, tmp_path):
        class OddError(Exception):
            def __str__(self):
                if text is None:
                    raise RuntimeError("no")
                return text

        def function(rng, a):
            if a:
                raise OddError
            return {"x": a}

        with pytest.warns(UserWarning, match="2 of 4 trials failed"):
            data = xb.sweep(function, {"a": [0, 1]}, n_trials=2, workers=1, store=tmp_path)
        said = "(what it says cannot be had: RuntimeError)" if text is None else "\\ud800"
        assert data["error"].values.tolist() == [["", ""], [f"OddError: {said}"] * 2]

    def test_a_study_all_of_whose_trials_failed_is_an_error_and_stays_in_its_store(self, tmp_path):
        words = "all 3 trials failed, the first: ParameterError: the function returned int; return a dictionary"
        for _ in range(2):
            with pytest.raises(xb.TrialError, match=words):
                xb.monte_carlo(one, 3, workers=1, store=tmp_path)
        assert check(tmp_path) == (3, [])

    def test_two_studies_at_a_time_in_one_store(self, tmp_path):
        def nested(rng):
            xb.monte_carlo(failing, 1, workers=1, store=tmp_path)
            return {"x": 1}

        with pytest.raises(xb.TrialError, match="another study is using it"):
            xb.monte_carlo(nested, 1, workers=1, store=tmp_path, on_error="raise")

    def test_a_store_in_use_by_another_process(self, tmp_path):
        begun = tmp_path / "begun"
        running = start(tmp_path / "s", 1, tmp_path / "no.nc", STUDY_BEGUN=str(begun), STUDY_PAUSE="5")
        wait_for(begun)
        with pytest.raises(xb.FileError, match="another study is using it: wait"):
            study(tmp_path / "s", 1)
        running.kill()
        running.wait()
        running.stderr.close()

    def test_a_full_disk_keeps_what_was_done(self, tmp_path):
        size = 4 << 20
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], capture_output=True)
        if mounted.returncode:
            pytest.skip("no file system can be mounted here")
        try:
            with pytest.raises(xb.FileError, match=r"the disk is full: what was done before is kept; make room"):
                xb.sweep(large, {"a": list(range(40))}, workers=1, store=disk / "s")
            with pytest.raises(xb.FileError, match="the disk is full"):
                xb.sweep(large, {"a": list(range(40))}, workers=1, store=disk / "s")
            subprocess.run(["mount", "-o", f"remount,size={20 * size}", disk], check=True)
            data = xb.sweep(large, {"a": list(range(40))}, workers=1, store=disk / "s")
            assert (data["x"].values[:, 0, 0] == np.arange(40)).all()
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_a_store_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        for store in (tmp_path / "file", Path("/proc/xbarsim"), tmp_path / "file" / "s"):
            with pytest.raises(xb.FileError, match="cannot be made a folder"):
                xb.monte_carlo(failing, 1, workers=1, store=store)
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize("content", [b"this is no database, and longer than its header" * 4, None])
    def test_something_else_is_no_store(self, content, tmp_path):
        file = tmp_path / "study.sqlite"
        if content is None:
            with sqlite3.connect(file) as other:
                other.execute("CREATE TABLE mine (x)")
            other.close()
        else:
            file.write_bytes(content)
        before = file.read_bytes()
        with pytest.raises(xb.FileError, match="no store of a study"):
            xb.monte_carlo(failing, 1, workers=1, store=tmp_path)
        assert file.read_bytes() == before


def large(rng, a):
    return {"x": ("k", np.full(25_000, float(a)))}


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
