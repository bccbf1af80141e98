"""Reports warn of models that are used outside their range."""

import numpy as np

import mapping as mp
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from tests.builders.anns import small_ann


def warnings_of(network, images, chip, **values):
    mapped = mp.map_network(network, chip)
    if values.get("n_reads") or values.get("dt"):
        mapped.age(**{name: value for name, value in values.items() if name != "refresh"})
        values = {}
    return mapped.evaluate(images, np.zeros(len(images), int), **values).warnings


def test_reports_warn_of_models_outside_their_range(tiny, chip):
    network, images = tiny
    images = images[:2]
    (comparator,) = warnings_of(network, images, chip)
    assert comparator.startswith("SenseAmp.energy = 7.81 fJ is below 19 fJ") and "67 fJ" in comparator
    quiet = chip.replace(readout__energy="67 fJ")
    assert warnings_of(network, images, quiet) == ()
    (line,) = warnings_of(network, images, quiet.replace(device__v_read="0.5 V"))
    assert line.startswith("paper: v_read = 500 mV is outside 300 mV")
    disturbed = quiet.replace(device__read_disturb="power-law")
    assert warnings_of(network, images, disturbed) == warnings_of(network, images, disturbed, n_reads=1e5) == ()
    (line,) = warnings_of(network, images, disturbed, n_reads=1e7)  # 1e7 x 25 ns
    assert line.startswith("PowerLawDisturb: read_time = 250 ms is outside 0 s to 20 ms")
    slow = disturbed.replace(device__t_read="1 ms")
    (line,) = warnings_of(network, images, slow, refresh=0.5)  # what happens meanwhile counts, and is undone
    assert line.startswith("PowerLawDisturb: read_time = ")
    drifting = quiet.replace(device__retention={"nu": 0.05, "t0": 1.0, "activation_energy": 1.0})
    ranges = {
        "time": {"from": 0, "to": "1 h", "source": "we"},
        "temperature": {"from": "300 K", "to": "350 K", "source": "we"},
    }
    drifting = drifting.replace(device__retention=drifting.device.retention.replace(valid=ranges))
    assert warnings_of(network, images, drifting, dt="1 h", temperature=350.0) == ()
    assert warnings_of(network, images, drifting, dt="2 h", temperature=358.0) == (
        "Retention: time = 2 h is outside 0 s to 1 h (we)",
        "Retention: temperature = 358 K is outside 300 K to 350 K (we)",
    )


def test_reports_warn_of_resolutions_beyond_a_law(tiny, chip):
    network, images = tiny
    adc = mp.SarAdc(n_bits=8, f_sample=40e6, power=40e-6, columns_per_adc=2)
    sar = chip.replace(readout=adc, neuron=DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12))
    assert warnings_of(network, images, sar) == ()
    (line,) = warnings_of(network, images, sar.replace(readout__n_bits=10))
    assert line.startswith("SarAdc.law '2^b': n_bits = 10 bit is outside 8 bit")
    four = sar.replace(readout__n_bits=4, device__v_read="0.2 V")
    report = mp.evaluate_dies(network, four, images, np.zeros(7, int), n_dies=2)
    assert [line.split(" is ")[0] for line in report.warnings] == [
        "paper: v_read = 200 mV",
        "SarAdc.law '2^b': n_bits = 4 bit",
    ]
    mapped = mp.map_ann(small_ann(), four.replace(rows=32, cols=12))
    assert mapped.evaluate(np.zeros((1, 4, 4)), np.zeros(1, int)).warnings == report.warnings
