"""Layers step by step: as all steps at once do, bit for bit; and in a loop, against the equations."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.engines.event_engine import event_layer
from mapping.ir.neuron import NeuronSpec
from mapping.kernels.inference import Events
from mapping.kernels.sums import CLIPPED, DRIVEN, LIMITED, N_SUMS, PLACES, SPIKES
from mapping.lower.fuse import fuse
from mapping.networks.dynamics import RESETS, TIMINGS, fires_from
from mapping.networks.event_layers import Frame, list_inputs
from mapping.networks.ideal_layers import ideal_layers
from mapping.networks.network import Network
from tests.oracles.naive_circuits import solve_circuit
from tests.oracles.naive_networks import run_neurons

WIRES = xb.Wires(r_wordline=100, r_bitline=100, r_driver=500, r_sense=200)
COUNTS = [DRIVEN, SPIKES, PLACES, CLIPPED, LIMITED]
LINES = {"neuron": DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12)}


def converter(**values):
    return mp.SarAdc(n_bits=4, f_sample=40e6, power=40e-6, columns_per_adc=2, full_scale=25e-6, **values)


CHIPS = {
    "read noise": {"device__read_noise": 0.1},
    "comparators": {"readout__noise": 0.2, "readout__offset": 0.02, "neuron__leak_spread": 0.3},
    "read noise, comparators": {"device__read_noise": 0.1, "readout__noise": 0.2},
    "smooth limit": {"limiter": mp.CurrentLimit(i_max=8e-6, kind="smooth")},
    "converters": {"readout": converter()} | LINES,
    "noisy converters": {"readout": converter(offset=0.02, noise=0.05), "device__read_noise": 0.1} | LINES,
    "mismatch": {"readout": converter(sense="difference", mismatch=0.05, noise=0.05)} | LINES,
}


@cache
def layers_of(name, dtype):
    """The tables of a convolution with pooling and of a dense layer, and the shapes of their inputs."""
    layers = [
        mp.LayerSpec(kind="conv", out=3, kernel=3, pool=2, batch_norm=True),
        mp.LayerSpec(kind="dense", out=5),
    ]
    torch.manual_seed(4)
    spec = mp.NetworkSpec(input_shape=(2, 4, 4), layers=layers, beta=0.8, threshold=1.5, t_steps=5)
    network, shapes = Network(spec).to(dtype).eval(), [(2, 4, 4), (3, 2, 2)]
    if name == "software":
        return ideal_layers(fuse(network.graph()), spec.t_steps, np.dtype(str(dtype).removeprefix("torch."))), shapes
    chip = mp.load_chip("paper-bsnn").replace(rows=8, cols=6, wires=WIRES, device__d2d=0.1, **CHIPS.get(name, {}))
    mapped = mp.map_network(network, chip, seed=2, dtype=dtype)
    return [event_layer(layer) for layer in mapped.layers], shapes


def with_neurons(layer, **values):
    """The same layer with other neurons."""
    spec, neurons = NeuronSpec(beta=0.8, threshold=1.5, **values), layer.neurons
    return replace(
        layer,
        neurons=neurons._replace(
            least=fires_from(neurons.level, spec),
            reset=RESETS.index(spec.reset_mechanism),
            timing=TIMINGS.index(spec.reset_delay),
            clip=spec.clip,
            winner=spec.winner_take_all,
            inhibition=neurons.level.dtype.type(spec.inhibition),
        ),
    )


def part(events, samples, frame):
    """One frame of some samples."""
    spans = [slice(*events.stop[sample, frame : frame + 2]) for sample in samples]
    lengths = np.array([span.stop - span.start for span in spans])
    stop = np.cumsum([0, *lengths])
    place, value = (np.concatenate([x[span] for span in spans]) for x in (events.place, events.value))
    return Events(place, value, np.stack([stop[:-1], stop[1:]], 1))


def step_by_step(layer, events, samples, first):
    """What steps one by one give some of the samples: lists, membranes, and sums over all of them."""
    frames, state = events.stop.shape[1] - 1, layer.state(len(samples))
    for x in state:
        x[:] = 1  # step 0 begins at rest, whatever was before
    lists, membranes, total = [], [], np.zeros((1, N_SUMS))
    for t in range(layer.t_steps):
        now = Frame(part(events, samples, min(t, frames - 1)), 0, t < frames)
        lists.append(layer.step([now], state, t, first + samples[0], total))
        membranes.append(state.u.copy())
    return lists, membranes, total


NEURONS = st.fixed_dictionaries(
    {
        "reset_mechanism": st.sampled_from(RESETS),
        "reset_delay": st.sampled_from(TIMINGS),
        "clip": st.booleans(),
        "winner_take_all": st.booleans(),
        "inhibition": st.sampled_from([0.0, 0.3]),
        "fire": st.sampled_from([">=", ">"]),
    }
).filter(lambda values: not (values["clip"] and values["fire"] == ">"))


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["software", "charge", *CHIPS]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    number=st.integers(0, 1),
    values=st.just({}) | NEURONS,
    constant=st.booleans(),
    n=st.integers(1, 3),
    together=st.booleans(),
    first=st.sampled_from([0, 7]),
    dense=st.booleans(),
    every_step=st.booleans(),
    seed=st.integers(0, 99),
)
def test_steps_one_by_one_do_what_all_of_them_do(
    name, dtype, number, values, constant, n, together, first, dense, every_step, seed
):
    layers, shapes = layers_of(name, dtype)
    layer, rng = replace(with_neurons(layers[number], **values), every_step=every_step), np.random.default_rng(seed)
    x = rng.random((1 if constant else layer.t_steps, n, *shapes[number]))
    x = np.where(x < 0.4, (x * 20).round() / 8 if constant else 1, 0)
    events = list_inputs(x, constant, layer.neurons.level.dtype)
    listed, sums, (_, membrane) = layer.run(events, first, dense=dense)
    listed = listed._replace(place=listed.place.copy())
    total = 0
    for samples in [range(n)] if together else [range(k, k + 1) for k in range(n)]:
        lists, membranes, more = step_by_step(layer, events, samples, first)
        for t, fired in enumerate(lists):
            for now, whole in zip(fired, part(listed._replace(value=listed.place[:0]), samples, t)):
                np.testing.assert_array_equal(now, whole)
        for now, whole in zip(membranes, membrane):
            channels_last = np.moveaxis(whole[samples], 1, -1)
            np.testing.assert_array_equal(now, channels_last.reshape(now.shape))
        total = total + more
    np.testing.assert_array_equal(total[:, COUNTS], sums[:, COUNTS])
    np.testing.assert_allclose(total, sums, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["software", "charge", *CHIPS])
def test_the_layers_that_are_compared_spike(name):
    """And noise is another one in each step: equal inputs do not give equal currents."""
    layers, shapes = layers_of(name, torch.float64)
    x = np.random.default_rng(0).random((1, 1, *shapes[0])).round(1).repeat(5, 0)
    events, noisy = list_inputs(x, True, np.dtype(float)), len(layers[0].inputs[0].keys.converter) > 0
    state, layer, currents, sums = layers[0].state(1), layers[0], [], np.zeros((1, N_SUMS))
    for t in range(layer.t_steps):
        layer.step([Frame(events, t, True)], state, t, 0, sums)
        currents.append(state.now.copy())
    assert sums[0, SPIKES] > 0
    assert (len(np.unique(currents, axis=0)) > 1) == noisy


def test_a_state_of_other_samples_is_refused():
    layer = layers_of("software", torch.float64)[0][0]
    events = list_inputs(np.ones((1, 3, 2, 4, 4)), False, np.dtype(float))
    with pytest.raises(xb.ParameterError, match=r"events of 3 samples, state of 2; give state\(n\) of as many"):
        layer.step([Frame(events, 0, True)], layer.state(2), 0, 0, np.zeros((1, N_SUMS)))


def looped(**values):
    """A layer of 3 neurons, whose 7 inputs are 4 from outside and their own spikes."""
    torch.manual_seed(values.pop("seed", 0))
    layers = [mp.LayerSpec(kind="dense", out=3)]
    spec = mp.NetworkSpec(input_shape=(7, 1, 1), layers=layers, beta=0.8, threshold=1.5, t_steps=12, **values)
    return Network(spec).double().eval()


def run_loop(layer, given):
    """Spikes (t_steps, n, 3) of a layer that is given (t_steps, n, 4) and, one step later, what it fires."""
    n = given.shape[1]
    fired, state, spikes = np.zeros((n, 3)), layer.state(n), []
    for t, now in enumerate(given):
        x = np.concatenate([now, fired], 1)[None, :, :, None, None]
        frame = Frame(list_inputs(x, False, layer.neurons.level.dtype), 0, True)
        listed = layer.step([frame], state, t, 0, np.zeros((1, N_SUMS)))
        fired = np.zeros((n, 3))
        for sample, (start, stop) in enumerate(listed.stop):
            fired[sample, listed.place[start:stop]] = 1
        spikes.append(fired)
    return np.array(spikes)


def loop_by_hand(read, given, network):
    """The same of one sample: the currents of each step, read(inputs), by what has fired in the step before."""
    spec, fired, currents, spikes = network.layers[0].neuron, np.zeros(3), [], []
    for now in given:
        currents.append(read(np.concatenate([now, fired]))[:, None, None])
        fired = run_neurons(currents, spec, 1.5, 0.8)[0][-1].ravel()
        spikes.append(fired)
    return np.array(spikes)


@settings(max_examples=40, deadline=None)
@given(values=NEURONS, seed=st.integers(0, 99))
def test_a_loop_in_software_is_the_equations(values, seed):
    network = looped(seed=seed, **values)
    given = (np.random.default_rng(seed).random((12, 2, 4)) < 0.5).astype(float)
    weight = np.where(network.layers[0].weight.detach().numpy()[:, :, 0, 0] >= 0, 1.0, -1.0)
    spikes = run_loop(ideal_layers(network.graph(), network.t_steps, np.dtype(np.float32))[0], given)
    for sample in range(2):
        by_hand = loop_by_hand(lambda x: weight @ x, given[:, sample], network)
        np.testing.assert_array_equal(spikes[:, sample], by_hand)


@pytest.mark.parametrize("delay", TIMINGS)
def test_a_loop_on_an_array_is_kirchhoffs_laws(delay):
    """Currents of every step by nodal analysis of the array as it was fabricated, in units of its two states."""
    network = looped(reset_delay=delay, seed=8)
    device = mp.load_chip("paper-bsnn").device
    chip = mp.load_chip("paper-bsnn").replace(rows=7, cols=6, wires=WIRES, device__d2d=0.1)
    mapped = mp.map_network(network, chip, seed=2, dtype=torch.float64)
    (tile,) = mapped.layers[0].tiles
    unit = (device.g_lrs - device.g_hrs) * device.v_read

    def read(x):
        lines = solve_circuit(tile.die.conductance, WIRES, device.v_read * x)[3]
        return (lines[0::2] - lines[1::2]) / unit

    given = (np.random.default_rng(3).random((12, 1, 4)) < 0.5).astype(float)
    spikes = run_loop(event_layer(mapped.layers[0]), given)
    np.testing.assert_array_equal(spikes[:, 0], loop_by_hand(read, given[:, 0], network))
    without = loop_by_hand(lambda x: read(x * (np.arange(7) < 4)), given[:, 0], network)
    assert spikes.any() and not np.array_equal(spikes[:, 0], without)
