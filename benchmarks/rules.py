"""Training rules beside BPTT on digits: accuracy over seeds, and what lies saved for the backward pass at once.

    PYTHONPATH=src python benchmarks/rules.py --epochs 10

The network: three convolutions (32, 64, 64; batch norm, LIF, average pooling) and a linear layer, the same image at
each step; Adam; every rule minimises the mean of each step's cross-entropy, and sees the same batches.
"""

from __future__ import annotations

import argparse
import statistics
import time
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

import spikeworks as sw
from spikeworks.recipes.data import digits

Rule = Callable[[sw.SNN, Tensor, Tensor, sw.train.Objective], tuple[Tensor, Tensor]]
EACH = sw.train.TET(share=0.0)


def made(steps: int, seed: int) -> sw.SNN:
    config = sw.models.VGGConfig((32, "pool", 64, 64, "pool"), (), in_channels=1, image=8)
    network = sw.models.VGG(config, lambda: sw.Spiking(sw.LIF()))
    sw.models.initialise(network, torch.Generator().manual_seed(seed))
    return sw.SNN(network, encode=sw.layers.Repeat(steps))


def local(network: sw.SNN, x: Tensor, seed: int) -> Rule:
    return sw.train.LocalLosses(sw.train.local_readouts(network, x, 10, torch.Generator().manual_seed(seed)))


RULES: dict[str, Callable[[sw.SNN, Tensor, int], Rule]] = {
    "BPTT": lambda network, x, seed: sw.train.TruncatedBPTT(1000),
    "truncated, 2 steps": lambda network, x, seed: sw.train.TruncatedBPTT(2),
    "OTTT": lambda network, x, seed: sw.train.OTTT(),
    "SLTT": lambda network, x, seed: sw.train.SLTT(),
    "SLTT-2": lambda network, x, seed: sw.train.SLTT(2, torch.Generator().manual_seed(seed)),
    "local losses": local,
}


def reached(rule_of: Callable[[sw.SNN, Tensor, int], Rule], seed: int, epochs: int, steps: int = 4) -> float:
    """Accuracy on the 300 test digits in percent, with the weights of the last epoch."""
    split, network = digits(), made(steps, seed)
    x, y = split.train.prepare(split.train.x), split.train.y
    rule, optimiser = rule_of(network, x[:2], seed), torch.optim.Adam(network.parameters(), 2e-3)
    draw = torch.Generator().manual_seed(seed)
    network.train()
    for _ in range(epochs):
        for index in torch.randperm(len(y), generator=draw).split(64):
            optimiser.zero_grad()
            rule(network, x[index], y[index], EACH)
            optimiser.step()
    return sw.train.accuracy(network, split.test)


def kept(rule_of: Callable[[sw.SNN, Tensor, int], Rule], steps: int) -> int:
    """The most bytes that lie saved for the backward pass at once, batch 64; parameters and views count each time."""
    network, x, y = made(steps, 0), torch.rand(64, 1, 8, 8), torch.arange(64) % 10
    rule = rule_of(network, x, 0)
    now = most = 0

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def pack(tensor: Tensor) -> Held:
        nonlocal now, most
        held, size = Held(tensor), tensor.numel() * tensor.element_size()
        weakref.finalize(held, free, size)
        now += size
        most = max(most, now)
        return held

    def free(size: int) -> None:
        nonlocal now
        now -= size

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        rule(network, x, y, EACH)
    return most


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--seeds", type=int, default=3)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    print("| rule | accuracy, mean (least to most) | saved at T=4 | at T=32 | s per seed |\n|---|---|---|---|---|")
    for name, rule_of in RULES.items():
        begin = time.perf_counter()
        found = [reached(rule_of, seed, given.epochs) for seed in range(given.seeds)]
        seconds = (time.perf_counter() - begin) / given.seeds
        sizes = " | ".join(f"{kept(rule_of, steps) / 2**20:.2f} MiB" for steps in (4, 32))
        spread = f"{statistics.mean(found):.1f} % ({min(found):.1f} to {max(found):.1f})"
        print(f"| {name} | {spread} | {sizes} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
