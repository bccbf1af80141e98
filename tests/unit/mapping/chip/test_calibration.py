"""Read-out on whole networks: silent wordlines, limiters, neurons, merging, trims, converters; time, area, accounts."""

from dataclasses import replace
from functools import partial
from math import ceil, log

import numpy as np
import pytest
import torch
from scipy import stats

import mapping as mp
import xbarsim as xb
from mapping.bsnn.encode import encode
from mapping.cost import CONVENTIONS
from mapping.cost.pricing import energies
from mapping.engines import tensors as by_tensors
from mapping.engines.tensors import forward
from mapping.lower.placement import first_row
from mapping.neurons import Neurons
from mapping.periphery.ledger import Ledger
from mapping.periphery.neuron_circuit import DigitalNeuron
from mapping.trims import find_trims
from tests.oracles.naive_networks import rebuilt
from tests.unit.mapping.mapped.test_mapping import assert_same_spikes

WIRES = xb.Wires(r_wordline=100, r_bitline=100, r_driver=500, r_sense=200)
approx = partial(pytest.approx, rel=1e-9, abs=0)  # its own absolute tolerance is above energies and times
V_READ, T_READ, UNIT = 0.3, 25e-9, 0.3 * (1e-5 - 1e-6)  # of the paper's device; a pair's unit of current


@pytest.fixture
def chip(chip):
    """Arrays whose wires and devices show, and periphery that does not follow what is shipped."""
    return chip.replace(
        wires=WIRES,
        device__d2d=0.1,
        readout=mp.SenseAmp(energy=8e-15),
        neuron=mp.ChargeNeuron(mirror_ratio=0.01, v_supply=1.0, energy_per_spike=1.61e-15),
        driver=mp.Driver(dac_bits=8, power_per_bit=4e-6),
        c_wordline=0.0,
        c_bitline=0.0,
        cell_area=None,
    )


@pytest.fixture
def sar(chip):
    return on(chip, "bitline")


def on(chip, digital):
    """Return a chip read by converters in the place of comparators."""
    adc = mp.SarAdc(n_bits=12, f_sample=40e6, power=40e-6, columns_per_adc=2, full_scale=30e-6, sense=digital)
    return chip.replace(readout=adc, neuron=DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12))


def mapped_on(network, chip, **values):
    return mp.map_network(network, chip, dtype=torch.float64, **values)


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
    frames = x.reshape(-1, *layer.layer.in_shape)
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
    height, width = spec.read_positions(layer.layer.in_shape)
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
    threshold, beta = folded.threshold * share * scale, folded.beta if beta is None else beta
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


READOUTS = ("charge", "bitline", "difference")


def with_readout(chip, readout):
    return chip if readout == "charge" else on(chip, readout)


# --- silent wordlines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("inactive", ["ground", "open", "gated"])
def test_every_read_is_that_of_the_solved_circuit(tiny, chip, inactive, readout):
    """Membranes, spikes and array energy of two images, every read solved with its own silent wordlines."""
    network, images = tiny
    chip = with_readout(chip, readout).replace(inactive=inactive)
    mapped = mapped_on(network, chip)
    for layer, x, analog in inputs_of(mapped, images[:2]):
        results = []
        current = sum(of_outputs(layer, x, read_out(chip), results))
        ledger = assert_runs_like(layer, x, analog, current)
        repeats = network.t_steps if len(x) == 1 else 1
        energy = repeats * T_READ * sum(power.sum() for _, power in results)
        assert joules(layer, ledger)["array"] == approx(energy, rel=1e-9)
        if readout == "charge":
            mirrored = repeats * sum(currents.sum() for currents, _ in results)
            constant = np.abs(layer.layer.constant).sum() * 2 * network.t_steps * np.prod(layer.layer.out_shape[1:])
            constant *= layer.layer.spec.pool**2  # as large as all the reads of a pool
            energy = 0.01 * 1.0 * T_READ * (mirrored + constant * UNIT) + 1.61e-15 * ledger.spikes
            assert joules(layer, ledger)["neuron"] == approx(energy, rel=1e-9)


@pytest.mark.parametrize("inactive", ["open", "gated"])
def test_spikes_as_inputs_leave_wordlines_silent(tiny, chip, inactive):
    """A third of the wordlines active: circuits differ from grounded ones, and each of them is solved."""
    network, _ = tiny
    x = (np.random.default_rng(2).random((6, 1, 2, 6, 6)) < 0.3).astype(float)
    layers = {kind: mapped_on(network, chip.replace(inactive=kind)).layers[0] for kind in ("ground", inactive)}
    current = {kind: sum(of_outputs(layer, x, read_out(chip))) for kind, layer in layers.items()}
    for kind, layer in layers.items():
        assert_runs_like(layer, x, False, current[kind])
    assert np.abs(current[inactive] - current["ground"]).max() > 0.01


@pytest.mark.filterwarnings("ignore:divide by zero")  # 1 / 0 ohm, where kernels are not compiled
@pytest.mark.parametrize("inactive", ["open", "gated"])
@pytest.mark.parametrize("readout", READOUTS)
def test_without_wires_silent_wordlines_make_no_difference(tiny, chip, inactive, readout):
    """Also with 12 bits, whose step divides one unit of current."""
    network, _ = tiny
    images = (np.random.default_rng(1).random((4, 6, 2, 6, 6)) < 0.3).astype(float)
    ideal = {"wires": xb.Wires(), "device__on_off_ratio": 1e9, "device__d2d": 0.0, "inactive": inactive}
    if readout != "charge":
        top = 4095 if readout == "bitline" else 2047
        chip = on(chip, readout).replace(readout__full_scale=top * V_READ * 1e-5)
    assert_same_spikes(network, mapped_on(network, chip.replace(**ideal)), images)


def test_read_noise_needs_grounded_wordlines(chip):
    for inactive in ("open", "gated"):
        with pytest.raises(xb.ParameterError, match=f"Chip.inactive = '{inactive}' with read noise"):
            chip.replace(inactive=inactive, device__read_noise=0.1)
    with pytest.raises(xb.ParameterError, match="Chip.inactive"):
        chip.replace(inactive="tied")


# --- limiter --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("kind", ["hard", "smooth"])
@pytest.mark.parametrize("inactive", ["ground", "gated"])
def test_limiters_clamp_bitlines_before_pairs_are_subtracted(tiny, chip, kind, readout, inactive):
    network, images = tiny
    most, labels = 8e-6, np.zeros(2, int)
    limiter = mp.CurrentLimit(i_max=most, kind=kind)
    chip = with_readout(chip, readout).replace(limiter=limiter, inactive=inactive)
    mapped = mapped_on(network, chip)
    report = mapped.evaluate(images[:2], labels)

    def limited(i):
        return np.minimum(i, most) if kind == "hard" else most * np.tanh(i / most)

    for (layer, x, analog), row in zip(inputs_of(mapped, images[:2]), report.layers):
        results = []
        current = sum(of_outputs(layer, x, read_out(chip, limited), results))
        ledger = assert_runs_like(layer, x, analog, current)
        currents = np.concatenate([i.ravel() for i, _ in results])
        assert row.limited == approx(np.mean(currents > most), rel=1e-12)
        assert ledger.passed == currents.size
        if readout == "charge":  # mirrors pass what is left
            repeats = network.t_steps if len(x) == 1 else 1
            constant = np.abs(layer.layer.constant).sum() * 2 * network.t_steps * np.prod(layer.layer.out_shape[1:])
            constant *= layer.layer.spec.pool**2  # as large as all the reads of a pool
            energy = 0.01 * T_READ * (repeats * limited(currents).sum() + constant * UNIT) + 1.61e-15 * ledger.spikes
            assert joules(layer, ledger)["neuron"] == approx(energy, rel=1e-9)
    assert 0.05 < report.layers[0].limited < 0.95 and joules(layer, ledger)["array"] > 0


def test_limiting_pairs_is_no_clip_of_the_membrane(tiny, chip):
    """Both bitlines beyond the limit give nothing, whatever their difference."""
    network, images = tiny
    mapped = mapped_on(network, chip.replace(limiter={"i_max": 1e-9}))
    layer, x, analog = next(inputs_of(mapped, images[:1] * 0 + 1))
    membrane = forward(layer, x, analog)[1][0].numpy()
    np.testing.assert_allclose(membrane, np.broadcast_to(layer.layer.constant[:, None, None], (1, 4, 3, 3)), atol=1e-3)


def test_a_limit_above_all_currents_changes_nothing(tiny, chip):
    (network, images), chip = tiny, chip.replace(readout__energy="67 fJ")  # as published, which nothing is said about
    plain = mapped_on(network, chip).evaluate(images, np.zeros(7, int))
    free = mapped_on(network, chip.replace(limiter={"i_max": "1 mA"})).evaluate(images, np.zeros(7, int))
    assert free.spike_rate == plain.spike_rate and free.warnings == plain.warnings == ()
    assert free.energy_per_inference == approx(plain.energy_per_inference, rel=1e-12)
    assert [layer.limited for layer in free.layers] == [0, 0]


def test_noisy_reads_of_a_constant_input_are_mirrored_once_each(tiny, chip):
    network, images = tiny
    chip = chip.replace(limiter={"i_max": "1 mA"})
    noisy, quiet = (
        mapped_on(network, chip.replace(device__read_noise=noise)).evaluate(images, np.zeros(7, int)).layers[0]
        for noise in (0.02, 0.0)
    )
    assert noisy.energies["neuron"] == approx(quiet.energies["neuron"], rel=0.01)


@pytest.mark.parametrize("readout", ["charge", "bitline"])
def test_a_limit_that_clips_nearly_everything_is_warned_of(tiny, chip, readout):
    network, images = tiny
    chip = with_readout(chip, readout).replace(limiter={"i_max": "0.1 uA"})
    report = mapped_on(network, chip).evaluate(images, np.zeros(7, int))
    share = report.layers[0].limited
    assert share > 0.9
    expected = f"layer 1: {share:.0%} of its bitline currents are beyond the limiter's i_max"
    assert expected in report.warnings and expected in " ".join(str(report).split())
    assert report.to_dict()["warnings"] == report.warnings


def test_a_full_scale_that_clips_nearly_everything_is_warned_of(tiny, sar):
    network, images = tiny
    report = mapped_on(network, sar.replace(readout__full_scale=0.4e-6)).evaluate(images, np.zeros(7, int))
    share = report.layers[0].clipped / report.layers[0].conversions
    assert share > 0.5 and f"layer 1: {share:.0%} of its conversions are beyond the full scale" in report.warnings


# --- reference weights ----------------------------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.parametrize("engine", ["events", "tensors"])
@pytest.mark.parametrize("limiter", [None, {"i_max": "1 mA"}, {"i_max": "100 uA"}])
def test_every_output_has_a_reference_current_of_its_own(chip, engine, limiter):
    """64 rows of 10 or 1 uS at 0.3 V, half of the weights +1: 62 outputs of 105.6 uA, references of 192 and 19.2.

    Into each membrane flows its own current, out of it the mean of the references, 105.6 uA; or 100 uA and
    (100 + 19.2) / 2, as a limiter passes them.
    """
    layers = [mp.LayerSpec(kind="dense", out=62)]
    spec = mp.NetworkSpec(input_shape=(1, 8, 8), layers=layers, beta=1, threshold=1, t_steps=3)
    network = mp.Network(spec)
    network.layers[0].weight.data = torch.from_numpy(1 - 2.0 * (np.indices((62, 64, 1, 1)).sum(0) % 2))
    ideal = {"rows": 64, "cols": 64, "wires": xb.Wires(), "device__d2d": 0.0, "weights": "reference"}
    mapped = mapped_on(network, chip.replace(limiter=limiter, **ideal))
    images = np.ones((2, 3, 1, 8, 8))
    report = mapped.evaluate(images, np.zeros(2, int), engine=engine)
    own, reference = (105.6e-6, 105.6e-6) if limiter is None or limiter["i_max"] == "1 mA" else (100e-6, 59.6e-6)
    mirrors = 0.01 * 1.0 * T_READ * 3 * 62 * (own + reference)
    assert report.layers[0].energies["neuron"] == approx(mirrors + 1.61e-15 * report.spikes_per_inference)
    if limiter is None:
        assert mirrors / 3 == approx(3.2736e-12)


@pytest.mark.parametrize("inactive", ["ground", "open"])
@pytest.mark.parametrize("merge", ["charge", "majority"])
def test_reference_currents_of_solved_circuits_are_mirrored_for_every_output(tiny, chip, inactive, merge):
    network, images = tiny
    mapped = mapped_on(network, chip.replace(weights="reference", cols=5, inactive=inactive, merge=merge))
    for layer, x, analog in inputs_of(mapped, images[:2]):
        mirrored, reads = 0.0, unfolded(layer, x)
        for tile in layer.tiles:
            *outputs, lrs, hrs = solved(tile, reads)[0].T
            mirrored += sum((i + (lrs + hrs) / 2).sum() for i in outputs)
        repeats = network.t_steps if len(x) == 1 else 1
        constant = np.abs(layer.layer.constant).sum() * 2 * network.t_steps * np.prod(layer.layer.out_shape[1:])
        constant *= layer.layer.spec.pool**2 * UNIT / 2
        _, _, ledger = forward(layer, x, analog)
        reset = ledger.spikes
        if merge == "majority":  # every row tile has neurons of its own
            parts = of_outputs(layer, x, lambda tile, i: 2 * (i @ tile.decode.T))
            reset = sum(neurons(layer, part, share=1 / len(parts))[0].sum() for part in parts)
            assert reset > ledger.spikes
        energy = 0.01 * T_READ * (repeats * mirrored + constant) + 1.61e-15 * reset
        assert joules(layer, ledger)["neuron"] == approx(energy, rel=1e-9)


# --- passive neurons ------------------------------------------------------------------------------------------------


@pytest.fixture
def passive(chip):
    return chip.replace(neuron=mp.PassiveNeuron(capacitance="1 pF", energy_per_sample=2e-15, energy_per_spike=3e-15))


def test_passive_neurons_integrate_what_bitlines_have_charged_to(tiny, passive):
    """Membranes by the exact charge of each read, energy by quadrature of the sources' power while bitlines charge."""
    network, _ = tiny
    x = (np.random.default_rng(2).random((6, 1, 2, 6, 6)) < 0.3).astype(float)
    mapped, c = mapped_on(network, passive), 1e-12
    moments, weights = np.polynomial.legendre.leggauss(12)
    for layer in mapped.layers:
        reads, n_out = unfolded(layer, x), layer.layer.spec.out
        height, width = layer.layer.spec.read_positions(layer.layer.in_shape)
        pool = layer.layer.spec.pool
        outputs, alone, energy, n_lines = np.zeros((len(reads), n_out)), np.zeros(layer.layer.weights.shape), 0.0, 0
        for row in layer.row_tiles:
            for tile in row.tiles:
                v, ports, used = voltages(tile, reads), xb.reduce(tile.circuit.crossbar), slice(tile.n_lines)
                charge = c * ports.charge(v, c, T_READ)[:, used]
                outputs[:, tile.patch.outputs] += pairs(charge) / (UNIT * T_READ)
                one = v[:1] * 0 + V_READ * np.eye(passive.rows)[first_row(tile.patch, passive) :]
                alone[tile.patch.outputs, tile.patch.rows] = pairs(c * ports.charge(one, c, T_READ)[:, used]).T
                n_lines += tile.n_lines
                v, counts = np.unique(v, axis=0, return_counts=True)
                for moment, weight in zip((moments + 1) / 2 * T_READ, weights / 2 * T_READ):
                    now = xb.solve(tile.circuit.crossbar, v, v_bitline=ports.charge(v, c, moment))
                    energy += weight * counts @ np.sum(v * now.i_wordline, 1)
        arrives = np.sum(layer.layer.weights * alone) / (layer.layer.weights.size * UNIT * T_READ)
        assert 0.01 < arrives < 0.9
        current = outputs.reshape(6, 1, height // pool, pool, width // pool, pool, n_out).mean((3, 5)) / arrives
        ledger = assert_runs_like(layer, x, False, np.moveaxis(current, -1, 2))
        assert joules(layer, ledger)["array"] == approx(energy, rel=1e-7)
        assert joules(layer, ledger)["neuron"] == approx(2e-15 * len(reads) * n_lines + 3e-15 * ledger.spikes)
        assert layer.neurons.v_unit == approx(arrives * UNIT * T_READ / c)
        assert np.isnan(layer.ir_drop)
        x = forward(layer, x, False)[0].astype(float)


def test_the_textbook_law_is_far_off_for_the_papers_device():
    """I t / C is too large by read time over time constant: 35 for 1 pF on a bitline of 256 of the paper's cells."""
    rng = np.random.default_rng(0)
    g = xb.load_device("paper").program(rng.random((256, 8)) < 0.5, seed=0)
    v = V_READ * (rng.random(256) < 0.1)
    crossbar = xb.Crossbar(g, wires=xb.Wires())
    linear = xb.solve(crossbar, v).i_bitline * T_READ / 1e-12
    exact = xb.reduce(crossbar).charge(v, 1e-12, T_READ)
    np.testing.assert_allclose(linear / exact, g.sum(0) * T_READ / 1e-12, rtol=1e-9)
    assert np.mean(linear / exact) == approx(35, rel=0.03)
    assert exact.max() < V_READ < linear.min()


def test_a_large_capacitance_makes_passive_neurons_linear(tiny, chip, passive):
    """Voltages stay small: the chip is the one with bitlines at virtual ground, apart from how its unit is defined."""
    network, images = tiny
    large, plain = (mapped_on(network, one) for one in (passive.replace(neuron__capacitance="1 uF"), chip))
    for a, b in zip(large.layers, plain.layers):
        kept = np.mean(b.layer.weights * b.effective_weights)
        np.testing.assert_allclose(a.effective_weights, b.effective_weights / kept, rtol=0, atol=1e-3)
    report = large.evaluate(images, np.zeros(7, int))
    assert report.to_dict()["layers"][0]["ir_drop"] is None
    x = (np.random.default_rng(0).random((6, 2, 2, 6, 6)) < 0.3).astype(float)
    arrays = [forward(mapped.layers[0], x, False)[2].power for mapped in (large, plain)]
    assert arrays[0] == approx(arrays[1], rel=1e-3)
    voting = mapped_on(network, large.chip.replace(merge="majority"))
    layer, x, analog = next(inputs_of(voting, images[:3]))
    kept = np.mean(plain.layers[0].layer.weights * plain.layers[0].effective_weights)
    parts = of_outputs(layer, x, read_out(chip))
    membranes = sum(neurons(layer, part / kept, share=1 / len(parts))[1][0] for part in parts)
    np.testing.assert_allclose(forward(layer, x, analog)[1][0], membranes, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inactive": "open"}, "Chip.neuron is 'passive' with inactive = 'open'"),
        ({"inactive": "gated"}, "Chip.neuron is 'passive' with inactive = 'gated'"),
        ({"limiter": {"i_max": "1 uA"}}, "Chip.neuron is 'passive' with a limiter"),
        ({"device__read_noise": 0.1}, "Chip.neuron is 'passive' with read noise"),
        ({"weights": "reference"}, "Chip.neuron is 'passive' with weights = 'reference'"),
        ({"merge": "digital"}, "Chip.merge = 'digital' with passive neurons; use 'charge'"),
        ({"constant_input": "once"}, "Chip.constant_input = 'once'"),
    ],
    ids=str,
)
def test_what_passive_neurons_cannot_do_is_refused(passive, changes, message):
    with pytest.raises(xb.ParameterError) as error:
        passive.replace(**changes)
    assert message in str(error.value)


def test_reads_of_passive_bitlines_or_open_wordlines_do_not_age_cells(tiny, chip, passive):
    network, images = tiny
    for one in (passive, chip.replace(inactive="open"), chip.replace(inactive="gated")):
        mapped = mapped_on(network, one.replace(device__read_disturb="power-law"))
        with pytest.raises(xb.ParameterError, match="reads age cells only where silent wordlines are grounded"):
            mapped.age(n_reads=1e6)
        with pytest.raises(xb.ParameterError, match="reads age cells only where silent wordlines are grounded"):
            mapped.evaluate(images, np.zeros(7, int), refresh=0.1)


# --- merging --------------------------------------------------------------------------------------------------------


def test_row_tiles_add_by_charge_or_digitally_unless_told_otherwise(chip, sar):
    assert chip.merge is None and chip.merging == "charge"
    assert sar.merge is None and sar.merging == "digital"


def test_charges_that_are_shared_differ_by_offset_and_noise_alone(tiny, chip):
    """n row tiles divide the signal by n: the same as one membrane with n times the offset and the noise."""
    network, images = tiny
    quiet = [mapped_on(network, chip.replace(merge=merge)) for merge in ("charge", "charge-sharing")]
    for a, b in zip(*(inputs_of(mapped, images) for mapped in quiet)):
        np.testing.assert_array_equal(forward(a[0], *a[1:])[0], forward(b[0], *b[1:])[0])
        assert len(a[0].row_tiles) > 1
        assert b[0].neurons.v_unit == approx(a[0].neurons.v_unit / len(a[0].row_tiles), rel=1e-12)
        assert b[0].neurons.capacitance == a[0].neurons.capacitance
    shared = mapped_on(network, chip.replace(merge="charge-sharing", readout__offset=0.03, readout__noise=0.02))
    differs = 0
    for layer, x, analog in inputs_of(shared, images):
        n = len(layer.row_tiles)
        noisier = chip.replace(readout__offset=0.03 * n, readout__noise=0.02 * n)
        other = mapped_on(network, noisier).layers[layer.number]
        (spikes, membrane, ledger), expected = forward(layer, x, analog), forward(other, x, analog)
        np.testing.assert_array_equal(spikes, expected[0])
        np.testing.assert_allclose(membrane, expected[1], rtol=0, atol=1e-12)
        assert ledger == expected[2]
        differs += np.count_nonzero(spikes != forward(quiet[0].layers[layer.number], x, analog)[0])
    assert differs > 10


def test_majorities_of_row_tiles_are_neurons_of_their_own(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip.replace(merge="majority"))
    for layer, x, analog in inputs_of(mapped, images[:3]):
        parts = of_outputs(layer, x, read_out(chip))
        n = len(parts)
        votes, membranes = (sum(of) for of in zip(*(neurons(layer, part, share=1 / n) for part in parts)))
        spikes, membrane, ledger = forward(layer, x, analog)
        np.testing.assert_array_equal(spikes, votes > n / 2)
        np.testing.assert_allclose(membrane, membranes, rtol=0, atol=1e-7)
        assert np.any((votes > 0) & (votes <= n / 2)) and n > 2  # votes that are lost
        assert joules(layer, ledger)["conversion"] == approx(n * spikes.size * chip.readout.energy)
    warning = "row tiles decide one by one and their majority counts"
    assert any(warning in text for text in mapped.evaluate(images, np.zeros(7, int)).warnings)


def test_half_of_the_row_tiles_are_no_majority(tiny, chip):
    """Two row tiles must both fire."""
    network, images = tiny
    chip = chip.replace(merge="majority", rows=9)
    mapped = mapped_on(network, chip)
    layer, x, analog = next(inputs_of(mapped, images))
    parts = of_outputs(layer, x, read_out(chip))
    votes = sum(neurons(layer, part, share=0.5)[0] for part in parts)
    assert len(parts) == 2 and (votes == 1).any()
    np.testing.assert_array_equal(forward(layer, x, analog)[0], votes == 2)


def test_a_majority_of_one_is_the_neuron_itself(tiny, chip):
    network, images = tiny
    large = chip.replace(rows=64)
    one, same = (mapped_on(network, large.replace(merge=merge)) for merge in ("majority", "charge"))
    for a, b in zip(one.spikes(images), same.spikes(images)):
        np.testing.assert_array_equal(a, b)
    one, same = (mapped.evaluate(images, np.zeros(7, int), engine="tensors") for mapped in (one, same))
    assert replace(one, run=same.run) == same and one.run.chip_hash != same.run.chip_hash


def test_merging_that_a_read_out_cannot_do_is_refused(tiny, chip, sar):
    network, _ = tiny
    with pytest.raises(xb.ParameterError, match="Chip.merge = 'digital' with charge neurons; use 'charge', 'charge-"):
        chip.replace(merge="digital")
    for merge in ("charge", "charge-sharing", "majority"):
        with pytest.raises(xb.ParameterError, match=f"Chip.merge = '{merge}' with digital neurons; use 'digital'"):
            sar.replace(merge=merge)
    for changes in ({"readout": sar.readout}, {"neuron": sar.neuron}):
        with pytest.raises(xb.ParameterError, match="a sar-adc feeds digital neurons"):
            chip.replace(**changes)
    pooled = [network.spec.layers[0].replace(pool_by="maximum"), network.spec.layers[1]]
    network.layers[0].norm.weight.data.abs_()
    maximum = rebuilt(network, layers=pooled)
    for merge in ("charge", "charge-sharing", "majority"):
        with pytest.raises(xb.ParameterError, match="layer 1: pool_by = 'maximum'"):
            mp.map_network(maximum, chip.replace(merge=merge))


@pytest.mark.compiled
def test_majorities_of_row_tiles_cost_accuracy_on_mnist(digits):
    network, chip = mp.load_network("mnist-bsnn"), mp.load_chip("paper-bsnn")
    charge, majority = (
        mp.map_network(network, chip.replace(merge=merge)).evaluate(*digits) for merge in ("charge", "majority")
    )
    assert charge.accuracy > 0.9
    assert majority.accuracy < 0.4  # 0.98 against 0.10, that of guessing
    assert set(majority.warnings) - set(charge.warnings) and "SenseAmp.energy" in charge.warnings[0]
    assert len(charge.warnings) == 1


# --- comparators and membranes --------------------------------------------------------------------------------------


def unit_voltage(layer):
    """Return what a unit of weight moves a membrane by [V], and its capacitance, such that thresholds fit the supply.

    The reads of a pool add up on one membrane, a hundredth of each current; half of 1 V is the largest threshold.
    """
    charge = 0.01 * UNIT * T_READ * layer.layer.spec.pool**2
    capacitance = layer.layer.threshold.max() * charge / 0.5
    return charge / capacitance, capacitance


def test_membranes_are_as_large_as_their_thresholds_need(tiny, chip):
    network, _ = tiny
    for layer in mapped_on(network, chip).layers:
        v_unit, capacitance = unit_voltage(layer)
        assert layer.neurons.v_unit == approx(v_unit, rel=1e-12)
        assert layer.neurons.capacitance == approx(capacitance, rel=1e-12)
        assert layer.layer.threshold.max() * v_unit == approx(0.5)
    given = chip.replace(neuron__capacitance="2 fF", neuron__mirror_ratio=0.03)
    for layer in mapped_on(network, given).layers:
        assert layer.neurons.capacitance == 2e-15
        expected = 0.03 * UNIT * T_READ * layer.layer.spec.pool**2 / 2e-15
        assert layer.neurons.v_unit == approx(expected, rel=1e-12)


def test_an_offset_moves_where_neurons_fire_but_not_what_they_lose(tiny, chip):
    network, images = tiny
    mapped, plain = (mapped_on(network, chip.replace(readout__offset=offset)) for offset in (0.04, 0.0))
    differs = 0
    for layer, x, analog in inputs_of(mapped, images[:3]):
        offset = layer.neurons.offset
        assert offset.shape == (layer.layer.spec.out, 1, 1) and len(np.unique(offset)) == offset.size
        level = layer.layer.threshold + offset / unit_voltage(layer)[0]
        current = sum(of_outputs(layer, x, read_out(chip)))
        assert_runs_like(layer, x, analog, current, level=level)
        differs += np.count_nonzero(forward(layer, x, analog)[0] != forward(plain.layers[layer.number], x, analog)[0])
    assert differs > 0


def test_offsets_are_drawn_for_every_comparator_and_die(tiny, chip):
    network, _ = tiny
    chip = chip.replace(readout__offset=0.02)
    layer = mapped_on(network, chip).layers[0]
    arguments = (network.t_steps, False, len(layer.row_tiles))
    drawn = np.array(
        [Neurons(layer.layer, chip, *arguments, (0, die, 0), torch.float64).offset.ravel() for die in range(400)]
    )
    assert drawn.std() == approx(0.02, rel=0.08) and abs(drawn.mean()) < 4 * 0.02 / 40
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.2
    np.testing.assert_array_equal(drawn[0], layer.neurons.offset.ravel())
    larger = Neurons(layer.layer, chip.replace(readout__offset=0.04), *arguments, (0, 0, 0), torch.float64)
    np.testing.assert_allclose(larger.offset.ravel(), 2 * drawn[0])
    majority = Neurons(layer.layer, chip.replace(merge="majority"), *arguments, (0, 0, 0), torch.float64)
    assert majority.offset.shape == (3 * 4, 1, 1) and len(np.unique(majority.offset)) == 12


def test_noise_enters_the_comparison_and_not_the_membrane(tiny, chip):
    """Membranes follow from the spikes that occurred; these are as frequent as a normal noise of that size makes them.

    What spikes exceed their probability by is summed as it is, and weighted by the distance from the threshold, which
    tells the size of the noise.
    """
    network, images = tiny
    noise, sums = 0.05, []
    for layer, x, analog in inputs_of(mapped_on(network, chip.replace(readout__noise=noise)), images):
        current = sum(of_outputs(layer, x, read_out(chip)))
        for first in range(0, 700, 7):
            spikes, membrane, _ = forward(layer, x, analog, first)
            u = s = 0
            for t in range(network.t_steps):
                now = current[min(t, len(current) - 1)] + layer.layer.constant[:, None, None]
                u = layer.layer.beta * u + now - s * layer.layer.threshold
                s = spikes[t]
                np.testing.assert_allclose(membrane[t], u, rtol=0, atol=1e-7)
                z = (u - layer.layer.threshold) * unit_voltage(layer)[0] / noise
                p = stats.norm.cdf(z)
                for weight in (1, z):
                    sums.append([np.sum(weight * (s - p)), np.sum(weight**2 * p * (1 - p))])
    for excess, variance in (np.sum(sums[0::2], 0), np.sum(sums[1::2], 0)):
        assert variance > 1000 and abs(excess) < 4 * np.sqrt(variance)
    quiet = mapped_on(network, chip.replace(readout__noise=1e-12))
    for a, b in zip(quiet.spikes(images), mapped_on(network, chip).spikes(images)):
        np.testing.assert_array_equal(a, b)


def test_comparator_noise_and_leaks_do_not_depend_on_batches(tiny, chip):
    network, images = tiny
    chip = chip.replace(readout__noise=0.05, readout__offset=0.03, neuron__leak_spread=0.4)
    mapped = mapped_on(network, chip)
    whole = mapped.spikes(images)
    for first in range(0, 7, 3):
        part = mapped.inference.outputs(images[first : first + 3], first)
        for a, b in zip(whole, part):
            np.testing.assert_array_equal(a[:, first : first + 3], b)
    reports = [mapped.evaluate(images, np.arange(7) % 3, batch_size=size) for size in (1, 3, 100)]
    assert len({report.spike_rate for report in reports}) == len({report.accuracy for report in reports}) == 1
    assert np.any(whole[0] != mapped_on(network, chip, seed=1).spikes(images)[0])


def test_leaks_differ_from_neuron_to_neuron(tiny, chip):
    network, images = tiny
    spread = chip.replace(neuron__leak_spread=0.3)
    mapped = mapped_on(network, spread)
    layer = mapped.layers[0]
    dies = [Neurons(layer.layer, spread, 6, False, 3, (0, die, 0), torch.float64).beta for die in range(30)]
    np.testing.assert_array_equal(dies[0], layer.neurons.beta)
    leaks = np.log(dies) / np.log(0.8)  # relative to the nominal one, cut at 0
    assert leaks.shape == (30, 4, 3, 3) and leaks.min() >= 0 and np.max(dies) <= 1
    assert leaks.std() == approx(0.3, rel=0.1) and leaks.mean() == approx(1, abs=0.04)
    for layer, x, analog in inputs_of(mapped, images[:3]):
        current = sum(of_outputs(layer, x, read_out(chip)))
        assert_runs_like(layer, x, analog, current, beta=layer.neurons.beta)


# --- calibration ----------------------------------------------------------------------------------------------------

LOSSY = xb.Wires(r_wordline=1000, r_bitline=1000, r_driver=3000, r_sense=1000)


def kept_by(layer):
    """Return the share of their weights that the solved outputs of each row tile keep, (n_row_tiles, n_out)."""
    kept = []
    for row in layer.row_tiles:
        weights = layer.layer.weights[:, row.rows].astype(float)
        found = np.zeros_like(weights)
        for tile in row.tiles:
            reads = np.eye(layer.layer.weights.shape[1])[row.rows]
            found[tile.patch.outputs] = pairs(solved(tile, reads)[0]).T / UNIT
        kept.append((weights * found).sum(1) / (weights**2).sum(1))
    return np.array(kept)


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("readout", ["charge", "bitline"])
def test_gain_trims_give_outputs_the_strength_that_they_should_have(tiny, chip, readout, bits):
    network, images = tiny
    calibration = mp.Calibration(gain_bits=bits, gain_range=0.4)
    chip = with_readout(chip, readout).replace(wires=LOSSY, calibration=calibration)
    mapped = mapped_on(network, chip)
    for layer, x, analog in inputs_of(mapped, images[:2]):
        kept, gains = kept_by(layer), np.array(layer.trims.gains)
        step = 0.8 / (2**bits - 2)
        steps = (gains - 0.6) / step
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
        inside = np.abs(1 / kept - 1) < 0.4
        assert np.all(np.abs(gains * kept - 1)[inside] <= kept[inside] * step / 2 + 1e-9)
        assert np.all(gains[1 / kept > 1.4] == approx(1.4)) and inside.mean() > 0.5
        assert np.abs(kept - 1)[inside].max() > 0.1
        parts = of_outputs(layer, x, read_out(chip))
        assert_runs_like(layer, x, analog, sum(gain[:, None, None] * part for gain, part in zip(gains, parts)))


@pytest.mark.parametrize("merge", ["charge", "majority"])
def test_threshold_trims_follow_what_outputs_keep_after_their_gains(tiny, chip, merge):
    network, images = tiny
    calibration = mp.Calibration(threshold_bits=4, gain_bits=2, gain_range=0.2, threshold_range=0.6)
    mapped = mapped_on(network, chip.replace(wires=LOSSY, calibration=calibration, merge=merge))
    for layer, x, analog in inputs_of(mapped, images[:2]):
        gains, sizes = np.array(layer.trims.gains), np.array([row.n_rows for row in layer.row_tiles])
        kept = gains * kept_by(layer)
        if merge == "charge":
            kept = (kept * sizes[:, None]).sum(0, keepdims=True) / sizes.sum()
        factors = np.asarray(layer.trims.threshold).reshape(kept.shape)
        step = 1.2 / 14
        assert np.all(np.abs(factors - kept)[kept > 0.4] <= step / 2 + 1e-9) and np.abs(factors - 1).max() > 0.05
        parts = [gain[:, None, None] * part for gain, part in zip(gains, of_outputs(layer, x, read_out(chip)))]
        if merge == "charge":
            assert_runs_like(layer, x, analog, sum(parts), scale=factors[0][:, None, None])
        else:
            share = 1 / len(parts)
            votes = sum(
                neurons(layer, part, share=share, scale=factor[:, None, None])[0]
                for part, factor in zip(parts, factors)
            )
            np.testing.assert_array_equal(forward(layer, x, analog)[0], 2 * votes > len(parts))


def test_offset_trims_leave_half_a_step(tiny, chip):
    network, images = tiny
    spread, beyond = 0.05, 0
    trimmed = chip.replace(readout__offset=spread, calibration={"offset_bits": 5, "offset_range": 1.5})
    for seed in range(3):
        mapped = mapped_on(network, trimmed, seed=seed)
        for layer, x, analog in inputs_of(mapped, images[:2]):
            offset = layer.neurons.offset
            rest, within = offset - layer.trims.offset, np.abs(offset) < 1.5 * spread
            assert np.all(np.abs(rest)[within] <= 3 * spread / 30 / 2 + 1e-12)
            np.testing.assert_allclose(np.abs(rest)[~within], np.abs(offset)[~within] - 1.5 * spread, rtol=1e-9)
            beyond += np.count_nonzero(~within)
            level = layer.layer.threshold + rest / unit_voltage(layer)[0]
            assert_runs_like(layer, x, analog, sum(of_outputs(layer, x, read_out(chip))), level=level)
    assert beyond > 0


def test_offset_trims_of_converters_leave_half_a_step(tiny, sar):
    network, _ = tiny
    trimmed = sar.replace(readout__offset=0.01, calibration={"offset_bits": 6})
    before, after = (mapped_on(network, one).layers[0] for one in (sar.replace(readout__offset=0.01), trimmed))
    drawn = []
    for rows in zip(before.row_tiles, after.row_tiles):
        for raw, rest in zip(*(row.converters for row in rows)):
            for k in range(raw.n_converters):
                offsets = [0.5 - converters.transitions(k)[0] for converters in (raw, rest)]
                assert abs(offsets[1]) <= 6 * 0.01 * 4095 / 62 / 2 + 1e-9 or abs(offsets[0]) > 3 * 0.01 * 4095
                drawn.append(offsets[0])
    assert len(np.unique(drawn)) == len(drawn) == 3 * (3 + 1)  # converters of arrays with 6 and with 2 bitlines in use


def test_trims_of_many_bits_recover_most_of_the_ideal_spikes(tiny, chip):
    network, _ = tiny
    images = np.random.default_rng(6).uniform(0, 1, (40, 2, 6, 6))
    ideal = chip.replace(wires=xb.Wires(), device__d2d=0.0)
    lossy = ideal.replace(wires=xb.Wires(r_wordline=20, r_bitline=20, r_driver=15e3, r_sense=50))
    trimmed = lossy.replace(calibration={"gain_bits": 12, "gain_range": 0.9})
    first = [mapped_on(network, one).spikes(images)[0] for one in (ideal, lossy, trimmed)]
    wrong = [np.mean(spikes != first[0]) for spikes in first[1:]]
    assert wrong[0] > 0.05 and wrong[1] < 0.1 * wrong[0]


def test_a_report_knows_the_accuracy_without_trims_and_leaves_them_set(tiny, chip):
    network, _ = tiny
    images = np.random.default_rng(6).uniform(0, 1, (30, 2, 6, 6))
    lossy = chip.replace(wires=LOSSY, readout__offset=0.3, readout__noise=0.02)
    labels = network.predict(images)
    trims = {"gain_bits": 6, "gain_range": 0.9, "offset_bits": 6, "threshold_bits": 6}
    mapped = mapped_on(network, lossy.replace(calibration=trims), seed=3)
    before = [layer.effective_weights.copy() for layer in mapped.layers], mapped.spikes(images)
    report, plain = (
        mapped.evaluate(images, labels, batch_size=7),
        mapped_on(network, lossy, seed=3).evaluate(images, labels),
    )
    assert report.accuracy_uncalibrated == plain.accuracy and plain.accuracy_uncalibrated is None
    assert report.accuracy > plain.accuracy + 0.2
    for layer, weights in zip(mapped.layers, before[0]):
        np.testing.assert_array_equal(layer.effective_weights, weights)
    for a, b in zip(mapped.spikes(images), before[1]):
        np.testing.assert_array_equal(a, b)
    assert mapped.evaluate(images, labels, batch_size=7) == report
    assert "without calibration" in str(report) and "without calibration" not in str(plain)


FADING = {"device__retention": xb.Retention(nu=0.1, t0=1.0)}


def same_trims(a, b):
    for one, other in zip(a.layers, b.layers):
        np.testing.assert_array_equal(one.trims.gains, other.trims.gains)
        np.testing.assert_array_equal(one.trims.threshold, other.trims.threshold)
        np.testing.assert_allclose(one.effective_weights, other.effective_weights, rtol=1e-9)


def test_scheduled_calibration_happens_at_multiples_of_its_interval(tiny, chip):
    """Ages in one go and in parts, against the steps done by hand on a chip without a schedule."""
    network, _ = tiny
    by_hand = chip.replace(**FADING, calibration={"gain_bits": 10, "gain_range": 0.8, "threshold_bits": 8})
    scheduled = by_hand.replace(calibration__interval="1 h")
    for steps in ([2.5], [1.5, 1.0], [0.5, 0.5, 1.25, 0.25], [2.0, 0.5]):
        found, expected = mapped_on(network, scheduled), mapped_on(network, by_hand)
        fresh = found.layers[0].trims.gains
        for hours in steps:
            found.age(dt=3600 * hours)
        expected.age(dt="2 h")
        expected.calibrate()
        expected.age(dt="0.5 h")
        same_trims(found, expected)
        assert np.any(np.array(fresh) != found.layers[0].trims.gains)
    found, expected = mapped_on(network, scheduled), mapped_on(network, by_hand)
    for mapped in (found, expected):
        mapped.age(dt="0.9 h")
    same_trims(found, expected)  # not yet
    found.calibrate()  # from now on the hour begins anew
    expected.calibrate()
    for mapped in (found, expected):
        mapped.age(dt="0.9 h")
    same_trims(found, expected)


def test_energy_of_scheduled_calibrations_is_spread_over_inferences(tiny, chip, sar):
    network, images = tiny
    trims = {"gain_bits": 4, "offset_bits": 4, "threshold_bits": 4, "energy": "1 pJ", "interval": "10 ms"}
    # gains of 3 x 4 and 5 x 3 outputs; a threshold and an offset, of comparator or converter, of each of 4 and 3
    # outputs; the latter has a converter for every 2 of the bitlines, 6 and 2 of them used on each row tile
    for given, counts in ((chip, (12 + 4 + 4, 15 + 3 + 3)), (sar, (12 + 4 + 3 * 4, 15 + 3 + 5 * 3))):
        one = given.replace(readout__offset=0.001, replication=(2,))
        mapped = mapped_on(network, one.replace(calibration=trims))
        report = mapped.evaluate(images, np.zeros(7, int))
        for layer, row, count in zip(mapped.layers, report.layers, counts):
            copies = 2 if layer.number == 0 else 1
            assert layer.inventory.trims == copies * count
            assert row.energies["calibration"] == approx(copies * count * 1e-12 / (10e-3 * report.throughput))
        once = mapped_on(network, one.replace(calibration=trims | {"interval": None})).evaluate(
            images, np.zeros(7, int)
        )
        assert [row.energies["calibration"] for row in once.layers] == [0, 0]
        assert report.energy_per_inference == approx(
            once.energy_per_inference + report.energy_by_module()["calibration"]
        )
        core = mapped.evaluate(images, np.zeros(7, int), accounting="core")
        assert core.energy_by_module()["calibration"] == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "nothing is trimmed; give gain_bits, offset_bits or threshold_bits"),
        ({"interval": "1 h", "energy": "1 pJ"}, "nothing is trimmed"),
        ({"gain_bits": 0}, "Calibration.gain_bits = 0"),
        ({"gain_bits": 13}, "Calibration.gain_bits = 13"),
        ({"gain_bits": 4, "gain_range": 1.0}, "Calibration.gain_range = 1"),
        ({"threshold_bits": 4, "threshold_range": 0}, "Calibration.threshold_range = 0"),
        ({"offset_bits": 4, "interval": 0}, "Calibration.interval = 0"),
    ],
    ids=str,
)
def test_calibrations_that_cannot_be_are_refused(values, message):
    with pytest.raises(xb.ParameterError) as error:
        mp.Calibration(**values)
    assert message in str(error.value)


# --- converters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sense", ["bitline", "difference"])
@pytest.mark.parametrize("inactive", ["ground", "open"])
def test_converters_are_given_currents_and_their_codes_are_decoded(tiny, chip, sense, inactive):
    """With offsets and mismatch, drawn for each converter of each array; codes themselves have tests of their own."""
    network, images = tiny
    real = {"readout__offset": 0.02, "readout__mismatch": 0.05, "readout__n_bits": 8, "inactive": inactive}
    chip = on(chip, sense).replace(**real)
    top = 255 if sense == "bitline" else 127
    mapped = mapped_on(network, chip)
    for layer, x, analog in inputs_of(mapped, images[:2]):
        behind = {t: one for row in layer.row_tiles for t, one in zip(row.tiles, row.converters)}

        def converted(tile, currents, behind=behind):
            values = currents if sense == "bitline" else pairs(currents)
            assert behind[tile].n_converters == -(-values.shape[1] // 2)
            in_steps = torch.from_numpy(values / (30e-6 / top))[:, :, None, None]
            codes = behind[tile].convert(in_steps)[0][:, :, 0, 0].numpy() * (30e-6 / top)
            return pairs(codes) if sense == "bitline" else codes

        current = sum(of_outputs(layer, x, converted))
        assert_runs_like(layer, x, analog, current)
        assert np.abs(current - sum(of_outputs(layer, x, read_out(chip)))).max() > 0.05
        drawn = [one.transitions(k)[0] for one in behind.values() for k in range(one.n_converters)]
        assert len(np.unique(drawn)) == len(drawn) > 3


@pytest.mark.compiled
@pytest.mark.parametrize("sense", ["bitline", "difference"])
def test_converter_noise_adds_to_every_conversion(tiny, chip, sense):
    """Mean and variance over 3000 time steps of what the neurons in the middle get; at the edge 0 A cuts the noise."""
    network, images = tiny
    network.spec = network.spec.model_copy(update={"t_steps": 3000})
    noise, chip = 0.003, on(chip, sense)
    layer, x, _ = next(inputs_of(mapped_on(network, chip.replace(readout__noise=noise)), images[:1] * 0.5 + 0.5))
    draws = by_tensors.noise_draws(layer, 3000, 1, 0)
    current = by_tensors.currents(layer, torch.from_numpy(x), slice(0, 3000), draws, 1, Ledger())[:, 0, :, 1, 1].numpy()
    expected = sum(of_outputs(layer, x, lambda tile, i: pairs(i)))[0, 0, :, 1, 1]
    conversions = 3 * (2 if sense == "bitline" else 1)  # of each output, on three row tiles, in each of four positions
    step = 30e-6 / (4095 if sense == "bitline" else 2047) / UNIT
    variance = conversions * ((noise * 30e-6 / UNIT) ** 2 + step**2 / 12) / 4
    np.testing.assert_allclose(current.mean(0), expected, rtol=0, atol=5 * np.sqrt(variance / 3000))
    assert current.var(0).mean() == approx(variance, rel=0.05)
    np.testing.assert_allclose(current.var(0), variance, rtol=0.15)
    assert np.abs(np.corrcoef(current.T) - np.eye(4)).max() < 0.1


def test_converter_noise_does_not_depend_on_batches(tiny, sar):
    network, images = tiny
    mapped = mapped_on(network, sar.replace(readout__noise=0.02, readout__offset=0.01))
    whole = mapped.spikes(images)
    for first in range(0, 7, 3):
        for a, b in zip(whole, mapped.inference.outputs(images[first : first + 3], first)):
            np.testing.assert_array_equal(a[:, first : first + 3], b)
    quiet = mapped_on(network, sar.replace(readout__offset=0.01)).spikes(images)
    assert np.any(whole[0] != quiet[0])


@pytest.mark.parametrize("quantile", [0.9, 1.0])
@pytest.mark.parametrize("sense", ["bitline", "difference"])
@pytest.mark.parametrize("changes", [{}, {"inactive": "gated"}, {"limiter": {"i_max": "6 uA"}}], ids=str)
def test_a_calibrated_full_scale_is_a_quantile_of_the_currents_of_some_images(tiny, chip, sense, quantile, changes):
    network, images = tiny
    chip = on(chip, sense).replace(**changes, readout__full_scale="calibrated", readout__full_scale_quantile=quantile)
    most = np.inf if chip.limiter is None else 6e-6
    mapped = mapped_on(network, chip, images=images[:2])
    for layer, x, _ in inputs_of(mapped, images[:2]):
        results = []
        of_outputs(layer, x, lambda tile, i: pairs(i), results)
        limited = [np.minimum(currents, most) for currents, _ in results]
        seen = np.concatenate([(i if sense == "bitline" else np.abs(pairs(i))).ravel() for i in limited])
        expected = np.quantile(seen, quantile)
        assert [row.full_scale for row in layer.row_tiles] == approx([expected] * len(layer.row_tiles))
        counted = forward(layer, x, layer.number == 0)[2]
        if chip.limiter is None:
            assert counted.clipped / counted.simulated == approx(1 - quantile, abs=0.03)


def test_a_full_scale_can_be_the_largest_possible_current(tiny, sar):
    network, images = tiny
    mapped = mapped_on(network, sar.replace(readout__full_scale="worst-case"))
    for layer in mapped.layers:
        every = np.ones((1, layer.layer.weights.shape[1]))
        largest = max(solved(tile, every)[0].max() for tile in layer.tiles)
        assert [row.full_scale for row in layer.row_tiles] == approx([largest] * len(layer.row_tiles))
    assert mapped.evaluate(images, np.zeros(7, int)).fraction_clipped == 0


@pytest.mark.compiled
@pytest.mark.parametrize("limiter", [None, {"i_max": "1 A"}, {"i_max": "1 mA"}, {"i_max": "20 uA", "kind": "smooth"}])
@pytest.mark.parametrize(("weights", "largest"), [("differential", 64.8e-6), ("reference", 32.4e-6)])
def test_the_largest_difference_is_that_of_the_arrays_limited_or_not(chip, limiter, weights, largest):
    """24 pairs of 10 and 1 uS at 0.3 V, or 10 uS against the mean of 10 and 1 uS."""
    torch.manual_seed(0)
    layers = [mp.LayerSpec(kind="dense", out=12)]
    spec = mp.NetworkSpec(input_shape=(1, 4, 6), layers=layers, beta=1, threshold=1, t_steps=1)
    adc = mp.SarAdc(n_bits=8, f_sample=40e6, power=40e-6, columns_per_adc=2, sense="difference")
    ideal = {"rows": 24, "cols": 26, "wires": xb.Wires(), "device__d2d": 0.0}
    mapped = mapped_on(
        mp.Network(spec), on(chip, "difference").replace(readout=adc, weights=weights, limiter=limiter, **ideal)
    )
    assert mapped.layers[0].row_tiles[0].full_scale == approx(largest)


def test_full_scales_and_columns_that_cannot_be_are_refused(tiny, sar):
    network, images = tiny
    with pytest.raises(xb.ParameterError, match="SarAdc.full_scale = 'calibrated' needs images"):
        mp.map_network(network, sar.replace(readout__full_scale="calibrated"))
    with pytest.raises(xb.ParameterError, match="SarAdc.full_scale = 2.9e-07 A is below 3e-07 A"):
        mp.map_network(network, sar.replace(readout__full_scale=0.29e-6))
    mp.map_network(network, sar.replace(readout__full_scale=0.31e-6))
    with pytest.raises(xb.ParameterError, match="Chip.readout.columns_per_adc = 7: the array has 6 columns"):
        sar.replace(readout__columns_per_adc=7)
    with pytest.raises(xb.ParameterError, match="full_scale"):
        sar.replace(readout__full_scale="guessed")
    silent = mapped_on(network, sar.replace(readout__full_scale="calibrated"), images=0 * images)  # nothing to go by
    worst = mapped_on(network, sar.replace(readout__full_scale="worst-case"))
    assert silent.layers[0].row_tiles[0].full_scale == worst.layers[0].row_tiles[0].full_scale


# --- time -----------------------------------------------------------------------------------------------------------


def elmore(length, capacitance, end, segment):
    """Return the sum over the nodes of a line of each one's capacitance times the resistance that all must pass."""
    return sum(capacitance * (end + k * segment) for k in range(length))


def step_of(layer, spikes_per_step):
    """Return the times of arrays and neurons, of the link, and until the first decisions, from what a layer has to do.

    The first two are those of a time step, on average.
    """
    chip, t_steps, spec = layer.chip, layer.t_steps, layer.layer.spec
    rows, cols = spec.read_positions(layer.layer.in_shape)
    copies = (*chip.replication, 1, 1)[layer.number]
    reads, outputs = ceil(rows * cols / copies), ceil(rows * cols / spec.pool**2 / copies)
    digital, wires = isinstance(chip.readout, mp.SarAdc), chip.wires
    line = elmore(chip.cols, chip.c_wordline, wires.r_driver, wires.r_wordline)
    if not isinstance(chip.neuron, mp.PassiveNeuron):
        line += elmore(chip.rows, chip.c_bitline, wires.r_sense, wires.r_bitline)
    settle = log(2 ** ((chip.readout.n_bits if digital else 8) + 1)) * line  # until half a step is left
    if not digital:
        busy = reads * (settle + T_READ) + outputs * chip.readout.t_decision + chip.neuron.t_reset
    else:
        conversion = chip.readout.columns_per_adc / chip.readout.f_sample
        sampled = max(settle + T_READ, conversion)  # the next position settles and is read meanwhile
        one = sampled if chip.held == "sampled" else settle + max(T_READ, conversion)
        update = outputs * spec.out * chip.neuron.t_update
        busy = first = max(reads * one, update)
        if chip.constant_input == "once" and layer.number == 0:
            busy = (first + (t_steps - 1) * update) / t_steps
    if not digital:
        first = busy
    link = 0 if chip.link is None or layer.number == 1 else spikes_per_step * chip.link.t_spike / chip.link.lanes
    return busy, link, max(first, link)


LINES = {"c_wordline": 2e-13, "c_bitline": 3e-13}
TIMES = {
    "comparators": ("charge", {"readout__t_decision": 3e-9, "neuron__t_reset": 40e-9}),
    "capacitive lines": ("charge", LINES | {"replication": (5,)}),
    "one layer after the other": ("charge", {"pipelined": False, "readout__t_decision": 3e-9}),
    "bound by links": ("charge", {"link": {"energy_per_spike": 1e-12, "t_spike": "2 us", "lanes": 3}}),
    "sampled": ("bitline", {"held": "sampled"}),
    "sampled, fast": ("bitline", {"held": "sampled", "readout__f_sample": 400e6} | LINES),
    "sampled, slow lines": ("bitline", {"held": "sampled", "readout__columns_per_adc": 1} | LINES),
    "driven": ("difference", {"held": "driven"} | LINES),
    "driven, slow": ("difference", {"held": "driven", "readout__f_sample": 5e6} | LINES),
    "replicated": ("bitline", {"replication": (4, 1), "readout__columns_per_adc": 4, "pipelined": False}),
    "bound by updates": ("bitline", {"neuron__t_update": 60e-9, "replication": (8,)}),
    "held once": ("bitline", {"constant_input": "once", "neuron__t_update": 1e-9}),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_follow_from_reads_conversions_and_decisions(tiny, chip, name):
    network, images = tiny
    readout, changes = TIMES[name]
    chip = with_readout(chip, readout).replace(**changes)
    mapped = mapped_on(network, chip)
    report = mapped.evaluate(images, np.zeros(7, int))
    sent = [spikes.sum() / (7 * network.t_steps) for spikes in mapped.spikes(images)]
    times = [step_of(layer, spikes) for layer, spikes in zip(mapped.layers, sent)]
    steps = [max(busy, link) for busy, link, _ in times]
    for row, (busy, link, _), step in zip(report.layers, times, steps):
        assert row.time_busy == approx(busy, rel=1e-9)
        assert row.times.link == approx(link, rel=1e-6, abs=1e-30)
        assert row.time_step == approx(step, rel=1e-6)
        parts = (row.times.settle, row.times.read, row.times.conversion, row.times.decision)
        assert min(parts) >= 0 and sum(parts) == approx(busy)
    slowest = max(steps) if chip.pipelined else sum(steps)
    assert report.step_time == approx(slowest, rel=1e-6)
    assert report.throughput == approx(1 / (network.t_steps * slowest), rel=1e-6)
    assert report.latency == approx(sum(first for *_, first in times) + (network.t_steps - 1) * slowest, rel=1e-6)
    assert report.stall_fraction == approx([1 - busy / slowest for busy, *_ in times], rel=1e-6, abs=1e-12)
    assert report.power == approx(report.energy_per_inference * report.throughput)


def test_chips_of_the_time_model_are_bound_by_what_they_are_named_for(tiny, chip):
    network, images = tiny

    def rows(name):
        readout, changes = TIMES[name]
        chips = with_readout(chip, readout).replace(**changes)
        return mapped_on(network, chips).evaluate(images, np.zeros(7, int)).layers

    assert rows("bound by links")[0].times.link > rows("bound by links")[0].time_busy
    assert rows("bound by updates")[0].times.decision > rows("bound by updates")[0].times.read
    assert rows("sampled")[0].times.conversion > 0 == rows("sampled, fast")[0].times.conversion
    assert rows("driven, slow")[0].times.conversion > 0 < rows("driven, slow")[0].times.settle
    assert rows("capacitive lines")[0].times.settle > 0.01 * rows("capacitive lines")[0].times.read


def test_passive_bitlines_need_not_settle(tiny, passive):
    network, images = tiny
    mapped = mapped_on(network, passive.replace(**LINES, readout__t_decision=1e-9, neuron__t_reset=2e-9))
    for layer, row in zip(mapped.layers, mapped.evaluate(images, np.zeros(7, int)).layers):
        assert row.time_busy == approx(step_of(layer, 0)[0], rel=1e-9)


# --- area -----------------------------------------------------------------------------------------------------------

AREAS = {"cell_area": "0.05 um^2", "driver__area": "2 um^2"}
CHARGE = AREAS | {"readout__area": "7 um^2", "neuron__area": "11 um^2", "neuron__capacitance_density": 2e-3}
DIGITAL = AREAS | {"readout__area": "1000 um^2", "neuron__area": "13 um^2", "neuron__area_per_adder": "3 um^2"}
EXTRAS = {
    "link": {"energy_per_spike": 0, "t_spike": 0, "lanes": 3, "area": "5 um^2"},
    "calibration": {"gain_bits": 4, "area": "0.5 um^2"},
    "replication": (2,),
}


def test_areas_of_comparators_and_membranes_add_up(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip.replace(**CHARGE, **EXTRAS))
    report = mapped.evaluate(images, np.zeros(7, int))
    for layer, row, arrays, gains, membranes in zip(mapped.layers, report.layers, (2 * 6, 5), (2 * 12, 15), (36, 3)):
        expected = {
            "array": arrays * 8 * 6 * 0.05e-12,
            "conversion": layer.layer.spec.out * (2 if layer.number == 0 else 1) * 7e-12,
            "driver": arrays * 8 * 2e-12,
            "neuron": membranes * (11e-12 + unit_voltage(layer)[1] / 2e-3),
            "link": 0 if layer.number == 1 else 3 * 5e-12,
            "calibration": gains * 0.5e-12,
        }
        for name, area in expected.items():
            assert row.areas[name] == approx(area, rel=1e-9)
        assert row.area == approx(sum(expected.values()))
    assert report.area == approx(sum(row.area for row in report.layers))
    assert report.area == approx(sum(report.area_by_module().values()))
    assert report.adc_area_share == approx(report.area_by_module()["conversion"] / report.area)


def test_areas_of_converters_and_registers_add_up(tiny, sar):
    network, images = tiny
    chip = sar.replace(**DIGITAL, **EXTRAS, readout__columns_per_adc=4)
    report = mapped_on(network, chip).evaluate(images, np.zeros(7, int))
    for row, arrays, registers in zip(report.layers, (2 * 6, 5), (36, 3)):
        converters = arrays * 2  # for 6 bitlines, used or not, up to four each
        assert row.areas["conversion"] == approx(converters * 1e-9 * (0.5 + 0.5 * 16))  # 12 instead of 8 bits
        assert row.areas["neuron"] == approx(registers * 13e-12 + converters * 3e-12)


@pytest.mark.parametrize("readout", ["charge", "bitline"])
def test_an_area_that_is_not_known_leaves_a_gap(tiny, chip, readout):
    network, images = tiny
    modules = {"cell_area": "array", "driver__area": "driver", "readout__area": "conversion", "neuron__area": "neuron"}
    modules["neuron__capacitance_density" if readout == "charge" else "neuron__area_per_adder"] = "neuron"
    complete = with_readout(chip, readout).replace(**(CHARGE if readout == "charge" else DIGITAL))
    whole = mapped_on(network, complete).evaluate(images, np.zeros(7, int))
    assert whole.area > 0 and "mm²" in str(whole)
    for field, module in modules.items():
        report = mapped_on(network, complete.replace(**{field: None})).evaluate(images, np.zeros(7, int))
        assert report.area is report.layers[0].area is report.adc_area_share is report.area_by_module()[module] is None
        known = {name: area for name, area in report.area_by_module().items() if name != module}
        assert known == {name: area for name, area in whole.area_by_module().items() if name != module}
        assert "not given" in str(report)


def test_sharing_converters_trades_area_for_time(tiny, sar):
    """Each doubling halves the converters of 8 bitlines and doubles what a position takes, reads being shorter."""
    network, images = tiny
    reports = []
    for columns in (1, 2, 4, 8):
        chip = sar.replace(**DIGITAL, cols=8, readout__columns_per_adc=columns)
        reports.append(mapped_on(network, chip).evaluate(images, np.zeros(7, int)))
    for before, after, columns in zip(reports, reports[1:], (2, 4, 8)):
        assert after.area_by_module()["conversion"] == approx(before.area_by_module()["conversion"] / 2)
        assert [row.time_step for row in after.layers] == approx([n * columns * 25e-9 for n in (36, 1)])
        assert after.throughput == approx(before.throughput / 2)
        assert after.energy_per_inference == before.energy_per_inference and after.spike_rate == before.spike_rate


def test_arrays_that_stay_on_draw_power_until_all_is_converted(tiny, sar):
    network, images = tiny
    one = {
        (held, columns): mapped_on(network, sar.replace(held=held, readout__columns_per_adc=columns)).evaluate(
            images, np.zeros(7, int)
        )
        for held in ("sampled", "driven")
        for columns in (1, 6)
    }
    for sampled, driven in zip(one["sampled", 6].layers, one["driven", 6].layers):
        assert driven.energies["array"] == approx(6 * sampled.energies["array"])
        assert driven.energies["driver"] == approx(6 * sampled.energies["driver"])
        assert driven.energies["conversion"] == sampled.energies["conversion"]
    for columns in (1, 6):
        assert one["sampled", columns].energy_by_module() == one["sampled", 1].energy_by_module()
    assert one["driven", 1].energy_by_module() == one["sampled", 1].energy_by_module()


# --- accounts -------------------------------------------------------------------------------------------------------


@pytest.fixture
def everything(sar):
    link = {"energy_per_spike": "50 fJ", "t_spike": "5 ns"}
    trims = {"gain_bits": 5, "interval": "1 ms", "energy": "1 nJ"}
    return sar.replace(**DIGITAL, link=link, calibration=trims, readout__columns_per_adc=3, c_wordline=1e-15)


def arriving(chip, layer, x):
    """Energy of reads, as v_read times the solved currents of the bitlines in use."""
    reads, total = unfolded(layer, x), 0.0
    for tile in layer.tiles:
        currents = xb.solve(tile.circuit.crossbar, voltages(tile, reads)).i_bitline
        total += currents[:, : tile.n_lines].sum() * chip.device.v_read * chip.device.t_read
    return total


def test_conventions_change_what_they_say_and_no_more(tiny, everything):
    network, images = tiny
    mapped, labels = mapped_on(network, everything), np.arange(7) % 3
    reports = {name: mapped.evaluate(images, labels, accounting=name) for name in CONVENTIONS}
    full = reports["full"]
    assert set(reports) == {"full", "core", "one-operation", "all-columns", "arrays-on", "used-cells"}
    assert min(full.energy_by_module().values()) > 0
    used = [sum(2 * tile.patch.n_outputs for tile in layer.tiles) for layer in mapped.layers]
    assert used == [3 * 8, 5 * 6]
    arrived = [arriving(mapped.chip, layer, x) for layer, x, _ in inputs_of(mapped, images)]
    arrived[0] *= network.t_steps  # its constant input
    charging = []  # of wordlines of 6 cells, on all arrays of a row tile
    for layer, x, _ in inputs_of(mapped, images):
        driven = np.count_nonzero(unfolded(layer, x)) * (network.t_steps if len(x) == 1 else 1)
        charging.append(driven * len(layer.row_tiles[0].tiles) * 6 * 1e-15 * V_READ**2 / 7)
    for name, report in reports.items():
        for row, base, lines, arrays, energy, once in zip(report.layers, full.layers, used, (6, 5), arrived, charging):
            expected = dict(base.energies)
            if name == "core":
                expected |= dict.fromkeys(("driver", "neuron", "link", "calibration"), 0.0)
            if name == "all-columns":
                expected["conversion"] *= arrays * 6 / lines
            if name == "used-cells":
                assert energy / 7 < base.energies["array"] or row is report.layers[0]  # analog inputs are below v_read
                expected["array"] = energy / 7
            if name == "arrays-on":
                expected["array"] *= 3  # three conversions of 25 ns in the place of one read
                expected["driver"] = once + 3 * (base.energies["driver"] - once)
            assert row.energies == approx(expected, rel=1e-12)
            assert row.energy == approx(sum(expected.values()), rel=1e-12)
            unchanged = vars(row).keys() - {"energies", "synaptic_operations"}
            assert all(getattr(row, key) == getattr(base, key) for key in unchanged)
        operations = 1 if name == "one-operation" else 2
        assert report.accuracy == full.accuracy and report.spike_rate == full.spike_rate
        assert report.accuracy_uncalibrated == full.accuracy_uncalibrated
        assert (report.throughput, report.latency, report.area) == (full.throughput, full.latency, full.area)
        assert report.energy_per_inference == approx(sum(report.energy_by_module().values()), rel=1e-12)
        assert report.energy_per_inference == approx(sum(row.energy for row in report.layers), rel=1e-12)
        macs = operations * (36 * 4 * 18 + 36 * 3) * network.t_steps
        assert report.tops_per_watt == approx(macs / report.energy_per_inference * 1e-12)
        share = report.energy_by_module()["conversion"] / report.energy_per_inference
        assert report.adc_power_share == approx(share)
        synaptic = operations / 2 * full.synaptic_tops_per_watt * full.energy_per_inference
        assert report.synaptic_tops_per_watt == approx(synaptic / report.energy_per_inference)
        assert report.accounting.startswith(f"{name} accounting: ")


def test_synaptic_operations_are_those_of_active_wordlines(tiny, everything):
    network, images = tiny
    mapped = mapped_on(network, everything)
    report = mapped.evaluate(images, np.zeros(7, int))
    for (layer, x, analog), row in zip(inputs_of(mapped, images), report.layers):
        driven = np.count_nonzero(unfolded(layer, x)) * (network.t_steps if len(x) == 1 else 1)
        assert row.synaptic_operations == approx(2 * driven * layer.layer.spec.out / 7)
        per_line = (8 if analog else 1) * 4e-6 * T_READ + 1e-15 * 6 * V_READ**2  # driver with its DAC, and its wire
        assert row.energies["driver"] == approx(driven * len(layer.row_tiles[0].tiles) * per_line / 7)


def test_one_can_tell_what_an_account_leaves_out(tiny, everything):
    network, images = tiny
    texts = {name: str(one) for name, one in CONVENTIONS.items()}
    assert "Excluded: programming, buffers, control, leakage." in texts["full"]
    assert "Excluded: wordline drivers, neurons, links, calibration, programming" in texts["core"]
    assert "1 MAC = 1 operation," in texts["one-operation"] and "1 MAC = 2 operations," in texts["full"]
    assert "conversions of all bitlines" in texts["all-columns"] and "of used bitlines" in texts["full"]
    assert "until all bitlines are converted" in texts["arrays-on"]
    own = mp.Accounting(name="mine", modules=("array", "link"), arrays_on="read")
    mapped = mapped_on(network, everything.replace(held="driven"))
    report = mapped.evaluate(images, np.zeros(7, int), accounting=own)
    assert "for the read pulse only" in report.accounting and "data conversion, wordline drivers" in report.accounting
    assert " ".join(report.accounting.split()) in " ".join(str(report).split())
    sampled = mapped_on(network, everything).evaluate(images, np.zeros(7, int)).energy_by_module()
    assert report.energy_by_module() == approx(
        {module: energy if module in ("array", "link") else 0 for module, energy in sampled.items()}
    )
    shorter = mapped.evaluate(images, np.zeros(7, int), accounting=mp.Accounting(arrays_on="read"))
    assert shorter.energy_by_module() | {"calibration": 0} == approx(sampled | {"calibration": 0})


def test_accounts_that_do_not_exist_are_refused(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip)
    with pytest.raises(xb.ParameterError, match="accounting = 'loose': give one of full, core, one-operation"):
        mapped.evaluate(images, np.zeros(7, int), accounting="loose")
    for values in ({"modules": ("arrays",)}, {"operations_per_mac": 3}, {"columns": "some"}, {"arrays_on": "never"}):
        with pytest.raises(xb.ParameterError, match=f"Accounting.{next(iter(values))}"):
            mp.Accounting(**values)


# --- links ----------------------------------------------------------------------------------------------------------


def test_links_carry_one_spike_after_the_other(tiny, chip):
    network, images = tiny
    link = mp.Link(energy_per_spike="30 fJ", t_spike="4 ns", lanes=2)
    mapped = mapped_on(network, chip.replace(link=link))
    report, plain = (mapped_on(network, one).evaluate(images, np.zeros(7, int)) for one in (mapped.chip, chip))
    for spikes, row in zip(mapped.spikes(images), report.layers):
        sent = spikes.sum() if row is report.layers[0] else 0  # nothing follows the last layer
        assert row.energies["link"] == approx(30e-15 * sent / 7)
        assert row.times.link == approx(sent / 7 / network.t_steps * 4e-9 / 2)
        waiting = 0
        for t, n, y, x in np.ndindex(spikes.shape[0], spikes.shape[1], *spikes.shape[3:]):
            waiting += max(0, spikes[t, n, :, y, x].sum() - 1)  # all but the first of a position
        assert row.collided == approx(waiting / spikes.sum()) and row.collided > 0.05
    assert [row.energies["link"] for row in plain.layers] == [row.times.link for row in plain.layers] == [0, 0]
    assert report.spike_rate == plain.spike_rate
    silent = mapped.evaluate(images, np.zeros(7, int), accounting="core")
    assert [row.energies["link"] for row in silent.layers] == [0, 0]
    assert silent.layers[0].times == report.layers[0].times


# --- what reviews found ---------------------------------------------------------------------------------------------


def test_no_calibration_before_its_time(tiny, chip):
    laws = {"device__read_disturb": "power-law", "device__retention": xb.Retention(nu=0.1, t0=1.0)}
    trims = {"gain_bits": 12, "gain_range": 0.9, "interval": "1 h"}
    mapped = mapped_on(tiny[0], chip.replace(**laws, calibration=trims))
    mapped.age(n_reads=1e9)
    before = np.array(mapped.layers[0].trims.gains)
    mapped.age(dt="1 s")
    np.testing.assert_array_equal(mapped.layers[0].trims.gains, before)
    mapped.age(dt="1 h")
    assert np.any(np.array(mapped.layers[0].trims.gains) != before)


def test_bridges_with_gated_rows_are_refused(tiny, chip):
    faults = {"bridged_bitlines": [[2, 0]], "r_short": 50}
    with pytest.raises(xb.ParameterError, match="bridged lines with inactive = 'gated' are not modelled"):
        mapped_on(tiny[0], chip.replace(inactive="gated", device__faults=faults))


def test_a_clip_leaves_room_for_the_offset_of_a_comparator(tiny, chip):
    network, images = tiny
    network = rebuilt(network, clip=True)
    clean, offset = (mapped_on(network, chip.replace(readout__offset=x), seed=2) for x in (0.0, 0.001))
    rates = [mapped.spikes(images)[0].mean((0, 1, 3, 4)) for mapped in (clean, offset)]
    assert np.all(rates[1] >= 0.5 * rates[0]) and np.count_nonzero(rates[0]) == 2


def test_dies_hand_on_their_warnings(tiny, chip):
    report = mapped_on(tiny[0], chip).evaluate(tiny[1], np.zeros(7, int))

    def die(number, *warnings):
        return replace(report, warnings=warnings, run=replace(report.run, dies=(number,)))

    assert report.and_die(die(1, "clipped")).and_die(die(2, "clipped")).warnings == (*report.warnings, "clipped")
    first, second = (f"Law.read_time = {value} s is above 20 ms" for value in (1.23, 1.24))
    assert die(0, first).and_die(die(1, second)).warnings == (first,)  # the same model, of another die


def test_accounts_of_nothing_have_no_ratio(tiny, chip):
    report = mapped_on(tiny[0], chip).evaluate(tiny[1], np.zeros(7, int), accounting=mp.Accounting(modules=("link",)))
    assert np.isnan(report.tops_per_watt) and report.to_dict()["adc_power_share"] is None


def test_settings_that_would_do_nothing_are_refused(tiny, chip, sar):
    with pytest.raises(xb.ParameterError, match=r"replication = \(1, 1, 7\) for 2 layers"):
        mapped_on(tiny[0], chip.replace(replication=(1, 1, 7)))
    with pytest.raises(xb.ParameterError, match="held = 'driven': only a sar-adc keeps arrays waiting"):
        chip.replace(held="driven")
    with pytest.raises(xb.ParameterError, match="offset_bits: the read-out has no offset"):
        sar.replace(calibration={"offset_bits": 4})


def test_outputs_without_weights_are_not_trimmed():
    ideal = np.array([[1, -1, 0, 0], [1, 1, 1, 1]])
    calibration = mp.Calibration(gain_bits=6, threshold_bits=6)
    rows = [slice(0, 2), slice(2, 4)]
    trims = find_trims(calibration, ideal, 0.9 * ideal, rows, [slice(None)], np.zeros((2, 1, 1)), 0.0)
    assert trims.gains[1][0] == 1 and trims.gains[0] == approx(1 / 0.9, rel=0.02)
