"""What a spiking neuron does, as plain parameters."""

from __future__ import annotations

from typing import Literal, Self

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
    fire : {">=", ">"}
        A neuron fires at U >= threshold, or only above it (imports).
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
    """

    beta: float = Field(ge=0, le=1)
    threshold: float = Field(gt=0, allow_inf_nan=False)
    slope: float = Field(default=2.8, gt=0, allow_inf_nan=False)
    reset_mechanism: Literal["subtract", "zero", "none"] = "subtract"
    reset_delay: bool | Literal["snntorch"] = True
    fire: Literal[">=", ">"] = ">="
    clip: bool = False
    clip_gradient: Literal["hard", "straight-through"] = "hard"
    learn_beta: bool = False
    winner_take_all: bool = False
    inhibition: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.clip and self.fire == ">":
            raise ValueError("clip = true with fire = '>': a membrane kept at its threshold never fires; use '>='")
        if self.learn_beta and self.reset_delay == "snntorch":
            raise ValueError("learn_beta = true with reset_delay = 'snntorch' is not offered; use true or false")
        return self
