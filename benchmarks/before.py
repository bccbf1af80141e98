"""Inference, training and studies against an earlier commit, side by side: ratios of processor time, new over old.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/before.py COMMIT [PAIRS] [ROUNDS]

Both trees run the same workloads by public names, each in a process of its own, and take turns; all is compiled before.
A pair of processes scatters by some per cent, by where its arrays come to lie, so that several pairs are run.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time

os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
HERE = Path(__file__).resolve().parents[1]


def workloads():
    """Return functions by their names, ready to be timed."""
    import numpy as np
    import torch

    import mapping as mp
    import xbarsim as xb

    torch.set_num_threads(1)
    images, labels = (x[:100] for x in mp.load_dataset("mnist"))
    network, one_bit, sar = mp.load_network("mnist-bsnn"), mp.load_chip("paper-bsnn"), mp.load_chip("paper-ann")
    rate = mp.Network(network.spec.replace(encoding="rate"))
    rate.load_state_dict(network.state_dict())
    chips = {"1-bit chip": one_bit, "read noise": one_bit.replace(device__read_noise=0.02), "8-bit chip": sar}
    ready = {f"{name}, evaluate": mp.map_network(network, chip, seed=1).evaluate for name, chip in chips.items()}
    found = {name: lambda evaluate=evaluate: evaluate(images, labels) for name, evaluate in ready.items()}
    ann = mp.map_ann("mnist-ann", sar, seed=1)
    found["ANN, evaluate"] = lambda: ann.evaluate(images[:20], labels[:20])
    found["software, direct"] = lambda: network.predict(images, engine="events")
    found["software, rate"] = lambda: rate.predict(images, engine="events")
    found["map_network"] = lambda: mp.map_network(network, one_bit, seed=2)
    settings = mp.TrainingSettings(epochs=1, batch_size=50, n_validation=0)
    found["train"] = lambda: mp.train(network.spec.replace(t_steps=10), images, labels, settings)
    study = mp.load_study("d2d").replace(trials=1, images="first:20")
    found["study of chips"] = lambda: mp.run_study(study, workers=1)
    cells = np.random.default_rng(1).uniform(1e-6, 1e-5, (64, 64))

    def read(rng, spread):
        crossbar = xb.Crossbar(cells * np.exp(spread * rng.standard_normal(cells.shape)), wires=xb.Wires(r_bitline=1))
        return {"i": xb.solve(crossbar, np.full(64, 0.2)).i_bitline}

    found["study of circuits"] = lambda: xb.sweep(read, {"spread": [0.1, 0.2]}, n_trials=100, seed=1, workers=1)
    return found


def worker():
    """Time what is asked for, line by line."""
    known = workloads()
    for function in known.values():
        function()
    print(" | ".join(known), flush=True)
    for line in sys.stdin:
        start = process_time()
        known[line.strip()]()
        print(process_time() - start, flush=True)


def pair(old, rounds):
    """Return the median ratio of each workload in a pair of processes that take turns."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, __file__, "--worker"]
    sides = [
        subprocess.Popen(command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, **pipes) for tree in (old, HERE)
    ]
    names, _ = (side.stdout.readline().strip().split(" | ") for side in sides)

    def asked(side, name):
        side.stdin.write(f"{name}\n")
        side.stdin.flush()
        return float(side.stdout.readline())

    ratios = {name: [] for name in names}
    for turn in range(rounds):
        for name in names:
            order = sides if turn % 2 else sides[::-1]
            times = {side.pid: asked(side, name) for side in order}
            ratios[name].append(times[sides[1].pid] / times[sides[0].pid])
    for side in sides:
        side.stdin.close()
        side.wait()
    return {name: median(found) for name, found in ratios.items()}


def main(commit, pairs=5, rounds=7):
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=HERE, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        found = [pair(Path(folder), rounds) for _ in range(pairs)]
    print(f"processor time over that of {commit}: median of {pairs} pairs of processes, {rounds} rounds each (range)")
    for name in found[0]:
        ratios = [one[name] for one in found]
        print(f"{name:22} {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        worker()
    else:
        main(sys.argv[1], *map(int, sys.argv[2:]))
