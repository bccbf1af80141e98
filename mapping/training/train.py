"""Training with surrogate gradients: batches, epochs, annealing, batch norm settled after each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mapping.inputs.arrays import told
from mapping.networks.decode import loss, penalty, scores
from mapping.networks.dynamics import check_gradients
from mapping.networks.encode import check_images, check_labels, encode
from mapping.networks.network import Network
from mapping.networks.spec import NetworkSpec
from mapping.training.checkpoint import Run
from mapping.training.settings import TrainingSettings
from xbarsim.errors import ConvergenceError, ParameterError, of_kind
from xbarsim.machine import keep_freed_memory

Progress = Callable[[int, int, float, float], None]  # epoch, finished batches, running loss and training accuracy
Finished = Callable[[int, float], bool | None]  # epoch, validation accuracy (NaN without a split); true: stop

_SETTLING = 50  # batches that the averages of batch norm are taken over


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
    axes: str | None = None,
) -> Network:
    """Train a network and return the epoch that did best on the validation split.

    The loss goes with ``spec.decoder``, see :func:`mapping.networks.decode.loss`. Memory: on Linux, this process keeps
    what it frees from now on, since asking the system for it again makes training 1.7 times slower.

    Parameters
    ----------
    spec : NetworkSpec
        The network.
    images, labels : arrays, (n, h, w), (n, c, h, w) or spikes (n, t_steps, c, h, w), and (n,)
        The training set.
    settings : TrainingSettings, optional
    checkpoint : path, optional
        A folder, of one process at a time; after each epoch the run is saved there, and one found there is continued.
    device : str
        "auto" (CUDA where there is one), "cpu", "cuda", ...; results depend on it, and on the number of threads that
        torch has, as sums are rounded differently.
    progress : callable, optional
        Called after each batch with the epoch, the number of finished batches, running loss and training accuracy.
    finished : callable, optional
        Called after each epoch with its number and validation accuracy; what is true as an answer ends the run.
    axes : str, optional
        The order of the axes of ``images`` if it is another one, see :meth:`mapping.Network.predict`.

    Returns
    -------
    Network
        On the CPU, with the training record in ``metadata``.
    """
    of_kind(NetworkSpec, spec, "spec", "a NetworkSpec")
    settings = checked_settings(settings)
    checked = check_images(images, spec, axes)
    classes = check_labels(labels, len(checked), spec.n_classes)
    given, images, labels = (np.asarray(images), np.asarray(labels)), checked, classes
    _check(spec, images, settings)
    target = choose_device(device)
    if target.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(settings.seed)
    network = Network(spec).to(target)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    order = np.random.default_rng([settings.seed, 0]).permutation(len(images))
    held_out, kept = order[: settings.n_validation], order[settings.n_validation :]
    run = Run(network, optimizer, settings, *(given if axes in (None, told(given[0])) else (images, labels)))
    with run.stored_in(checkpoint):
        while not run.over:
            epoch, started = len(run.history), time.perf_counter()
            network.spec = (
                spec if settings.t_steps_training is None else spec.replace(t_steps=settings.t_steps_training)
            )
            mean_loss, training = _epoch(epoch, network, optimizer, images, labels, kept, settings, progress)
            network.spec = spec
            settle_norms(network, images[kept[: _SETTLING * settings.batch_size]], settings)
            validation = float("nan")
            if len(held_out):
                validation = float(np.mean(network.predict(images[held_out], seed=settings.seed) == labels[held_out]))
            run.finish_epoch(validation, training, mean_loss, time.perf_counter() - started)
            if finished is not None and finished(epoch, validation):
                break
    return run.best_network()


def checked_settings(settings: TrainingSettings | None) -> TrainingSettings:
    """Return settings, the usual ones for None; refuse what is none."""
    return (
        TrainingSettings() if settings is None else of_kind(TrainingSettings, settings, "settings", "TrainingSettings")
    )


def choose_device(name: str) -> torch.device:
    """Return a device of torch; "auto" is CUDA where there is one, otherwise the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ParameterError(f"device = {name!r}: give 'auto', 'cpu' or 'cuda'") from None
    if device.type not in ("cpu", "cuda"):
        raise ParameterError(f"device = {name!r}: only 'cpu' and 'cuda' are supported")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ParameterError(f"device = {name!r}: this machine, or this build of torch, has no such GPU; use 'cpu'")
    return device


def _check(spec: NetworkSpec, images: np.ndarray, settings: TrainingSettings) -> None:
    for neuron in spec.neurons():
        check_gradients(neuron)
    if settings.t_steps_training is not None and images.ndim == 5:
        raise ParameterError(
            f"t_steps_training = {settings.t_steps_training}: spikes are given for the {spec.t_steps} of the network"
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
    """Make one step on an encoded batch; return its loss and how many images were classified correctly.

    Raises :class:`ConvergenceError` if the loss is not finite, before anything is changed.
    """
    weight = network.layers[0].weight
    target = torch.from_numpy(labels.astype(np.int64)).to(weight.device)
    spikes, membranes = network(torch.from_numpy(x).to(weight))
    decoder, outputs = network.spec.decoder, network.outputs(spikes, membranes)
    total = loss(*outputs[:2], target, decoder, outputs[2])
    if settings.activity_l1 or settings.activity_l2:
        total = total + penalty(spikes, settings.activity_l1, settings.activity_l2)
    if not torch.isfinite(total):
        raise diverges(total, settings)
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    if settings.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.max_grad_norm)
    optimizer.step()
    with torch.no_grad():
        if settings.clip_weights:
            for part in (part for layer in network.layers for part in (layer, *layer.branches)):
                part.weight.clamp_(-1, 1)
        for layer in network.layers:
            if layer.neuron.learn_beta:
                layer.beta.clamp_(0, 1)
        right = scores(*outputs[:2], decoder, outputs[2]).argmax(1) == target
    return float(total.detach()), int(right.sum())


def diverges(loss: torch.Tensor, settings: TrainingSettings) -> ConvergenceError:
    """Return the error that ends a training whose loss is not finite."""
    return ConvergenceError(
        f"the loss is {float(loss.detach()):g}: training diverges; lower learning_rate = {settings.learning_rate:g}"
    )
