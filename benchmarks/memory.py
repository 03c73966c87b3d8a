"""Memory of a training step against SpikingJelly 2.0: ten layers of convolution, batch norm and LIF.

    peers/bin/python -W ignore benchmarks/memory.py --threads 1 --out memory.md

Ten times conv 3×3 32 → 32, batch norm, LIF on 16×16, T = 16, B = 16; cross-entropy of the mean over time and space.
Each variant runs in a process of its own, in which glibc maps every large tensor by itself, so that the system's count
of resident pages is exact: ``peak`` is the most a step takes above what is there before it (weights, gradients, input,
warm caches), ``alive`` what is there between forward and backward. ``kept`` counts the storages that autograd keeps,
without parameters and input. Loss and gradient sums are held to each other before anything is printed; time is measured
apart, in turns, with the heap kept (`sw.keep_heap`).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import spikeworks as sw
from spikeworks.layers import Checkpoint, bits, keep, renew
from timing import in_turns, ratio

LAYERS, CHANNELS, SIZE, STEPS, BATCH = 10, 32, 16, 16, 16


def blocks(spiking: Callable[[], nn.Module]) -> list[nn.Sequential]:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(LAYERS)]
    return [nn.Sequential(c, nn.BatchNorm2d(CHANNELS), spiking()) for c in convolutions]


def ours(lean: bool, checkpoint: bool = False, last: bool = False, driven: bool = False) -> nn.Module:
    made = blocks(lambda: sw.Spiking(sw.LIF(tau=2.0)))
    net = nn.Sequential(*(Checkpoint(b) if checkpoint else b for b in made))
    snn = sw.SNN(net.to(memory_format=torch.channels_last) if last else net)  # type: ignore[call-overload]
    snn = sw.layers.event_driven(snn, data()[0]) if driven else snn
    return sw.layers.lean(snn) if lean else snn


class Theirs(nn.Module):
    """The same as SpikingJelly runs it."""

    def __init__(self) -> None:
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        super().__init__()
        made = blocks(lambda: neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(alpha=2.0), step_mode="m"))
        parts = [part for b in made for part in (layer.SeqToANNContainer(b[0], b[1]), b[2])]
        self.network, self.fresh = nn.Sequential(*parts), functional.reset_net

    def forward(self, x_T: Tensor) -> Tensor:
        self.fresh(self)
        return self.network(x_T)


BASE = "SpikingJelly 2.0"
VARIANTS: dict[str, Callable[[], nn.Module]] = {
    BASE: Theirs,
    "spikeworks": lambda: ours(False),
    "spikeworks, lean": lambda: ours(True),
    "spikeworks, lean, each block checkpointed": lambda: ours(True, True),
    "spikeworks, lean, channels last": lambda: ours(True, last=True),
    "spikeworks, lean, each block checkpointed, channels last": lambda: ours(True, True, True),
    "spikeworks, lean, event-driven, channels last": lambda: ours(True, False, True, True),
    "spikeworks, lean, each block checkpointed, event-driven, channels last": lambda: ours(True, True, True, True),
}


def data() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x_T = torch.randn(STEPS, BATCH, CHANNELS, SIZE, SIZE, generator=random)
    return x_T, torch.randint(0, CHANNELS, (BATCH,), generator=random)


def loss_of(net: nn.Module, x_T: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(net(x_T).mean((0, 3, 4)), y)


def pages(which: str) -> int:
    """Bytes by the system's account: ``VmRSS`` now, ``VmHWM`` at most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(which))


class Kept:
    """The storages that autograd keeps, but for those of ``without``."""

    def __init__(self, without: list[Tensor]) -> None:
        self.without = {t.untyped_storage().data_ptr() for t in without}
        self.sizes: dict[int, int] = {}

    def add(self, kept: Any) -> Any:
        if isinstance(kept, renew.Renewal):
            for part in (kept.source, kept.scale, kept.shift):
                self.add(part)
        elif isinstance(kept, bits.Bits | bits.Narrow):
            self.add(kept.words if isinstance(kept, bits.Bits) else kept.small)
        else:
            storage = getattr(kept, "tensor", kept).untyped_storage()
            if storage.data_ptr() not in self.without:
                self.sizes[storage.data_ptr()] = storage.nbytes()
        return kept

    def of(self, run: Callable[[], Tensor]) -> tuple[int, Tensor]:
        """Bytes kept after ``run``, and its result; what is lean is seen where it is packed."""
        plain, packing = keep._Keeper.pack, keep._Keeper.pack
        keep._Keeper.pack = lambda keeper, t: self.add(packing(keeper, t))  # type: ignore[method-assign]
        try:
            with torch.autograd.graph.saved_tensors_hooks(self.add, lambda t: t):
                loss = run()
        finally:
            keep._Keeper.pack = plain  # type: ignore[method-assign]
        return sum(self.sizes.values()), loss


def measure(name: str) -> dict[str, float]:
    """Everything about one variant, in this process."""
    ctypes.CDLL("libc.so.6").mallopt(-3, 1 << 16)  # M_MMAP_THRESHOLD: what is freed goes back at once
    net, (x_T, y) = VARIANTS[name](), data()

    def step() -> Tensor:
        net.zero_grad(set_to_none=False)
        loss = loss_of(net, x_T, y)
        loss.backward()
        return loss.detach()

    first = float(step())
    gradients = sum(float(p.grad.double().abs().sum()) for p in net.parameters() if p.grad is not None)
    step()
    gc.collect()
    before = pages("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    peak = pages("VmHWM") - before
    gc.collect()
    before = pages("VmRSS")
    loss = loss_of(net, x_T, y)
    alive = pages("VmRSS") - before
    del loss
    kept, loss = Kept([*net.parameters(), *net.buffers(), x_T]).of(lambda: loss_of(net, x_T, y))
    del loss
    return {"loss": first, "gradients": gradients, "peak": peak, "alive": alive, "kept": kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        print(json.dumps(measure(options.only)))
        return
    seen: dict[str, dict[str, float]] = {}
    for name in VARIANTS:
        command = [sys.executable, "-W", "ignore", __file__, "--threads", str(options.threads), "--only", name]
        seen[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for name, variant in seen.items():
        near = 1e-6 if "channels last" not in name else 1e-2  # another layout rounds otherwise, which tips spikes
        for what in ("loss", "gradients"):
            assert math.isclose(variant[what], seen[BASE][what], rel_tol=near), f"red: {name}, {what}: {seen}"
    sw.keep_heap()
    x_T, y = data()
    works = {}
    for name, make in VARIANTS.items():
        net = make()
        works[name] = lambda net=net: (net.zero_grad(), loss_of(net, x_T, y).backward())
    taken = in_turns(works, options.rounds)
    count, base = LAYERS * STEPS * BATCH * CHANNELS * SIZE * SIZE, seen[BASE]
    lines = [
        f"| {LAYERS} layers, T={STEPS}, {options.threads} thread(s) | peak MB | of the peer's | alive, B per "
        "neuron-step | kept, B per neuron-step | step ms | speed | loss | sum of gradients |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, v in seen.items():
        ms = sorted(taken[name])[len(taken[name]) // 2] * 1e3
        lines.append(
            f"| {name} | {v['peak'] / 1e6:.0f} | 1/{base['peak'] / v['peak']:.2f} | {v['alive'] / count:.2f} | "
            f"{v['kept'] / count:.3f} | {ms:.0f} | {ratio(taken[BASE], taken[name]):.2f}x | {v['loss']:.6f} | "
            f"{v['gradients']:.4f} |"
        )
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
