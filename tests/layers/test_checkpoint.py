"""A checkpointed part gives the bits of the part itself: outputs, states, gradients, statistics, draws."""

from __future__ import annotations

import copy
import threading
from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import spikeworks as sw
from spikeworks.layers import SNN, Checkpoint, Delay, Dropout, Recurrent, SlidingPSN, Spiking, detach


def signal(steps: int = 4) -> torch.Tensor:
    return 4 * torch.rand(steps, 3, 6, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """One part called twice, of all that could differ the second time, and a part outside."""

    def __init__(self, wrap, backend: str = "auto") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.part = wrap(
            nn.Sequential(
                nn.Linear(6, 6),
                nn.BatchNorm1d(6, momentum=None),
                Spiking(sw.PLIF(), backend),
                SNN(nn.Sequential(Delay(1), nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)))),
                Dropout(0.3, torch.Generator().manual_seed(5)),
                nn.Dropout(0.2),
                Recurrent(Spiking(sw.IF(), backend), nn.Linear(6, 6)),
                SlidingPSN(3),
            )
        )
        self.rest = nn.Sequential(Spiking(sw.LIF(), backend), nn.Linear(6, 2))

    def forward(self, x):
        return self.rest(self.part(self.part(x)))


def named(entries):
    return {name.replace("module.", ""): value for name, value in entries.items()}


def trained(wrap, backend, cut, windows=2):
    net, state, total = SNN(Net(wrap, backend)), None, 0.0
    torch.manual_seed(3)
    for _ in range(windows):
        y_T, state = net.stream(signal(), detach(state) if cut else state)
        total = total + y_T.square().sum() + sum(t.sum() for t in tree_leaves(state) if torch.is_tensor(t))
    total.backward(retain_graph=True)
    total.backward()  # over the same graph: the second run is repeated, too
    (drawn,) = (module.generator.get_state() for module in net.modules() if isinstance(module, Dropout))
    gradients = {name: p.grad for name, p in net.named_parameters()}
    return named(gradients), named(net.state_dict()), named(state), drawn, torch.rand(3)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_streams_states_and_gradients_are_those_without_it(backend, cut):
    for got, expected in zip(trained(Checkpoint, backend, cut), trained(lambda m: m, backend, cut), strict=True):
        if isinstance(expected, dict):
            assert got.keys() == expected.keys()
        pairs = list(zip(tree_leaves(got), tree_leaves(expected), strict=True))
        assert all(torch.equal(a, b) for a, b in pairs)
    assert sum(g.abs().sum() for g in trained(Checkpoint, backend, cut)[0].values()) > 0


def test_what_is_inside_runs_again_in_the_backward_pass_only():
    seen = Counter()
    part = nn.Sequential(nn.Linear(6, 6), Spiking(sw.LIF()))
    part[1].register_forward_pre_hook(lambda *_: seen.update(["ran"]))
    net = SNN(nn.Sequential(Checkpoint(part), nn.Linear(6, 2)))
    y_T = net(signal())
    assert seen["ran"] == 1
    y_T.sum().backward(retain_graph=True)
    assert seen["ran"] == 2
    first = part[0].weight.grad.clone()
    y_T.sum().backward()  # once more over the same graph
    assert seen["ran"] == 3
    assert torch.allclose(part[0].weight.grad, 2 * first)
    with torch.no_grad():
        net(signal())
    assert seen["ran"] == 4


def test_alone_it_takes_time_unfolded():
    layer, x_T = Checkpoint(Spiking(sw.LIF())), signal().requires_grad_()
    plain = copy.deepcopy(layer.module)
    assert torch.equal(layer(x_T), plain(x_T))
    (got,) = torch.autograd.grad(layer(x_T).sum(), x_T)
    (expected,) = torch.autograd.grad(plain(x_T).sum(), x_T)
    assert torch.equal(got, expected)
    assert got.any()


def test_it_holds_a_whole_network_too():
    x_T = signal().requires_grad_()
    network = SNN(nn.Sequential(nn.Linear(6, 6), Spiking(sw.LIF())))
    (expected,) = torch.autograd.grad(network(x_T).square().sum(), x_T)
    (got,) = torch.autograd.grad(Checkpoint(network)(x_T).square().sum(), x_T)
    assert torch.equal(got, expected)


def test_the_backward_pass_may_run_in_another_thread():
    """As it does on a GPU."""
    x_T, grads = signal().requires_grad_(), []
    for wrap in (Checkpoint, lambda module: module):
        torch.manual_seed(0)
        net = SNN(nn.Sequential(wrap(nn.Sequential(nn.Linear(6, 6), Spiking(sw.LIF()))), nn.Linear(6, 2)))
        thread = threading.Thread(target=net(x_T).square().sum().backward)
        thread.start()
        thread.join()
        grads.append(x_T.grad)
        x_T.grad = None
    assert torch.equal(*grads)
    assert grads[0].any()
