"""Converters: codes against the search bit by bit, standard tests against theory, energies against publications."""

import matplotlib
import numpy as np
import pytest
import torch

import xbarsim as xb
from mapping.chip.periphery.adc_test import linearity, one_converter, sine_test
from mapping.chip.periphery.converters import Converters
from mapping.chip.periphery.sar_adc import SarAdc, published_adcs
from xbarsim.adc_laws import LAWS, survey_envelope
from xbarsim.streams import stream

SENSES = ("bitline", "difference")


def adc(n_bits=8, **values):
    return SarAdc(**{"n_bits": n_bits, "f_sample": 40e6, "power": 40e-6} | values)


def draws(adc, n_lines, seed):
    """Return each line's offset [LSB] and capacitors [units], the largest last, as a converter draws them."""
    rng, n_converters = stream(seed, "test"), -(-n_lines // adc.columns_per_adc)
    bits = adc.n_bits - (adc.sense == "difference")
    offsets = rng.standard_normal(n_converters) * adc.offset * adc.top_code
    capacitors = rng.standard_normal((n_converters, bits))
    for n in range(n_converters):
        for k in range(bits):
            capacitors[n, k] = 2**k * (1 + adc.mismatch / 2 ** (k / 2) * capacitors[n, k])
        capacitors[n] *= (2**bits - 1) / capacitors[n].sum()
    owner = np.arange(n_lines) // adc.columns_per_adc
    return offsets[owner], capacitors[owner]


def search(value, capacitors):
    """Successive approximation, bit by bit."""
    code, held = 0, 0.0
    for k in reversed(range(len(capacitors))):
        if value >= held + capacitors[k] - 0.5:
            code, held = code + 2**k, held + capacitors[k]
    return code


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sense", SENSES)
def test_ideal_converters_round_half_to_even_and_saturate(sense, dtype):
    ideal = adc(4, sense=sense)
    top, low = ideal.top_code, 0 if sense == "bitline" else -ideal.top_code
    values = torch.arange(-2 * top, 2 * top, 0.25, dtype=dtype).reshape(-1, 4, 2, 1)
    expected = values.clone().round_()
    codes, clipped = Converters(ideal, 4, stream(0, "test")).convert(values.clone())
    assert clipped == int(((expected > top) | (expected < low)).sum()) > 0
    assert torch.equal(codes, expected.clamp(low, top)) and codes.dtype == dtype


@pytest.mark.parametrize("mismatch", [0.02, 0.6])
@pytest.mark.parametrize(
    ("n_bits", "sense"), [(1, "bitline"), (2, "bitline"), (2, "difference"), (8, "bitline"), (8, "difference")]
)
def test_mismatched_converters_search_bit_by_bit(n_bits, sense, mismatch):
    real = adc(n_bits, sense=sense, mismatch=mismatch, offset=0.01, columns_per_adc=3)
    top, low, n_lines = real.top_code, 0 if sense == "bitline" else -real.top_code, 7
    values = np.random.default_rng(n_bits).uniform(low - 2, top + 2, (40, n_lines, 3, 1))
    codes, clipped = Converters(real, n_lines, stream(5, "test")).convert(torch.from_numpy(values.copy()))
    offsets, capacitors = draws(real, n_lines, 5)
    seen = values + offsets[:, None, None]
    assert clipped == np.sum((np.rint(seen) > top) | (np.rint(seen) < low)) > 0
    for (n, line, y, x), value in np.ndenumerate(seen):
        sign = np.sign(value) if sense == "difference" else 1
        assert codes[n, line, y, x] == sign * search(value * sign, capacitors[line])


def test_a_code_that_the_search_never_reaches_is_missing():
    bad = adc(6, mismatch=0.5)
    missed = [seed for seed in range(20) if linearity(bad, seed).dnl.min() < -1 + 1e-9]
    assert missed
    levels = one_converter(bad, missed[0]).transitions()
    codes, _ = one_converter(bad, missed[0]).convert(torch.linspace(-1, 64, 20001).double().reshape(-1, 1, 1, 1))
    absent = set(range(64)) - set(codes.flatten().int().tolist())
    gone = {code for code in range(1, 63) if levels[code] - levels[code - 1] < 1e-12}
    assert gone and gone <= absent


@pytest.mark.parametrize("sense", SENSES)
def test_transitions_are_where_codes_change(sense):
    real = adc(5, sense=sense, mismatch=0.02, offset=0.05)
    converter = one_converter(real, 2)
    levels = converter.transitions()
    around = torch.from_numpy(np.concatenate([levels - 1e-9, levels + 1e-9])).reshape(-1, 1, 1, 1)
    below, above = np.split(converter.convert(around)[0].flatten().numpy(), 2)
    codes = linearity(real, 2).codes
    assert np.array_equal(above, codes) and np.array_equal(below, codes - 1)


def test_offset_and_capacitors_are_drawn_apart_and_shared():
    both = Converters(adc(mismatch=0.01, offset=0.02, columns_per_adc=4), 16, stream(1, "test"))
    alone = Converters(adc(mismatch=0.01, columns_per_adc=4), 16, stream(1, "test"))
    shift = both.transitions(3) - alone.transitions(3)
    assert np.ptp(shift) < 1e-9 and abs(shift[0]) > 0
    many = Converters(adc(offset=0.02, columns_per_adc=1), 4000, stream(1, "test"))
    offsets = [0.5 - many.transitions(k)[0] for k in range(4000)]
    assert np.std(offsets) == pytest.approx(0.02 * 255, rel=0.05)
    codes, _ = both.convert(torch.full((1, 16, 1, 1), 100.3))
    assert all(len(set(group)) == 1 for group in codes.reshape(4, 4).tolist())


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("n_bits", range(4, 13))
def test_an_ideal_converter_has_its_number_of_bits(n_bits, sense):
    assert sine_test(adc(n_bits, sense=sense)).enob == pytest.approx(n_bits, abs=0.1)


def test_sndr_of_an_ideal_converter_is_the_textbook_s():
    assert sine_test(adc(12)).sndr == pytest.approx(6.02 * 12 + 1.76, abs=0.3)


@pytest.mark.parametrize("lsb", [0.5, 1, 4])
def test_noise_takes_bits(lsb):
    """Quantization leaves 1/12 LSB^2, to which the noise adds."""
    found = sine_test(adc(10, noise=lsb / 1023), n_samples=1 << 14)
    assert found.enob == pytest.approx(10 - 0.5 * np.log2(1 + 12 * lsb**2), abs=0.05)
    sndr = 10 * np.log10(1023**2 / 8 / (1 / 12 + lsb**2))
    assert found.sndr == pytest.approx(sndr, abs=0.3)


def test_mismatch_takes_bits():
    enob = [sine_test(adc(10, mismatch=m), seed=4).enob for m in (0, 0.02, 0.1)]
    assert enob[0] > enob[1] > enob[2]


def test_linearity_of_mismatch_follows_theory():
    """The largest capacitor against all others: sd of mismatch sqrt(2^n - 1) LSB, and half of that in the INL."""
    tests = [linearity(adc(8, mismatch=0.005), seed) for seed in range(600)]
    dnl, inl = (np.std([getattr(test, name) for test in tests], axis=0) for name in ("dnl", "inl"))
    theory = 0.005 * np.sqrt(255)
    assert dnl.argmax() == 126 and tests[0].codes[126] == 127  # its end is the transition into 128
    assert dnl[126] == pytest.approx(theory, rel=0.09)
    assert inl[127] == pytest.approx(theory / 2, rel=0.09)
    assert dnl[0] < 0.2 * theory
    assert all(test.inl[0] == 0 and test.inl[-1] == pytest.approx(0, abs=1e-9) for test in tests)


def test_an_ideal_converter_is_linear_whatever_its_offset():
    found = linearity(adc(offset=0.1), 3)
    assert np.abs(found.inl).max() < 1e-9 and np.abs(found.dnl).max() < 1e-9
    assert found.codes[0] == 1 and found.codes[-1] == 255 and len(found.dnl) == 254


def test_published_energies():
    """40 uW at 40 MHz (Eshraghian et al. 2022); 16 mW for eight at 1.2 GS/s (Shafiee et al., ISCA 2016, table 1)."""
    assert adc().energy == pytest.approx(1e-12)
    assert published_adcs()["2^b"].energy == pytest.approx(1e-12)
    assert published_adcs()["isaac"].energy == pytest.approx(1.667e-12, rel=1e-3)


def test_figures_of_merit_of_one_converter_agree():
    """Ramkaj et al., JSSC 2018: 3.56 mW, 1.25 GS/s, SNDR 40.1 dB at Nyquist, 34.4 fJ per step."""
    energy, enob = 3.56e-3 / 1.25e9, (40.1 - 1.76) / 6.02
    walden, schreier = published_adcs()["walden"], published_adcs()["schreier"]
    assert energy / 2**enob == pytest.approx(walden.fom_walden, rel=0.01)
    assert 40.1 + 10 * np.log10(1 / (2 * energy)) == pytest.approx(schreier.fom_schreier, abs=0.1)


# P / f of each source, by hand: Eshraghian 40 uW / 40 MHz; Sun (800 + 65.536) fF (0.9 V)^2; Ramkaj 3.56 mW / 1.25 GHz;
# Shafiee 16 mW / (8 x 1.2 GHz); NeuroSim, 22 nm, 100 kOhm: (0.538 x 8 + 4.3753 + 0.72341) uW x 9 ns
SOURCES = {
    "2^b": 1e-12,
    "linear+4^b": 0.70108e-12,
    "walden": 2.848e-12,
    "schreier": 2.848e-12,
    "isaac": 1.6667e-12,
    "neurosim": 84.624e-15,
}


def test_every_law_gives_the_energy_of_its_source():
    assert {name: one.energy for name, one in published_adcs().items()} == pytest.approx(SOURCES, rel=1e-3)
    told = {name: list(one.checks()) for name, one in published_adcs().items()}
    (line,) = told.pop("neurosim")  # simulated; no published converter takes so little
    assert line.startswith("SarAdc.law 'neurosim': energy = 84.6 fJ is below 276 fJ (published converters of 8 bit")
    assert not any(told.values())


def test_figures_of_merit_hold_per_effective_bit():
    """40.1 dB are 6.369 bits: 34.4 fJ per step, as the source rounds it, are 2.84 pJ and not the 4.40 pJ of 7 bits."""
    one = published_adcs()["walden"]
    assert one.n_bits - one.enob_loss == pytest.approx((40.1 - 1.76) / 6.02, abs=1e-3)
    assert one.replace(fom_walden=34.4e-15).energy == pytest.approx(34.4e-15 * 2**6.369, rel=1e-3)
    assert one.replace(fom_walden=34.4e-15, enob_loss=0).energy == pytest.approx(4.40e-12, rel=1e-3)
    with pytest.raises(xb.ParameterError, match=r"SarAdc.enob_loss is not used by law = '2\^b'; leave it out"):
        adc(enob_loss=0.5)


def test_survey_envelope():
    """0.267 pJ at few bits; the survey's most frugal converter near 12 bits takes 2.36 pJ at 11.93 (ISSCC 2018)."""
    assert survey_envelope(4) == pytest.approx(0.267e-12, rel=1e-3)
    assert survey_envelope(11.93) == pytest.approx(2.36e-12, rel=0.1)
    assert survey_envelope(6.37) < 2.848e-12


@pytest.mark.parametrize("law", SOURCES)
@pytest.mark.parametrize("n_bits", range(1, 13))
def test_converters_beyond_the_data_of_their_law_say_so(law, n_bits):
    known = {"walden": {7}, "schreier": {7}, "linear+4^b": range(4, 13), "neurosim": range(4, 13)}.get(law, {8})
    one = published_adcs()[law].replace(n_bits=n_bits)
    lines = list(one.checks())
    if n_bits not in known:
        (line,) = lines
        assert line.startswith(f"SarAdc.law '{law}': n_bits = {n_bits} bit is outside {min(known)} bit")
    else:  # or it asks for less than any published converter takes
        assert len(lines) == (one.energy < survey_envelope(n_bits - one.enob_loss))
    assert all(len(line) <= 200 for line in lines)


@pytest.mark.parametrize(
    ("values", "least"),
    [
        ({"n_bits": 1, "anchor_bits": 1, "power": "1 nW", "f_sample": 40e6}, "energy = 25 aJ is below 19 fJ"),
        ({"n_bits": 2, "law": "table", "f_sample": 1e6, "energies": {2: 0}}, "energy = 0 J is below 38 fJ"),
        ({"n_bits": 3, "law": "table", "f_sample": 1e6, "energies": {3: "56.9 fJ"}}, "energy = 56.9 fJ is below 57 fJ"),
        ({"n_bits": 3, "law": "table", "f_sample": 1e6, "energies": {3: "57.1 fJ"}}, None),
        ({"n_bits": 8, "law": "table", "f_sample": 1e6, "energies": {8: "0.2 pJ"}}, "is below 276 fJ"),
    ],
)
def test_conversions_of_less_than_their_decisions_say_so(values, least):
    """A conversion of n bits is n decisions; the least published is 19 fJ, 0.19 pJ over 10 bits."""
    lines = list(SarAdc(**values).checks())
    assert len(lines) == (least is not None) and all(least in line and len(line) <= 200 for line in lines)


RATIOS = {  # energy of 8 bits over that of 1 bit
    "2^b": 128,
    "linear+4^b": (800 + 65.536) / (100 + 0.004),
    "walden": 128,
    "schreier": 10 ** (0.602 * 7),
    "isaac": 128,
    "neurosim": (0.538 * 8 + 4.3753 + 0.72341) * 9 / ((0.538 + 4.3753 + 0.72341) * 2),
}


@pytest.mark.parametrize("law", RATIOS)
def test_ratio_of_8_to_1_bit(law):
    one = published_adcs()[law]
    assert one.energy_at(8) / one.energy_at(1) == pytest.approx(RATIOS[law])
    assert one.replace(n_bits=1).energy == one.energy_at(1) > 0


def test_every_law_has_a_source_and_grows_with_bits():
    assert set(published_adcs()) == set(RATIOS) == set(LAWS) - {"table"}
    for name, one in published_adcs().items():
        energies = [one.energy_at(bits) for bits in LAWS[name].bits]
        assert np.all(np.diff(energies) > 0) and len(energies) == 12
        assert LAWS[name].text and LAWS[name].source


def test_laws_from_text_and_tables():
    table = SarAdc(n_bits=6, f_sample="1 MHz", law="table", energies={"4": "0.1 pJ", "6": "0.3 pJ"})
    assert table.energy == pytest.approx(0.3e-12) and table.energy_at(4) == pytest.approx(0.1e-12)
    with pytest.raises(xb.ParameterError, match="SarAdc.energies has none for 5 bits; it has 4, 6"):
        table.replace(n_bits=5)
    one = SarAdc(n_bits=8, f_sample="1 MHz", law="schreier", fom_schreier="160 dB")
    assert one.energy == pytest.approx(0.5 * 10 ** ((6.02 * 8 + 1.76 - 160) / 10))


def test_area_scales_with_its_capacitors():
    one = adc(9, area="1200 um^2")
    assert one.area == pytest.approx(1.2e-9)
    assert one.converter_area == pytest.approx(1.8e-9)
    assert one.replace(n_bits=8).converter_area == one.area
    assert one.replace(capacitor_share=1).converter_area == pytest.approx(2.4e-9)
    assert adc().converter_area is None
    texts = {"0.0012 mm^2": 1.2e-9, "0.0012 mm²": 1.2e-9, "1200 µm^2": 1.2e-9, "1 m^2": 1}
    for text, value in (texts | {3e-9: 3e-9}).items():
        assert adc(area=text).area == pytest.approx(value)


WALDEN = {"law": "walden", "power": None, "fom_walden": 1e-14}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_bits": 0}, "SarAdc.n_bits = 0"),
        ({"n_bits": 13}, "SarAdc.n_bits = 13"),
        ({"n_bits": 1, "sense": "difference"}, "a difference needs a bit for its sign"),
        ({"power": None}, "SarAdc.power is missing; law = '2^b' needs it"),
        ({"law": "walden", "fom_walden": 1e-14}, "SarAdc.power is not used by law = 'walden'; leave it out"),
        ({"law": "walden", "power": None}, "SarAdc.fom_walden is missing; law = 'walden' needs it"),
        ({"law": "linear+4^b", "power": None}, "SarAdc.v_supply is missing"),
        ({"law": "neurosim", "power": None, "node": 22}, "SarAdc.column_resistance is missing"),
        ({"law": "neurosim", "power": None, "node": 23}, "SarAdc.node = 23"),
        ({"energies": {8: 1e-12}}, "SarAdc.energies is not used by law = '2"),
        ({"law": "table", "power": None, "energies": {}}, "none for 8 bits; it has none at all"),
        ({"law": "free"}, "SarAdc.law = 'free'"),
        (WALDEN | {"enob_loss": 8}, "SarAdc.enob_loss = 8: give less than n_bits = 8"),
        (WALDEN | {"enob_loss": 2, "n_bits": 2}, "SarAdc.enob_loss = 2: give less than n_bits = 2"),
        ({"mismatch": -0.1}, "SarAdc.mismatch = -0.1"),
        ({"mismatch": 5}, "SarAdc.mismatch = 5"),
        ({"full_scale": "calibrated", "full_scale_quantile": 0}, "SarAdc.full_scale_quantile = 0"),
        ({"area": "12 kV"}, "SarAdc.area: '12 kV' is no area"),
    ],
    ids=str,
)
def test_what_a_converter_cannot_be_is_refused(values, message):
    with pytest.raises(xb.ParameterError) as error:
        adc(**values)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(xb.ParameterError, match="n_samples = 100: give a power of two from 64"):
        sine_test(adc(), n_samples=100)
    with pytest.raises(xb.ParameterError, match="a single transition has no linearity"):
        linearity(adc(1))


def test_plots():
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from mapping.figures.adc_figures import adc_energy, adc_linearity, adc_transfer

    real = adc(4, mismatch=0.1, sense="difference")
    ideal, drawn = adc_transfer(real, seed=2).lines
    assert np.array_equal(drawn.get_xdata()[1:-1], one_converter(real, 2).transitions())
    assert np.array_equal(ideal.get_xdata()[1:-1], np.arange(-6.5, 7))
    assert set(drawn.get_ydata()) == set(range(-7, 8))
    figure = adc_linearity(real, seed=2)
    assert [ax.get_ylabel() for ax in figure.axes] == ["INL [LSB]", "DNL [LSB]"]
    energies = adc_energy()
    assert len(energies.lines) == len(RATIOS) and energies.get_yscale() == "log"
    table = SarAdc(n_bits=6, f_sample=1e6, law="table", energies={4: 1e-13, 6: 3e-13})
    assert list(adc_energy([table]).lines[0].get_xdata()) == [4, 6]
    plt.close("all")
