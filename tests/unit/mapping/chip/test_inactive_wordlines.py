"""Wordlines without input: grounded, open or gated off, every read against the solved circuit."""

import numpy as np
import pytest

import xbarsim as xb
from tests.builders.chips import READOUTS, approx, mapped_on, on, wired, with_readout
from tests.builders.spikes import assert_same_spikes
from tests.oracles.readouts import T_READ, UNIT, V_READ, assert_runs_like, inputs_of, joules, of_outputs, read_out


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("inactive", ["ground", "open", "gated"])
def test_every_read_is_that_of_the_solved_circuit(tiny, chip, inactive, readout):
    """Membranes, spikes and array energy of two images, every read solved with its own inactive wordlines."""
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
def test_without_wires_inactive_wordlines_make_no_difference(tiny, chip, inactive, readout):
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


def test_bridges_with_gated_rows_are_refused(tiny, chip):
    faults = {"bridged_bitlines": [[2, 0]], "r_short": 50}
    with pytest.raises(xb.ParameterError, match="bridged lines with inactive = 'gated' are not modelled"):
        mapped_on(tiny[0], chip.replace(inactive="gated", device__faults=faults))
