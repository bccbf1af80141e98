"""Table 1 of the paper: its statements against twins of their own, its rows, and the page that shows them."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

import mapping as mp
from mapping.study.paper import measure as measuring
from mapping.study.paper import page, statements
from mapping.study.paper.challenges import CHALLENGES
from mapping.study.paper.table_text import _cells, _lines
from mapping.study.results import with_intervals
from mapping.study.run import prepared
from mapping.study.task import ChipTask
from tests.oracles.naive_circuits import solve_circuit
from xbarsim.intervals import accuracy_interval

pytestmark = pytest.mark.usefixtures("closed")


def test_bitline_current_is_that_of_the_circuit(chip):
    frame = statements.bitline_current(chip, seed=2)
    assert frame["active"].tolist() == [1, 2, 4, 8]
    die = chip.device.fabricate((8, 6), seed=2)
    die.program(xb_bits(chip))
    whole = solve_circuit(die.conductance, chip.wires, np.full(8, chip.device.v_read))
    assert frame["current"].iloc[-1] == pytest.approx(whole[3].sum(), rel=1e-9)
    alone = [
        solve_circuit(die.conductance, chip.wires, chip.device.v_read * np.eye(8)[row])[3].sum() for row in range(8)
    ]
    assert frame.loc[0, ["current", "least", "most"]].tolist() == pytest.approx(
        [np.mean(alone), min(alone), max(alone)], rel=1e-9
    )
    assert frame["factor"].to_numpy() == pytest.approx([8, 4, 2, 1], rel=1e-9)  # superposition
    for count, least, most in zip(*frame.loc[:2, ["active", "least", "most"]].to_numpy().T):
        assert count * min(alone) < least < most < count * max(alone) or count == 1


def xb_bits(chip):
    """The bits that the statement's array holds."""
    from xbarsim.streams import stream

    return stream(2, "bitline-current").integers(0, 2, (chip.rows, chip.cols))


def test_shares_of_convolutions_are_those_of_vgg_16():
    frame = statements.convolution_shares().set_index("network")
    vgg = frame.loc["VGG-16"]
    assert vgg["weights"] == 138_344_128  # 138,357,544 of the publication's model D, less 13,416 biases
    assert vgg["macs"] == pytest.approx(15.47e9, rel=1e-3)
    assert vgg["weights_in_convolutions"] == pytest.approx(14_710_464 / 138_344_128)
    for name, spec in (("VGG-like, shipped", mp.vgg_ann()), ("MobileNet-like, shipped", mp.mobile_ann())):
        assert frame.loc[name, "macs"] == spec.macs
        weights = sum(layer.weight.numel() for layer in mp.Ann(spec).layers)
        assert frame.loc[name, "weights"] == weights


def test_collisions_are_those_of_spikes_thrown_into_slots(tiny, chip):
    network, images = tiny
    frame = statements.collisions(network, chip, images)
    spikes = mp.map_network(network, chip).spikes(images)
    rng = np.random.default_rng(0)
    for layer, fired in enumerate(spikes[:-1]):
        for slots in (1, 4, 16):
            collided = total = 0
            for _ in range(30):
                at = np.where(fired > 0, rng.integers(0, slots, fired.shape), -1)
                for slot in range(slots):
                    count = (at == slot).sum(2)
                    collided += count[count > 1].sum()
                    total += count.sum()
            found = frame.loc[frame["slots"] == slots, f"layer {layer + 1}"].item()
            assert found == pytest.approx(collided / total, abs=0.02)
    assert 0 < found < frame["layer 1"].iloc[0]


def test_only_the_largest_membrane_fires(tiny, chip):
    network, images = tiny
    for n_layers, several in ((0, [True, True]), (1, [True, False]), (2, [False, False])):
        spikes = mp.map_network(statements.with_winners(network, n_layers), chip).spikes(images)
        assert [fired.sum(2).max() > 1 for fired in spikes] == several
    frame = statements.largest_current_only(network, chip, images, np.zeros(len(images), int))
    assert (frame["spike_rate"].diff()[1:] <= 0).all()


def test_sparse_spikes_disturb_less(tiny, chip):
    network, images = tiny
    chip = chip.replace(device__read_disturb="power-law")
    frame = statements.disturb_by_sparsity(network, chip, images, scales=(0.5, 1.0, 2.0))
    assert (frame["spike_rate"].diff()[1:] < 0).all() and (frame["disturb"].diff()[1:] < 0).all()
    assert (frame["disturb_busiest"] >= frame["disturb"]).all()
    again = statements.disturb_by_sparsity(network, chip, images, scales=(1.0,), n_inferences=1e6)
    assert again["disturb"].item() < frame["disturb"].iloc[1]


def test_every_row_can_run_and_has_a_name_of_its_own():
    assert len({challenge.name for challenge in CHALLENGES}) == len(CHALLENGES)
    assert [challenge.level for challenge in CHALLENGES] == sorted(
        (challenge.level for challenge in CHALLENGES), key=["device", "circuit", "system", "algorithm"].index
    )
    for challenge in CHALLENGES:
        whole, quick = (challenge.study(images=5, trials=1, seed=0, quick=short) for short in (False, True))
        prepared(whole)
        assert len(prepared(quick)[0]) <= len(prepared(whole)[0])
        if challenge.axis is not None:
            assert quick.axes[0].values == (whole.axes[0].values[0], whole.axes[0].values[-2])


def row_of(shares, n_images=2000):
    """A row with two designs, from the share of images that each of two dies gets wrong at each point."""
    import xarray as xr

    challenge = next(challenge for challenge in CHALLENGES if challenge.name == "d2d")
    wrong = (np.array(shares) * n_images).round().astype(int)  # (points, designs)
    correct = np.arange(n_images) >= wrong[:, :, None, None] + np.zeros((1, 1, 2, 1), int)
    dims = ("d2d", "design", "trial")
    data = xr.Dataset(
        {
            "correct": ((*dims, "image"), correct),
            "accuracy": (dims, correct.mean(-1)),
            "ideal_accuracy": (dims, correct.mean(-1)),
            "adc_area_share": (dims, np.full(correct.shape[:3], 0.2)),
            "error": (dims, np.full(correct.shape[:3], "")),
        },
        {"d2d": np.arange(len(wrong)) / 10, "design": ["ANN", "BSNN"]},
    )
    return measuring.Row(challenge, with_intervals(data))


def test_what_is_borne_and_by_whom_better_is_said_where_intervals_allow_it():
    row = row_of([(0.01, 0.1), (0.012, 0.11), (0.03, 0.1), (0.011, 0.102)])
    ann, bsnn = row.figures
    assert (ann.first, ann.last, bsnn.first, bsnn.last) == pytest.approx((0.99, 0.989, 0.9, 0.898))
    assert (ann.borne, ann.not_borne) == (0.1, 0.2)  # 2 % less is surely more than 1 %; not beyond that point
    assert (bsnn.borne, bsnn.not_borne) == (None, None)  # 1 % less may be more, or less
    assert ann.first_interval == accuracy_interval(np.arange(2000)[None].repeat(2, 0) >= 20)
    assert row.verdict.value == pytest.approx(-0.001) and not row.verdict.sure
    assert "which loses less: undecided" in str(_lines(row))
    sure = row_of([(0.01, 0.1), (0.3, 0.12)])
    assert sure.verdict.value == pytest.approx(0.29 - 0.02) and sure.verdict.sure
    assert "BSNN loses less, by" in str(_lines(sure)) and "27 (" in str(_lines(sure))
    assert row_of([(0.01, 0.1), (0.02, 0.39)]).verdict.value == pytest.approx(-0.28)
    assert not row_of([(0.0, 0.1), (0.1, 0.1)], n_images=10).verdict.sure  # one image of ten is no verdict


@pytest.mark.compiled
def test_the_command_shows_rows_and_statements(tmp_path, monkeypatch, command):
    some = [challenge for challenge in CHALLENGES if challenge.name in ("d2d", "adc", "stalling", "quantization")]
    monkeypatch.setattr(measuring, "CHALLENGES", some)
    draw, drawn = page.draw, []
    monkeypatch.setattr(page, "draw", lambda table: drawn.append(draw(table)) or drawn[-1])
    monkeypatch.setenv("COLUMNS", "80")
    options = ["--json", tmp_path / "t.json", "--plot", tmp_path / "t.png", "--store", tmp_path / "store"]
    code, text, _ = command("table1", "--quick", "--images", 12, *options)
    assert not code and "…" not in text and "VGG-16: 99.2% of operations" in text
    found = json.loads((tmp_path / "t.json").read_text())
    d2d, adc, stalling, quantization = found["rows"]
    assert d2d["designs"].keys() == {"ANN, 8 bit", "BSNN, 1 bit"} and d2d["values"] == [0.0, 0.5]
    assert [figure["first"] > figure["last"] for figure in d2d["figures"]] == [True, True]
    shares = [adc["designs"][name] for name in ("ANN, 8 bit", "ANN, 6 bit", "ANN, 4 bit", "BSNN, 1 bit")]
    assert (np.diff(shares) < 0).all() and f"{100 * shares[0]:.1f}; " in text and "95 % intervals" in text
    latency = [stalling["designs"][f"ANN, {n}/ADC"] for n in (1, 8, 64)]
    assert latency[1] / latency[0] == pytest.approx(8, rel=0.01) and latency[2] / latency[1] == pytest.approx(
        8, rel=0.01
    )
    assert quantization["designs"].keys() == {"VGG-like", "MobileNet-like"}
    assert set(found["statements"]) == {
        "bitline_current",
        "disturb_by_sparsity",
        "convolution_shares",
        "collisions",
        "largest_current_only",
    }
    assert sorted(folder.name for folder in (tmp_path / "store").iterdir()) == sorted(c.name for c in some)
    (figure,) = drawn
    panel = figure.axes[0]
    assert panel.lines[0].get_ydata() == pytest.approx(d2d["designs"]["ANN, 8 bit"])
    assert panel.get_ylabel() == "accuracy on the chip [%]" and "device" in panel.get_title()
    assert (tmp_path / "t.png").stat().st_size > 50_000


def test_the_command_refuses_what_it_cannot_write(command):
    for arguments in (["--json", "nowhere/x.json"], ["--plot", "x.txt"]):
        code, _, error = command("table1", *arguments)
        assert code == 2 and arguments[1] in error


def broken(failure):
    """A task of which every trial fails."""

    def call(self, trial, point):
        raise failure

    return type("Broken", (ChipTask,), {"__call__": call})


def test_rows_without_results_say_so(monkeypatch):
    monkeypatch.setattr("mapping.study.run.ChipTask", broken(RuntimeError("no luck")))
    some = [challenge for challenge in CHALLENGES if challenge.name in ("d2d", "adc", "stalling")]
    rows = []
    for challenge in some:
        with pytest.warns(UserWarning, match="trials failed, the first: RuntimeError: no luck"):
            study = challenge.study(images=5, trials=1, seed=0, quick=True)
            rows.append(measuring.Row(challenge, mp.run_study(study, workers=1)))
    table = measuring.Table1(rows, {}, 5, 1, 0)
    assert [_cells(row, row.figures[0]) for row in rows] == [("-", "-", "-"), ("-; -",), ("-",)]
    assert len(table.failures) == sum(row.data["error"].size for row in rows)
    assert "no luck" in json.dumps(table.failures) and '"first": null' in json.dumps(table.to_dict(), allow_nan=False)
    figure, axes = plt.subplots(3)
    for row, ax in zip(rows, axes, strict=True):
        page._row(row, ax)
    figure.canvas.draw()


def test_ctrl_c_ends_the_table_and_keeps_what_is_done(tmp_path, monkeypatch, command):
    monkeypatch.setattr("mapping.study.run.ChipTask", broken(KeyboardInterrupt()))
    code, text, error = command("table1", "--quick", "--store", tmp_path / "store")
    assert code == 130 and not text and "interrupted; run the same command again to go on" in error
    assert [folder.name for folder in (tmp_path / "store").iterdir()] == [CHALLENGES[0].name]
