"""A lean network gives the bits of the network itself: outputs, states, gradients, statistics; and keeps less."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import spikeworks as sw
from spikeworks.layers import SNN, Checkpoint, Lean, Recurrent, Spiking, ThresholdDependentBatchNorm, detach, keep, lean
from spikeworks.layers.bits import Bits, Narrow
from spikeworks.layers.renew import Renewal


@pytest.fixture(autouse=True)
def _small_tensors_too(monkeypatch):
    monkeypatch.setattr(keep, "_LEAST", 1)


@pytest.fixture
def kept(monkeypatch):
    """What was kept, in order: (kind, shape)."""
    seen, plain = [], keep._Keeper.pack

    def pack(keeper, tensor):
        made = plain(keeper, tensor)
        seen.append((type(made), tuple(tensor.shape)))
        return made

    monkeypatch.setattr(keep._Keeper, "pack", pack)
    return seen


def signal(shape=(3, 2, 5, 7, 9), dtype=torch.float32):
    return (3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))).to(dtype)


def chain(neuron=sw.PLIF, norm=nn.BatchNorm2d, backend="auto"):
    torch.manual_seed(0)
    made = []
    for _ in range(2):
        made += [nn.Conv2d(5, 5, 3, padding=1), norm(5), Spiking(neuron(), backend)]
    made += [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(5 * 3 * 4, 6), nn.BatchNorm1d(6), Spiking(neuron(), backend)]
    return SNN(nn.Sequential(*made, nn.Linear(6, 3)))


def outcome(net, x_T, low=False, windows=1):
    """Everything that training touches."""
    x_T = x_T.clone().requires_grad_()
    state, total = None, torch.zeros(())
    for _ in range(windows):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            y_T, state = net.stream(x_T, state)
        total = (
            total
            + y_T.to(torch.float64).square().sum()
            + sum(s.double().sum() for s in tree_leaves(state) if s is not None)
        )
    total.backward()
    gradients = [x_T.grad, *(p.grad for p in net.parameters())]
    return [y_T, *(s for s in tree_leaves(state) if s is not None), *gradients, *net.buffers()]


def same(net, x_T, make=lean, **how):
    expected = outcome(copy.deepcopy(net), x_T, **how)
    got = outcome(make(copy.deepcopy(net)), x_T, **how)
    assert len(got) == len(expected) >= 5
    for a, b in zip(got, expected, strict=True):
        assert (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b))


NORMS = {
    "affine": nn.BatchNorm2d,
    "bare": lambda c: nn.BatchNorm2d(c, affine=False),
    "untracked": lambda c: nn.BatchNorm2d(c, track_running_stats=False),
    "cumulative": lambda c: nn.BatchNorm2d(c, momentum=None),
    "threshold": ThresholdDependentBatchNorm,
    "none": lambda c: nn.Identity(),
    "group": lambda c: nn.GroupNorm(1, c),
}


@pytest.mark.parametrize("low", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_in_every_mode(norm, training, low):
    net = chain(norm=NORMS[norm])
    for module in net.modules():  # statistics and an affine map of their own
        if isinstance(module, nn.BatchNorm2d):
            for value, low_, high in ((module.weight, -1, 2), (module.bias, -1, 1), (module.running_var, 0.5, 2)):
                if value is not None:
                    nn.init.uniform_(value, low_, high)
    for layout in (torch.contiguous_format, torch.channels_last):
        same(net.to(memory_format=layout).train(training), signal(), low=low)


EACH_NEURON = [getattr(sw, name) for name in ("IF", "LIF", "PLIF", "ALIF", "Izhikevich", "AdEx") if hasattr(sw, name)]


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("neuron", EACH_NEURON, ids=lambda n: n.__name__)
def test_every_neuron_on_every_backend(neuron, backend):
    same(chain(neuron, backend=backend), signal())


def test_in_float64_the_gradient_is_the_reference_s():
    same(chain().double(), signal(dtype=torch.float64))


def test_state_is_carried_through_several_windows():
    same(chain(), signal(), windows=3)
    net, other = lean(chain()), chain()
    y_T, state = net.stream(signal())
    again_T, more = net.stream(signal(), detach(state))
    expected_T, _ = other.stream(signal())
    assert torch.equal(y_T, expected_T)
    assert torch.equal(again_T, other.stream(signal(), detach(state))[0])
    assert torch.equal(net.step(signal()[0], more)[0], other.step(signal()[0], more)[0])


def test_what_is_kept(kept):
    lean(chain())(signal())
    kinds = [kind for kind, shape in kept if len(shape) > 1]
    assert kinds.count(Renewal) == 3  # the current of each neuron
    # what the second convolution and the pool are given; the last linear layer's
    assert [shape for kind, shape in kept if kind is Bits and len(shape) > 1] == [(6, 5, 7, 9)] * 2 + [(6, 6)]


def test_pooled_spikes_are_kept_as_they_are_and_their_sums_as_bits(kept):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = Spiking(sw.IF()), Spiking(sw.IF(threshold=0.5))
            self.conv = nn.Conv2d(5, 2, 1)

        def forward(self, x):
            return self.conv(self.left(x) + self.right(x))

    same(SNN(Sum()), signal())
    assert (Bits, (6, 5, 7, 9)) in kept
    kept.clear()
    lean(SNN(nn.Sequential(Spiking(sw.IF()), nn.AvgPool2d(2), nn.Conv2d(5, 2, 1))))(signal())
    assert (Bits, (6, 5, 3, 4)) not in kept


def test_a_max_pool_keeps_places_in_few_bytes(kept):
    net = SNN(nn.Sequential(Spiking(sw.IF()), nn.MaxPool2d(2), nn.Conv2d(5, 2, 1)))
    same(net, signal())
    assert (Narrow, (6, 5, 3, 4)) in kept


@pytest.mark.parametrize("value", [-0.0, 0.5, 16.0, -1.0, float("inf")])
def test_one_other_value_among_spikes_is_not_lost(value):
    class Spoil(nn.Module):
        def forward(self, s):
            s = s.clone()
            s.view(-1)[-1] = value
            return s

    net = SNN(nn.Sequential(Spiking(sw.IF()), Spoil(), nn.Conv2d(5, 2, 3)))
    x_T = signal().requires_grad_()
    gradients = []
    for make in (lambda n: n, lean):
        net.zero_grad()
        make(net)(x_T).mean().backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    assert all(torch.equal(a, b) or value == float("inf") for a, b in zip(*gradients, strict=True))
    assert all(torch.equal(a.isfinite(), b.isfinite()) for a, b in zip(*gradients, strict=True))


class Frozen(nn.BatchNorm2d):
    """Its bias is not in the graph: what cannot be found out is not guessed."""

    def __init__(self, channels):
        super().__init__(channels)
        nn.init.uniform_(self.bias)
        self.requires_grad_(False)


def test_a_frozen_norm_has_its_input_kept(kept):
    same(chain(norm=Frozen), signal())
    assert [kind for kind, _ in kept].count(Renewal) == 1  # the one after the linear layer


def test_what_was_normalised_and_then_changed_is_not_made_again(kept):
    class Changed(nn.BatchNorm2d):
        def forward(self, x):
            y = super().forward(x)
            with torch.no_grad():
                y[-1] += 1
            return y

    same(chain(norm=Changed), signal())
    assert [kind for kind, _ in kept].count(Renewal) == 1


def test_a_weight_changed_before_the_backward_pass_is_refused_and_a_bias_is_not():
    net = lean(chain())
    y_T = net(signal())
    with torch.no_grad():
        net.network[0].weight.add_(1)
    with pytest.raises(RuntimeError, match="write into a copy"):
        y_T.sum().backward()
    net, plain = lean(chain()), chain()
    gradients = []
    for n in (net, plain):
        y_T = n(signal())
        with torch.no_grad():
            n.network[1].bias.add_(1)
        y_T.sum().backward()
        gradients.append([p.grad for p in n.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_second_derivatives_are_refused_by_kernels_and_right_in_eager():
    x_T = signal().requires_grad_()
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        torch.autograd.grad(lean(chain())(x_T).sum(), x_T, create_graph=True)
    second = []
    for make in (lambda n: n, lean):
        net = make(chain(backend="eager"))
        (g,) = torch.autograd.grad(net(x_T).square().sum(), x_T, create_graph=True)
        second.append(torch.autograd.grad(g.square().sum(), x_T)[0])
    assert torch.equal(*second)


def checkpointed(net):
    parts = list(net.network)
    return SNN(nn.Sequential(Checkpoint(nn.Sequential(*parts[:3])), Checkpoint(nn.Sequential(*parts[3:6])), *parts[6:]))


def test_checkpoints_keep_their_input_as_bits(kept):
    same(chain(), signal(), lambda net: lean(checkpointed(net)))
    kept.clear()
    lean(checkpointed(chain()))(signal())
    assert (Bits, (6, 5, 7, 9)) in kept
    assert [kind for kind, _ in kept].count(Renewal) == 1


def test_a_recurrent_layer_and_a_network_within():
    torch.manual_seed(0)
    inner = SNN(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), Spiking(sw.LIF())))
    net = SNN(nn.Sequential(nn.Linear(6, 6), Recurrent(Spiking(sw.LIF()), nn.Linear(6, 6)), inner, nn.Linear(6, 2)))
    same(net, signal((4, 3, 6)), windows=2)
    same(SNN(nn.Sequential(lean(inner), nn.Linear(6, 2))), signal((4, 3, 6)), lambda n: n)


def test_the_modules_are_shared_and_names_are_the_same():
    net = chain()
    made = lean(net.eval())
    assert isinstance(made, Lean)
    assert not made.training
    assert list(made.state_dict()) == list(net.state_dict())
    assert all(a is b for a, b in zip(made.parameters(), net.parameters(), strict=True))
    other = lean(chain())
    with torch.no_grad():
        other.network[0].weight.mul_(2)
    made.load_state_dict(other.state_dict())
    assert torch.equal(net.network[0].weight, other.network[0].weight)
    assert lean(made).state_dict().keys() == net.state_dict().keys()


def test_copies_and_pickles_are_lean_too(kept):
    for made in (copy.deepcopy(lean(chain())), pickle.loads(pickle.dumps(lean(chain())))):
        kept.clear()
        assert torch.equal(made(signal()), chain()(signal()))
        assert Renewal in [kind for kind, _ in kept]


def test_under_a_transform_it_is_the_network_itself():
    net = chain(backend="eager").eval()
    parameters = dict(net.named_parameters())
    results = []
    for made in (net, lean(net)):

        def total(values, made=made):
            return torch.func.functional_call(made, values, (signal(),)).sum()

        results.append(torch.func.grad(total)({k: v.detach() for k, v in parameters.items()}))
    assert all(torch.equal(a, b) for a, b in zip(*(r.values() for r in results), strict=True))


def test_an_empty_batch():
    same(chain().eval(), signal((3, 0, 5, 7, 9)))


def test_bad_input_is_refused_as_by_the_network():
    with pytest.raises(ValueError, match="expected a tensor"):
        lean(chain())(torch.zeros(3))


def test_without_gradients_nothing_is_kept(kept):
    with torch.no_grad():
        lean(chain())(signal())
    assert not kept


def test_the_same_graph_twice_and_two_graphs_at_once():
    net = lean(chain())
    y_T, z_T = net(signal()), net(2 * signal())
    y_T.sum().backward(retain_graph=True)
    once = [p.grad.clone() for p in net.parameters()]
    y_T.sum().backward()
    assert all(torch.allclose(2 * a, p.grad) for a, p in zip(once, net.parameters(), strict=True))
    z_T.sum().backward()


def test_only_an_snn_becomes_lean():
    with pytest.raises(ValueError, match="expected an SNN"):
        lean(nn.Linear(2, 2))


@pytest.mark.parametrize("make", [sw.models.sew_resnet18, sw.models.resnet20, sw.models.ms_resnet20])
def test_whole_models(make):
    options = {"connect": "add"} if make is sw.models.sew_resnet18 else {}
    net = make(3, neuron=sw.LIF(), in_channels=2, width=0.125, generator=torch.Generator().manual_seed(0), **options)
    x_T = (torch.rand(3, 2, 2, 17, 15, generator=torch.Generator().manual_seed(2)) < 0.3).float()
    same(net, x_T)
