"""Search for hyper-parameters: tree-structured Parzen estimator, asynchronous successive halving, storage in SQLite.

J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, "Algorithms for hyper-parameter optimization", NeurIPS 2011; L. Li et al.,
"A system for massively parallel hyperparameter tuning", MLSys 2020; both as in Optuna.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from mapping.inputs.resources import path_of
from mapping.networks.encode import check_images, check_labels
from mapping.networks.spec import FORMAT, NetworkSpec, from_format
from mapping.training.recipe import Recipe
from mapping.training.search_storage import alive, as_file_errors, finished_trials, opened, trials, with_optuna
from mapping.training.train import train
from xbarsim.children import end_with
from xbarsim.errors import ConvergenceError, FileError, ParameterError, XbarsimError, of_kind
from xbarsim.kernels.jit import set_thread_count
from xbarsim.parameters import Parameters
from xbarsim.streams import whole_number

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    import optuna
    import pandas as pd

_SMALL = 1e-12
_LIMITS = {
    "beta": (0, 1),
    "threshold": (_SMALL, 1e12),
    "slope": (_SMALL, 1e12),
    "learning_rate": (_SMALL, 1e12),
    "dropout": (0, 1 - 1e-6),
}
Range = tuple[float, float]
Data = tuple[np.ndarray, np.ndarray]


class SearchSpace(Parameters):
    """What a search may choose, from the lowest to the highest value; conditions of the paper are on or off.

    Attributes
    ----------
    beta, threshold, slope, dropout : (low, high)
    learning_rate : (low, high)
        Drawn evenly in its logarithm.
    max_grad_norm : float
        The norm of the gradient clip where it is switched on.
    conditions : bool
        Whether clips of gradients, weights and membranes are switched; otherwise they are the recipe's.
    """

    beta: Range = (0.1, 0.99)
    threshold: Range = (0.5, 10.0)
    slope: Range = (1.0, 10.0)
    learning_rate: Range = (3e-4, 3e-2)
    dropout: Range = (0.0, 0.5)
    max_grad_norm: float = Field(default=1.0, gt=0)
    conditions: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (lowest, highest) in _LIMITS.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise ValueError(
                    f"SearchSpace.{name} = ({low:g}, {high:g}): give the lowest value, then the highest, from "
                    f"{lowest:g} to {highest:g}"
                )
        return self


class Search(Parameters):
    """A search: everything that its trials share.

    Attributes
    ----------
    recipe : Recipe
        The network and its training, apart from what is searched; its epochs are the most that a trial gets.
    space : SearchSpace
    images, test_images : int
        How many training images a trial uses, those to validate on among them, and how many test images.
    min_epochs, reduction : int
        Successive halving: after ``min_epochs * reduction^k`` epochs the best 1 of ``reduction`` go on.
    seed : int
        Of the sampler; trials train with the seed of the recipe.
    """

    recipe: Recipe
    space: SearchSpace = SearchSpace()
    images: int = Field(default=6000, gt=0)
    test_images: int = Field(default=2000, gt=0)
    min_epochs: int = Field(default=1, gt=0)
    reduction: int = Field(default=2, ge=2)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _split(self) -> Self:
        held_out = self.recipe.training.n_validation
        if not 0 < held_out < self.images:
            raise ValueError(
                f"Search: n_validation = {held_out} of {self.images} images; some are needed, and others to train on"
            )
        return self


def search(
    plan: Search,
    training: Data,
    test: Data,
    storage: str | Path,
    *,
    n_trials: int = 100,
    processes: int = 1,
    progress: Callable[[int, float], None] | None = None,
    axes: str | None = None,
) -> pd.DataFrame:
    """Search for hyper-parameters by the accuracy on the validation split; the test accuracy is noted beside it.

    An uninterrupted search in one process is reproducible; with several, each draws without waiting for the others.

    Parameters
    ----------
    plan : Search
    training, test : (images, labels)
    storage : path
        A SQLite file; a search found there is continued. Others may continue it at the same time; a trial of one that
        was killed counts as failed a minute later.
    n_trials : int
        Finished trials, of which the file is to hold this many in the end: complete ones and pruned ones, which are
        also those whose loss was no longer finite.
    processes : int
        How many trials run at a time; a script that asks for several starts under ``if __name__ == "__main__"``.
    progress : callable, optional
        Called with the number of finished trials and the best validation accuracy.
    axes : str, optional
        The order of the axes of images, as for :func:`mapping.train`.

    Returns
    -------
    DataFrame
        One row per trial, see :func:`trials`.
    """
    of_kind(Search, plan, "plan", "a Search")
    path, network = path_of(storage, "storage"), plan.recipe.network
    if min(whole_number(n_trials, "n_trials"), whole_number(processes, "processes")) < 1:
        raise ParameterError(f"{n_trials} trials in {processes} processes: give at least 1 of each")
    if processes > 1 and multiprocessing.current_process().daemon:
        raise ParameterError("this process is daemonic and may start no others; give processes=1")
    training, test = (_pair(data, network, axes) for data in (training, test))
    if plan.images > len(training[0]):
        raise ParameterError(f"Search.images = {plan.images}: the training set has only {len(training[0])}")
    training, test = _first(training, plan.images), _first(test, plan.test_images)
    with as_file_errors(path):
        study = _study(path, plan, 0)
        if processes == 1:
            _run(study, plan, training, test, n_trials, progress)
            return trials(path)
        context = multiprocessing.get_context("spawn")
        refusals: SimpleQueue[XbarsimError] = context.SimpleQueue()
        threads = max(1, torch.get_num_threads() // processes)
        same = (os.getpid(), refusals, path, plan, training, test, n_trials)
        workers = [context.Process(target=_work, args=(*same, k, threads)) for k in range(processes)]
        try:
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                for worker in workers:
                    worker.join(1.0)
                _tell(study, progress)
        except BaseException:
            for worker in workers:
                worker.terminate()
            raise
    if not refusals.empty():
        raise refusals.get()
    failed = [worker.exitcode for worker in workers if worker.exitcode]
    if failed:
        raise FileError(f"{path}: {len(failed)} of {processes} processes failed; the same call continues the search")
    return trials(path)


def _study(path: Path, plan: Search, worker: int) -> optuna.Study:
    optuna = with_optuna()
    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=plan.min_epochs, reduction_factor=plan.reduction)
    with as_file_errors(path, RuntimeError, ValueError):
        study = optuna.create_study(
            study_name="xbarsim", storage=opened(path), direction="maximize", load_if_exists=True, pruner=halving
        )
        drawn = len(study.trials)  # a continued search goes on with other draws than it began with
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it is told to do is experimental to some versions of Optuna
        study.sampler = optuna.samplers.TPESampler(
            seed=plan.seed + 1_000_003 * worker + 7_368_787 * drawn, multivariate=True, constant_liar=True
        )
    identity, attrs = plan.model_dump(mode="json"), study.user_attrs
    if "plan" in attrs and from_format(json.loads(attrs["plan"]), attrs.get("format", 1)) != identity:
        raise FileError(f"{path}: holds a search with other settings; choose another file or delete it")
    study.set_user_attr("format", FORMAT)
    study.set_user_attr("plan", json.dumps(identity, sort_keys=True))
    return study


def _work(
    parent: int,
    refusals: SimpleQueue[XbarsimError],
    path: Path,
    plan: Search,
    training: Data,
    test: Data,
    n_trials: int,
    worker: int,
    threads: int,
) -> None:
    end_with(parent)
    ended = threading.Event()  # seen after each batch: the trial is then noted as failed, in order
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    torch.set_num_threads(threads)
    set_thread_count(threads)
    try:
        with as_file_errors(path):
            _run(_study(path, plan, worker), plan, training, test, n_trials, None, ended)
    except XbarsimError as error:
        refusals.put(error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _run(
    study: optuna.Study,
    plan: Search,
    training: Data,
    test: Data,
    n_trials: int,
    progress: Callable[[int, float], None] | None,
    ended: threading.Event | None = None,
) -> None:
    while len(finished_trials(study)) < n_trials:
        with alive(study) as trial:
            state, value = _trial(trial, plan, training, test, ended)
            study.tell(trial, value, state, skip_if_finished=True)
        _tell(study, progress)


def _tell(study: optuna.Study, progress: Callable[[int, float], None] | None) -> None:
    if progress is not None and (done := finished_trials(study)):
        progress(len(done), max((t.value for t in done if t.value is not None), default=0.0))


def _trial(
    trial: optuna.Trial, plan: Search, training: Data, test: Data, ended: threading.Event | None
) -> tuple[Any, float | None]:
    """Train once; return how that ended and the validation accuracy of the best epoch, if a trial says it itself."""
    recipe, states = suggested(trial, plan), with_optuna().trial.TrialState
    epochs = recipe.training.epochs
    accuracies: list[float] = []

    def report(epoch: int, accuracy: float) -> bool:
        accuracies.append(accuracy)
        trial.report(max(accuracies), epoch + 1)
        return epoch + 1 < epochs and trial.should_prune()

    def go_on(*_: object) -> None:
        if ended is not None and ended.is_set():
            raise KeyboardInterrupt

    try:
        network = train(recipe.network, *training, recipe.training, progress=go_on, finished=report)
    except ConvergenceError:
        return states.PRUNED, None
    trial.set_user_attr("test_accuracy", float(np.mean(network.predict(test[0]) == test[1])))
    return (states.PRUNED, None) if len(accuracies) < epochs else (states.COMPLETE, max(accuracies))


def suggested(trial: optuna.Trial, plan: Search) -> Recipe:
    """Return the recipe with what a trial chooses."""
    space = plan.space
    chosen: dict[str, Any] = {
        name: trial.suggest_float(name, *getattr(space, name), log=name == "learning_rate") for name in _LIMITS
    }
    if not space.conditions:
        return plan.recipe.changed(**chosen)
    chosen["clip"] = trial.suggest_categorical("clip", [False, True])
    chosen["clip_weights"] = trial.suggest_categorical("clip_weights", [False, True])
    norm = space.max_grad_norm if trial.suggest_categorical("clip_gradients", [False, True]) else None
    recipe = plan.recipe.changed(**chosen)
    return recipe.replace(training=recipe.training.replace(max_grad_norm=norm))


def _pair(data: Data, network: NetworkSpec, axes: str | None) -> Data:
    """Return images and labels if the network can take them."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ParameterError(f"a {type(data).__name__} is no data set; give images and labels, (images, labels)")
    images = check_images(data[0], network, axes)
    return images, check_labels(data[1], len(images), network.n_classes)


def _first(data: Data, n: int) -> Data:
    return data[0][:n], data[1][:n]
