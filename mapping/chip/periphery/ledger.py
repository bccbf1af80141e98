"""What a layer did and what it is made of, in counts; parts of the periphery price them."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class Ledger:
    """What a layer did, summed over images and their reads; nothing of it is energy.

    Attributes
    ----------
    driven : float
        Active wordlines, each counted once however many arrays lie side by side; as inputs of which one bit is read
        after the other, once for all of these.
    wordlines, dac_wordlines : float
        Wordlines driven in all arrays: by spikes, and at the levels of a DAC.
    power : float
        What wordline drivers deliver into cells and wires [W], a term for each read.
    current : float
        Of the bitlines in use [A]. Times v_read it is what remains of ``power`` without wires, unused bitlines and what
        inactive wordlines sink.
    mirrored : float
        Current that mirrors copy [A], the constant input of neurons included; that of a reference bitline once for each
        output that it is subtracted from.
    sampled : float
        Bitlines in use.
    conversions, unused : float
        Conversions of what is used, and of all else that converters serve.
    added : float
        Partial sums that are added.
    updates, resets : float
        Membranes that were updated or compared, and those that crossed their threshold.
    spikes, collided, sent : float
        Spikes, or outputs that are not 0; those that had to wait for another one of their position and time step; those
        that a link carries.
    ors, written : float
        Gates and bits of registers between layers, once for each time step.
    simulated, clipped : int
        Conversions that were simulated (a constant input once), and those beyond full scale.
    passed, limited : int
        Bitline currents that met a limiter (a constant input once), and those beyond its limit.
    """

    driven: float = 0.0
    wordlines: float = 0.0
    dac_wordlines: float = 0.0
    power: float = 0.0
    current: float = 0.0
    mirrored: float = 0.0
    sampled: float = 0.0
    conversions: float = 0.0
    unused: float = 0.0
    added: float = 0.0
    updates: float = 0.0
    resets: float = 0.0
    spikes: float = 0.0
    collided: float = 0.0
    sent: float = 0.0
    ors: float = 0.0
    written: float = 0.0
    simulated: int = 0
    clipped: int = 0
    passed: int = 0
    limited: int = 0

    def add(self, other: Ledger) -> None:
        """Add other counts to these."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass(frozen=True)
class Reads:
    """What parts have to know of the reads that they serve.

    Attributes
    ----------
    t_read, t_on : float
        Of the read pulse, and for how long arrays and drivers are on [s].
    line_energy : float
        Of charging a wordline once [J].
    """

    t_read: float
    t_on: float
    line_energy: float


@dataclass(frozen=True)
class Inventory:
    """What a layer is made of, all copies of its arrays.

    Attributes
    ----------
    positions, places : int
        Reads of each array in a time step, one position of the kernel after the other; and positions of outputs.
    outputs : int
        At each of these.
    cells, wordlines, converters, comparators, neurons, codes : int
    ors, registers : int
        Gates of two inputs and bits between what drives its wordlines and these.
    capacitance : float
        Of one membrane [F].
    sends : bool
        Whether a layer follows.
    """

    positions: int
    places: int
    outputs: int
    cells: int
    wordlines: int
    converters: int
    comparators: int
    neurons: int
    codes: int
    ors: int
    registers: int
    capacitance: float
    sends: bool
