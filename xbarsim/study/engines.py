"""Where trials run: in this process, in others on this machine, or on a Dask cluster."""

from __future__ import annotations

import os
import pickle
import signal
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from itertools import islice
from typing import Any

from xbarsim.children import end_with
from xbarsim.errors import ParameterError, XbarsimError, brief, extra
from xbarsim.study.outcome import Outcome, Task, attempt
from xbarsim.study.plan import Job
from xbarsim.version import __version__

Results = Generator[tuple[Job, Outcome]]
_DIED = "its process died twice while it ran: killed, out of memory, or crashed"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_IN_FLIGHT = 1000  # trials that a cluster knows of at a time, at least


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_this_process(task: Task, jobs: Iterable[Job]) -> Results:
    """Run trials one after the other."""
    for job in jobs:
        yield job, attempt(task, job)


def in_processes(task: Task, jobs: Iterable[Job], workers: int) -> Results:
    """Run trials in processes of this machine, which share its cores.

    When a process dies, the trials that were on their way are run again, one at a time; one that is alone when it
    happens again has failed.
    """
    payload, waiting = packed(task), iter(jobs)
    while True:
        running: dict[Future[Outcome], Job] = {}
        try:
            yield from _in_pool(payload, waiting, workers, running)
            return
        except BrokenExecutor:
            for job in list(running.values()):
                alone: dict[Future[Outcome], Job] = {}
                try:
                    yield from _in_pool(payload, iter([job]), 1, alone)
                except BrokenExecutor:
                    yield job, Outcome(error=_DIED)


def _in_pool(payload: bytes, jobs: Iterator[Job], workers: int, running: dict[Future[Outcome], Job]) -> Results:
    """Run trials in one pool of processes; ``running`` tells what was on its way when the pool broke."""
    from loky import ProcessPoolExecutor

    threads = dict.fromkeys(_THREADS, str(max(1, cores() // workers)))
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(payload, os.getpid()), env=threads)
    try:
        for job in islice(jobs, 2 * workers):
            running[pool.submit(_attempt, job)] = job
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                outcome = future.result()
                yield running.pop(future), outcome
                for job in islice(jobs, 1):
                    running[pool.submit(_attempt, job)] = job
    finally:
        pool.shutdown(kill_workers=True)


_PAUSE, _LOOKS = 0.02, 5.0  # seconds between two looks at a cluster: at its results, at its workers
_in_worker: dict[str, Any] = {}  # the task that a process of this machine was begun for


def _begin(payload: bytes, parent: int) -> None:
    """Begin a process; Ctrl-C is for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    _in_worker["payload"] = payload


def _attempt(job: Job) -> Outcome:
    return attempt(_run, job)


def _run(trial: int, point: dict[str, Any]) -> Any:
    if "task" not in _in_worker:  # here, so that an error is one of the trial
        _in_worker["task"] = pickle.loads(_in_worker["payload"])
    return _in_worker["task"](trial, point)


def packed(task: Task) -> bytes:
    """Return a task as it is sent to other processes; functions of notebooks and of other functions too."""
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(task))
    except Exception as error:  # objects that are pickled run code of their own
        raise ParameterError(
            f"the function cannot be sent to other processes ({type(error).__name__}: {brief(error)}); "
            "leave out what it takes along, or use workers=1"
        ) from error


def on_cluster(task: Task, jobs: Iterable[Job], address: str) -> Results:
    """Run trials on the workers of a Dask scheduler.

    When a worker dies, Dask repeats all trials that it had. Those that have lost too many workers in this way are run
    again at the end, one at a time; one that is alone when it happens again has failed.
    """
    with extra("cluster", f"cluster = {address!r}"):
        from distributed import Client, KilledWorker, as_completed
    payload, waiting = packed(task), iter(jobs)
    try:
        client = Client(address, timeout="5s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"cluster = {address!r}: no Dask scheduler answers there ({error}); give the address that it printed"
        ) from None
    running: dict[Any, Job] = {}
    suspects: list[Job] = []
    alone = False
    with client:
        _same_version(client)
        sent = client.submit(pickle.loads, payload, pure=False)
        finished: Any = as_completed(loop=client.loop)

        def submit(jobs: Iterable[Job]) -> None:
            for job in jobs:
                future = client.submit(attempt, sent, job, pure=False)
                running[future] = job
                finished.add(future)

        try:
            submit(islice(waiting, max(_IN_FLIGHT, 4 * sum(client.nthreads().values()))))
            while running:
                _wait(client, finished, address)
                future = next(finished)
                job = running.pop(future)
                try:
                    yield job, _result(future, address)
                except KilledWorker as failure:
                    if alone:
                        yield job, Outcome(error=f"{type(failure).__name__}: {failure}")
                    else:
                        suspects.append(job)
                submit(islice(waiting, 1))
                if not running and suspects:
                    alone = True
                    submit([suspects.pop(0)])
        finally:
            client.cancel(list(running))


def _result(future: Any, address: str) -> Outcome:
    """Return the outcome of a trial; raise an error if the scheduler is gone, or workers were killed by the trial."""
    from distributed import KilledWorker
    from distributed.core import CommClosedError

    try:
        if future.status == "cancelled":
            raise _gone(address)
        outcome: Outcome = future.result()
    except (KilledWorker, XbarsimError):
        raise
    except CommClosedError:
        raise _gone(address) from None
    except Exception as failure:  # noqa: BLE001 - of the trial as Dask moves it, its result too large for example
        return Outcome(error=f"{type(failure).__name__}: {failure}")
    return outcome


def _wait(client: Any, finished: Any, address: str) -> None:
    """Wait for a trial; say once that nobody is left to do any, and raise an error if the scheduler is gone."""
    looked, waiting = time.monotonic(), False
    while not finished.has_ready():
        time.sleep(_PAUSE)
        if client.status != "running":
            raise _gone(address)
        if time.monotonic() - looked > _LOOKS and not waiting:
            looked, waiting = time.monotonic(), not client.nthreads()
            if waiting:
                warnings.warn(f"no workers are left at {address}: waiting for others", stacklevel=6)


def _gone(address: str) -> XbarsimError:
    return XbarsimError(f"the Dask scheduler at {address} is gone; with a store, run again to go on")


def _same_version(client: Any) -> None:
    """Raise an error if a worker imports another version of xbarsim, or none."""
    for address, theirs in client.run(_imported, on_error="return").items():
        if isinstance(theirs, BaseException):
            raise ParameterError(
                f"cluster: the worker at {address} cannot import xbarsim ({brief(theirs)}); install {__version__} there"
            )
        if theirs != __version__:
            raise ParameterError(
                f"cluster: the worker at {address} has xbarsim {theirs}, this is {__version__}; install the same there"
            )


def _imported() -> str:
    return __version__
