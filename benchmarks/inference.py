"""Inference: the MNIST BSNN on chips, circuits and energy included, against the ideal network in software.

    OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 python benchmarks/inference.py

Ideal: snnTorch and our own tensors, each with the batch that suits it best. Chips: arrays with IR drop and 5 % spread
from device to device, solved beforehand; what software says is known. All sides take turns in one process, kernels
compiled.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")

import numba
import numpy as np
import torch
from training import SnnTorch, high_water

import mapping as mp
import xbarsim as xb
from mapping.engines.event_engine import tables_of
from mapping.networks.encode import encode
from mapping.networks.event_layers import list_inputs

ROUNDS, BATCHES = 3, (10, 25, 50, 100, 250)
DISTURB = xb.PowerLawDisturb(t0=1.0, c=0.03)  # slow enough that no array is solved again
RATES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2)


def timed(function):
    start = perf_counter()
    function()
    return perf_counter() - start


def snntorch(network):
    """Return a function (images, batch) -> classes of the same network, with the same weights, in snnTorch."""
    peer = SnnTorch(network.spec).eval()
    for ours, theirs in zip(network.layers, (peer.conv1, peer.conv2, peer.dense)):
        theirs.weight.data.copy_(ours.effective_weight().reshape(theirs.weight.shape))
    for ours, theirs in zip(network.layers, (peer.norm1, peer.norm2)):
        theirs.load_state_dict(ours.norm.state_dict())

    @torch.inference_mode()
    def classify(images, batch):
        parts = (encode(images[k : k + batch], network.spec)[0] for k in range(0, len(images), batch))
        return np.concatenate([peer(torch.from_numpy(x)).sum(0).argmax(1).numpy() for x in parts])

    return classify


def best_batch(classify, images):
    """Return the batch size with which a function is fastest."""
    return min(BATCHES, key=lambda batch: min(timed(lambda: classify(images, batch)) for _ in range(3)))


def chips():
    one_bit, sar = (mp.load_chip(name).replace(device__d2d=0.05) for name in ("paper-bsnn", "paper-ann"))
    return {
        "1-bit chip": (one_bit, {}),
        "8-bit SAR chip": (sar, {}),
        "1-bit chip, read noise": (one_bit.replace(device__read_noise=0.02), {}),
        "1-bit chip, read disturb": (
            one_bit.replace(device__read_disturb=DISTURB),
            {"refresh": 0.01, "ageing_by": "batch", "batch_size": 5000},
        ),
    }


def compare(network, images, labels):
    """Print times of all sides and their ratios, medians over rounds."""
    peer, tensors = snntorch(network), partial(network.predict, engine="dense")
    batches = best_batch(peer, images[:1000]), best_batch(tensors, images[:1000])
    ideal = network.predict(images)
    agree = np.mean(ideal[:500] == peer(images[:500], 100))
    print(f"batches of {batches[0]} (snnTorch), {batches[1]} (tensors); snnTorch agrees on {agree:.1%} of 500 images")
    sides = {
        "ideal, snnTorch": lambda: peer(images, batches[0]),
        "ideal, tensors": lambda: tensors(images, batches[1]),
        "ideal, events": lambda: network.predict(images),
    }
    for name, (chip, settings) in chips().items():
        mapped = mp.map_network(network, chip)
        sides[name] = partial(mapped.evaluate, images, labels, ideal=ideal, **settings)
        mapped.evaluate(images[:50], labels[:50], ideal=ideal[:50], **settings)
    spent = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            spent[name].append(timed(side))

    def ratio(a, b):
        return median(x / y for x, y in zip(spent[a], spent[b]))

    print(f"| {len(images)} images | time | an image | over snnTorch | over tensors | of the 1-bit chip |")
    print("|---|---|---|---|---|---|")
    for name, times in spent.items():
        seconds, relative = median(times), ratio(name, "1-bit chip")
        faster = " | ".join(f"{ratio(peer, name):.1f}x" for peer in ("ideal, snnTorch", "ideal, tensors"))
        each = f"{seconds:.2f} s | {1e3 * seconds / len(images):.3f} ms"
        print(f"| {name} | {each} | {faster} | {relative:.2f} |")


def dies(network, images, labels):
    """Print what a die costs: to fabricate, program and solve, and to classify images on."""
    chip = mp.load_chip("paper-bsnn").replace(device__d2d=0.05)
    ideal, inputs, made, used = network.predict(images), {}, [], []
    for die in range(6):
        start = perf_counter()
        mapped = mp.map_network(network, chip, die=die)
        made.append(perf_counter() - start)
        used.append(timed(lambda: mapped.evaluate(images, labels, ideal=ideal, inputs=inputs)))
    print(f"a die: {median(made[1:]):.2f} s to program and solve, {median(used[1:]):.3f} s for {len(images)} images")


def rates():
    """Print the time of the second layer against the rate of the spikes that it is given, energy included."""
    network = mp.load_network("mnist-bsnn")
    layer = mp.map_network(network, mp.load_chip("paper-bsnn").replace(device__d2d=0.05)).layers[1]
    rng, n, after = np.random.default_rng(0), 40, network.spec.shapes()[0][1]
    spent = []
    for rate in RATES:
        spikes = rng.random((network.t_steps, n, *after)) < rate
        events = list_inputs(spikes, False, layer.number_type)
        spent.append(min(timed(lambda: tables_of(layer).run(events)) for _ in range(7)) / n)
    offset, slope = np.polynomial.polynomial.polyfit(RATES, spent, 1)
    local = np.diff(spent) / np.diff(RATES)
    line = f"{1e6 * offset:.0f} us + {1e6 * slope / 100:.1f} us for each % of spikes"
    print(f"layer 16-64, one thread, {network.t_steps} steps: {line};")
    print("slope from point to point over that of the line: " + ", ".join(f"{x / slope:.2f}" for x in local))


def memory():
    """Print the peak memory of a process that evaluates all images on the 1-bit chip."""
    network, (images, labels) = mp.load_network("mnist-bsnn"), mp.load_dataset("mnist")
    mp.map_network(network, mp.load_chip("paper-bsnn").replace(device__d2d=0.05)).evaluate(images, labels)
    print(f"peak memory, {len(images)} images: {high_water():.0f} MB")


def commands():
    """Print how long commands take, everything compiled."""
    python = sys.executable
    for name, command in {
        "import xbarsim": [python, "-c", "import xbarsim"],
        "xbarsim --help": [python, "-m", "mapping", "--help"],
        "xbarsim report": [python, "-m", "mapping", "report"],
    }.items():
        call = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        call()
        print(f"{name}: {median(timed(call) for _ in range(3)):.2f} s")


if __name__ == "__main__":
    torch.set_num_threads(numba.get_num_threads())
    if sys.argv[1:] == ["memory"]:
        memory()
    else:
        import snntorch as peer_package

        bsnn, (x, y) = mp.load_network("mnist-bsnn"), mp.load_dataset("mnist")
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, snnTorch {peer_package.__version__}")
        compare(bsnn, x, y)
        dies(bsnn, x[:1000], y[:1000])
        rates()
        subprocess.run([sys.executable, str(Path(__file__)), "memory"], check=True)
        commands()
