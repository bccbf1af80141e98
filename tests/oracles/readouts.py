"""Read-outs of whole networks: every read a circuit that is solved, neurons in loops over time."""

import numpy as np

import mapping as mp
import xbarsim as xb
from mapping.cost import CONVENTIONS
from mapping.cost.pricing import energies
from mapping.lower.placement import first_row
from mapping.networks.encode import encode
from tests.builders.layers import forward

V_READ, T_READ, UNIT = 0.3, 25e-9, 0.3 * (1e-5 - 1e-6)  # of the paper's device; a pair's unit of current


def inputs_of(mapped, images):
    """Yield each layer with what it is given and whether that is analog; later layers get the chip's own spikes."""
    x, analog = encode(images, mapped.network.spec), images.ndim < 5
    x = (mapped.chip.driver.quantize(x) if analog else x).astype(float)
    for layer in mapped.layers:
        yield layer, x, analog
        x, analog = forward(layer, x, analog)[0].astype(float), False


def unfolded(layer, x):
    """Return the reads of samples (frames, n, ...), position after position, (n_reads, n_wordlines)."""
    side = layer.layer.spec.kernel
    frames = x.reshape(-1, *layer.layer.rows[0].in_shape)
    padded = np.pad(frames, ((0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
    return np.moveaxis(windows, 1, 3).reshape(-1, layer.layer.weights.shape[1])


def voltages(tile, reads):
    """Return the voltages of all wordlines of an array for the reads of its layer."""
    v = np.zeros((len(reads), tile.chip.rows))
    v[:, first_row(tile.patch, tile.chip) :] = reads[:, tile.patch.rows] * V_READ
    return v


def joules(layer, ledger):
    return energies(layer.chip, ledger, CONVENTIONS["full"])


def solved(tile, reads):
    """Return the currents of the used bitlines, (n_reads, n_lines), and the power of each read, as circuits."""
    v, crossbar, inactive = voltages(tile, reads), tile.circuit.crossbar, tile.chip.inactive
    currents, power = np.zeros((len(v), crossbar.n_cols)), np.zeros(len(v))
    patterns, which = np.unique(v > 0, axis=0, return_inverse=True)
    if inactive == "ground":
        patterns, which = patterns[:1], np.zeros(len(v), int)
    for k, active in enumerate(patterns):
        part, g = which.ravel() == k, crossbar.g
        masks = {"floating_wordlines": ~active} if inactive == "open" else {}
        if inactive == "gated":
            g = np.where(active[:, None], g, 0)
        solution = xb.solve(xb.Crossbar(g, wires=crossbar.wires), v[part], **masks)
        currents[part], power[part] = solution.i_bitline, solution.power
    return currents[:, : tile.n_lines], power


def pairs(currents):
    """Return what differential pairs of bitlines give."""
    return currents[:, 0::2] - currents[:, 1::2]


def of_outputs(layer, x, per_tile, results=None):
    """Return currents into the neurons in units of a weight, (frames, n, out, h, w), of each row tile.

    per_tile turns the bitline currents of an array in amperes into its outputs; what else was solved goes to results.
    """
    reads, spec, parts = unfolded(layer, x), layer.layer.spec, []
    height, width = spec.read_positions(layer.layer.rows[0].in_shape)
    for row in layer.row_tiles:
        part = np.zeros((len(reads), spec.out))
        for tile in row.tiles:
            currents, power = solved(tile, reads)
            part[:, tile.patch.outputs] = per_tile(tile, currents)
            if results is not None:
                results.append((currents, power))
        part = part.reshape(*x.shape[:2], height // spec.pool, spec.pool, width // spec.pool, spec.pool, spec.out)
        parts.append(np.moveaxis(part.mean((3, 5)), -1, 2) / UNIT)
    return parts


def neurons(layer, current, level=None, noise=0.0, beta=None, share=1.0, scale=1.0):
    """Integrate, leak, fire at a level, and lose the threshold in the next step; return spikes and membranes."""
    folded, t_steps = layer.layer, layer.t_steps
    neurons = folded.activation
    threshold, beta = neurons.threshold * share * scale, neurons.beta if beta is None else beta
    level = threshold if level is None else level
    noise = np.broadcast_to(noise, (t_steps, *current.shape[1:]))
    u = s = np.zeros(current.shape[1:])
    spikes, membranes = [], []
    for t in range(t_steps):
        now = current[min(t, len(current) - 1)] + folded.constant[:, None, None] * share * scale
        u = beta * u + now - s * threshold
        s = (u + noise[t] >= level).astype(float)
        spikes.append(s)
        membranes.append(u)
    return np.array(spikes), np.array(membranes)


def assert_runs_like(layer, x, analog, current, **values):
    spikes, membrane, ledger = forward(layer, x, analog)
    expected, expected_membrane = neurons(layer, current, **values)
    np.testing.assert_allclose(membrane.numpy(), expected_membrane, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(spikes, expected)
    assert spikes.any() and not spikes.all()
    return ledger


def coded(chip, currents):
    """Return the currents that codes stand for, rounded and saturating."""
    adc = chip.readout
    top = 2**adc.n_bits - 1 if adc.sense == "bitline" else 2 ** (adc.n_bits - 1) - 1
    step = adc.full_scale / top
    return np.clip(np.rint(currents / step), 0 if adc.sense == "bitline" else -top, top) * step


def read_out(chip, limited=lambda i: i):
    """Return how a chip without imperfections turns the bitline currents of an array into outputs."""
    if isinstance(chip.readout, mp.SenseAmp):
        return lambda tile, i: pairs(limited(i))
    if chip.readout.sense == "bitline":
        return lambda tile, i: pairs(coded(chip, limited(i)))
    return lambda tile, i: coded(chip, pairs(limited(i)))


def unit_voltage(layer):
    """Return what a unit of weight moves a membrane by [V], and its capacitance, such that thresholds fit the supply.

    The reads of a pool add up on one membrane, a hundredth of each current; half of 1 V is the largest threshold.
    """
    charge = 0.01 * UNIT * T_READ * layer.layer.spec.pool**2
    capacitance = layer.layer.activation.threshold.max() * charge / 0.5
    return charge / capacitance, capacitance
