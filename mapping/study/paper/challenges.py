"""The challenges of table 1 as studies: the non-ideality grows, and two designs on the same arrays bear it, or do not.

Source of the rows: J. K. Eshraghian, X. Wang, W. D. Lu, "Binarized Spiking Neural Networks: Challenges and
Applications", IEEE Nanotechnology Magazine, 2022, doi 10.1109/MNANO.2022.3141443, table 1, restated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mapping.study.study_spec import Axis, Study

ANN = {"network": "mnist-ann", "chip": "paper-ann"}
BSNN = {"network": "mnist-bsnn", "chip": "paper-bsnn"}
BOTH = {"ANN, 8 bit": ANN, "BSNN, 1 bit": BSNN}


@dataclass(frozen=True, eq=False)
class Challenge:
    """One row of the table.

    Attributes
    ----------
    name : str
        Of its study, and of its folder in a store.
    level : {"device", "circuit", "system", "algorithm"}
    challenge, offer : str
        What hurts arrays, and what spiking networks have against it.
    axis : Axis, optional
        What grows, from nothing to much.
    cases : dict
        The designs that are compared.
    changes : dict
        What is set in all of them.
    result : str
        What is compared.
    dataset : str, optional
    """

    name: str
    level: str
    challenge: str
    offer: str
    axis: Axis | None
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: BOTH)
    changes: Mapping[str, Any] = field(default_factory=dict)
    result: str = "accuracy"
    dataset: str | None = None

    def study(self, *, images: int, trials: int, seed: int, quick: bool) -> Study:
        """Return the study that measures it."""
        designs = Axis(name="design", cases={name: dict(case) for name, case in self.cases.items()})
        axes = [] if self.axis is None else [_few(self.axis) if quick else self.axis]
        return Study(
            name=self.name,
            title=self.challenge,
            dataset=self.dataset,
            images=images,
            trials=trials,
            seed=seed,
            changes=dict(self.changes),
            axes=(*axes, designs),
        )


def _few(axis: Axis) -> Axis:
    """Return an axis with two of its values, the first and the last but one."""
    return axis.replace(values=[axis.values[0], axis.values[-2]])


def _grows(name: str, label: str, values: list[Any], *sets: str, unit: str = "") -> Axis:
    return Axis(name=name, label=label, unit=unit, sets=sets, values=values)


def _adc(n_bits: int) -> dict[str, Any]:
    return ANN | {"chip.readout.n_bits": n_bits, "chip.readout.full_scale": "calibrated"}


_SPREADS = [0, 0.1, 0.3, 0.5, 0.7]

CHALLENGES = (
    Challenge(
        "d2d",
        "device",
        "variation from device to device",
        "binarized weights and activations",
        _grows("d2d", "relative std. dev.", _SPREADS, "chip.device.d2d"),
    ),
    Challenge(
        "c2c",
        "device",
        "variation from write to write",
        "binarized weights and activations",
        _grows("c2c", "relative std. dev.", _SPREADS, "chip.device.c2c"),
    ),
    Challenge(
        "read-noise",
        "device",
        "variance of reads: noise",
        "binarized weights and activations",
        _grows("read_noise", "noise of a cell", [0, 0.1, 0.2, 0.5, 1.0], "chip.device.read_noise"),
    ),
    Challenge(
        "drift",
        "device",
        "drift of conductances",
        "binarized weights and activations",
        _grows("time", "time at 300 K", [0, "1 day", "30 days", "1 year", "10 years"], "past.time", unit="s"),
        changes={"chip.device.retention": {"nu": 0.02, "nu_spread": 0.01, "t0": "20 s"}},
    ),
    Challenge(
        "read-disturb",
        "device",
        "destructive read-out",
        "sparse spikes, activity regularization",
        _grows("n_inferences", "images classified", [0, 1e7, 1e8, 1e9, 1e10], "past.n_inferences"),
        changes={"chip.device.read_disturb": "power-law"},
    ),
    Challenge(
        "adc",
        "circuit",
        "ADC overhead in power and area",
        "1-bit read-out, information in time",
        None,
        cases={f"ANN, {n} bit": _adc(n) for n in (8, 6, 4)} | {"BSNN, 1 bit": BSNN},
        result="adc_power_share",
    ),
    Challenge(
        "on-off-ratio",
        "circuit",
        "current of cells in the HRS",
        "thresholds; large on/off ratios help both",
        _grows("on_off_ratio", "on/off ratio", [100, 10, 5, 3, 2, 1.5], "chip.device.on_off_ratio"),
    ),
    Challenge(
        "ir-drop",
        "circuit",
        "IR drop and sneak paths",
        "thresholds, few active wordlines",
        _grows(
            "r_wire",
            "wire resistance",
            [0, 1, 2, 4, 8],
            "chip.wires.r_wordline",
            "chip.wires.r_bitline",
            unit="Ohm",
        ),
    ),
    Challenge(
        "scaling",
        "circuit",
        "scaling of arrays",
        "thresholds, few active wordlines",
        _grows("size", "rows and columns", [32, 64, 128, 256], "chip.rows", "chip.cols"),
    ),
    Challenge(
        "leakage",
        "circuit",
        "charge leakage beyond the decay",
        "a decay is part of the neuron",
        _grows("leak_spread", "spread of leaks", [0, 0.1, 0.2, 0.5, 1.0], "chip.neuron.leak_spread"),
        cases={"BSNN, 1 bit": BSNN},
    ),
    Challenge(
        "stalling",
        "system",
        "data path stalls: shared ADCs",
        "decisions of all bitlines at once",
        None,
        cases={f"ANN, {n}/ADC": ANN | {"chip.readout.columns_per_adc": n} for n in (1, 8, 64)} | {"BSNN, 1 bit": BSNN},
        result="latency",
    ),
    Challenge(
        "quantization",
        "algorithm",
        "quantization of compact models",
        "binarized weights, precise in time",
        _grows("n_bits", "ADC resolution", [8, 7, 6, 5, 4], "chip.readout.n_bits", unit="bit"),
        cases={
            "VGG-like": {"network": "fashion-mnist-vgg-ann", "chip": "paper-ann"},
            "MobileNet-like": {"network": "fashion-mnist-mobile-ann", "chip": "paper-ann"},
        },
        changes={"chip.readout.full_scale": "calibrated"},
        dataset="fashion-mnist",
    ),
    Challenge(
        "time-steps",
        "algorithm",
        "precision of 1-bit spikes",
        "binarized weights, precise in time",
        _grows("t_steps", "time steps", [35, 25, 15, 8, 5, 3, 2], "network.t_steps"),
        cases={"BSNN, 1 bit": BSNN},
    ),
)
