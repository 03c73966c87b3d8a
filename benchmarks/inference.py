"""Inference of spiking networks on the CPU: event-driven layers against dense ones, a network against SpikingJelly 2.0.

    peers/bin/python -W ignore benchmarks/inference.py --threads 1 --out results.md

Layers: time of the dense float32 layer (oneDNN for convolutions, channels last; MKL for linear layers) over the time of
``Accelerated`` held to its event-driven form, everything included: sampling the rate, listing, summing, writing out.
Before a time is taken, outputs must be equal to 1e-5 of the largest: of events to those of the dense layer (whether in
every bit is shown), of int8 to those of a float layer with the same quantised weights. The error of int8 against
float32, relative to the largest output, is shown.

Network: the one of ``training.py`` (1×28×28, conv 32 – conv 32 – pool – conv 64 – conv 64 – pool – linear 10, batch
norm and LIF after each convolution), T = 8, the same image at each step, evaluation mode. Weights are random, with
norms scaled to two levels of firing, or trained on the digits of scikit-learn, scaled up, where accuracy is shown:

    python benchmarks/inference.py --train digits.pt                          # needs scikit-learn; about two minutes
    peers/bin/python -W ignore benchmarks/inference.py --trained digits.pt

The spikeworks network as it is must give SpikingJelly's logits to 1e-4 before it is timed. For the accelerated ones the
table shows how far logits are, as a spike may move with the rounding of a folded norm.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import spikeworks as sw
from timing import in_turns, ratio
from training import STEPS, Theirs, layers

CONVOLUTIONS = ((64, 64, 64, 16), (64, 128, 128, 8), (32, 256, 256, 8), (64, 32, 64, 28))
"""Images, channels in and out, height and width; 3×3, padding 1."""
LINEAR = ((256, 1024, 1024), (8, 2048, 2048))
"""Rows, inputs, outputs."""
RATES = (0.01, 0.05, 0.1, 0.2, 0.4)
LEVELS = {"random, fires little": (1.0, 0.0), "random, fires much": (2.0, 0.5)}
"""Weight and bias of the batch norms in front of the neurons."""


def quantised(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """The float32 layer whose weights are the ones that int8 stands for."""
    twin = copy.deepcopy(layer)
    flat = twin.weight.flatten(1)
    scale = flat.abs().amax(1, keepdim=True) / 127
    twin.weight.copy_(((flat / scale).round() * scale).view_as(twin.weight))
    return twin


def check(name: str, got: Tensor, expected: Tensor) -> None:
    off = float((got - expected).abs().max() / expected.abs().max())
    assert off < 1e-5, f"red: {name} differs by {off:.1e} of the largest output"


def made(shape: tuple[int, ...]) -> tuple[nn.Linear | nn.Conv2d, tuple[int, ...]]:
    """The layer of that shape, and the shape of its input."""
    torch.manual_seed(0)
    if len(shape) == 3:
        return nn.Linear(*shape[1:]).requires_grad_(False), shape[:2]
    n, c_in, c_out, size = shape
    layer = nn.Conv2d(c_in, c_out, 3, padding=1).requires_grad_(False)
    return layer.to(memory_format=torch.channels_last), (n, c_in, size, size)  # type: ignore[call-overload]


def again(work: Callable[[], object], repeat: int) -> None:
    for _ in range(repeat):
        work()


def layer_table(rounds: int, repeat: int) -> list[str]:
    random = torch.Generator().manual_seed(0)
    lines = [
        "| layer | rate | dense f32, ms | events f32 | dense int8 | events int8 | int8: events/dense | f32 bits = | "
        "int8 error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for shape in (*CONVOLUTIONS, *LINEAR):
        layer, size = made(shape)
        twin = quantised(layer)
        forms = {
            "events": sw.layers.Accelerated(layer, 2.0), "bytes": sw.layers.Accelerated(layer, 0.0, 1.0),
            "event bytes": sw.layers.Accelerated(layer, 2.0, 1.0),
        }  # fmt: skip
        for rate in RATES:
            x = (torch.rand(size, generator=random) < rate).float()
            x = x.contiguous(memory_format=torch.channels_last) if len(size) == 4 else x
            expected = layer(x)
            same = "yes" if torch.equal(forms["events"](x), expected) else "no"
            check("events", forms["events"](x), expected)
            check("dense int8", forms["bytes"](x), twin(x))
            check("events int8", forms["event bytes"](x), twin(x))
            error = float((forms["event bytes"](x) - expected).abs().max() / expected.abs().max())
            works = {"dense": partial(layer, x)} | {name: partial(form, x) for name, form in forms.items()}
            taken = in_turns({name: partial(again, work, repeat) for name, work in works.items()}, rounds)
            ms = sorted(taken["dense"])[rounds // 2] * 1e3 / repeat
            shown = " | ".join(f"{ratio(taken['dense'], taken[n]):.1f}x" for n in forms)
            gain = ratio(taken["bytes"], taken["event bytes"])
            lines.append(f"| {kind(shape)} | {rate:.0%} | {ms:.2f} | {shown} | {gain:.1f}x | {same} | {error:.1e} |")
    return lines


def kind(shape: tuple[int, ...]) -> str:
    return f"conv {shape}" if len(shape) == 4 else f"linear {shape}"


def random_network(weight: float, bias: float) -> dict[str, Tensor]:
    """A state of the network with norms of that weight and bias, and their statistics from one batch of noise."""
    torch.manual_seed(0)
    network = plain()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the average of all batches
            nn.init.constant_(module.weight, weight)
            nn.init.constant_(module.bias, bias)
    network(noise(16, 1))
    return network.state_dict()


def noise(batch: int, seed: int) -> Tensor:
    return torch.rand(batch, 1, 28, 28, generator=torch.Generator().manual_seed(seed)).expand(STEPS, batch, 1, 28, 28)


def plain() -> nn.Module:
    return sw.SNN(nn.Sequential(*layers(lambda: sw.Spiking(sw.LIF(tau=2.0)))), decode=sw.layers.mean)


def network_table(
    name: str, state: dict[str, Tensor], x_T: Tensor, labels: Tensor | None, rounds: int, batch: int
) -> list[str]:
    torch.manual_seed(0)
    theirs = Theirs()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))
    ours = plain()
    ours.load_state_dict(state)
    theirs, ours = (net.eval().requires_grad_(False) for net in (theirs, ours))
    timed = x_T[:, :batch]
    fast, plan = sw.layers.accelerate(ours, timed)
    low, low_plan = sw.layers.accelerate(ours, timed, "int8")
    dense = copy.deepcopy(fast)
    for module in dense.modules():
        if isinstance(module, sw.layers.Accelerated):
            module.break_even = 0.0
    nets: dict[str, Callable[[Tensor], Tensor]] = {
        "SpikingJelly 2.0": lambda x_T: theirs(x_T).mean(0), "spikeworks as it is": ours,
        "accelerated, all dense": dense, "accelerated": fast, "accelerated, int8": low,
    }  # fmt: skip
    logits = {n: torch.cat([net(part) for part in x_T.split(batch, 1)]) for n, net in nets.items()}
    reference = logits["SpikingJelly 2.0"]
    off = float((logits["spikeworks as it is"] - reference).abs().max())
    assert off < 1e-4, f"red: logits differ by {off:.1e}"
    taken = in_turns({n: partial(net, timed) for n, net in nets.items()}, rounds)
    rates = "/".join(f"{line.rate:.0%}" for line in plan.lines)
    right = reference.argmax(1) if labels is None else labels
    lines = [
        f"| {name}, batch {batch}: rates into layers {rates} | ms | over SpikingJelly | "
        f"{'same answer' if labels is None else 'accuracy'} of {len(right)} | logits differ by | choices |",
        "|---|---|---|---|---|---|",
    ]
    for n, seconds in taken.items():
        off = float((logits[n] - reference).abs().max())
        same = float((logits[n].argmax(1) == right).float().mean())
        chosen = {"accelerated": plan, "accelerated, int8": low_plan}.get(n)
        choices = ", ".join(line.choice for line in chosen.lines) if chosen else ""
        ms, gain = sorted(seconds)[rounds // 2] * 1e3, ratio(taken["SpikingJelly 2.0"], seconds)
        lines.append(f"| {n} | {ms:.1f} | {gain:.2f}x | {same:.1%} | {off:.1e} | {choices} |")
    return [*lines, "", "```", str(plan), "", str(low_plan), "```", ""]


def train(path: Path, epochs: int = 4) -> None:
    """Train the network on two thirds of the digits; keep its state and the other third."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    x, y = nn.functional.interpolate(x, (28, 28), mode="bilinear"), torch.as_tensor(labels)
    torch.manual_seed(0)
    order, network = torch.randperm(len(x)), plain().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    known, unknown = order[:1200], order[1200:]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - epoch / epochs)
        for part in known[torch.randperm(len(known))].split(32):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x[part].expand(STEPS, *x[part].shape)), y[part])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {float(loss.detach()):.3f}", flush=True)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    torch.save({"state": state, "x": x[unknown], "y": y[unknown]}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=1, help="calls of a layer in a row; 1: caches are cold each time")
    parser.add_argument("--only", choices=["layers", "network"])
    parser.add_argument("--train", type=Path, help="train on digits, write this file, and do nothing else")
    parser.add_argument("--trained", type=Path, help="what --train wrote")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sw.keep_heap()
    if options.train:
        train(options.train)
        return
    lines: list[str] = []
    with torch.no_grad():
        if options.only != "network":
            lines += [*layer_table(options.rounds, options.repeat), ""]
        if options.only != "layers":
            for name, (weight, bias) in LEVELS.items():
                lines += network_table(
                    name, random_network(weight, bias), noise(32, 2), None, options.rounds, options.batch
                )
            if options.trained:
                kept = torch.load(options.trained)
                x_T = kept["x"].expand(STEPS, *kept["x"].shape)
                lines += network_table(
                    "trained on digits", kept["state"], x_T, kept["y"], options.rounds, options.batch
                )
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
