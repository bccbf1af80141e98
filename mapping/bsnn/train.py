"""Training with surrogate gradients; an interrupted run resumes from its last finished epoch, exactly."""

from __future__ import annotations

import ctypes
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mapping.bsnn.decode import loss, penalty, scores
from mapping.bsnn.encode import encode
from mapping.bsnn.network import Network
from mapping.bsnn.spec import NetworkSpec
from xbarsim.errors import FileError, ParameterError
from xbarsim.parameters import Parameters

Progress = Callable[[int, int, float, float], None]  # epoch, finished batches, running loss and training accuracy
Finished = Callable[[int, float], bool | None]  # epoch, validation accuracy (NaN without a split); true: stop

_SETTLING = 50  # batches that the averages of batch norm are taken over


class TrainingSettings(Parameters):
    """How to train: Adam (0.9, 0.999) on batches, the best epoch chosen on a split of the training set.

    Attributes
    ----------
    epochs, batch_size : int
    learning_rate : float
    schedule : {"cosine", "constant"}
        Cosine annealing to 0 over all epochs, batch by batch; or none.
    n_validation : int
        Training images held out, drawn by the seed, to choose the epoch; with 0 the last one is taken.
    t_steps_training : int, optional
        Time steps while training, if other than the network's, at which it is validated; fewer train faster.
    shift : int
        Images are moved by up to so many pixels up or down and left or right, drawn anew in each epoch.
    patience : int, optional
        Stop when the validation accuracy has not grown for so many epochs.
    max_grad_norm : float, optional
        Gradients are scaled down to this norm.
    clip_weights : bool
        Whether the trained real weights are kept in [-1, 1].
    activity_l1, activity_l2 : float
        What the loss adds for the average spike rate, and for the average squared rate, of each layer.
    seed : int
        Of initial weights, split, order, dropout and rate encoding.
    """

    epochs: int = Field(default=10, gt=0)
    batch_size: int = Field(default=128, gt=0)
    learning_rate: float = Field(default=2.7e-3, gt=0, allow_inf_nan=False)
    schedule: Literal["cosine", "constant"] = "cosine"
    n_validation: int = Field(default=5000, ge=0)
    t_steps_training: int | None = Field(default=None, gt=0)
    shift: int = Field(default=0, ge=0)
    patience: int | None = Field(default=None, gt=0)
    max_grad_norm: float | None = Field(default=None, gt=0)
    clip_weights: bool = False
    activity_l1: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    activity_l2: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)

    def batches(self, n_images: int) -> int:
        """Return the batches of an epoch; incomplete ones are left out."""
        return (n_images - self.n_validation) // self.batch_size


def train(
    spec: NetworkSpec,
    images: np.ndarray,
    labels: np.ndarray,
    settings: TrainingSettings | None = None,
    *,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    finished: Finished | None = None,
) -> Network:
    """Train a network and return the epoch that did best on the validation split.

    The loss goes with ``spec.decoder``, see :func:`mapping.bsnn.decode.loss`. Memory: on Linux, this process keeps what
    it frees from now on, since asking the system for it again makes training 1.7 times slower.

    Parameters
    ----------
    spec : NetworkSpec
        The network.
    images, labels : arrays, (n, h, w), (n, c, h, w) or spikes (n, t_steps, c, h, w), and (n,)
        The training set.
    settings : TrainingSettings, optional
    checkpoint : path, optional
        A folder; after each epoch the run is saved there, and a run found there is continued.
    device : str
        "auto" (CUDA where there is one), "cpu", "cuda", ...; results depend on it, as sums are rounded differently.
    progress : callable, optional
        Called after each batch with the epoch, the number of finished batches, running loss and training accuracy.
    finished : callable, optional
        Called after each epoch with its number and validation accuracy; what is true as an answer ends the run.

    Returns
    -------
    Network
        On the CPU, with the training record in ``metadata``.
    """
    settings = settings or TrainingSettings()
    labels = np.asarray(labels)
    _check(spec, images, labels, settings)
    target = choose_device(device)
    if target.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(settings.seed)
    network = Network(spec).to(target)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    order = np.random.default_rng([settings.seed, 0]).permutation(len(images))
    held_out, kept = order[: settings.n_validation], order[settings.n_validation :]
    run = _Run(network, optimizer, spec, settings)
    if checkpoint is not None:
        run.resume(Path(checkpoint))
    while len(run.history) < settings.epochs and not run.out_of_patience:
        epoch, started = len(run.history), time.perf_counter()
        network.spec = spec if settings.t_steps_training is None else spec.replace(t_steps=settings.t_steps_training)
        mean_loss, training = _epoch(epoch, network, optimizer, images, labels, kept, settings, progress)
        network.spec = spec
        settle_norms(network, images[kept[: _SETTLING * settings.batch_size]], settings)
        validation = float("nan")
        if len(held_out):
            validation = float(np.mean(network.predict(images[held_out], seed=settings.seed) == labels[held_out]))
        run.finish_epoch(validation, training, mean_loss, time.perf_counter() - started)
        if checkpoint is not None:
            run.save(Path(checkpoint))
        if finished is not None and finished(epoch, validation):
            break
    return run.best_network()


def choose_device(name: str) -> torch.device:
    """Return a device of torch; "auto" is CUDA where there is one, otherwise the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ParameterError(f"device = {name!r}: give 'auto', 'cpu' or 'cuda'") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ParameterError(f"device = {name!r}: this machine, or this build of torch, has no CUDA; use 'cpu'")
    return device


def _check(spec: NetworkSpec, images: np.ndarray, labels: np.ndarray, settings: TrainingSettings) -> None:
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise ParameterError(
            f"labels: {labels.dtype} of shape {labels.shape}; {len(images)} images need as many whole numbers"
        )
    encode(images[:1], spec)
    if settings.t_steps_training is not None and np.ndim(images) == 5:
        raise ParameterError(
            f"t_steps_training = {settings.t_steps_training}: spikes are given for the {spec.t_steps} of the network"
        )
    if labels.min() < 0 or labels.max() >= spec.n_classes:
        raise ParameterError(
            f"labels go from {labels.min()} to {labels.max()}; the network has classes 0 to {spec.n_classes - 1}"
        )
    if settings.n_validation >= len(images):
        raise ParameterError(f"n_validation = {settings.n_validation}: the set has only {len(images)} images")
    if settings.batches(len(images)) < 1:
        left = len(images) - settings.n_validation
        raise ParameterError(f"batch_size = {settings.batch_size}: only {left} images are left for training")
    if settings.patience and not settings.n_validation:
        raise ParameterError(f"patience = {settings.patience} needs validation images; set n_validation above 0")


def _epoch(
    epoch: int,
    network: Network,
    optimizer: torch.optim.Optimizer,
    images: np.ndarray,
    labels: np.ndarray,
    kept: np.ndarray,
    settings: TrainingSettings,
    progress: Progress | None,
) -> tuple[float, float]:
    """Train for one epoch; return its average loss and accuracy."""
    torch.manual_seed(settings.seed + 1_000_003 * (epoch + 1))
    shuffled = np.random.default_rng([settings.seed, 1, epoch]).permutation(kept)
    moves = np.random.default_rng([settings.seed, 2, epoch]).integers(
        -settings.shift, settings.shift + 1, (len(images), 2)
    )
    n_batches, size = settings.batches(len(images)), settings.batch_size
    network.train()
    loss_sum, correct = 0.0, 0
    for batch in range(n_batches):
        index = shuffled[batch * size : (batch + 1) * size]
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _annealed(settings, epoch + batch / n_batches)
        numbers = (epoch * len(images) + index).tolist()
        x = encode(shifted(images[index], moves[index]), network.spec, seed=settings.seed, numbers=numbers)
        value, right = training_step(network, optimizer, x, labels[index], settings)
        loss_sum, correct = loss_sum + value, correct + right
        if progress is not None:
            progress(epoch, batch + 1, loss_sum / (batch + 1), correct / ((batch + 1) * size))
    return loss_sum / n_batches, correct / (n_batches * size)


def shifted(images: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Return images (n, ..., height, width) moved by (rows, columns) each, zeros where nothing comes from."""
    if not moves.any():
        return images
    out = np.zeros_like(images)
    for down, right in np.unique(moves, axis=0):
        those = np.flatnonzero((moves == (down, right)).all(1))
        (to_y, from_y), (to_x, from_x) = _overlap(down), _overlap(right)
        out[those, ..., to_y, to_x] = images[those, ..., from_y, from_x]
    return out


def _overlap(move: int) -> tuple[slice, slice]:
    if move >= 0:
        return slice(move, None), slice(None, -move or None)
    return slice(None, move), slice(-move, None)


@torch.no_grad()
def settle_norms(network: Network, images: np.ndarray, settings: TrainingSettings) -> None:
    """Replace the running averages of batch norm, which follow the weights, by averages over many batches.

    "Precise batch norm" of Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576: with binary weights,
    some of which change sign at each step, the running averages describe a network that is no more.
    """
    norms = [layer.norm for layer in network.layers if layer.norm is not None]
    momenta = [norm.momentum for norm in norms]
    network.train()
    for k in range(min(_SETTLING, len(images) // settings.batch_size) if norms else 0):
        for norm in norms:
            norm.momentum = 1 / (k + 1)
        batch = images[k * settings.batch_size : (k + 1) * settings.batch_size]
        network(torch.from_numpy(encode(batch, network.spec, seed=settings.seed)).to(network.layers[0].weight))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def _annealed(settings: TrainingSettings, epoch: float) -> float:
    if settings.schedule == "constant":
        return 1.0
    return float(0.5 * (1 + np.cos(np.pi * epoch / settings.epochs)))


def training_step(
    network: Network, optimizer: torch.optim.Optimizer, x: np.ndarray, labels: np.ndarray, settings: TrainingSettings
) -> tuple[float, int]:
    """Make one step on an encoded batch; return its loss and how many images were classified correctly."""
    weight = network.layers[0].weight
    target = torch.from_numpy(labels.astype(np.int64)).to(weight.device)
    spikes, membranes = network(torch.from_numpy(x).to(weight))
    decoder = network.spec.decoder
    total = loss(spikes[-1], membranes[-1], target, decoder, network.layers[-1].threshold)
    if settings.activity_l1 or settings.activity_l2:
        total = total + penalty(spikes, settings.activity_l1, settings.activity_l2)
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    if settings.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.max_grad_norm)
    optimizer.step()
    with torch.no_grad():
        if settings.clip_weights:
            for layer in network.layers:
                layer.weight.clamp_(-1, 1)
        right = scores(spikes[-1], membranes[-1], decoder).argmax(1) == target
    return float(total.detach()), int(right.sum())


def keep_freed_memory() -> None:
    """Let this process keep what it frees, where the C library is glibc."""
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_max = -1, -4  # of mallopt(3)
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


class _Run:
    """Everything that an interrupted run needs, as tensors and JSON."""

    def __init__(
        self, network: Network, optimizer: torch.optim.Optimizer, spec: NetworkSpec, settings: TrainingSettings
    ) -> None:
        self.network, self.optimizer, self.settings = network, optimizer, settings
        self.identity = {"spec": spec.model_dump(mode="json"), "settings": settings.model_dump(mode="json")}
        self.history: list[dict[str, float | None]] = []
        self.best: dict[str, Tensor] = {}

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracies; without validation images each epoch counts as better than the one before."""
        given = [epoch["validation_accuracy"] for epoch in self.history]
        return [float(k) if accuracy is None else accuracy for k, accuracy in enumerate(given)]

    @property
    def out_of_patience(self) -> bool:
        patience = self.settings.patience
        if patience is None or not self.history:
            return False
        return len(self.history) - 1 - _best(self.accuracies) >= patience

    def finish_epoch(self, validation: float, training: float, mean_loss: float, seconds: float) -> None:
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
        try:
            with safe_open(path, framework="pt", device=str(self.network.layers[0].weight.device)) as file:
                record = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            same = json.loads(record["identity"]) == json.loads(json.dumps(self.identity))
        except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise FileError(f"{path}: cannot be continued ({error}); delete it to start again") from None
        if not same:
            raise FileError(f"{path}: is a run with other settings; choose another checkpoint folder or delete it")
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
