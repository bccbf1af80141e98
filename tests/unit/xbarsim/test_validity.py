"""Models outside their range say so; heat never heals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from tests.builders.devices import make
from tests.oracles import naive_circuits
from xbarsim.drift import BOLTZMANN, PUBLISHED_RANGE
from xbarsim.validity import Exposure, Range, Valid

LRS = np.ones(1, bool)


def change(law, reads, temperature=300.0):
    """How far reads (v, seconds) move a cell, |1 - G / G0|."""
    state = law.start(1)
    for v, t in reads:
        law.advance(state, LRS, np.array([v]), np.array([t]), temperature)
    return abs(1 - law.ratio(state, LRS)[0])


def test_heat_shortens_times_and_is_refused_without_an_activation_energy():
    """0.808 after 250 s at 0.3 V and 300 K; at 358 K and 0.5 eV that is exp(0.5 / k (1/300 - 1/358)) times as long."""
    law = xb.PowerLawDisturb()
    assert 1 - change(law, [(0.3, 250.0)]) == pytest.approx(0.808, abs=5e-4)
    with pytest.raises(xb.ParameterError, match="358 K: PowerLawDisturb holds at 300 K; give its activation_energy"):
        change(law, [(0.3, 250.0)], 358.0)
    warm = law.replace(activation_energy="0.5 eV")
    longer = 250.0 * np.exp(0.5 / 8.617333262e-5 * (1 / 300 - 1 / 358))
    expected = 1 - naive_circuits.disturbed(law, [0.3], [longer])
    assert change(warm, [(0.3, 250.0)], 358.0) == pytest.approx(expected, rel=1e-9) and expected > 0.192
    assert change(law.replace(activation_energy=0), [(0.3, 250.0)], 358.0) == change(law, [(0.3, 250.0)])


@st.composite
def laws(draw):
    fraction = st.floats(0, 1)
    energy = draw(st.none() | st.floats(0, 1.5))
    thermal = {"t_ref": draw(st.floats(250, 450))} | ({} if energy is None else {"activation_energy": energy})
    if draw(st.booleans()):
        onset, c = draw(st.floats(1.05, 10)), 10 ** draw(st.floats(-4, 0))
        worn = draw(fraction) * 0.9 * (1 - 1 / onset)  # k N^m
        cycles = {"k_cycles": worn, "m_cycles": draw(st.floats(0.1, 2)), "n_cycles": 1.0}
        t0, a = 10 ** draw(st.floats(-10, 0)), draw(st.floats(0, 1))
        return xb.PowerLawDisturb(t0=t0, c=c, a=a, onset=onset, **cycles, **thermal)
    steps = draw(st.lists(st.tuples(fraction, fraction), min_size=1, max_size=5))
    fall = np.cumsum([0.2 * s for s, _ in steps])  # measured curves that do not heal by themselves
    points = np.column_stack([np.cumsum([1e-3 + 10 * d for _, d in steps]), 1 - fall, 1 + fall])
    return xb.TableDisturb(points=points, v_measured=0.3, v_char=draw(st.floats(0.02, 1)), **thermal)


@settings(deadline=None, max_examples=200)
@given(
    law=laws(),
    reads=st.lists(st.tuples(st.floats(-0.6, 0.6), st.floats(-9, 4).map(lambda x: 10**x)), min_size=1, max_size=4),
    which=st.integers(0, 3),
    more=st.floats(1, 3),
    temperature=st.floats(250, 450),
)
def test_more_time_volts_or_heat_never_move_a_cell_less(law, reads, which, more, temperature):
    """Any law, any history: a longer or a stronger read in it, or a hotter one of all."""
    temperature = temperature if law.activation_energy is not None else law.t_ref
    at, before = which % len(reads), change(law, reads, temperature)
    v, t = reads[at]
    longer, stronger = ([*reads[:at], changed, *reads[at + 1 :]] for changed in ((v, more * t), (more * v, t)))
    allowed = before * (1 - 1e-9) - 1e-12
    assert change(law, longer, temperature) >= allowed and change(law, stronger, temperature) >= allowed
    if law.activation_energy is not None:
        assert change(law, reads, temperature + 100 * (more - 1)) >= allowed


@settings(deadline=None, max_examples=60)
@given(
    energy=st.floats(0, 1.5),
    t_ref=st.floats(250, 450),
    cold=st.floats(250, 400),
    hotter=st.floats(0, 100),
    time=st.floats(0, 8),
)
def test_heat_never_lets_cells_retain_more(energy, t_ref, cold, hotter, time):
    law = {"nu": {"lrs": 0.05, "hrs": 0.1}, "t0": 1.0, "activation_energy": energy, "t_ref": t_ref}
    kept = []
    for temperature in (cold, cold + hotter):
        die = make(retention=law).fabricate((1, 2), seed=0)
        die.program(np.array([[1, 0]]))
        die.advance(dt=10**time, temperature=temperature)
        kept.append(die.conductance)
    assert np.all(kept[1] <= kept[0] * (1 + 1e-12))


NAMES = sorted(Valid.UNITS)


@settings(deadline=None, max_examples=200)
@given(
    low=st.floats(1e-9, 1e9),
    wide=st.floats(1, 1e6),
    share=st.floats(0, 1),
    off=st.floats(1e-6, 1e3),
    above=st.booleans(),
)
def test_a_value_inside_is_silent_and_one_outside_is_told_once(low, wide, share, off, above):
    high = low * wide
    known = {name: Range(low=low, high=high, source="somebody 2020") for name in NAMES}
    inside = min(max(low + share * (high - low), low), high)
    outside = high * (1 + off) if above else low / (1 + off)
    for name in NAMES:
        valid = Valid(**{name: known[name]})
        assert list(valid.checks("Law", **dict.fromkeys(NAMES, inside))) == []
        assert list(valid.checks("Law", **{name: None})) == list(valid.checks("Law")) == []
        (line,) = valid.checks("Law", **dict.fromkeys(NAMES, outside))
        assert line.startswith(f"Law: {name} = ") and "somebody 2020" in line and "outside" in line
        value, bounds = line.removesuffix(" (somebody 2020)").split(" = ")[1].split(" is outside ")
        assert value not in bounds.split(" to ")
    assert len(list(Valid(**known).checks("Law", **dict.fromkeys(NAMES, outside)))) == len(NAMES)
    (line,) = Valid(time=known["time"]).checks("Law", time=(low / 2, high * 2))  # the coldest and the hottest
    assert "Law: time" in line


def test_ranges_are_read_with_units_from_toml_and_refused_in_one_line(tmp_path):
    path = tmp_path / "device.toml"
    path.write_text(
        'g_lrs = "10 uS"\non_off_ratio = 10\nv_read = "0.3 V"\n'
        '[retention]\nnu = 0.1\nt0 = "1 s"\n[retention.valid.time]\nfrom = "1 s"\nto = "1 day"\nsource = "we"\n'
        '[valid]\nmodel = "ours"\nv_read = { from = "100 mV", to = "0.2 V", source = "we" }\n'
    )
    device = xb.load_device(path)
    assert device.valid.v_read == Range(low=0.1, high=0.2, source="we") and device.retention.valid.time.high == 86400
    lines = list(device.checks(Exposure(time=7 * 86400, temperatures=(300, 300))))
    assert lines == [
        "ours: v_read = 300 mV is outside 100 mV to 200 mV (we)",
        "Retention: time = 7 days is outside 1 s to 1 day (we)",
    ]
    for bad, message in (
        ({"from": 2, "to": 1, "source": "we"}, "from 2 to 1 holds nothing"),
        ({"from": "1 A", "to": 1, "source": "we"}, "'1 A' has the unit 'A' where V is expected"),
        ({"from": 0, "source": "we"}, "high is missing"),
        ({"from": 0, "to": 1, "source": ""}, "source = ''"),
        ({"from": 0.1, "low": 0.2, "to": 1, "source": "we"}, "from, low, to, source: .*give each end once"),
    ):
        with pytest.raises(xb.ParameterError, match=message) as error:
            xb.Device(g_lrs=1e-5, on_off_ratio=10, valid={"v_read": bad})
        assert "\n" not in str(error.value)


OWN = {"t0": "20 ns", "c": 0.01, "a": 0.1, "onset": 1.5}  # a fit of one's own
PUBLISHED = {name: getattr(xb.PowerLawDisturb(), name) for name in OWN}


def disturbed_exposure(**values):
    return Exposure(**({"read_time": 1e-3, "temperatures": (300.0, 300.0)} | values))


@pytest.mark.parametrize(
    ("law", "device", "exposure", "told"),
    [
        ({}, {}, {}, None),
        ({}, {"v_read": 0.5}, {}, "PowerLawDisturb: v_read = 500 mV is outside 0 V to 400 mV"),
        ({}, {}, {"read_time": 1.0}, "PowerLawDisturb: read_time = 1 s is outside 0 s to 20 ms"),
        ({"activation_energy": 1}, {}, {"temperatures": (300, 358)}, "temperature = 358 K is outside 300 K"),
        ({"n_cycles": 5000}, {}, {}, "PowerLawDisturb: n_cycles = 5000 is outside 0 to 1000"),
        ({"n_cycles": 5000}, {}, {"read_time": 0.0}, None),  # no reads, no disturb
        ({"c": 0.0069}, {}, {"read_time": 1.0}, "PowerLawDisturb: read_time = 1 s is outside 0 s to 20 ms"),
        (OWN | {"n_cycles": 5000}, {"v_read": 1.0}, {"read_time": 1.0}, None),
        ({"kind": "power-law"} | PUBLISHED, {}, {"read_time": 1.0}, "read_time = 1 s is outside 0 s to 20 ms"),
        ({"n_cycles": 5000, "valid": {}}, {}, {}, None),
    ],
)
def test_read_disturb_outside_its_range(law, device, exposure, told):
    one = make(read_disturb={"kind": "power-law", **law}, **{"i_lrs": "3 uA", **device})
    lines = list(one.checks(disturbed_exposure(**exposure)))
    assert len(lines) == (told is not None) and all(told in line for line in lines)
    assert set(PUBLISHED_RANGE.ranges) == {"v_read", "read_time", "temperature", "n_cycles"}


def test_published_constants_hold_at_their_temperature_alone():
    """With k T of the fit at 358 K, heat would heal: 0.8996 instead of 0.808 after 250 s at 0.3 V."""
    for some in ({}, {"activation_energy": 0.5}, {"c": 0.01}, PUBLISHED, {k: OWN[k] for k in ("t0", "c", "a")}):
        with pytest.raises(
            xb.ParameterError, match="358 K: the published constants hold at 300 K; give t0, c"
        ) as error:
            make(read_disturb={"kind": "power-law", "t_ref": 358} | some)
        assert "\n" not in str(error.value) and len(str(error.value)) <= 200
    own = xb.PowerLawDisturb(**OWN, t_ref=358)
    assert own.known(0.3).ranges == {} and own.ageing(358) == 1
    slope = 0.1 / (8.617333262e-5 * 358)
    p = 0.01 * np.exp(slope * 0.3)
    assert 1 - change(own, [(0.3, 250.0)], 358.0) == pytest.approx((250 / (20e-9 * 1.5 ** (1 / p))) ** -p, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    changed=st.dictionaries(st.sampled_from(sorted(OWN)), st.floats(0.9, 1.1), max_size=3),
    cycles=st.fixed_dictionaries({}, optional={"n_cycles": st.floats(0, 1000), "m_cycles": st.floats(0.1, 0.41)}),
    t_ref=st.floats(250, 400).filter(lambda t: abs(t - 300) > 1e-3),
)
def test_a_law_of_published_constants_keeps_their_range(changed, cycles, t_ref):
    """Whichever constants are changed, as long as one is the source's; and again from what it is written as."""
    law = xb.PowerLawDisturb(**{name: by * PUBLISHED[name] for name, by in changed.items()}, **cycles)
    for one in (law, law.replace(activation_energy=0.1), make(read_disturb=law.model_dump()).read_disturb):
        assert one.known(0.3) == PUBLISHED_RANGE and set(one.known(0.3).ranges) == set(PUBLISHED_RANGE.ranges)
    with pytest.raises(xb.ParameterError, match="published constants hold at 300 K"):
        law.replace(t_ref=t_ref)


@settings(deadline=None, max_examples=60)
@given(
    reads=st.lists(st.tuples(st.floats(-1.2, 1.2), st.floats(0, 1e7)), min_size=1, max_size=4),
    table=st.booleans(),
    bits=st.lists(st.integers(0, 1), min_size=2, max_size=2),
)
def test_a_die_is_judged_by_what_its_cells_saw(reads, table, bits):
    """Backed to 0.4 V and 20 ms: told if and only if a cell that can move saw more, below half of v_read too."""
    ranges = {
        "v_read": {"from": 0, "to": 0.4, "source": "we"},
        "read_time": {"from": 0, "to": "20 ms", "source": "we"},
    }
    law = {"kind": "table", "points": [[1, 0.9, 1]], "v_measured": 0.3, "v_char": 0.05} if table else {
        "kind": "power-law"
    }  # fmt: skip
    die = make(read_disturb=law | {"valid": ranges}).fabricate((1, 3), seed=0)
    die.program([[*bits, 0]])
    for v, n in reads:
        die.advance([[v, 0.0, v / 4]], n_reads=[[n, n, n / 2]])
    moving = [table or bits[0], table or bits[1], table]
    voltages = [(v, 0.0, v / 4) for v, _ in reads]
    times = [(25e-9 * n, 25e-9 * n, 25e-9 * n / 2) for _, n in reads]
    cells = [k for k in range(3) if moving[k]]
    highest = max((abs(v[k]) for v, t in zip(voltages, times) for k in cells if t[k] > 0), default=0.0)
    longest = max((sum(t[k] for v, t in zip(voltages, times) if v[k] != 0) for k in cells), default=0.0)
    assert die.exposure.read_time == pytest.approx(longest, rel=1e-12)
    if cells:
        assert die.exposure.v_cell == pytest.approx(highest, rel=1e-12)
    told = " ".join(die.device.checks(die.exposure))
    if abs(longest - 0.02) > 1e-9:
        assert ("read_time = " in told) == (longest > 0.02)
    if longest > 0 and abs(highest - 0.4) > 1e-6:
        assert (": v_read = " in told) == (highest > 0.4)


def test_reads_at_a_voltage_beyond_the_law_are_told_whatever_v_read():
    """The law of the source ends at 0.4 V; the device is said to be read at 0.3 V, its cell saw 1 V, 1000 x 25 ns."""
    die = make(read_disturb="power-law").fabricate((1, 1), seed=0)
    die.program([[1]])
    die.advance(np.full((1, 1), 1.0), 1000)
    assert die.exposure == Exposure(0.0, pytest.approx(25e-6), (300.0, 300.0), 1.0)
    (line,) = die.device.checks(die.exposure)
    assert line.startswith("PowerLawDisturb: v_read = 1 V is outside 0 V to 400 mV")
    before = die.snapshot()
    die.program([[1]])
    assert not list(die.device.checks(die.exposure)) and die.exposure == Exposure()
    die.restore(before)
    (both,) = {one.v_cell for one in (Exposure(v_cell=0.3) | die.exposure, die.exposure | Exposure())}
    assert both == 1.0


def test_measured_read_disturb_ends_with_its_points():
    """At 0.2 V the points' 10 s take sinh(0.3 / 0.05) / sinh(0.2 / 0.05) = 7.39 times as long."""
    law = {"kind": "table", "points": [[1.0, 0.9, 1.0], [10.0, 0.8, 1.0]], "v_measured": 0.3, "v_char": 0.05}
    for v_read, last in ((0.3, 10.0), (0.2, 10 * np.sinh(6) / np.sinh(4))):
        device = xb.Device(g_lrs=1e-5, on_off_ratio=10, v_read=v_read, read_disturb=law)
        assert not list(device.checks(disturbed_exposure(read_time=0.999 * last)))
        (line,) = device.checks(disturbed_exposure(read_time=1.01 * last))
        assert line.startswith("TableDisturb: read_time = ") and "its last point" in line


def test_boltzmann():
    assert pytest.approx(1.380649e-23 / 1.602176634e-19, rel=1e-9) == BOLTZMANN
