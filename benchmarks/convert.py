"""Evaluating a converted VGG against SpikingJelly 2.0's conversion of the same network; counts; memory.

    peers/bin/python -W ignore benchmarks/convert.py --threads 1 --out results.md

The network: VGG-11 at half width for 3×32×32 (that of ``spikeworks recipe convert_cifar10_vgg``), random weights, batch
norms as after training, batch 50. Both convert it with the largest activation of one batch as threshold, norms
folded; both run T steps of the same image, SpikingJelly as its examples do, one step of the whole network at a time.
Before anything is timed, logits must agree within 5 % (norms are folded in another order; rounding tips single spikes).

Count domain: a network of parallel neurons, whose answer needs no time, over the deep network's own forward pass.
Memory: by how much the resident set grows at most while T = 64 runs, over that while T = 8 runs; each in a process of
its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import spikeworks as sw
from spikeworks.convert.activation import QCFS
from spikeworks.models import vgg11
from timing import in_turns, ratio

STEPS, BATCH = 8, 50


def source(activation: type[nn.Module] | object = nn.ReLU) -> nn.Module:
    network = vgg11(10, activation=activation, in_channels=3, image=32, width=0.5, hidden=(256,),
                    generator=torch.Generator().manual_seed(0))  # fmt: skip
    network.train()
    with torch.no_grad():
        for _ in range(20):  # statistics of the norms
            network(images(BATCH))
    return network.eval()


def images(n: int) -> Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def theirs(network: nn.Module, x: Tensor) -> nn.Module:
    from spikingjelly.activation_based import ann2snn

    return ann2snn.Converter(recipe=ann2snn.RateCodingRecipe([(x, torch.zeros(len(x)))], mode="Max")).convert(network)


def run_theirs(snn: nn.Module, x: Tensor) -> Tensor:
    from spikingjelly.activation_based import functional

    functional.reset_net(snn)
    total = snn(x)
    for _ in range(STEPS - 1):
        total = total + snn(x)
    return total / STEPS


def peak(steps: int) -> None:
    """Print by how many KiB the resident set grows at most in a run of so many steps."""
    torch.set_num_threads(1)
    snn, _ = sw.convert(source(), sw.convert.Max(fold=True), [images(BATCH)])
    x = images(4 * BATCH)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    with torch.no_grad():
        snn(x, steps)
    print(status("VmHWM") - before)


def status(name: str) -> int:
    """KiB of this process, as Linux tells."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options.peak)
        return
    torch.set_num_threads(options.threads)
    sw.keep_heap()
    x, network = images(BATCH), source()
    ours, _ = sw.convert(network, sw.convert.Max(fold=True), [x])
    rival = theirs(source(), x)
    last = {"memory_format": torch.channels_last}
    quick, _ = sw.convert(source().to(**last), sw.convert.Max(fold=True), [x])
    deep = source(lambda: QCFS(4, 1.0))
    counts, _ = sw.convert(deep, sw.convert.Parallel())
    with torch.no_grad():
        mine, other = ours(x, STEPS), run_theirs(rival, x)
        distance, same = (
            float((mine - other).norm() / other.norm()),
            float((mine.argmax(1) == other.argmax(1)).float().mean()),
        )
        assert distance < 0.05, f"red: logits differ by {distance:.2g}"
        assert same > 0.95, f"red: {same:.0%} of classes agree"
        x_last = x.contiguous(**last)
        events, plan = ours.accelerated(x, STEPS)
        moved = float((events(x, STEPS) - mine).norm() / mine.norm())
        assert moved < 0.05, f"red: event-driven logits differ by {moved:.2g}"
        taken = in_turns(
            {
                "SpikingJelly 2.0, step by step": lambda: run_theirs(rival, x),
                "spikeworks": lambda: ours(x, STEPS),
                "spikeworks, channels last": lambda: quick(x_last, STEPS),
                "spikeworks, accelerated (float32, events)": lambda: events(x, STEPS),
                "deep network": lambda: deep(x),
                "count domain, T=8": lambda: counts(x, 8),
                "count domain, T=64": lambda: counts(x, 64),
            },
            options.rounds,
        )
    base, once = taken["SpikingJelly 2.0, step by step"], taken["deep network"]
    lines = [f"| T={STEPS}, batch {BATCH}, {options.threads} thread(s) | images/s | against |", "|---|---|---|"]
    for name, seconds in taken.items():
        middle = sorted(seconds)[len(seconds) // 2]
        against = (
            f"{ratio(base, seconds):.2f}x SpikingJelly's speed" if "T=" not in name and name != "deep network" else ""
        )
        if "count" in name:
            against = f"{ratio(seconds, once):.2f}x the deep network's time"
        lines.append(f"| {name} | {BATCH / middle:.0f} | {against} |")
    peaks = [
        int(subprocess.run([sys.executable, __file__, "--peak", str(t)], capture_output=True, check=True).stdout)
        for t in (8, 64)
    ]
    lines.append(f"| memory at T=64 over T=8 | | {peaks[1] / peaks[0]:.2f}x ({peaks[1] / 1024:.0f} MiB) |")
    print("\n".join(lines), plan, sep="\n\n")
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
