"""What a spiking neuron does, as plain parameters."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from xbarsim.parameters import Parameters


class NeuronSpec(Parameters):
    """Leaky integrate-and-fire neurons, equations 1-3 of Eshraghian et al. 2022; names as in snnTorch.

    With a membrane U that is compared, ``S[t] = 1 if U[t] >= theta else 0``, and V, what is left of it after the reset,
    there are three recurrences in use, here with reset by subtraction:

    - delayed: ``U[t] = beta U[t-1] + I[t] - S[t-1] theta``. Equation 1; the default of snnTorch (J. K. Eshraghian et
      al., Proc. IEEE 111, 1016 (2023)).
    - at once: ``U[t] = beta V[t-1] + I[t]``, ``V[t] = U[t] - S[t] theta``. What is left at or above the threshold fires
      again at the next step. SpikingJelly with ``v_reset=None`` (W. Fang et al., Science Advances 9, eadi1480 (2023)),
      Sinabs, Rockpool, Lava; one spike a step.
    - "snntorch": ``U[t] = beta V[t-1] + I[t] - D[t] theta``, ``V[t] = U[t] - (S[t] - D[t]) theta`` with ``D[t] = 1 if
      V[t-1] >= theta else 0``. snnTorch's ``reset_delay=False``: what is left at or above the threshold loses another
      one without having fired for it.

    With reset to zero, ``S theta`` and ``D theta`` become all that the membrane holds, and the three are the same but
    for winner-take-all; with beta = 1, the first two are.

    Attributes
    ----------
    beta, threshold : float
        Membrane decay per step, and firing threshold. Each layer holds its own, as tensors; these are where they start.
    slope : float
        Slope k of the fast-sigmoid surrogate, dS/dU = 1 / (1 + k |U - theta|)^2.
    reset_mechanism : {"subtract", "zero", "none"}
        What a membrane at its threshold loses: the threshold, everything, nothing.
    reset_delay : bool or "snntorch"
        True: it is reset after the decay of the next step. False: at once. Or as snnTorch does with ``False``.
    fire : {">=", ">", "never"}
        A neuron fires at U >= threshold, or only above it (imports), or it integrates without spikes, for its membrane
        to be read.
    clip : bool
        Whether the membrane is kept inside plus/minus the threshold.
    clip_gradient : {"hard", "straight-through"}
        Whether a membrane at that limit passes no gradient, or all of it.
    learn_beta : bool
        Whether training adapts the decay, one number for each layer.
    winner_take_all : bool
        Of the output channels at one position, only the one with the largest U / threshold may fire; the others above
        their threshold are reset without firing.
    inhibition : float
        Lateral inhibition: what a spike takes from the other channels at its position in the next step, in thresholds.
    alpha : float, optional
        Decay per step of a synaptic current between weights and membrane: ``C[t] = alpha C[t-1] + I[t]``, which takes
        the place of I. ``Synaptic`` of snnTorch, CubaLIF.
    late_current : bool
        Whether a membrane takes the synaptic current of the step before, as in Norse.
    most_spikes : int
        Spikes that a neuron may fire in a step: as many as its threshold goes into its membrane, each of which takes
        it once. Of networks that come trained (Sinabs); the surrogate gradient knows of one.
    adaptation, adaptation_decay : float
        By how much a spike raises the threshold that membranes are compared with, in thresholds, and how much of that
        is left a step later. Resets take the threshold as it was (G. Bellec et al., NeurIPS 2018).
    """

    later: ClassVar[tuple[str, ...]] = ("alpha", "late_current", "most_spikes", "adaptation", "adaptation_decay")
    beta: float = Field(ge=0, le=1)
    threshold: float = Field(gt=0, allow_inf_nan=False)
    slope: float = Field(default=2.8, gt=0, allow_inf_nan=False)
    reset_mechanism: Literal["subtract", "zero", "none"] = "subtract"
    reset_delay: bool | Literal["snntorch"] = True
    fire: Literal[">=", ">", "never"] = ">="
    clip: bool = False
    clip_gradient: Literal["hard", "straight-through"] = "hard"
    learn_beta: bool = False
    winner_take_all: bool = False
    inhibition: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    alpha: float | None = Field(default=None, ge=0, le=1)
    late_current: bool = False
    most_spikes: int = Field(default=1, ge=1, le=255)
    adaptation: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    adaptation_decay: float = Field(default=0.0, ge=0, le=1)

    @property
    def simple(self) -> bool:
        """Whether it has no more than a membrane that fires at most one spike a step at a threshold that stays."""
        return self.alpha is None and self.fire != "never" and self.most_spikes == 1 and not self.adaptation

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.clip and self.fire == ">":
            raise ValueError("clip = true with fire = '>': a membrane kept at its threshold never fires; use '>='")
        if self.learn_beta and self.reset_delay == "snntorch":
            raise ValueError("learn_beta = true with reset_delay = 'snntorch' is not offered; use true or false")
        if self.late_current and self.alpha is None:
            raise ValueError("late_current = true: there is no synaptic current; give alpha")
        if self.adaptation_decay and not self.adaptation:
            raise ValueError("adaptation_decay: nothing raises the threshold; give adaptation")
        only_one = self.winner_take_all or bool(self.inhibition) or self.clip or self.reset_delay == "snntorch"
        if (self.most_spikes > 1 or self.adaptation) and only_one:
            raise ValueError(
                "most_spikes and adaptation go with neither winner_take_all, inhibition, clip nor reset_delay = "
                "'snntorch'; leave one out"
            )
        if self.most_spikes > 1 and (self.reset_mechanism != "subtract" or self.adaptation):
            raise ValueError("most_spikes: each spike takes one threshold that stays; use reset_mechanism = 'subtract'")
        return self
