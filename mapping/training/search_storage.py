"""The SQLite file of a search, which several processes may use at a time: opening, errors, signs of life, results."""

from __future__ import annotations

import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapping.inputs.resources import path_of
from xbarsim.errors import FileError, brief, extra

if TYPE_CHECKING:
    import optuna
    import pandas as pd

_WAIT = 120  # seconds for a storage that others write to
_BEAT, _SILENT = 10, 60  # seconds between signs of life of a trial, and without one until it counts as failed
_REMEDIES = {
    "SQLITE_BUSY": "another program keeps it: wait for its end, or give another file",
    "SQLITE_FULL": "the disk is full, and what was done is kept: make room and run again",
    "SQLITE_READONLY_DBMOVED": "it was deleted or moved meanwhile: bring it back, or run again to start anew",
}


def trials(storage: str | Path) -> pd.DataFrame:
    """Return the finished trials of a search: parameters, state (COMPLETE, PRUNED), epochs, accuracies, seconds.

    Parameters
    ----------
    storage : path
        The SQLite file of :func:`search`, or a ``.csv`` file written from its result.
    """
    import pandas as pd

    path = path_of(storage, "storage")
    if not path.is_file():
        raise FileError(f"{path}: no such file; give the storage of a search, or a .csv file of its trials")
    if path.suffix == ".csv":
        try:
            return pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise FileError(f"{path}: cannot be read as a table of trials ({brief(error)})") from None
    with as_file_errors(path, RuntimeError, ValueError):
        finished = finished_trials(with_optuna().load_study(study_name="xbarsim", storage=opened(path)))
    rows = [
        {
            "number": t.number,
            "state": t.state.name,
            "epochs": len(t.intermediate_values),
            "validation_accuracy": t.value,
            "test_accuracy": t.user_attrs.get("test_accuracy"),
            "seconds": t.duration.total_seconds() if t.duration else None,
        }
        | t.params
        for t in finished
    ]
    return pd.DataFrame(rows)


def with_optuna() -> Any:
    """Return the package Optuna, which is installed for searches alone."""
    with extra("search", "a search"):
        import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def opened(path: Path) -> Any:
    """Return a file as storage of Optuna, made if there is none."""
    from sqlalchemy.exc import IntegrityError, OperationalError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", with_optuna().exceptions.ExperimentalWarning)
        for last in (False, False, False, True):
            try:
                storage = with_optuna().storages.RDBStorage(
                    f"sqlite:///{path}",
                    engine_kwargs={"connect_args": {"timeout": _WAIT}},
                    heartbeat_interval=_BEAT,
                    grace_period=_SILENT,
                )
            except (IntegrityError, OperationalError):  # as when two searches make its tables at a time
                if last:
                    raise
                time.sleep(0.5)
            else:
                break
        return storage


@contextmanager
def as_file_errors(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Turn what Optuna, SQLAlchemy and SQLite raise into one line with a remedy."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (with_optuna().exceptions.OptunaError, SQLAlchemyError, KeyError, *others) as error:
        cause = _of_sqlite(error)
        usual = "it is no storage of a search, or a damaged one: give another file"
        remedy = _REMEDIES.get(getattr(cause, "sqlite_errorname", ""), usual)
        raise FileError(f"{path}: cannot be used ({brief(cause)}); {remedy}") from None


def _of_sqlite(error: BaseException) -> BaseException:
    """Return the error of SQLite that led to another one, which itself where there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, sqlite3.Error):
            return cause
        cause = getattr(cause, "orig", None) or cause.__cause__ or cause.__context__
    return error


def finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of a study that are complete or pruned."""
    states = with_optuna().trial.TrialState
    finished: list[optuna.trial.FrozenTrial] = study.get_trials(states=(states.COMPLETE, states.PRUNED))
    return finished


@contextmanager
def alive(study: optuna.Study) -> Iterator[optuna.Trial]:
    """Give a trial that shows signs of life; it has failed if an error or Ctrl-C ends it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # signs of life are experimental to Optuna
        with_optuna().storages.fail_stale_trials(study)
        trial, over = study.ask(), threading.Event()

    def beat() -> None:
        with suppress(Exception):  # the trial itself will meet what is wrong with the storage
            while not over.wait(_BEAT):
                study._storage.record_heartbeat(trial._trial_id)

    try:
        study._storage.record_heartbeat(trial._trial_id)
        threading.Thread(target=beat, daemon=True).start()
        yield trial
    except with_optuna().exceptions.UpdateFinishedTrialError:
        pass  # this process was asleep, and another search took the trial for one that was killed
    except BaseException:
        with suppress(Exception):
            study.tell(trial, state=with_optuna().trial.TrialState.FAIL)
        raise
    finally:
        over.set()
