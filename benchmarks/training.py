"""A training step of a convolutional spiking network against SpikingJelly 2.0: same weights, same data, same losses.

    peers/bin/python -W ignore benchmarks/training.py --threads 1 --out results.md

The network: 1×28×28, conv 32 – conv 32 – pool – conv 64 – conv 64 – pool – linear 10, batch norm and LIF after each
convolution, batch 32, SGD; the readout is the mean over T. Losses of the first three steps are compared before anything
is timed: equal to four decimals in float32 with the same layout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import spikeworks as sw
from timing import in_turns, ratio

STEPS, BATCH = 8, 32


def layers(spiking: Callable[[], nn.Module]) -> list[nn.Module]:
    made: list[nn.Module] = []
    for c_in, c_out in ((1, 32), (32, 32), (32, 64), (64, 64)):
        made += [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), spiking()]
        made += [nn.AvgPool2d(2)] if c_in == c_out else []
    return [*made, nn.Flatten(), nn.Linear(64 * 7 * 7, 10)]


def ours(**like: object) -> nn.Module:
    torch.manual_seed(0)
    return sw.SNN(nn.Sequential(*layers(lambda: sw.Spiking(sw.LIF(tau=2.0)))).to(**like))  # type: ignore[arg-type]


class Theirs(nn.Module):
    """The same network as SpikingJelly runs it: stateless layers fold time by ``SeqToANNContainer``."""

    def __init__(self) -> None:
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        super().__init__()
        torch.manual_seed(0)
        made = layers(lambda: neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(alpha=2.0), step_mode="m"))
        groups: list[nn.Module] = []
        for module in made:
            alone = isinstance(module, neuron.LIFNode)
            if alone or not groups or isinstance(groups[-1], neuron.LIFNode):
                groups.append(module if alone else layer.SeqToANNContainer(module))
            else:
                groups[-1].append(module)
        self.network, self.fresh = nn.Sequential(*groups), functional.reset_net

    def forward(self, x_T: Tensor) -> Tensor:
        self.fresh(self)
        return self.network(x_T)


def trainer(net: nn.Module, x_T: Tensor, y: Tensor, low: bool = False) -> Callable[[], float]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    def work() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            logits = net(x_T).float().mean(0)
        loss = nn.functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sw.keep_heap()
    random = torch.Generator().manual_seed(0)
    x, y = torch.rand(BATCH, 1, 28, 28, generator=random), torch.randint(0, 10, (BATCH,), generator=random)
    x_T = x.expand(STEPS, *x.shape).contiguous()
    last = {"memory_format": torch.channels_last}
    works = {
        "SpikingJelly 2.0, float32": trainer(Theirs(), x_T, y),
        "spikeworks, float32": trainer(ours(), x_T, y),
        "spikeworks, float32, channels last": trainer(ours(**last), x_T, y),
        "spikeworks, bf16 autocast, channels last": trainer(ours(**last), x_T, y, low=True),
    }
    first = {name: [work() for _ in range(3)] for name, work in works.items()}
    reference, same = (first[n] for n in list(works)[:2])
    assert all(f"{a:.4f}" == f"{b:.4f}" for a, b in zip(reference, same, strict=True)), f"red: {reference} {same}"
    taken = in_turns(works, options.rounds)
    base = taken["SpikingJelly 2.0, float32"]
    lines = [
        f"| training step, T={STEPS}, {options.threads} thread(s) | ms | ratio | first losses |",
        "|---|---|---|---|",
    ]
    for name, seconds in taken.items():
        ms = sorted(seconds)[len(seconds) // 2] * 1e3
        losses = ", ".join(f"{v:.4f}" for v in first[name])
        lines.append(f"| {name} | {ms:.0f} | {ratio(base, seconds):.2f}x | {losses} |")
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
