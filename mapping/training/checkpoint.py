"""Training runs on disk, as safetensors: an interrupted one goes on from its last finished epoch, exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from mapping.networks.finite import decays
from mapping.networks.network import Network
from mapping.networks.spec import FORMAT, from_format
from mapping.networks.tensor_file import read_tensors, write_tensors
from mapping.training.settings import TrainingSettings
from xbarsim.errors import FileError, brief
from xbarsim.outputs import own_folder

_FILE = "run.safetensors"


class Run:
    """The state of a training run: what it is, how its epochs went, the network now and at its best.

    Parameters
    ----------
    network, optimizer : Network, Optimizer
        What is trained; read and, by :meth:`resume`, written.
    settings : TrainingSettings
    images, labels : arrays
        The training set; a run is continued on the same one only.
    """

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        settings: TrainingSettings,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        self.network, self.optimizer, self.settings = network, optimizer, settings
        data = [[*x.shape, str(x.dtype), crc32(np.ascontiguousarray(x).data)] for x in (images, labels)]
        self.identity: dict[str, Any] = {
            "spec": network.spec.model_dump(mode="json"),
            "settings": settings.model_dump(mode="json"),
            "data": data,
        }
        self.history: list[dict[str, float | None]] = []
        self.best: dict[str, Tensor] = {}
        self._folder: Path | None = None

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracies; without validation images each epoch counts as better than the one before."""
        given = [epoch["validation_accuracy"] for epoch in self.history]
        return [float(k) if accuracy is None else accuracy for k, accuracy in enumerate(given)]

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or the validation accuracy has not grown for too long."""
        done, patience = len(self.history), self.settings.patience
        return done >= self.settings.epochs or (
            patience is not None and done > 0 and done - 1 - _best(self.accuracies) >= patience
        )

    @contextmanager
    def stored_in(self, folder: str | Path | None) -> Iterator[None]:
        """Take over the run of a folder, if it holds one, and store each epoch there; in none without a folder."""
        self._folder = None if folder is None else Path(folder)
        with own_folder(self._folder):
            if self._folder is not None:
                self._resume(self._folder / _FILE)
            yield

    def finish_epoch(self, validation: float, training: float, mean_loss: float, seconds: float) -> None:
        """Note how an epoch went, keep the network if it is the best so far, and store the run."""
        self.history.append(
            {
                "validation_accuracy": None if np.isnan(validation) else validation,
                "training_accuracy": training,
                "loss": mean_loss,
                "seconds": seconds,
            }
        )
        if _best(self.accuracies) == len(self.history) - 1:
            self.best = {k: v.clone() for k, v in self.network.state_dict().items()}
        if self._folder is not None:
            self._save(self._folder / _FILE)

    def _save(self, path: Path) -> None:
        tensors = {f"now.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{k}": v for k, v in state.items()}
        record = {"identity": json.dumps(self.identity, sort_keys=True), "history": json.dumps(self.history)}
        write_tensors(tensors, path, record | {"format": str(FORMAT)})

    def _resume(self, path: Path) -> None:
        if not path.is_file():
            return
        try:
            tensors, record = read_tensors(path, "train", "identity", str(self.network.layers[0].weight.device))
            stored = int(record.get("format", 1))
            identity = from_format(json.loads(record["identity"]), stored)
            if stored == 1:
                tensors = {name: decays(x) if name.endswith(".beta") else x for name, x in tensors.items()}
            same = identity == json.loads(json.dumps(self.identity))
            history = json.loads(record["history"])
            if same:
                self._take(tensors, history)
        except FileError as error:
            raise FileError(f"{error}; or delete it to start again") from None
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise FileError(f"{path}: cannot be continued ({brief(error)}); delete it to start again") from None
        if not same:
            raise FileError(
                f"{path}: is a run with other settings or data; choose another checkpoint folder or delete it"
            )

    def _take(self, tensors: dict[str, Tensor], history: list[dict[str, float | None]]) -> None:
        self.network.load_state_dict(_under("now.", tensors))
        self.best, self.history = _under("best.", tensors), history
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("adam.", tensors).items():
            number, key = name.split(".", 1)
            moments.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})

    def best_network(self) -> Network:
        """Return the network at its best epoch, on the CPU, with the record of the run."""
        self.network.load_state_dict(self.best)
        best = _best(self.accuracies)
        self.network.metadata = self.identity["settings"] | {
            "trained_epochs": len(self.history),
            "best_epoch": best + 1,
            "validation_accuracy": self.history[best]["validation_accuracy"],
            "training_accuracy": self.history[best]["training_accuracy"],
            "seconds": round(sum(h["seconds"] or 0.0 for h in self.history)),
        }
        return self.network.cpu().eval()


def _best(accuracies: list[float]) -> int:
    return int(np.argmax(accuracies))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
