"""The cases of the goldens: each runs chips and returns plain values."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

import mapping as mp
from mapping.cost import CONVENTIONS
from xbarsim.errors import ParameterError

SPIKING = ("mnist-bsnn", "fashion-mnist-bsnn")
CONVENTIONAL = ("mnist-ann", "fashion-mnist-vgg-ann", "fashion-mnist-mobile-ann")
ENGINES = ("events", "dense")


@cache
def data(network: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = mp.load_dataset("fashion-mnist" if network.startswith("fashion") else "mnist")
    return images[:n], labels[:n]


def digest(array: np.ndarray) -> str:
    return blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).hexdigest()


def bits(spikes: list[np.ndarray]) -> list[dict[str, Any]]:
    """Return of each layer how many spikes there are, and a digest of which."""
    return [{"count": int(s.sum()), "digest": digest(np.packbits(s.astype(bool)))} for s in spikes]


def told(report: mp.Report) -> dict[str, Any]:
    """Return all of a report that is not of one run: neither date nor versions."""
    return {name: value for name, value in report.to_dict(flat=True).items() if name not in ("run", "definitions")}


def under_all_conventions(evaluate: Callable[..., mp.Report]) -> dict[str, Any]:
    """Return a report, and what the other conventions of accounting make of it."""
    others = {}
    for name in CONVENTIONS:
        report = evaluate(accounting=name)
        others[name] = {"energy": report.energy_by_module(), "tops_per_watt": report.tops_per_watt}
        others[name]["synaptic_tops_per_watt"] = report.synaptic_tops_per_watt
    return {"report": told(evaluate(accounting="full")), "conventions": others}


def spiking(network: str, chip: str | mp.Chip, n: int = 6) -> dict[str, Any]:
    """Run a spiking network by all engines that a chip allows."""
    images, labels = data(network, n)
    mapped = mp.map_network(network, chip, dtype=torch.float64, images=images)
    found = {}
    for engine in ENGINES:
        try:
            spikes = mapped.spikes(images, engine=engine)
        except ParameterError:
            continue
        found[engine] = {"spikes": bits(spikes), "report": told(mapped.evaluate(images, labels, engine=engine))}
    return found


def conventional(network: str, chip: str | mp.Chip, inputs: str, n: int = 2) -> dict[str, Any]:
    """Run a conventional network."""
    images, labels = data(network, n)
    mapped = mp.map_ann(network, chip, dtype=torch.float64, images=images, inputs=inputs)
    outputs = mapped.integers(images)
    sums = [{"sum": int(y.sum()), "digest": digest(y)} for y in outputs[:-1]]
    return {"outputs": sums, "report": told(mapped.evaluate(images, labels))}


TINY = [
    mp.LayerSpec(kind="conv", out=5, kernel=3, pool=2, batch_norm=True),
    mp.LayerSpec(kind="conv", out=7, kernel=3, stride=2, bias=True),
    mp.LayerSpec(kind="dense", out=4),
]


@cache
def tiny(**neuron: Any) -> mp.Network:
    """Return a spiking network of three layers with tensors as after training, none of them special."""
    spec = mp.NetworkSpec(input_shape=(2, 8, 8), layers=TINY, beta=0.8, threshold=1.5, t_steps=6, **neuron)
    network, rng = mp.Network(spec).double().eval(), np.random.default_rng(11)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.dtype.is_floating_point and ("weight" in name or "running" in name or "bias" in name):
                tensor.copy_(torch.from_numpy(rng.uniform(0.4, 1.6, tensor.shape) * rng.choice([-1, 1], tensor.shape)))
            if "running_var" in name or "norm.weight" in name:
                tensor.abs_()
    return network


@cache
def tiny_ann() -> mp.Ann:
    """Return a conventional network of the same layers."""
    network, rng = mp.Ann(mp.AnnSpec(input_shape=(2, 8, 8), layers=TINY)).eval(), np.random.default_rng(12)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.dtype.is_floating_point and "weight" in name and "norm" not in name:
                tensor.copy_(torch.from_numpy(rng.normal(0, 0.3, tensor.shape)))
    return network


def tiny_data() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(13).random((9, 2, 8, 8)), np.arange(9) % 4


BSNN = mp.load_chip("paper-bsnn").replace(rows=24, cols=10)
ADC = mp.load_chip("paper-ann").replace(rows=24, cols=10)
PASSIVE = mp.load_chip("neurram-like").replace(rows=24, cols=10)
VARIED = {"lrs": 0.1, "hrs": 0.3}
CHIPS = {  # what chips can be made of, an array being too small for every layer
    "plain": BSNN,
    "reference": BSNN.replace(weights="reference"),
    "d2d": BSNN.replace(device__d2d={"spread": VARIED}),
    "read-noise": BSNN.replace(device__read_noise=0.05),
    "faults": BSNN.replace(device__faults={"stuck_lrs": 0.02, "stuck_hrs": 0.03, "broken_bitlines": 0.1}),
    "limiter": BSNN.replace(limiter={"i_max": "20 uA"}),
    "smooth-limiter": BSNN.replace(limiter={"i_max": "20 uA", "kind": "smooth"}, weights="reference"),
    "open": BSNN.replace(inactive="open"),
    "gated": BSNN.replace(inactive="gated"),
    "sharing": BSNN.replace(merge="charge-sharing"),
    "majority": BSNN.replace(merge="majority"),
    "comparators": BSNN.replace(readout__offset="20 mV", readout__noise="5 mV", neuron__leak_spread=0.2),
    "calibrated": BSNN.replace(
        device__d2d={"spread": VARIED}, readout__offset="20 mV",
        calibration={"gain_bits": 6, "offset_bits": 5, "threshold_bits": 6, "interval": "1 s", "energy": "1 pJ"},
    ),
    "link": BSNN.replace(link={"energy_per_spike": "1 pJ", "t_spike": "20 ns"}, replication=(2, 3)),
    "passive": PASSIVE,
    "bitlines": ADC,
    "differences": ADC.replace(readout__sense="difference"),
    "converters": ADC.replace(readout__offset=0.01, readout__noise=0.005, readout__mismatch=0.02),
    "fitted": ADC.replace(readout__full_scale="calibrated", readout__n_bits=5, limiter={"i_max": "15 uA"}),
    "held": ADC.replace(held="driven", constant_input="once"),
    "trimmed": ADC.replace(
        device__d2d={"spread": VARIED}, readout__offset=0.02,
        calibration={"gain_bits": 6, "offset_bits": 5, "interval": "1 s", "energy": "1 pJ", "area": "10 um^2"},
    ),
}  # fmt: skip


def varied(chip: mp.Chip) -> dict[str, Any]:
    """Run the tiny network, by images and by spikes, and on a second die."""
    images, labels = tiny_data()
    spikes = (np.random.default_rng(14).random((9, 6, 2, 8, 8)) < 0.3).astype(np.uint8)
    found = {}
    for name, x, die in (("images", images, 0), ("spikes", spikes, 0), ("die 1", images, 1)):
        mapped = mp.map_network(tiny(), chip, dtype=torch.float64, images=x, die=die)
        for engine in ENGINES:
            try:
                fired = mapped.spikes(x, engine=engine)
            except ParameterError:
                continue
            found[f"{name}, {engine}"] = {"spikes": bits(fired)}
            found[f"{name}, {engine}"] |= under_all_conventions(partial(mapped.evaluate, x, labels, engine=engine))
    return found


def varied_ann(chip: mp.Chip, inputs: str) -> dict[str, Any]:
    """Run the tiny conventional network."""
    images, labels = tiny_data()
    mapped = mp.map_ann(tiny_ann(), chip, dtype=torch.float64, images=images, inputs=inputs)
    outputs = mapped.integers(images)
    return {"outputs": [digest(y) for y in outputs[:-1]]} | under_all_conventions(
        partial(mapped.evaluate, images, labels, batch_size=4)
    )


AGEING = BSNN.replace(
    device__read_disturb="power-law", device__retention={"nu": 0.05, "t0": "1 s"}, device__d2d={"spread": VARIED}
)


def aged(refresh: float | None, by: str) -> dict[str, Any]:
    """Let reads and time pass, then classify while reads age the arrays."""
    images, labels = tiny_data()
    mapped = mp.map_network(tiny(), AGEING, dtype=torch.float64)
    mapped.age(n_inferences=1e9, images=images, dt="1 day")
    report = mapped.evaluate(images, labels, refresh=refresh, ageing_by=by, batch_size=4)
    return {"report": told(report)}


def dies() -> dict[str, Any]:
    images, labels = tiny_data()
    past = mp.History(n_reads=1e9, time=3600.0)
    report = mp.evaluate_dies(tiny(), AGEING, images, labels, n_dies=3, history=past)
    return {"report": told(report)}


def study(name: str) -> dict[str, Any]:
    """Run two points of each axis of a shipped study on few images."""
    full = mp.load_study(name)
    few = [axis.replace(values=[axis.values[0], axis.values[-1]]) for axis in full.axes if not axis.cases]
    few += [axis.replace(cases={k: axis.cases[k] for k in list(axis.cases)[:2]}) for axis in full.axes if axis.cases]
    found = mp.run_study(full.replace(images="first:4", trials=1, axes=few), workers=1, progress=False)
    numbers = {str(k): v.values.astype(float).ravel().tolist() for k, v in found.items() if v.dtype.kind in "fb"}
    return {"dims": {str(k): list(v.dims) for k, v in found.items()}, "numbers": numbers}


FAST: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"tiny on {name}": partial(varied, chip) for name, chip in CHIPS.items() if name != "gated"},
    **{f"tiny ann on {name}, {way}": partial(varied_ann, CHIPS[name], way)
       for name in ("bitlines", "differences", "converters", "fitted") for way in ("dac", "bit-serial")},
    "aged": partial(aged, None, "step"),
    "aged by steps": partial(aged, 0.001, "step"),
    "aged by batches": partial(aged, 0.001, "batch"),
    "dies": dies,
}  # fmt: skip
SLOW: dict[str, Callable[[], dict[str, Any]]] = {
    "tiny on gated": partial(varied, CHIPS["gated"]),
    **{f"{network} on {chip}": partial(spiking, network, chip) for network in SPIKING for chip in mp.list_chips()},
    **{f"{network} on {chip}, {way}": partial(conventional, network, chip, way)
       for network in CONVENTIONAL for chip in ("paper-ann", "isaac-like", "snn-64") for way in ("dac", "bit-serial")},
    **{f"study {name}": partial(study, name) for name in mp.list_studies()},
}  # fmt: skip
