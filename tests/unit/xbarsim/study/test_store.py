"""Stores of studies: they keep what is done, notice what is damaged, and refuse what is not theirs."""

import collections
import functools
import random
import sqlite3
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xbarsim as xb
from tests.builders.sweeps import failing, noisy, start, wait_for
from tests.oracles.study_script import study
from xbarsim.study.identity import describe
from xbarsim.study.store import DAMAGED, check


def one(rng):
    return 1


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
