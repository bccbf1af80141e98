"""Training with surrogate gradients; an interrupted run resumes from its last finished epoch, exactly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from mapping.bsnn.encode import encode
from mapping.bsnn.network import Network
from mapping.bsnn.spec import NetworkSpec
from xbarsim.errors import FileError, ParameterError

Progress = Callable[[int, int, float], None]  # epoch, finished batches, running loss


@dataclass(frozen=True)
class TrainingSettings:
    """How to train: Adam with cosine annealing, the best epoch chosen on a validation split of the training set."""

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 2.7e-3
    n_validation: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("epochs", "batch_size", "learning_rate", "n_validation"):
            if not getattr(self, field) > 0:
                raise ParameterError(f"TrainingSettings.{field} = {getattr(self, field)}: it must be above 0")


def train(
    spec: NetworkSpec,
    images: np.ndarray,
    labels: np.ndarray,
    settings: TrainingSettings | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> Network:
    """Train a network and return the epoch that did best on the validation split.

    Loss: cross-entropy of the softmax over output spike counts (equation 8 of Eshraghian et al. 2022).

    Parameters
    ----------
    spec : NetworkSpec
        The network.
    images, labels : arrays, (n, h, w) or (n, c, h, w), and (n,)
        The training set.
    settings : TrainingSettings, optional
        Epochs, batch size, learning rate, validation split, seed.
    checkpoint : path, optional
        A folder; after each epoch the run is saved there, and a run found there is continued.
    progress : callable, optional
        Called after each batch with the epoch, the number of finished batches and the running loss.

    Returns
    -------
    Network
        With the training record in ``metadata``.
    """
    settings = settings or TrainingSettings()
    if settings.n_validation >= len(images):
        raise ParameterError(f"n_validation = {settings.n_validation}: the set has only {len(images)} images")
    torch.manual_seed(settings.seed)
    network = Network(spec)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    order = np.random.default_rng([settings.seed, 0]).permutation(len(images))
    held_out, kept = order[: settings.n_validation], order[settings.n_validation :]
    n_batches = len(kept) // settings.batch_size
    run = _Run(network, optimizer, spec, settings)
    if checkpoint is not None:
        run.resume(Path(checkpoint))
    for epoch in range(len(run.history), settings.epochs):
        started = time.perf_counter()
        torch.manual_seed(settings.seed + 1_000_003 * (epoch + 1))
        shuffled = np.random.default_rng([settings.seed, 1, epoch]).permutation(kept)
        network.train()
        loss_sum = 0.0
        for batch in range(n_batches):
            index = shuffled[batch * settings.batch_size : (batch + 1) * settings.batch_size]
            _set_learning_rate(optimizer, settings, epoch * n_batches + batch, settings.epochs * n_batches)
            loss_sum += _step(network, optimizer, images[index], labels[index])
            if progress is not None:
                progress(epoch, batch + 1, loss_sum / (batch + 1))
        accuracy = float(np.mean(network.predict(images[held_out]) == labels[held_out]))
        run.finish_epoch(accuracy, loss_sum / n_batches, time.perf_counter() - started)
        if checkpoint is not None:
            run.save(Path(checkpoint))
    return run.best_network()


def _step(network: Network, optimizer: torch.optim.Optimizer, images: np.ndarray, labels: np.ndarray) -> float:
    x = torch.from_numpy(encode(images, network.spec))
    counts = network(x)[-1].sum(0).flatten(1)
    loss = F.cross_entropy(counts, torch.from_numpy(labels))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _set_learning_rate(optimizer: torch.optim.Optimizer, settings: TrainingSettings, step: int, total: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * 0.5 * (1 + np.cos(np.pi * step / total))


class _Run:
    """Everything that an interrupted run needs, as tensors and JSON."""

    def __init__(
        self, network: Network, optimizer: torch.optim.Optimizer, spec: NetworkSpec, settings: TrainingSettings
    ) -> None:
        self.network, self.optimizer = network, optimizer
        self.identity = {"spec": json.loads(spec.model_dump_json()), "settings": settings.__dict__}
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def finish_epoch(self, accuracy: float, loss: float, seconds: float) -> None:
        if not self.history or accuracy > max(h["validation_accuracy"] for h in self.history):
            self.best = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.history.append({"validation_accuracy": accuracy, "loss": loss, "seconds": seconds})

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"now.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v.contiguous() for k, v in self.best.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{k}": v for k, v in state.items()}
        record = {"identity": json.dumps(self.identity, sort_keys=True), "history": json.dumps(self.history)}
        save_file(tensors, folder / "run.tmp", metadata=record)
        (folder / "run.tmp").replace(folder / "run.safetensors")

    def resume(self, folder: Path) -> None:
        path = folder / "run.safetensors"
        if not path.is_file():
            return
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            record = file.metadata()
        if json.loads(record["identity"]) != json.loads(json.dumps(self.identity)):
            raise FileError(f"{path}: is a run with other settings; choose another checkpoint folder or delete it")
        tensors = load_file(path)
        self.history = json.loads(record["history"])
        self.network.load_state_dict(_under("now.", tensors))
        self.best = _under("best.", tensors)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("adam.", tensors).items():
            number, key = name.split(".", 1)
            moments.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})

    def best_network(self) -> Network:
        self.network.load_state_dict(self.best)
        accuracies = [h["validation_accuracy"] for h in self.history]
        settings: dict[str, Any] = dict(self.identity["settings"])
        self.network.metadata = settings | {
            "best_epoch": int(np.argmax(accuracies)) + 1,
            "validation_accuracy": max(accuracies),
            "seconds": round(sum(h["seconds"] for h in self.history)),
        }
        return self.network.eval()


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
