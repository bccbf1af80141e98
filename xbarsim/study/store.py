"""The store of a study: one SQLite file, to which each trial is added as soon as it is done.

A process may be killed at any moment: SQLite leaves what was committed, and nothing else. The file stays locked while a
study runs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np

from xbarsim.errors import UNREADABLE, FileError, brief
from xbarsim.study.outcome import Outcome
from xbarsim.study.plan import Job, Plan

FILE = "study.sqlite"
FORMAT = 2  # 1 had no digests
DAMAGED = "damaged: what the store holds of it is not what was written"
_TABLES = """
CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE results (
    point TEXT, trial INTEGER, error TEXT NOT NULL, trace TEXT NOT NULL, seconds REAL NOT NULL, dims TEXT NOT NULL,
    arrays BLOB NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (point, trial)
);
"""
_COLUMNS = "point, trial, error, trace, seconds, dims, arrays, digest"


class Store:
    """The results of one study in a folder; made there if there is none, else continued.

    Parameters
    ----------
    folder : str or path
    plan : Plan
        May have more trials, and more values on its axes, than when the store was made.
    versions : dict
        Of the packages in use; they are noted. That of ``xbarsim`` must be the one that the store was made with.

    Raises
    ------
    FileError
        If the folder cannot be written to, is in use or damaged, was made by another version, or holds another study;
        it is left as it is.
    """

    def __init__(self, folder: str | Path, plan: Plan, versions: dict[str, str]) -> None:
        self.folder, self.path = Path(folder), Path(folder) / FILE
        fresh = not self.path.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{folder}: cannot be made a folder ({error.strerror}); give another store") from None
        with self._errors():
            self._file = _connected(self.path)
        try:
            with self._errors():
                self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
                if fresh:
                    self._file.execute("PRAGMA journal_mode = WAL")
                self._file.execute("BEGIN EXCLUSIVE")
                self._open(plan, versions)
                self._file.execute("COMMIT")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _open(self, plan: Plan, versions: dict[str, str]) -> None:
        """Note what the study is, or see that it is the same one; within a transaction."""
        names = {name for (name,) in self._file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        now = _Header.of(plan, versions)
        if not names:
            for statement in _TABLES.split(";")[:-1]:
                self._file.execute(statement)
        elif names >= {"study", "results"}:
            now = now.after(self._header(), self.folder)
        else:
            raise FileError(f"{self.path}: is no store of a study; give another folder")
        rows = [(name, json.dumps(value)) for name, value in asdict(now).items()]
        rows.append(("digest", json.dumps(_digest((*sorted(rows), b"")))))
        self._file.executemany("INSERT OR REPLACE INTO study VALUES (?, ?)", rows)
        self.versions = now.versions

    def _header(self) -> _Header:
        """Return what the store says of its study; give rows of the first format their digests."""
        try:
            rows = dict(self._file.execute("SELECT name, value FROM study"))
            digest = rows.pop("digest", None)
            if digest is not None and json.loads(digest) != _digest((*sorted(rows.items()), b"")):
                raise ValueError
            header = _Header(**{name: json.loads(value) for name, value in rows.items()})
            header.versions["xbarsim"][0]
        except (ValueError, TypeError, LookupError, AttributeError):
            remedy = "take a copy that is whole, or give another folder"
            raise FileError(f"{self.path}: its header is damaged; {remedy}") from None
        if header.format != 1:
            return header
        self._file.execute("ALTER TABLE results ADD COLUMN digest TEXT NOT NULL DEFAULT ''")
        results = self._file.execute(f"SELECT rowid, {_COLUMNS} FROM results").fetchall()
        digests = [(_digest(row[:-1]), number) for number, *row in results]
        self._file.executemany("UPDATE results SET digest = ? WHERE rowid = ?", digests)
        return replace(header, format=FORMAT)

    def add(self, job: Job, outcome: Outcome) -> None:
        """Save the outcome of a trial, at once."""
        buffer = BytesIO()
        np.savez(buffer, *(array for _, array in outcome.values.values()))
        dims = json.dumps({name: names for name, (names, _) in outcome.values.items()})
        row = (*job.key, outcome.error, outcome.trace, outcome.seconds, dims, buffer.getvalue())
        with self._errors():
            self._file.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, _digest(row)))

    def outcomes(self) -> Iterator[tuple[tuple[str, int], Outcome]]:
        """Yield the key and the outcome of every finished trial; one that is damaged has failed."""
        with self._errors():
            for row in self._file.execute(f"SELECT {_COLUMNS} FROM results"):
                yield row[:2], _outcome(row)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the errors of SQLite into ours."""
        try:
            yield
        except UnicodeError:  # an error that quotes damaged bytes
            raise FileError(f"{self.path}: is damaged; take a copy that is whole, or give another folder") from None
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            remedy = {
                "SQLITE_BUSY": "another study is using it: wait for its end, or give another folder",
                "SQLITE_FULL": "the disk is full: what was done before is kept; make room and run again",
                "SQLITE_NOTADB": "it is no store of a study: give another folder",
                "SQLITE_CORRUPT": "it is damaged: take a copy that is whole, or give another folder",
            }.get(code, "give a folder that can be written to")
            raise FileError(f"{self.path}: cannot be used ({brief(error)}); {remedy}") from None


def check(folder: str | Path) -> tuple[int, list[str]]:
    """Return how many trials a store holds, and what is damaged in it, in words; it is not changed.

    Raises
    ------
    FileError
        If there is no store, or it cannot be read at all.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise FileError(f"{path}: no such file; give the folder of a study's results")
    damaged, count = [], 0
    with closing(_connected(path, "ro")) as file:
        try:
            names = [column for _, column, *_ in file.execute("PRAGMA table_info(results)")]
            columns = _COLUMNS if "digest" in names else _COLUMNS.replace("digest", "NULL")
            damaged += [f"file: {text}" for (text,) in file.execute("PRAGMA integrity_check") if text != "ok"]
            for row in file.execute(f"SELECT {columns} FROM results"):
                count += 1
                if _outcome(row).error == DAMAGED:
                    damaged.append(f"trial {row[1]} at {row[0]}")
        except (sqlite3.Error, UnicodeError) as error:
            raise FileError(f"{path}: cannot be read ({brief(error)}); take a copy that is whole") from None
    return count, damaged


def _connected(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    file = sqlite3.connect(uri, uri=True, timeout=1.0, isolation_level=None, check_same_thread=False)
    file.text_factory = lambda data: data.decode(errors="surrogateescape")  # a damaged text is no reason to stop
    return file


def _digest(row: Sequence[Any]) -> str:
    """Return what tells a row of results, without its digest, from another one."""
    *texts, data = row
    digest = blake2b(repr(texts).encode(errors="surrogateescape"), digest_size=16)
    digest.update(data if isinstance(data, bytes) else repr(data).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _outcome(row: Sequence[Any]) -> Outcome:
    """Return what a row of results holds, a failure if that is not what was written."""
    *given, digest = row
    _, _, error, trace, seconds, dims, data = given
    if digest is None or _digest(given) == digest:
        try:
            with np.load(BytesIO(data), allow_pickle=False) as arrays:
                names = json.loads(dims).items()
                values = {name: (tuple(own), arrays[f"arr_{k}"]) for k, (name, own) in enumerate(names)}
            return Outcome(values, error, trace, seconds)
        except UNREADABLE:
            pass  # damaged before it had a digest
    return Outcome(error=DAMAGED)


@dataclass(frozen=True)
class _Header:
    """What a store says of its study.

    ``versions`` holds every version of a package that was in use, the first one first.
    """

    format: int
    versions: dict[str, list[str]]
    seed: int
    identity: dict[str, Any]
    axes: dict[str, list[Any]]
    n_trials: int

    @classmethod
    def of(cls, plan: Plan, versions: dict[str, str]) -> _Header:
        axes = {name: list(values) for name, values in plan.axes.items()}
        used = {name: [version] for name, version in versions.items()}
        identity = json.loads(json.dumps(plan.identity))
        return cls(FORMAT, used, plan.seed, identity, axes, plan.n_trials)

    def after(self, before: _Header, folder: Path) -> _Header:
        """Return what the store says from now on; raise :class:`FileError` if it holds something else."""
        made, now = before.versions["xbarsim"][0], self.versions["xbarsim"][0]
        if (before.format, made) != (self.format, now):
            raise FileError(
                f"{folder}: was made by xbarsim {made}, this is {now}; go on with that version, or give another folder"
            )
        for what, theirs, ours in (
            ("seed", before.seed, self.seed),
            *((key, before.identity.get(key), self.identity.get(key)) for key in {**before.identity, **self.identity}),
            ("axes", list(before.axes), list(self.axes)),
        ):
            if theirs != ours:
                words = "" if what == "code" else f": {_short(theirs)} there, {_short(ours)} now"
                raise FileError(f"{folder}: holds another study, its {what} differs{words}; give another folder")
        for name, values in before.axes.items():
            kept = set(self.axes[name])
            missing = [value for value in values if value not in kept]
            if missing:
                raise FileError(
                    f"{folder}: holds results at {name} = {missing[0]}, which this study leaves out; keep all values "
                    "and add others, or give another folder"
                )
        if before.n_trials > self.n_trials:
            raise FileError(
                f"{folder}: holds {before.n_trials} trials, this study has {self.n_trials}; give at least as many, or "
                "another folder"
            )
        versions = {
            name: list(dict.fromkeys(before.versions.get(name, []) + used)) for name, used in self.versions.items()
        }
        return _Header(self.format, versions, self.seed, self.identity, self.axes, self.n_trials)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
