"""Studies: 1,000 dies of the mapped MNIST BSNN on 1,000 images; where the time of a trial goes, and its memory.

    OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 python benchmarks/studies.py [TRIALS]

Each die is drawn, programmed, solved, and classifies all images with energy, latency and area; each result is saved at
once. Two processes, kernels compiled beforehand.
"""

import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from statistics import median
from threading import Event, Thread
from time import perf_counter

os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")

import numba
import torch

import mapping as mp
from mapping.study.run import prepared

WORKERS = 2


def study(trials):
    """Return the Monte Carlo study: 10 % of spread from device to device."""
    return mp.Study(name="monte-carlo", images=1000, trials=trials, changes={"chip.device.d2d": 0.1})


def parts(trials=9):
    """Print what the parts of a trial take on one thread, medians."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    task, shares = prepared(study(1))[1], {"solve": [], "classify": [], "trial": []}
    network, chip = mp.load_network("mnist-bsnn"), mp.load_chip("paper-bsnn").replace(device__d2d=0.1)
    images, labels = (part[:1000] for part in mp.load_dataset("mnist"))
    ideal, inputs = network.predict(images), {}
    mp.map_network(network, chip).evaluate(images, labels, ideal=ideal, inputs=inputs)
    task(0, {})
    for die in range(trials):
        start = perf_counter()
        mapped = mp.map_network(network, chip, die=die)
        solved = perf_counter()
        mapped.evaluate(images, labels, ideal=ideal, inputs=inputs)
        classified = perf_counter()
        task(die, {})
        for name, taken in zip(shares, (solved - start, classified - solved, perf_counter() - classified)):
            shares[name].append(taken)
    solve, classify, trial = (median(values) for values in shares.values())
    print("| a trial on one thread | time | share |\n|---|---|---|")
    for name, taken in (
        ("a die drawn, programmed and its arrays solved", solve),
        ("1,000 images classified, with energy", classify),
        ("the rest of a trial", trial - solve - classify),
    ):
        print(f"| {name} | {taken * 1e3:.0f} ms | {taken / trial:.1%} |")


def resident(pid):
    """Return the memory of a process and all that it started, shared pages in proportion [bytes]."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue  # it has ended
    return total


def whole(trials):
    """Run the study and print time, memory and the share of the time that is spent in trials."""
    peak, ended = [0], Event()

    def watch():
        while not ended.wait(0.5):
            peak[0] = max(peak[0], resident(os.getpid()))

    watcher = Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        data = mp.run_study(study(trials), store=folder, workers=WORKERS, progress=True)
        taken = perf_counter() - start
        with closing(connect(Path(folder) / "study.sqlite")) as store:
            in_trials = store.execute("SELECT sum(seconds) FROM results").fetchone()[0]
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    ended.set()
    watcher.join()
    accuracy = data["accuracy"]
    print(f"\n{trials} trials in {taken:.0f} s, {taken / trials:.3f} s each, with {WORKERS} processes")
    print(f"in trials {in_trials / taken / WORKERS:.1%} of the time of both, starting, sending and saving the rest")
    print(f"memory of all processes {peak[0] / 2**30:.2f} GiB at most, store {size / 2**20:.1f} MiB")
    print(f"accuracy {float(accuracy.mean()):.2%}, standard deviation {float(accuracy.std(ddof=1)):.2%}")


def main():
    if os.environ.get("OMP_NUM_THREADS") != "2" or numba.config.NUMBA_NUM_THREADS != 2:
        sys.exit("set OMP_NUM_THREADS=2 and NUMBA_NUM_THREADS=2, as make bench does")
    whole(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print()
    parts()


if __name__ == "__main__":
    main()
