"""How to train, as plain parameters; knows nothing of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xbarsim.parameters import Parameters

_LARGEST = 1e30  # in single precision, with room for products


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
    learning_rate: float = Field(default=2.7e-3, gt=0, le=_LARGEST)
    schedule: Literal["cosine", "constant"] = "cosine"
    n_validation: int = Field(default=5000, ge=0)
    t_steps_training: int | None = Field(default=None, gt=0)
    shift: int = Field(default=0, ge=0)
    patience: int | None = Field(default=None, gt=0)
    max_grad_norm: float | None = Field(default=None, gt=0, le=_LARGEST)
    clip_weights: bool = False
    activity_l1: float = Field(default=0.0, ge=0, le=_LARGEST)
    activity_l2: float = Field(default=0.0, ge=0, le=_LARGEST)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def batches(self, n_images: int) -> int:
        """Return the batches of an epoch; incomplete ones are left out."""
        return (n_images - self.n_validation) // self.batch_size
