"""Studies: the same numbers for any number of workers, whatever fails or is killed."""

import os
import random
import signal
import time
from itertools import product

import numpy as np
import pytest
import xarray as xr

import xbarsim as xb
from tests.builders.sweeps import failing, noisy, start, wait_for
from tests.oracles.study_script import AXES, TRIALS, study
from xbarsim.streams import stream


def killing(rng, a):
    if a == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"x": a + rng.normal()}


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
        assert data.attrs["function"] == "tests.builders.sweeps.noisy"

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
