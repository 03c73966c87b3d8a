"""The neuron core against its peers, on the same work, in one process: prints the tables of docs/benchmarks.md.

    peers/bin/python -W ignore benchmarks/neurons.py --threads 1 --out results.md   (peers.txt builds the environment)

Every peer is first held to equal spikes and gradients; one that differs is named and not timed. All run with the same
heap policy (``sw.keep_heap``). Cells are ``T × N`` neurons; the input is N(0.5, 1), so about one neuron in nine fires.
``limit`` is the fraction of what copying the bytes would allow: a forward pass reads and writes 8 bytes per
neuron-step, forward and backward together 20, at the speed of an ``out.copy_(x)`` timed in the same rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import spikeworks as sw
from peers import PEERS, Peer, equal
from timing import geometric_mean, in_turns, ratio, rounds_for

CELLS = [(8, 1 << 16), (8, 1 << 18), (16, 1 << 18), (16, 1 << 20), (64, 1 << 16), (4, 1 << 22)]
SMALL = [(4, 256), (8, 1024), (16, 4096), (16, 16384)]
Run = Callable[[Tensor], Tensor]


def ours(neuron: sw.Neuron, backend: str = "auto") -> Run:
    return lambda x_T: sw.scan(neuron, x_T, backend=backend)[0]


def forward(run: Run, x: Tensor) -> Callable[[], object]:
    def work() -> object:
        with torch.no_grad():
            return run(x)

    return work


def both(run: Run, x: Tensor) -> Callable[[], object]:
    leaf, weight = x.detach().clone().requires_grad_(), torch.randn_like(x)

    def work() -> object:
        run(leaf).backward(weight)
        leaf.grad = None
        return None

    return work


def draw(T: int, N: int) -> Tensor:
    return torch.randn(T, N, generator=torch.Generator().manual_seed(0)) + 0.5


def present() -> dict[str, Peer]:
    """The peers that are installed and equal; says why another is left out."""
    found = {}
    for name, peer in PEERS.items():
        try:
            equal(peer)
            found[name] = peer
        except (ImportError, OSError) as error:
            print(f"- {name}: not here ({error})")
        except AssertionError as error:
            print(f"- {name}: NOT TIMED, it differs ({error})")
    return found


def without_compiler(peers: dict[str, Peer]) -> dict[str, Peer]:
    """All but ``torch.compile``, which would compile anew for every cell."""
    return {name: peer for name, peer in peers.items() if name != "torch.compile"}


def cells(peers: dict[str, Peer]) -> list[str]:
    peers = without_compiler(peers)
    lines = ["| T, N | pass | ours ns | limit | " + " | ".join(peers) + " |", "|---" * (4 + len(peers)) + "|"]
    gathered: dict[tuple[str, str], list[float]] = {}
    for T, N in CELLS:
        x, out = draw(T, N), torch.empty(T, N)
        for label, wrap, weight in (("fwd", forward, 1.0), ("fwd+bwd", both, 2.5)):
            works = {name: wrap(peer.make(), x) for name, peer in peers.items()}
            neurons = {name: peer.neuron or sw.LIF() for name, peer in peers.items()}
            works |= {f"ours {name}": wrap(ours(neuron), x) for name, neuron in neurons.items()}
            taken = in_turns({**works, "ours": wrap(ours(sw.LIF()), x), "copy": lambda x=x, out=out: out.copy_(x)},
                             rounds_for(T * N * len(works) // 2))  # fmt: skip
            ns = sorted(taken["ours"])[len(taken["ours"]) // 2] / (T * N) * 1e9
            limit = weight * ratio(taken["copy"], taken["ours"])
            ratios = {name: ratio(taken[name], taken[f"ours {name}"]) for name in peers}
            for name, value in {**ratios, "limit": limit}.items():
                gathered.setdefault((label, name), []).append(value)
            shown = " | ".join(f"{r:.1f}x" for r in ratios.values())
            lines.append(f"| {T}, {N} | {label} | {ns:.3f} | {limit:.0%} | {shown} |")
    for label in ("fwd", "fwd+bwd"):
        shown = " | ".join(f"**{geometric_mean(gathered[label, name]):.1f}x**" for name in peers)
        lines.append(f"| geometric mean | {label} | | **{geometric_mean(gathered[label, 'limit']):.0%}** | {shown} |")
    return lines


def twenty(work: Callable[[], object]) -> Callable[[], object]:
    """Twenty calls in a row: microseconds need a longer look."""

    def works() -> None:
        for _ in range(20):
            work()

    return works


def small(peers: dict[str, Peer]) -> list[str]:
    peers = without_compiler(peers)
    lines = [
        "| T, N (forward + backward, whole call) | ours µs | " + " | ".join(peers) + " |",
        "|---" * (2 + len(peers)) + "|",
    ]
    for T, N in SMALL:
        x = draw(T, N)
        works = {name: both(peer.make(), x) for name, peer in peers.items()}
        works |= {f"ours {name}": both(ours(peer.neuron or sw.LIF()), x) for name, peer in peers.items()}
        works["ours"] = both(ours(sw.LIF()), x)
        taken = in_turns({name: twenty(work) for name, work in works.items()}, 30)
        us = sorted(taken["ours"])[15] / 20 * 1e6
        ratios = " | ".join(f"{ratio(taken[n], taken[f'ours {n}']):.1f}x" for n in peers)
        lines.append(f"| {T}, {N} | {us:.0f} | {ratios} |")
    return lines


def low_precision(peers: dict[str, Peer]) -> list[str]:
    if "spikingjelly-2.0" not in peers:
        return []
    lines = [
        "| T, N (forward + backward) | bf16 in and out, float32 state: over SpikingJelly 2.0 float32 |",
        "|---|---|",
    ]
    values = []
    for T, N in CELLS:
        x = draw(T, N)
        # the same spikes as the eager loop for this input; as SpikingJelly's but for what rounding x to bf16 moves
        half, eager = (sw.scan(sw.LIF(), x.bfloat16(), backend=b)[0] for b in ("fused_cpu", "eager"))
        assert torch.equal(half, eager), "red: not timed"
        works = {"theirs": both(peers["spikingjelly-2.0"].make(), x), "ours": both(ours(sw.LIF()), x.bfloat16())}
        taken = in_turns(works, rounds_for(T * N))
        values.append(ratio(taken["theirs"], taken["ours"]))
        lines.append(f"| {T}, {N} | {values[-1]:.1f}x |")
    return [*lines, f"| geometric mean | **{geometric_mean(values):.1f}x** |"]


def flex(neuron: sw.Neuron) -> Run:
    """SpikingJelly's FlexSN on the same step; its CPU path is a torch loop."""
    from spikingjelly.activation_based.neuron import FlexSN

    def core(x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:  # it reads the signature: two states
        out, new = neuron.step(x, a, b)
        return (out, *new)

    node = FlexSN(core, num_states=len(neuron.state_names))

    def run(x_T: Tensor) -> Tensor:
        node.reset()
        return node(x_T)

    return run


def own_neurons(with_flex: bool) -> list[str]:
    lines = ["| neuron, T=16 | N | pass | over its eager loop | over SpikingJelly FlexSN |", "|---|---|---|---|---|"]
    for neuron in (sw.ALIF(), sw.Izhikevich(a=0.1, b=0.1).starting(v=0.0)):  # FlexSN starts at zero
        for N in (1 << 16, 1 << 18, 1 << 20):
            x = draw(16, N)
            fused, eager = (sw.scan(neuron, x, backend=b)[0] for b in ("fused_cpu", "eager"))
            assert torch.equal(fused, eager), "red: not timed"
            for label, wrap in (("fwd", forward), ("fwd+bwd", both)):
                works = {"ours": wrap(ours(neuron), x), "eager": wrap(ours(neuron, "eager"), x)}
                if with_flex:
                    run = flex(neuron)
                    assert torch.equal(run(x), eager), "red: FlexSN differs"
                    works["flex"] = wrap(run, x)
                taken = in_turns(works, rounds_for(16 * N * 2))
                over = f"{ratio(taken['flex'], taken['ours']):.1f}x" if with_flex else "not here"
                lines.append(
                    f"| {neuron.kind.__name__} | {N} | {label} | {ratio(taken['eager'], taken['ours']):.1f}x | {over} |"
                )
    return lines


def compiled(peers: dict[str, Peer]) -> list[str]:
    if "torch.compile" not in peers:
        return []
    lines = ["| T, N | pass | over torch.compile of the plain loop |", "|---|---|---|"]
    values: dict[str, list[float]] = {"fwd": [], "fwd+bwd": []}
    for T, N in CELLS[:4]:
        x, run = draw(T, N), peers["torch.compile"].make()
        for label, wrap in (("fwd", forward), ("fwd+bwd", both)):
            taken = in_turns({"compile": wrap(run, x), "ours": wrap(ours(sw.LIF()), x)}, rounds_for(T * N))
            values[label].append(ratio(taken["compile"], taken["ours"]))
            lines.append(f"| {T}, {N} | {label} | {values[label][-1]:.2f}x |")
    return [*lines, *(f"| geometric mean | {label} | **{geometric_mean(v):.2f}x** |" for label, v in values.items())]


FIRST = """
import resource, sys, time, torch, spikeworks as sw
sys.path.insert(0, {folder!r})
x = torch.randn({T}, 4096).requires_grad_(); (x * 2).sum().backward()
{prepare}
begin = time.process_time(); run(x).sum().backward(); took = time.process_time() - begin
compiler = resource.getrusage(resource.RUSAGE_CHILDREN)
print(took + compiler.ru_utime + compiler.ru_stime)
"""


def first_call() -> list[str]:
    lines = [
        "| first forward and backward, CPU seconds | nothing built before | another process before |",
        "|---|---|---|",
    ]
    ours = {f"{name}, T=16": (16, f"run = lambda x: sw.scan(sw.{name}(), x)[0]") for name in ("LIF", "AdEx")}
    compile_ = "from peers import PEERS; run = PEERS['torch.compile'].make()"
    theirs = {f"torch.compile of the plain loop, LIF, T={T}": (T, compile_) for T in (4, 16, 64)}
    for name, (T, prepare) in {**ours, **theirs}.items():
        text = FIRST.format(folder=str(Path(__file__).parent), T=T, prepare=prepare)
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "SPIKEWORKS_CACHE": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
            command = [sys.executable, "-W", "ignore", "-c", text]
            seconds = [
                float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
                for _ in range(2)
            ]
        lines.append(f"| {name} | {seconds[0]:.2f} | {seconds[1]:.2f} |")
    return lines


def saved() -> list[str]:
    kept: dict[int, int] = {}

    def note(t: Tensor) -> Tensor:
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    x = draw(16, 1 << 16).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        sw.scan(sw.LIF(), x)
    return ["| saved for backward, bytes per neuron-step |", "|---|", f"| {sum(kept.values()) / x.numel():.4f} |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="tables to make", default=None)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not sw.keep_heap():
        print("- the heap policy could not be set; large tensors will be mapped afresh at every step")
    peers = present()
    tables = {
        "cells": lambda: cells(peers), "small": lambda: small(peers), "bf16": lambda: low_precision(peers),
        "own": lambda: own_neurons("spikingjelly-2.0" in peers), "first": first_call, "saved": saved,
        "compile": lambda: compiled(peers),
    }  # fmt: skip
    if options.out:
        options.out.write_text("")
    for name in options.only or tables:  # each at once: a run that stops keeps what it has
        heading = f"\n### {name}, {options.threads} thread{'s' if options.threads > 1 else ''}\n"
        text = "\n".join([heading, *tables[name]()])
        print(text, flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(f"{text}\n")


if __name__ == "__main__":
    main()
