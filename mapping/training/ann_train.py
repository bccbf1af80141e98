"""Training of networks of ReLU neurons, quantized from the first step on."""

from __future__ import annotations

import time
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F

from mapping.networks.ann import Ann
from mapping.networks.ann_spec import AnnSpec
from mapping.networks.encode import check_images, check_labels
from mapping.training.settings import TrainingSettings
from mapping.training.train import Progress, checked_settings, diverges, shifted
from xbarsim.errors import ParameterError, of_kind

_UNUSED = ("t_steps_training", "patience", "max_grad_norm", "clip_weights", "activity_l1", "activity_l2")


def train_ann(
    spec: AnnSpec,
    images: np.ndarray,
    labels: np.ndarray,
    settings: TrainingSettings | None = None,
    progress: Progress | None = None,
) -> Ann:
    """Train a network by its cross-entropy, on the CPU; return the epoch that did best on the validation split.

    Parameters
    ----------
    spec : AnnSpec
        The network.
    images, labels : arrays, (n, h, w) or (n, c, h, w), and (n,)
        The training set.
    settings : TrainingSettings, optional
        Patience, norms of gradients, clipped weights and what only spikes have are not offered here.
    progress : callable, optional
        Called after each batch with the epoch, the number of finished batches, running loss and training accuracy.

    Returns
    -------
    Ann
        With the training record in ``metadata``.
    """
    of_kind(AnnSpec, spec, "spec", "an AnnSpec")
    settings = checked_settings(settings)
    images = check_images(images, spec, spiking=False)
    labels = check_labels(labels, len(images), spec.n_classes)
    _check(len(images), settings)
    started = time.perf_counter()
    torch.manual_seed(settings.seed)
    network = Ann(spec)
    order = np.random.default_rng([settings.seed, 0]).permutation(len(images))
    held_out, kept = order[: settings.n_validation], order[settings.n_validation :]
    n_batches, size, best = settings.batches(len(images)), settings.batch_size, -1.0
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * n_batches)
    for epoch in range(settings.epochs):
        rng = np.random.default_rng([settings.seed, 1, epoch])
        shuffled = rng.permutation(kept)[: n_batches * size].reshape(n_batches, size)
        network.train()
        loss_sum, right = 0.0, 0
        for batch, index in enumerate(shuffled, start=1):
            moves = rng.integers(-settings.shift, settings.shift + 1, (size, 2))
            levels = network.levels(shifted(images[index], moves))
            target = torch.from_numpy(labels[index].astype(np.int64))
            logits = network(torch.from_numpy(levels).float() / spec.top_activation)[-1].flatten(1)
            loss = F.cross_entropy(logits, target)
            if not torch.isfinite(loss):
                raise diverges(loss, settings)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if settings.schedule == "cosine":
                annealing.step()
            loss_sum, right = loss_sum + float(loss.detach()), right + int((logits.argmax(1) == target).sum())
            if progress is not None:
                progress(epoch, batch, loss_sum / batch, right / (batch * size))
        validation = float(np.mean(network.predict(images[held_out]) == labels[held_out])) if len(held_out) else None
        if validation is None or validation > best:
            best, chosen = validation or 0.0, deepcopy(network.state_dict())
            accuracies = {"validation_accuracy": validation, "training_accuracy": right / (n_batches * size)}
            record = {"best_epoch": epoch + 1, "trained_epochs": settings.epochs} | accuracies
    network.load_state_dict(chosen)
    used = {name: value for name, value in settings.model_dump().items() if name not in _UNUSED}
    network.metadata = used | record | {"seconds": round(time.perf_counter() - started)}
    return network.eval()


def _check(n_images: int, settings: TrainingSettings) -> None:
    if settings.batches(n_images) < 1:
        both = f"batch_size = {settings.batch_size}, n_validation = {settings.n_validation}"
        raise ParameterError(f"{both}: {n_images} images are fewer than both together")
    for name in _UNUSED:
        if getattr(settings, name) != TrainingSettings.model_fields[name].default:
            raise ParameterError(f"{name} = {getattr(settings, name)} is not offered for an Ann; leave it out")
