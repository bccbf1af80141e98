"""Searches: reproducible, continued, shared; what befalls their storage is said in one line and costs no trial."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import mapping as mp
import xbarsim as xb
from mapping.training import search, search_storage
from tests.builders.tasks import PLAN, SMALL, data, small_task, states


@pytest.mark.compiled
def test_search_is_reproducible_prunes_and_resumes(tmp_path):
    images, labels = small_task()
    data, test = (images[:300], labels[:300]), (images[300:], labels[300:])
    found = mp.search(PLAN, data, test, tmp_path / "one.db", n_trials=20)
    assert len(found) == 20 and set(found.state) == {"COMPLETE", "PRUNED"}
    assert (found.epochs[found.state == "COMPLETE"] == 3).all() and (found.epochs[found.state == "PRUNED"] < 3).all()
    assert found.validation_accuracy.max() > 0.9 and found.test_accuracy.between(0, 1).all()
    assert found.threshold.between(0.5, 3).all() and set(found["clip"]) == {True, False}

    part = mp.search(PLAN, data, test, tmp_path / "two.db", n_trials=5)
    first = ["beta", "threshold", "slope", "learning_rate", "validation_accuracy", "test_accuracy"]
    assert part[first].equals(found[first].head(5))
    rest = mp.search(PLAN, data, test, tmp_path / "two.db", n_trials=8)
    assert len(rest) == 8 and rest[first].head(5).equals(part[first]) and rest.beta.nunique() == 8

    best = found.loc[found.validation_accuracy.idxmax()]
    recipe = PLAN.recipe.changed(
        **{name: float(best[name]) for name in ("beta", "threshold", "slope", "learning_rate", "dropout")},
        clip=bool(best["clip"]), clip_weights=bool(best.clip_weights),
        max_grad_norm=1.0 if best.clip_gradients else None,
    )  # fmt: skip
    again = mp.train(recipe.network, images[:200], labels[:200], recipe.training)
    assert again.metadata["validation_accuracy"] == best.validation_accuracy

    found.to_csv(tmp_path / "found.csv", index=False)
    assert len(mp.trials(tmp_path / "found.csv")) == 20
    figure = mp.accuracy_contours(mp.trials(tmp_path / "found.csv"))
    assert [ax.get_xlabel() for ax in figure.axes[:3]] == [
        "membrane decay beta",
        "surrogate slope k",
        "membrane decay beta",
    ]
    with pytest.raises(xb.FileError, match="holds a search with other settings"):
        mp.search(PLAN.replace(seed=1), data, test, tmp_path / "two.db", n_trials=9)
    with pytest.raises(xb.ParameterError, match="n_validation = 60 of 50 images"):
        mp.search(PLAN.replace(images=50), data, test, tmp_path / "three.db")
    assert not (tmp_path / "three.db").exists()
    with pytest.raises(xb.FileError, match="no such file"):
        mp.trials(tmp_path / "three.db")
    (tmp_path / "text.db").write_text("no data base" * 100)
    for use in (mp.trials, lambda path: mp.search(PLAN, data, test, path)):
        with pytest.raises(
            xb.FileError, match=r"text\.db: cannot be used \(file is not a database\); it is no storage of a search"
        ):
            use(tmp_path / "text.db")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"learning_rate": (0, 0.1)},
            r"learning_rate = \(0, 0.1\): give the lowest value, then the highest, from 1e-12",
        ),
        ({"beta": (0.5, 3)}, r"beta = \(0.5, 3\): .*from 0 to 1"),
        ({"slope": (5, 2)}, r"slope = \(5, 2\)"),
        ({"max_grad_norm": 0}, "SearchSpace.max_grad_norm = 0"),
    ],
)
def test_bad_search_spaces(space, message):
    with pytest.raises(xb.ParameterError, match=message):
        mp.SearchSpace(**space)


@pytest.mark.compiled
def test_search_in_two_processes(tmp_path):
    images, labels = small_task()
    data = (images, labels)
    done = []
    found = mp.search(
        PLAN, data, data, tmp_path / "two.db", n_trials=6, processes=2, progress=lambda n, best: done.append((n, best))
    )
    assert 6 <= len(found) <= 7 and done[-1] == (len(found), found.validation_accuracy.max())


def delete(path):
    path.unlink()


def overwrite(path):
    path.write_bytes(b"nonsense" * 1000)


def put_other_tables(path):
    with closing(sqlite3.connect(path)) as file:
        file.executescript("DROP TABLE trial_params; CREATE TABLE mine (x)")


def lock(path):
    file = sqlite3.connect(path, check_same_thread=False)
    file.execute("BEGIN EXCLUSIVE")
    return file


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("happens", "remedy"),
    [(delete, "it was deleted or moved meanwhile: bring it back"), (overwrite, "or a damaged one: give another file"),
     (put_other_tables, "no such table"), (lock, "another program keeps it: wait for its end")],
)  # fmt: skip
def test_what_befalls_the_storage_of_a_search_is_said_in_one_line(happens, remedy, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(search_storage, "_WAIT", 1)
    monkeypatch.setattr(search_storage, "_BEAT", 0.05)  # so that signs of life meet it too
    path, kept = tmp_path / "search.db", []

    def progress(done, _):
        if done == 2 and not kept:
            kept.append(happens(path) or "happened")

    with pytest.raises(xb.FileError, match=remedy) as told:
        mp.search(PLAN, *data(), path, n_trials=5, progress=progress)
    assert "\n" not in str(told.value) and len(str(told.value)) <= 200 + len(str(path))
    assert capfd.readouterr() == ("", "")
    if happens is lock:
        kept[0].close()
        assert len(mp.search(PLAN, *data(), path, n_trials=3)) == 3


@pytest.mark.compiled
def test_what_befalls_the_storage_reaches_the_caller_from_other_processes(tmp_path, capfd):
    path = tmp_path / "search.db"
    with pytest.raises(xb.FileError, match=r"search\.db: cannot be used"):
        mp.search(
            PLAN,
            *data(),
            path,
            n_trials=500,
            processes=2,
            progress=lambda done, _: overwrite(path) if done > 1 else None,
        )
    assert capfd.readouterr() == ("", "")


@pytest.mark.compiled
def test_a_trial_that_another_search_took_for_a_killed_one_is_made_up_for(tmp_path, monkeypatch):
    """As when a machine sleeps for longer than a trial may be silent."""
    path, real, calls = tmp_path / "search.db", search.train, []

    def asleep(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            with closing(sqlite3.connect(path)) as file, file:
                file.execute("UPDATE trials SET state = 'FAIL' WHERE state = 'RUNNING'")
        return real(*args, **options)

    monkeypatch.setattr(search, "train", asleep)
    assert len(mp.search(PLAN, *data(), path, n_trials=4)) == 4 and len(calls) == 5


SHARED = """
import sys
import mapping as mp
from tests.builders.tasks import PLAN, data

print(len(mp.search(PLAN, *data(), sys.argv[1], n_trials=8)))
"""


@pytest.mark.compiled
def test_two_searches_make_and_share_one_storage(tmp_path):
    command = [sys.executable, "-c", SHARED, str(tmp_path / "search.db")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        text, error = run.communicate(timeout=120)
        assert run.returncode == 0, error
        assert 8 <= int(text) <= 9 and not error


@pytest.mark.compiled
def test_training_that_diverges_is_a_pruned_trial(tmp_path, monkeypatch):
    monkeypatch.setitem(search._LIMITS, "learning_rate", (1e-12, 1e30))
    layers = [mp.LayerSpec(kind="dense", out=2)]
    network = SMALL.replace(layers=layers, weights="float", decoder="membrane", dropout=0.0)
    space = mp.SearchSpace(learning_rate=(1e-3, 1e30), conditions=False)
    wild = PLAN.replace(recipe=PLAN.recipe.replace(network=network), space=space)
    found = mp.search(wild, *data(), tmp_path / "search.db", n_trials=12)
    diverged = found[found.validation_accuracy.isna()]
    assert 0 < len(diverged) < 12 and set(diverged.state) == {"PRUNED"} and (diverged.learning_rate > 1e9).all()
    assert mp.accuracy_contours(found)


@pytest.mark.compiled
def test_trials_without_a_sign_of_life_have_failed_for_the_next_search(tmp_path, monkeypatch):
    monkeypatch.setattr(search_storage, "_SILENT", 1)
    path = tmp_path / "search.db"
    mp.search(PLAN, *data(), path, n_trials=2)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE trials SET state = 'RUNNING', datetime_complete = NULL WHERE number = 0")
        file.execute("UPDATE trial_heartbeats SET heartbeat = '2026-01-01 00:00:00' WHERE trial_id = 1")
    found = mp.search(PLAN, *data(), path, n_trials=3)
    assert states(path) == ["FAIL", *found.state] and list(found.number) == [1, 2, 3]
