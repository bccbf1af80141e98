"""The conduct of a study: what is left to do is done, saved at once, shown, and gathered at the end."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xbarsim.errors import ParameterError, TrialError
from xbarsim.streams import whole_number
from xbarsim.study.dataset import NOT_DONE, assemble
from xbarsim.study.engines import Results, cores, in_processes, in_this_process, on_cluster
from xbarsim.study.identity import versions
from xbarsim.study.outcome import Outcome, Task
from xbarsim.study.plan import Job, Plan
from xbarsim.study.store import Store

if TYPE_CHECKING:
    import xarray as xr


def conduct(
    task: Task,
    plan: Plan,
    *,
    store: str | Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    on_error: Literal["record", "raise"] = "record",
    all_failed: Literal["record", "raise"] = "record",
    retry_failed: bool = False,
    progress: bool | None = None,
    units: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Run all trials of a plan that are not in the store yet, and return all results.

    Parameters
    ----------
    task : callable
        Given the number of a trial and its point, returns a dictionary of numbers or arrays.
    plan : Plan
    store, workers, cluster, on_error, retry_failed, progress, units
        See :func:`xbarsim.sweep`.
    all_failed : {"record", "raise"}
        Whether it is an error that all trials failed.
    """
    if on_error not in ("record", "raise"):
        raise ParameterError(f"on_error = {on_error!r}: give 'record' or 'raise'")
    if workers is not None and cluster is not None:
        raise ParameterError("give workers or cluster, not both")
    if workers is not None and whole_number(workers, "workers") < 1:
        raise ParameterError("workers = 0: give at least 1")
    if current_process().daemon and (workers or 1) > 1:
        raise ParameterError("this process is daemonic and may start no others; give workers=1, or a cluster")
    used = versions()
    with nullcontext() if store is None else Store(store, plan, used) as saved:
        outcomes: dict[tuple[str, int], Outcome] = dict(saved.outcomes()) if saved else {}
        again = {key for key, outcome in outcomes.items() if outcome.error} if retry_failed else set()
        left = [job for job in plan.jobs if job.key not in outcomes or job.key in again]

        def keep(job: Job, outcome: Outcome) -> None:
            if saved:
                saved.add(job, outcome)
            outcomes[job.key] = outcome

        results = _start(task, left, workers, cluster)
        _run(results, keep, (len(plan), len(plan) - len(left)), on_error, progress)
        seen = saved.versions if saved else {name: [version] for name, version in used.items()}
    attrs = {f"version_{name}": ", ".join(found) for name, found in seen.items()}
    attrs |= {"seed": str(plan.seed), **{key: _plain(value) for key, value in plan.identity.items()}}
    if all_failed == "raise" and outcomes and len(outcomes) == len(plan):
        errors = [outcome.error for outcome in outcomes.values()]
        if all(errors):
            raise TrialError(f"all {len(errors)} trials failed, the first: {errors[0]}")
    data = assemble(plan, outcomes, units or {}, attrs)
    _warn(data)
    return data


def _start(task: Task, jobs: list[Job], workers: int | None, cluster: str | None) -> Results:
    if cluster is not None and jobs:
        return on_cluster(task, jobs, cluster)
    if workers is None:
        workers = 1 if current_process().daemon else cores()
    n_processes = min(workers, len(jobs))
    return in_processes(task, jobs, n_processes) if n_processes > 1 else in_this_process(task, jobs)


def _run(
    results: Results,
    keep: Callable[[Job, Outcome], None],
    counts: tuple[int, int],
    on_error: str,
    progress: bool | None,
) -> None:
    """Keep each result as it comes; Ctrl-C ends that, and what is done stays."""
    with _shown(*counts, progress) as show, closing(results):
        try:
            for job, outcome in results:
                keep(job, outcome)
                show(bool(outcome.error))
                if outcome.error and on_error == "raise":
                    failure = TrialError(f"{job}: {outcome.error}")
                    failure.add_note(outcome.trace)
                    raise failure
        except KeyboardInterrupt:
            warnings.warn("interrupted: the results hold what was done until then", stacklevel=4)


@contextmanager
def _shown(total: int, done: int, progress: bool | None) -> Iterator[Callable[[bool], None]]:
    """Show a bar on a terminal, with the time left and how many trials have failed."""
    if progress is None:
        progress = sys.stderr.isatty()
    if not progress:
        yield lambda failed: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("left"), console=Console(stderr=True)) as bar:
        task, n_failed = bar.add_task("trials", total=total, completed=done), 0

        def show(failed: bool) -> None:
            nonlocal n_failed
            n_failed += failed
            bar.update(task, advance=1, description=f"trials, {n_failed} failed" if n_failed else "trials")

        yield show


def _warn(data: xr.Dataset) -> None:
    """Say how many trials have failed."""
    errors = data["error"].values.ravel()
    failed = errors[(errors != "") & (errors != NOT_DONE)]
    if len(failed):
        warnings.warn(f"{len(failed)} of {len(errors)} trials failed, the first: {failed[0]}", stacklevel=4)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
