"""Chips whose devices are used, and what their arrays see."""

import numpy as np
import torch

import mapping as mp
import xbarsim as xb
from mapping.lower.placement import first_row
from mapping.networks.encode import encode
from tests.builders.layers import forward

WIRES = xb.Wires(r_wordline=20, r_bitline=20, r_driver=100, r_sense=50)
PUBLISHED = {"kind": "power-law"}


def mapped_on(network, chip, seed=0, die=0, **device):
    return mp.map_network(
        network, chip.replace(device=chip.device.replace(**device)), seed=seed, die=die, dtype=torch.float64
    )


def tiles_of(mapped):
    return [tile for layer in mapped.layers for tile in layer.tiles]


def layer_reads(mapped, images):
    """Return the reads of each layer, one for every image, step and position, (n, n_wordlines) and whether analog."""
    analog = np.asarray(images).ndim < 5
    x = encode(images, mapped.network.spec).astype(float)
    x = mapped.chip.driver.quantize(x) if analog else x
    for layer in mapped.layers:
        repeats = mapped.network.t_steps if analog else 1
        side = layer.layer.spec.kernel
        frames = x.reshape(-1, *layer.layer.rows[0].in_shape)
        padded = np.pad(frames, ((0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
        yield layer, np.tile(np.moveaxis(windows, 1, 3).reshape(-1, layer.layer.weights.shape[1]), (repeats, 1)), analog
        x, analog = forward(layer, x, analog)[0], False


def array_voltages(tile, reads):
    """Return driver voltages of one array for reads of its layer, (n, n_wordlines)."""
    v = np.zeros((len(reads), tile.circuit.crossbar.n_rows))
    v[:, tile.circuit.rows[first_row(tile.patch, tile.chip) :]] = reads[:, tile.patch.rows] * tile.chip.device.v_read
    return v


def events(network, images, every=1):
    """Return spike arrays (n, t_steps, c, h, w), silent at all but every n-th time step."""
    spikes = np.random.default_rng(2).random((len(images), network.t_steps, *network.spec.input_shape)) < 0.3
    spikes[:, np.arange(network.t_steps) % every > 0] = False
    return spikes.astype(float)
