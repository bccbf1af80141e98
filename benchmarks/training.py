"""Training: a step of the BSNN of Table 2 against the same network in snnTorch, alternating in one process.

    OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 python benchmarks/training.py

Both sides: batch 128 of MNIST, same time steps, Adam; first steps left out, as kernels compile and buffers are filled.
Memory is that of a process that trains one of them: what a step adds to the peak.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")

import numba
import torch
import torch.nn.functional as F
from torch import nn

import mapping as mp
from mapping.networks.encode import encode
from mapping.networks.network import Network
from mapping.training.train import training_step
from xbarsim.machine import keep_freed_memory

BATCH, IMAGES = 128, 60_000


class Sign(torch.autograd.Function):
    """Signs with a straight-through gradient, as a user of snnTorch would write them."""

    @staticmethod
    def forward(ctx, weight):
        """Return the signs."""
        return torch.where(weight >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        """Pass the gradient through."""
        return grad


class SnnTorch(nn.Module):
    """The network of Table 2 in snnTorch, with its loop over time."""

    def __init__(self, spec):
        import snntorch
        from snntorch import surrogate

        super().__init__()
        self.t_steps = spec.t_steps
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2, bias=False)
        self.conv2 = nn.Conv2d(16, 64, 5, padding=2, bias=False)
        self.dense = nn.Linear(64 * 7 * 7, 10, bias=False)
        self.norm1, self.norm2, self.dropout = nn.BatchNorm2d(16), nn.BatchNorm2d(64), nn.Dropout(spec.dropout)
        self.neurons = nn.ModuleList(
            snntorch.Leaky(spec.beta, spec.threshold, surrogate.fast_sigmoid(spec.slope)) for _ in range(3)
        )

    def forward(self, x):
        """Return the output spikes (t_steps, n, 10)."""
        membranes, spikes = [neuron.init_leaky() for neuron in self.neurons], []
        for _ in range(self.t_steps):
            current = F.conv2d(x, Sign.apply(self.conv1.weight), padding=2)
            now, membranes[0] = self.neurons[0](self.norm1(F.avg_pool2d(current, 2)), membranes[0])
            current = F.conv2d(now, Sign.apply(self.conv2.weight), padding=2)
            now, membranes[1] = self.neurons[1](self.norm2(F.avg_pool2d(current, 2)), membranes[1])
            current = F.linear(now.flatten(1), Sign.apply(self.dense.weight))
            now, membranes[2] = self.neurons[2](self.dropout(current), membranes[2])
            spikes.append(now)
        return torch.stack(spikes)


def ours(spec):
    """Return a function that makes one training step on a batch."""
    torch.manual_seed(0)
    network = Network(spec).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2.7e-3)
    settings = mp.TrainingSettings()
    return lambda x, y: training_step(network, optimizer, encode(x, spec), y, settings)


def theirs(spec):
    torch.manual_seed(0)
    network = SnnTorch(spec)
    optimizer = torch.optim.Adam(network.parameters(), lr=2.7e-3)

    def step(x, y):
        counts = network(torch.from_numpy(encode(x, spec)[0])).sum(0)
        optimizer.zero_grad()
        F.cross_entropy(counts, torch.from_numpy(y)).backward()
        optimizer.step()

    return step


def batches(n):
    images, labels = mp.load_dataset("mnist")
    return [(images[k * BATCH : (k + 1) * BATCH], labels[k * BATCH : (k + 1) * BATCH]) for k in range(n)]


def compare(t_steps):
    spec = mp.paper_network(t_steps=t_steps)
    sides = ours(spec), theirs(spec)
    times = [], []
    for x, y in batches(30):
        for step, spent in zip(sides, times):
            start = perf_counter()
            step(x, y)
            spent.append(perf_counter() - start)
    mine, other = (median(spent[10:]) for spent in times)
    ratio = median(b / a for a, b in zip(times[0][10:], times[1][10:]))
    epoch = IMAGES // BATCH
    memory = [peak(side, t_steps) for side in ("ours", "theirs")]
    print(
        f"| {t_steps} | {1e3 * mine:.0f} ms | {1e3 * other:.0f} ms | {ratio:.1f} | {epoch * mine:.0f} s | "
        f"{epoch * other:.0f} s | {memory[0]:.0f} MB | {memory[1]:.0f} MB |"
    )


def peak(side, t_steps):
    """Return by how much training raises the peak memory of a process of its own [MB]."""
    done = subprocess.run([sys.executable, __file__, side, str(t_steps)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(side, t_steps):
    step = {"ours": ours, "theirs": theirs}[side](mp.paper_network(t_steps=t_steps))
    small = batches(3)
    step(small[0][0][:2], small[0][1][:2])  # libraries and kernels loaded
    before = high_water()
    for x, y in small:
        step(x, y)
    print(high_water() - before)


def high_water():
    """Return the peak memory of this process [MB]; getrusage would begin with that of the process it came from."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    torch.set_num_threads(numba.get_num_threads())
    keep_freed_memory()
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        import snntorch

        versions = f"torch {torch.__version__}, snnTorch {snntorch.__version__}"
        print(f"{versions}, {torch.get_num_threads()} threads, batch {BATCH}")
        print("| time steps | a step | snnTorch | ratio | an epoch | snnTorch | memory | snnTorch |")
        print("|---|---|---|---|---|---|---|---|")
        for t_steps in (10, 25, 50):
            compare(t_steps)
