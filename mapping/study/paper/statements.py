"""Statements of the paper's text that its table rests on, each measured.

Source: J. K. Eshraghian, X. Wang, W. D. Lu, "Binarized Spiking Neural Networks: Challenges and Applications", IEEE
Nanotechnology Magazine, 2022, doi 10.1109/MNANO.2022.3141443.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import pandas as pd

from mapping.chip.chip import Chip
from mapping.mapped.mapped_network import map_network
from mapping.mapped.traces import trace
from mapping.networks.ann_spec import AnnSpec, mobile_ann, vgg_ann
from mapping.networks.network import Network
from mapping.networks.spec import LayerSpec
from mapping.study.setting import varied
from xbarsim.ports import reduce
from xbarsim.streams import stream

SCALES = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def bitline_current(chip: Chip, seed: int = 0, n_orders: int = 20) -> pd.DataFrame:
    """Return how the total bitline current of an array falls with its active wordlines.

    The array is a linear circuit, so that the mean over all sets of wordlines is proportional to their number, with any
    wires; which wordlines these are makes the difference. Each random order of the wordlines is cut into sets, so that
    every wordline is in one of them.

    Parameters
    ----------
    chip : Chip
        Its array is filled with random weights.
    seed : int
    n_orders : int
        Random orders of the wordlines at each number.

    Returns
    -------
    DataFrame
        ``active`` wordlines; ``current`` into all sense nodes [A], mean, ``least`` and ``most`` of all sets; and
        ``factor`` by which that of all wordlines is larger than the mean. Silent wordlines are at 0 V.
    """
    rng = stream(seed, "bitline-current")
    die = chip.device.fabricate((chip.rows, chip.cols), seed=seed)
    die.program(rng.integers(0, 2, (chip.rows, chip.cols)))
    ports = reduce(die.circuit(chip.wires, chip.cell).crossbar)
    counts = sorted({chip.rows, *(1 << k for k in range(chip.rows.bit_length()) if 1 << k <= chip.rows)})
    found = []
    for count in counts:
        orders = np.array([rng.permutation(chip.rows) for _ in range(n_orders)])
        sets = orders[:, : chip.rows // count * count].reshape(-1, count)
        v = np.zeros((len(sets), chip.rows))
        np.put_along_axis(v, sets, chip.device.v_read, axis=1)
        currents = ports.i_bitline(v).sum(1)
        found.append((count, currents.mean(), currents.min(), currents.max()))
    frame = pd.DataFrame(found, columns=["active", "current", "least", "most"])
    return frame.assign(factor=frame["current"].iloc[-1] / frame["current"])


def disturb_by_sparsity(
    network: Network,
    chip: Chip,
    images: np.ndarray,
    *,
    seed: int = 0,
    n_inferences: float = 1e8,
    scales: Sequence[float] = SCALES,
) -> pd.DataFrame:
    """Return how much reads move the LRS cells of the second layer, the sparser its input spikes the less.

    Thresholds of hidden layers are scaled to make spikes rarer.

    Parameters
    ----------
    network : Network
        With a hidden layer.
    chip : Chip
        Its device has a read_disturb law.
    images : array
        That tell how often wordlines fire.
    seed : int
    n_inferences : float
        Classifications between programming and measurement.
    scales : sequence of float
        Of the thresholds.

    Returns
    -------
    DataFrame
        ``spike_rate`` of the first layer, and the average ``disturb`` of the LRS cells in use, relative to their
        conductance: all, those on the tenth of the wordlines that fired most, and those on wordlines that never did.
    """
    found = []
    for scale in scales:
        mapped = map_network(varied(network, {"threshold_scale": scale}), chip, seed=seed)
        layer, spikes = mapped.layers[1], mapped.spikes(images)[0]
        (part,) = layer.wordlines
        rows = part.activity(spikes.reshape(-1, *part.rows.in_shape), False)
        before = [[tile.cells for tile in row.tiles] for row in layer.row_tiles]
        mapped.age(n_inferences=n_inferences, images=images)
        moved, fired = [], []
        for row, activity, cells_before in zip(layer.row_tiles, rows, before):
            for tile, cells in zip(row.tiles, cells_before):
                lrs = cells > chip.device.g_lrs / 2
                moved.append(np.abs(1 - tile.cells / cells)[lrs])
                fired.append(np.broadcast_to(activity.counts.sum(0), cells.shape)[lrs])
        change, count = np.concatenate(moved), np.concatenate(fired)
        busiest, silent = count >= np.quantile(count, 0.9), count == 0
        found.append(
            {
                "threshold_scale": scale,
                "spike_rate": float(spikes.mean()),
                "disturb": float(change.mean()),
                "disturb_busiest": float(change[busiest].mean()),
                "disturb_silent": float(change[silent].mean()) if silent.any() else np.nan,
            }
        )
    return pd.DataFrame(found)


def convolution_shares() -> pd.DataFrame:
    """Return the shares of multiply-accumulates and weights in convolutions, of VGG-16 and of the shipped networks."""
    networks = {"VGG-16": vgg16(), "VGG-like, shipped": vgg_ann(), "MobileNet-like, shipped": mobile_ann()}
    rows = []
    for name, spec in networks.items():
        parts = []
        for layer, (shape, _) in zip(spec.layers, spec.shapes()):
            weights = prod(layer.sides) * layer.channels(shape) * layer.out
            parts.append((layer.kind == "conv", weights * int(np.prod(layer.read_positions(shape))), weights))
        convolutional, macs, weights_of = (np.array(column, dtype=float) for column in zip(*parts))
        rows.append(
            {
                "network": name,
                "macs": macs.sum(),
                "weights": weights_of.sum(),
                "macs_in_convolutions": (macs @ convolutional) / macs.sum(),
                "weights_in_convolutions": (weights_of @ convolutional) / weights_of.sum(),
            }
        )
    return pd.DataFrame(rows)


def vgg16() -> AnnSpec:
    """Return VGG-16 for images of 224 x 224 in 1000 classes: K. Simonyan, A. Zisserman, arXiv:1409.1556, table 1, D."""
    layers = []
    for out, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [LayerSpec(kind="conv", out=out, kernel=3, pool=2 if k == count - 1 else 1) for k in range(count)]
    layers += [LayerSpec(kind="dense", out=out) for out in (4096, 4096, 1000)]
    return AnnSpec(input_shape=(3, 224, 224), layers=tuple(layers))


def collisions(network: Network, chip: Chip, images: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """Return how likely a spike meets another one of its position, for time steps cut into more and more slots.

    Spikes are those of the network on the chip; each falls into any slot of its time step with the same probability,
    so that of k spikes one is alone with the probability (1 - 1/slots)^(k - 1).

    Returns
    -------
    DataFrame
        ``slots`` in a time step, and the ``collided`` share of the spikes of each hidden layer.
    """
    traced = trace(map_network(network, chip, seed=seed), images)
    slots = [1, 2, 4, 8, 16, 32, 64]
    table: dict[str, list[float]] = {"slots": [float(count) for count in slots]}
    for k, spikes in enumerate(traced.spikes[:-1]):
        at_once = spikes.sum(2).ravel()
        at_once = at_once[at_once > 0]
        table[f"layer {k + 1}"] = [
            float((at_once * (1 - (1 - 1 / count) ** (at_once - 1))).sum() / at_once.sum()) for count in slots
        ]
    return pd.DataFrame(table)


def largest_current_only(
    network: Network, chip: Chip, images: np.ndarray, labels: np.ndarray, *, seed: int = 0
) -> pd.DataFrame:
    """Return the accuracy when only the bitline with the largest membrane of each position may fire.

    Returns
    -------
    DataFrame
        ``read-out``: every bitline, the largest of the last layer only, and of all layers; accuracy on the chip with
        its interval and in software, and the spike rate of the first layer.
    """
    rows, ways = [], {"every bitline": 0, "largest, last layer": 1, "largest, all layers": len(network.layers)}
    for name, layers in ways.items():
        taken = with_winners(network, layers)
        report = map_network(taken, chip, seed=seed).evaluate(images, labels)
        rows.append(
            {
                "read-out": name,
                "accuracy": report.accuracy,
                "accuracy_interval": report.accuracy_interval,
                "ideal_accuracy": report.ideal_accuracy,
                "spike_rate": report.spike_rate[0],
            }
        )
    return pd.DataFrame(rows)


def with_winners(network: Network, n_layers: int) -> Network:
    """Return the network with winner-take-all in its last layers."""
    count = len(network.layers)
    layers = tuple(
        layer.replace(neuron=layer.neuron | {"winner_take_all": True}) if k >= count - n_layers else layer
        for k, layer in enumerate(network.spec.layers)
    )
    changed = Network(network.spec.replace(layers=layers), network.metadata)
    changed.load_state_dict(network.state_dict())
    changed.name = network.name
    return changed.eval()
