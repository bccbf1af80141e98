"""What a source leaves out, or holds at one temperature only, is asked for in whatever way it is used."""

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.driver import Driver
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.cost.timing import settling_time
from mapping.inputs.resources import data_folder
from mapping.mapped.dies import History
from tests.builders.anns import small_ann
from tests.builders.devices import make
from xbarsim.validity import Exposure


def test_every_way_to_another_temperature_says_what_to_give(tiny, chip, tmp_path, command):
    network, images = tiny
    labels, disturbed = np.zeros(7, int), chip.replace(device__read_disturb="power-law")
    drifting = chip.replace(device__retention={"nu": 0.05, "t0": 1.0})
    mapped, aged = mp.map_network(network, disturbed), mp.map_network(network, drifting)
    die = disturbed.device.fabricate((2, 2), seed=0)
    die.program(np.ones((2, 2)))
    disturb, retention = (
        "358 K: PowerLawDisturb holds at 300 K; give its",
        "358 K: Retention holds at 300 K; give its",
    )
    for message, use in (
        (disturb, lambda: die.advance(np.full((2, 2), 0.3), temperature=358.0)),
        (disturb, lambda: mapped.age(n_reads=1.0, temperature=358.0)),
        (disturb, lambda: mapped.evaluate(images, labels, refresh=0.1, temperature=358.0)),
        (f"paper-bsnn: temperature = {disturb}", lambda: History(n_reads=1.0, temperature=358.0).check(disturbed)),
        (f"paper-bsnn: temperature = {disturb}", lambda: History(temperature=358.0).check(disturbed, refresh=0.1)),
        (retention, lambda: aged.age(dt="1 day", temperature=358.0)),
        (f"paper-bsnn: temperature = {retention}", lambda: History(time=1.0, temperature=358.0).check(drifting)),
    ):
        with pytest.raises(xb.ParameterError, match=message) as error:
            use()
        assert "\n" not in str(error.value) and len(str(error.value)) <= 200
    assert die.exposure == Exposure() and np.all(die.conductance == make().g_lrs)
    path = tmp_path / "chip.toml"
    text = (data_folder() / "chips" / "paper-bsnn.toml").read_text()
    path.write_text(text.replace('preset = "paper"', 'preset = "paper"\nread_disturb = "power-law"'))
    status, _, errors = command("report", "--chip", path, "--images", 10, "--reads", "1e6", "--temperature", "85 C")
    assert status and "PowerLawDisturb holds at 300 K; give its activation_energy" in " ".join(errors.split())
    for law in (xb.PowerLawDisturb(activation_energy=0.5), xb.CustomDisturb(law=lambda ratio, *_: ratio)):
        History(n_reads=1.0, temperature=358.0).check(chip.replace(device__read_disturb=law))


def uses(device, network, images):
    """Every way to use a device, by name: a function, and which of what may be left out it needs."""
    bits, both = np.eye(6), {"v_read", "t_read"}
    die = device.fabricate((6, 6), seed=1)
    die.program(bits)

    def on(readout, neuron, run):
        def use():
            power = Driver(power_per_bit="1 uW")
            chip = mp.Chip(rows=32, cols=12, device=device, readout=readout, driver=power, neuron=neuron)
            return run(chip.replace(name="small"))

        return use

    charge = {"kind": "charge", "mirror_ratio": 0.01, "v_supply": 1.0, "energy_per_spike": 0}
    comparator, digital = mp.SenseAmp(energy=67e-15), DigitalNeuron(energy_per_add=0, energy_per_update=0)
    sar, labels = mp.SarAdc(n_bits=8, f_sample="40 MHz", power="40 uW"), np.zeros(len(images), int)
    picture = np.zeros((1, 4, 4))
    return {
        "program": (lambda: device.program(bits, seed=0), set()),
        "circuit": (lambda: xb.solve(die.circuit(xb.Wires()).crossbar, np.ones(6)), set()),
        "conductance": (lambda: (die.conductance, die.truncated, die.read(0), die.read_spread, die.pulses), set()),
        "time": (lambda: die.advance(dt=10.0), set()),
        "snapshot": (lambda: die.restore(die.snapshot()), set()),
        "checks": (lambda: list(device.checks(die.exposure)), set()),
        "text": (lambda: (repr(device), repr(die), hash(device), device == device.replace()), set()),
        "reads": (lambda: die.advance(np.full((6, 6), 0.1)), both),
        "current": (lambda: device.replace(i_lrs="1 uA"), {"v_read"}),
        "chip": (on(comparator, charge, repr), set()),
        "network": (on(comparator, charge, lambda chip: mp.map_network(network, chip)), both),
        "report": (on(sar, digital, lambda chip: mp.map_network(network, chip).evaluate(images, labels)), both),
        "ann": (on(sar, digital, lambda chip: mp.map_ann(small_ann(), chip).evaluate(picture, labels[:1])), both),
        "unit": (on(sar, digital, lambda chip: chip.unit_current), {"v_read"}),
        "timing": (on(sar, digital, lambda chip: (settling_time(chip), chip.t_on)), {"t_read"}),
    }


@pytest.mark.parametrize("name", xb.list_devices())
def test_presets_work_or_name_what_they_lack(name, tiny):
    network, images = tiny
    device = xb.load_device(name)
    lacking = {"v_read", "t_read"} - device.model_dump().keys()
    for what, (use, needs) in uses(device, network, images[:2]).items():
        if needs & lacking:
            with pytest.raises(xb.ParameterError) as error:
                use()
            text = str(error.value)
            (named,) = (field for field in needs & lacking if f"Device.{field} is missing" in text)
            assert f'{named} = "' in text, what
            assert "\n" not in text and len(text) <= 200
        else:
            use()
    whole = device.replace(**{field: {"v_read": 0.2, "t_read": 1e-7}[field] for field in lacking})
    for use, _ in uses(whole, network, images[:2]).values():
        use()
