"""What inference costs: energies by module, and the convention under which they are counted."""

from __future__ import annotations

from dataclasses import dataclass, fields

from xbarsim.errors import ParameterError

CONVENTIONS = {
    "full": (
        "full accounting: every read of every used array at every time step, silent wordlines grounded and sinking "
        "current; every conversion or decision; drivers of active wordlines; neurons with the constant that batch "
        "norm folds into. 1 MAC = 2 operations, dense operations of all time steps. "
        "Excluded: programming, buffers, routing, control, leakage."
    ),
}


def convention(accounting: str) -> str:
    """Return the text of an accounting convention; raise :class:`ParameterError` if there is none of that name."""
    if accounting not in CONVENTIONS:
        raise ParameterError(f"accounting = {accounting!r}: give one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[accounting]


@dataclass
class Charges:
    """Energy [J] by module and the counts behind it, summed over images.

    Attributes
    ----------
    array : float
        Delivered by the wordline drivers into cells and wires.
    conversion : float
        ADC conversions or sense-amplifier decisions.
    driver, neuron : float
        Wordline drivers with their DACs; neuron circuits.
    driven : float
        Active wordlines, summed over reads, each counted once however many arrays lie side by side.
    conversions, clipped : int
        ADC conversions that were simulated (a constant input once), and those beyond full scale.
    """

    array: float = 0.0
    conversion: float = 0.0
    driver: float = 0.0
    neuron: float = 0.0
    driven: float = 0.0
    conversions: int = 0
    clipped: int = 0

    @property
    def energy(self) -> float:
        """Total energy [J]."""
        return self.array + self.conversion + self.driver + self.neuron

    def add(self, other: Charges) -> None:
        """Add another account to this one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
