"""A training step of SEW-ResNet18 on event frames against SpikingJelly 2.0: same weights, same data, same losses.

    peers/bin/python -W ignore benchmarks/train.py --threads 1 --out train.md

Frames 2×48×48 of which one value in ten is not zero, T = 8, SEW with addition, LIF of tau 2, SGD; the loss is the
cross-entropy of the mean over time. SpikingJelly's network is its own ``sew_resnet18`` with two input channels in place
of three; its weights are copied into ours. Nothing is timed before the losses of the first three steps are equal to
four decimals in float32 with its memory layout. Other layouts and precisions, and sums by events, round otherwise,
which tips single spikes: their first losses are shown.
"""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import spikeworks as sw
from timing import in_turns, ratio
from training import trainer

STEPS, SIZE, CLASSES = 8, 48, 10
BASE = "SpikingJelly 2.0, float32"


class Theirs(nn.Module):
    """SpikingJelly's network; of torchvision it only wants, at import, what downloads weights."""

    def __init__(self, last: bool = False) -> None:
        for name in ("torchvision", "torchvision._internally_replaced_utils"):
            stand_in = types.ModuleType(name)
            stand_in.__dict__.update(__path__=[], load_state_dict_from_url=None)
            sys.modules.setdefault(name, stand_in)
        from spikingjelly.activation_based import functional, layer, neuron, surrogate
        from spikingjelly.activation_based.model import sew_resnet

        super().__init__()
        torch.manual_seed(0)
        self.network = sew_resnet.sew_resnet18(
            num_classes=CLASSES, cnf="ADD", spiking_neuron=neuron.LIFNode, tau=2.0,
            surrogate_function=surrogate.ATan(alpha=2.0),
        )  # fmt: skip
        self.network.conv1 = layer.Conv2d(2, 64, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(self.network.conv1.weight, mode="fan_out", nonlinearity="relu")
        functional.set_step_mode(self.network, "m")
        self.fresh = functional.reset_net
        if last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x_T: Tensor) -> Tensor:
        self.fresh(self.network)
        return self.network(x_T)


def ours(last: bool = True) -> sw.SNN:
    """Our network with the peer's weights; both register the same layers in the same order."""
    made = sw.models.sew_resnet18(
        CLASSES, neuron=sw.LIF(tau=2.0), in_channels=2, stem="imagenet", decode=None, channels_last=last
    )
    theirs, mine = dict(Theirs().named_parameters()), dict(made.named_parameters())
    with torch.no_grad():
        for a, b in zip(theirs.values(), mine.values(), strict=True):
            assert a.shape == b.shape, "the networks differ"
            b.copy_(a)
    return made


def in_neurons(work: Callable[[], object]) -> float:
    """The share of a step that neurons take, by the profiler: forward and backward, ours or SpikingJelly's."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    events = seen.key_averages()
    spent = sum(e.cpu_time_total for e in events if e.key in ("_Scan", "_ScanBackward"))
    return spent / sum(e.self_cpu_time_total for e in events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sw.keep_heap()
    random, shape = torch.Generator().manual_seed(0), (STEPS, options.batch, 2, SIZE, SIZE)
    x_T = (torch.rand(shape, generator=random) < 0.1) * torch.randint(1, 4, shape, generator=random).float()
    y = torch.randint(0, CLASSES, (options.batch,), generator=random)
    driven = sw.layers.event_driven(ours(), x_T)
    with torch.autocast("cpu", torch.bfloat16):
        driven_low = sw.layers.event_driven(ours(), x_T)
    networks = {
        BASE: (Theirs(), False),
        "SpikingJelly 2.0, float32, channels last": (Theirs(last=True), False),
        "SpikingJelly 2.0, bf16 autocast, channels last": (Theirs(last=True), True),
        "spikeworks, float32, the peer's layout": (ours(last=False), False),
        "spikeworks, float32": (ours(), False),
        "spikeworks, float32, event-driven": (driven, False),
        "spikeworks, float32, event-driven, lean": (sw.layers.lean(sw.layers.event_driven(ours(), x_T)), False),
        "spikeworks, bf16 autocast": (ours(), True),
        "spikeworks, bf16 autocast, event-driven": (driven_low, True),
    }
    works = {name: trainer(net, x_T, y, low) for name, (net, low) in networks.items()}
    first = {name: [work() for _ in range(3)] for name, work in works.items()}
    same = first["spikeworks, float32, the peer's layout"]
    assert [f"{v:.4f}" for v in same] == [f"{v:.4f}" for v in first[BASE]], f"red: {first}"
    taken = in_turns(works, options.rounds)
    lines = [
        f"| SEW-ResNet18 step, T={STEPS}, batch {options.batch}, {options.threads} thread(s) | ms | ratio | in neurons "
        "| first losses |",
        "|---|---|---|---|---|",
    ]
    for name, seconds in taken.items():
        ms = sorted(seconds)[len(seconds) // 2] * 1e3
        losses = ", ".join(f"{v:.4f}" for v in first[name])
        share = f"{in_neurons(works[name]):.1%}" if name.startswith("spikeworks") else ""
        lines.append(f"| {name} | {ms:.0f} | {ratio(taken[BASE], seconds):.2f}x | {share} | {losses} |")
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
