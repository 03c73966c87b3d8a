"""The peers that neurons are measured against: each one's LIF on the same work, as ``x_T [T, N] -> spikes``.

The work is ``h = v + (x − v)/2``, threshold 1, hard reset to 0, slope ATan(2), reset not detached, every call a fresh
start. A peer that cannot do exactly this says what it does instead: ``neuron`` is the spikeworks neuron with *its*
dynamics, which :func:`equal` holds it to. Peers without a twin (``neuron=None``) do the same class of work only, and
their outputs are not compared. ``peers.txt`` says how to build the environments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor

import spikeworks as sw

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Peer:
    """Another library's LIF.

    :param make: imports the library and returns its run; raises ``ImportError`` if the library, or the version meant,
        is not installed.
    :param neuron: the spikeworks neuron whose spikes and gradients equal this peer's; ``None``: work class only.
    :param note: what a reader of a table must know.
    """

    make: Callable[[], Run]
    neuron: sw.Neuron | None
    note: str

    @property
    def comparable(self) -> bool:
        """Whether the peer's output can be held to ours."""
        return self.neuron is not None


def spikingjelly(wanted: str) -> Run:
    """SpikingJelly's multi-step node with the torch backend; ``wanted``: the version's beginning."""
    if not version("spikingjelly").startswith(wanted):
        raise ImportError(f"spikingjelly {version('spikingjelly')} is installed, {wanted} is meant; see peers.txt.")
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(alpha=2.0), step_mode="m")

    def run(x_T: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x_T)

    return run


def snntorch() -> Run:
    """snnTorch's ``Leaky``; ``reset_delay=False`` resets in the step of the spike, as everybody else does."""
    import snntorch as snn

    beta = 0.5
    node = snn.Leaky(beta, spike_grad=snn.surrogate.atan(alpha=2.0), reset_mechanism="zero", reset_delay=False)

    def run(x_T: Tensor) -> Tensor:
        spikes, mem = [], torch.zeros_like(x_T[0])
        for x in x_T.unbind(0):
            s, mem = node(x, mem)
            spikes.append(s)
        return torch.stack(spikes)

    return run


def norse_box() -> Run:
    """Norse's ``LIFBoxCell``; it has no ATan, so its surrogate is SuperSpike(1)."""
    import norse.torch as norse

    one = torch.tensor(1.0)
    parameters = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=one, method="super", alpha=one)
    cell = norse.LIFBoxCell(parameters, dt=1e-3)

    def run(x_T: Tensor) -> Tensor:
        spikes, state = [], None
        for x in x_T.unbind(0):
            s, state = cell(x, state)
            spikes.append(s)
        return torch.stack(spikes)

    return run


def norse_lif() -> Run:
    """Norse's ``LIF``: current and voltage, two states."""
    import norse.torch as norse

    node = norse.LIF(norse.LIFParameters(method="super", alpha=torch.tensor(1.0)))
    return lambda x_T: node(x_T)[0]


def sinabs() -> Run:
    """sinabs' ``LIF``; ``tau_mem = 1/ln 2`` is its decay of one half, its reset is soft."""
    from sinabs.activation import SingleSpike
    from sinabs.layers import LIF

    def atan(v_mem: Tensor, threshold: Tensor) -> Tensor:
        return 1 / (1 + (math.pi * (v_mem - threshold)) ** 2)

    node = LIF(tau_mem=1 / math.log(2), spike_fn=SingleSpike, surrogate_grad_fn=atan, norm_input=True)
    node.requires_grad_(False)  # it would learn tau_mem: more work than the others do

    def run(x_T: Tensor) -> Tensor:
        node.reset_states()
        node.zero_grad()
        return node(x_T.unsqueeze(0)).squeeze(0)  # its layout is [B, T, ...]

    return run


def compiled() -> Run:
    """``torch.compile`` of the plain loop over our own step: needs a C++ compiler, compiles anew for each shape."""
    neuron = sw.LIF(tau=2.0)

    def loop(x_T: Tensor) -> Tensor:
        spikes, v = [], torch.zeros_like(x_T[0])
        for x in x_T.unbind(0):
            s, (v,) = neuron.step(x, v)
            spikes.append(s)
        return torch.stack(spikes)

    torch.compiler.reset()  # it gives up after eight shapes
    return torch.compile(loop, fullgraph=True, dynamic=False)


_SAME = sw.LIF(tau=2.0)
PEERS: dict[str, Peer] = {
    "spikingjelly-2.0": Peer(lambda: spikingjelly("2.0"), _SAME, "the same work"),
    "spikingjelly-0.14": Peer(lambda: spikingjelly("0.0.0.0.14"), _SAME, "the same work; an environment of its own"),
    "snntorch": Peer(snntorch, sw.LIF(tau=2.0, decay_input=False), "input not scaled by 1/tau"),
    "norse-box": Peer(norse_box, sw.LIF(tau=2.0, surrogate=sw.surrogate.super_spike()), "surrogate SuperSpike(1)"),
    "norse-lif": Peer(norse_lif, None, "two states, current and voltage: work class only"),
    "sinabs": Peer(sinabs, sw.LIF(tau=2.0, reset="soft"), "soft reset"),
    "torch.compile": Peer(compiled, _SAME, "the same work; its compile time is not counted"),
}  # fmt: skip
"""Every peer by name."""


def equal(peer: Peer, T: int = 8, N: int = 4096) -> None:
    """Hold a peer to its spikeworks twin: equal spikes, input gradients within 1e-5. Work-class peers only have to run.

    :raises AssertionError: if they differ: no speed of this peer may then be quoted.
    """
    generator = torch.Generator().manual_seed(0)
    x_T, weight_T = torch.randn(T, N, generator=generator) + 0.5, torch.randn(T, N, generator=generator)

    def measure(run: Run) -> tuple[Tensor, Tensor]:
        leaf = x_T.clone().requires_grad_()
        out_T = run(leaf)
        return out_T.detach(), torch.autograd.grad(out_T, leaf, weight_T)[0]

    neuron = peer.neuron
    theirs, their_gradient = measure(peer.make())
    if neuron is None:
        return
    ours, our_gradient = measure(lambda x_T: sw.scan(neuron, x_T)[0])
    assert torch.equal(theirs, ours), f"{int((theirs != ours).sum())} of {ours.numel()} spikes differ"
    difference = float((their_gradient - our_gradient).abs().max())
    assert difference <= 1e-5, f"gradients differ by {difference:.1e}"


def main() -> None:
    """Print, for every peer, whether it is installed and equal."""
    for name, peer in PEERS.items():
        try:
            peer.make()
        except (ImportError, OSError) as error:
            print(f"{name:18} not here: {error}")
            continue
        equal(peer)
        print(f"{name:18} {'equal' if peer.comparable else 'runs'}: {peer.note}")


if __name__ == "__main__":
    main()
