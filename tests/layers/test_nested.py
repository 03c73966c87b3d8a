"""Time is folded once: networks in networks, layers in layers, and what a backward pass may call."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import spikeworks as sw
from spikeworks.layers import PSN, SNN, Delay, Repeat, Spiking, Temporal, ThresholdDependentBatchNorm, mean


def signal(steps: int = 6) -> torch.Tensor:
    return 3 * torch.rand(steps, 4, 5, generator=torch.Generator().manual_seed(0))


def inner() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 5), Spiking(sw.LIF()), Delay(1), ThresholdDependentBatchNorm(5), Spiking(sw.IF()))


@pytest.mark.parametrize("wrap", [SNN, lambda network: SNN(SNN(network)), lambda network: nn.Sequential(SNN(network))])
def test_a_network_inside_a_network_is_part_of_it(wrap):
    x_T, whole = signal(), SNN(nn.Sequential(inner(), nn.Linear(5, 2))).eval()
    nested = SNN(nn.Sequential(wrap(inner()), nn.Linear(5, 2))).eval()
    nested.network[1].load_state_dict(whole.network[1].state_dict())
    assert torch.equal(nested(x_T), whole(x_T))
    assert nested.network[0](x_T).shape == x_T.shape  # alone it takes time unfolded, as ever
    (first_T, state), (expected_T, other) = nested.stream(x_T[:2]), whole.stream(x_T[:2])
    assert len(state) == len(other)
    assert torch.equal(first_T, expected_T)
    assert torch.equal(nested.stream(x_T[2:], state)[0], whole(x_T)[2:])


def test_a_bare_neuron_nested_gives_the_spikes_of_one_network():
    x_T, layer = signal(), Spiking(sw.IF())
    assert torch.equal(SNN(nn.Sequential(SNN(layer)))(x_T), SNN(layer)(x_T))


@pytest.mark.parametrize("codes", [{"encode": Repeat(4)}, {"decode": mean}, {"encode": Repeat(4), "decode": mean}])
def test_codes_inside_a_network_are_refused(codes):
    part = SNN(inner(), **codes)
    with pytest.raises(ValueError, match="SNN got called inside of another SNN with encode or decode"):
        SNN(nn.Sequential(part))(signal())
    assert SNN(nn.Sequential(part.network))(signal()).shape == (6, 4, 5)


def test_inside_run_time_is_unfolded_for_whatever_it_calls():
    class Both(Temporal):
        def __init__(self):
            super().__init__()
            self.norm, self.network, self.psn = ThresholdDependentBatchNorm(5), SNN(inner(), decode=mean), PSN(6)

        def run(self, x_T, state):
            return self.psn(self.norm(x_T)) + self.network(x_T), state

    torch.manual_seed(1)
    layer = Both()
    alone_T = layer(signal())
    assert torch.equal(SNN(nn.Sequential(layer))(signal()), alone_T)


def test_a_refused_input_leaves_no_window_behind():
    layer = Delay(1)
    with pytest.raises(ValueError, match="a multiple of T=6"):
        SNN(nn.Sequential(nn.Flatten(0), nn.Linear(6 * 4 * 5, 5), layer))(signal())
    assert torch.equal(layer(signal())[1:], signal()[:-1])


class Plain(nn.Module):
    """What is not right: torch's checkpoint around a part of a network."""

    def __init__(self, part: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.part, self.reentrant = part, reentrant

    def forward(self, x):
        return checkpoint(self.part, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("part", [Spiking(sw.LIF()), SNN(inner()), SNN(Spiking(sw.LIF(), "eager"))])
def test_a_backward_pass_is_told_that_the_window_is_over(part, reentrant):
    x_T = signal().requires_grad_()
    y_T = SNN(nn.Sequential(Plain(part, reentrant), nn.Linear(5, 2)))(x_T)
    with pytest.raises(ValueError, match=r"got called by a backward pass, .* sw\.layers\.Checkpoint; use it in place"):
        y_T.sum().backward()
    assert Spiking(sw.LIF())(x_T).shape == x_T.shape  # nothing of it stays


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_backward_pass_may_call_what_brings_its_own_time(reentrant):
    network, x = SNN(inner(), Repeat(6), mean).eval(), signal()[0].requires_grad_()
    (expected,) = torch.autograd.grad(network(x).square().sum(), x)
    checkpoint(network, x, use_reentrant=reentrant).square().sum().backward()
    assert torch.equal(x.grad, expected)
