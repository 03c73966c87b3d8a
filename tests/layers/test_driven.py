"""Convolutions that train by events against dense ones: outputs, gradients, what is shared, what is left alone."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._pytree import tree_leaves

import spikeworks as sw
from spikeworks.layers import SNN, DrivenConv2d, Spiking, driven, event_driven, lean
from spikeworks.layers.driven import Below
from spikeworks.neurons import native

pytestmark = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))

ALWAYS, NEVER = Below(2.0, 2.0), Below(0.0, 0.0)
CONVOLUTIONS = [  # C, O, kernel, stride, padding, dilation, H, W, N
    (3, 5, 3, 1, 1, 1, 7, 9, 2),
    (17, 33, 3, 2, 1, 1, 9, 7, 3),
    (4, 150, (3, 5), (2, 1), (1, 2), (1, 2), 8, 11, 3),
    (5, 16, 1, 2, 0, 1, 7, 7, 2),
    (64, 256, 3, 1, 1, 1, 3, 3, 5),
    (2, 8, 7, 2, 3, 1, 13, 12, 3),
    (1, 1, 3, 3, 0, 1, 8, 8, 1),
]


def events(shape, rate, kind="ones"):
    x = (torch.rand(shape) < rate).float()
    return x * (torch.randint(1, 4, shape) if kind == "counts" else torch.randn(shape) if kind == "signed" else 1)


def trained(layer, x, low=False):
    """Output and gradients of input, weight, bias."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        y = layer(x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y.float() * g).sum().backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]


def near(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert float((a.double() - b.double()).abs().max()) <= tolerance * max(1e-3, float(b.abs().max()))


@pytest.mark.parametrize("kind", ["ones", "counts", "signed"])
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_outputs_and_gradients_are_the_dense_ones_up_to_rounding(case, last, kind):
    c_in, c_out, *how, height, width, n = case
    layout = torch.channels_last if last else torch.contiguous_format
    conv = nn.Conv2d(c_in, c_out, *how).to(memory_format=layout)
    for rate in (0.0, 0.05, 0.5, 1.0):
        x = events((n, c_in, height, width), rate, kind).to(memory_format=layout)
        reference = copy.deepcopy(conv).double()
        exact = [t.float() for t in trained(reference, x.double())]
        for below in (ALWAYS, Below(2.0, 0.0), Below(0.0, 2.0), NEVER):
            near(trained(DrivenConv2d(conv, below), x), exact, 3e-6)
        near(trained(DrivenConv2d(conv, ALWAYS), x, low=True), trained(conv, x, low=True), 2e-2)


@settings(max_examples=10)
@given(
    st.tuples(*[st.integers(1, 4)] * 2), st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(0, 2)] * 2),
    st.tuples(*[st.integers(1, 2)] * 2), st.tuples(*[st.integers(7, 12)] * 2), st.integers(1, 40),
)  # fmt: skip
def test_any_window(kernel, stride, padding, dilation, size, n):
    conv = nn.Conv2d(3, 2, kernel, stride, padding, dilation, bias=False)
    x = events((n, 3, *size), 0.3)
    exact = [t.float() for t in trained(copy.deepcopy(conv).double(), x.double())]
    near(trained(DrivenConv2d(conv, ALWAYS), x), exact, 3e-6)


def test_whole_gradients_are_exact():
    conv = nn.Conv2d(5, 7, 3, padding=1, bias=False)
    conv.weight.data = torch.randint(-3, 4, conv.weight.shape).float()
    x = events((6, 5, 7, 9), 0.2).requires_grad_()
    g = torch.randint(-4, 5, (6, 7, 7, 9)).float()
    for got, expected in zip(
        torch.autograd.grad(DrivenConv2d(conv, ALWAYS)(x), [x, conv.weight], g),
        torch.autograd.grad(conv(x), [x, conv.weight], g),
        strict=True,
    ):
        assert torch.equal(got, expected)


def test_threads_give_the_same_bits(monkeypatch):
    conv, x = nn.Conv2d(32, 48, 3, padding=1), events((40, 32, 9, 11), 0.2)
    alone = trained(DrivenConv2d(conv, ALWAYS), x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert all(torch.equal(a, b) for a, b in zip(trained(DrivenConv2d(conv, ALWAYS), x), alone, strict=True))


@pytest.fixture
def always(monkeypatch):
    """Every layer that can be driven is, whatever the clock says."""
    monkeypatch.setattr(driven, "_timed", lambda layer, x: None if x.dtype == torch.float64 else ALWAYS)


def network():
    torch.manual_seed(0)
    return SNN(
        nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), Spiking(sw.PLIF()),
            nn.Conv2d(6, 6, 3, padding=1, groups=2), nn.Conv2d(6, 8, 3, stride=2), Spiking(sw.LIF()),
            nn.Flatten(), nn.Linear(8 * 3 * 4, 3),
        )
    )  # fmt: skip


def frames():
    return (torch.rand(3, 2, 2, 7, 9, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def test_parameters_are_shared_names_are_the_same_and_nothing_else_changes(always):
    net, x_T = network(), frames()
    before, drawn = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    made = event_driven(net, x_T)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))
    assert list(made.state_dict()) == list(before)
    assert all(a is b for a, b in zip(made.parameters(), net.parameters(), strict=True))
    assert all(a is b for a, b in zip(made.buffers(), net.buffers(), strict=True))
    kinds = [type(m) for m in made.network]
    assert kinds[0] is kinds[4] is DrivenConv2d
    assert kinds[3] is nn.Conv2d  # groups
    assert all(type(m) is not DrivenConv2d for m in net.network)
    assert "events below 2" in repr(made)
    assert [type(m) for m in event_driven(made, x_T).network] == kinds


@pytest.mark.parametrize("slim", [lambda n: n, lean], ids=["as it is", "lean"])
def test_training_is_the_same_up_to_rounding_with_state_carried(always, slim):
    outcomes = []
    for make in (lambda n: n, lambda n: slim(event_driven(n, frames())), lambda n: event_driven(slim(n), frames())):
        net, state, total = make(network()), None, 0.0
        for _ in range(2):
            y_T, state = net.stream(frames(), state)
            total = total + y_T.square().sum() + sum(s.sum() for s in tree_leaves(state))
        total.backward()
        outcomes.append([y_T.detach(), *(p.grad for p in net.parameters()), *(s.detach() for s in tree_leaves(state))])
    near(outcomes[1], outcomes[0], 1e-5)
    assert all(torch.equal(a, b) for a, b in zip(outcomes[1], outcomes[2], strict=True))


def test_copies_pickles_and_evaluation(always):
    net = event_driven(network(), frames()).eval()
    with torch.no_grad():
        expected = network().eval()(frames())
        for made in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert torch.allclose(made(frames()), expected, atol=1e-5)


def test_what_is_measured_is_a_rate():
    torch.manual_seed(0)
    net = SNN(nn.Sequential(Spiking(sw.LIF()), nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64)))
    for low in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            made = event_driven(net, 2 * torch.rand(2, 4, 64, 6, 6))
        below = getattr(made.network[1], "below", Below(0.0, 0.0))
        assert all(0 <= rate <= 1 for rate in below)


def test_weights_that_are_not_finite_and_other_dtypes_are_left_to_the_dense_form():
    conv = nn.Conv2d(2, 2, 1)
    layer, x = DrivenConv2d(conv, ALWAYS), torch.zeros(1, 2, 3, 3)
    with torch.no_grad():
        conv.weight[0, 0] = float("inf")
    assert layer(x)[0, 0].isnan().all()
    double = DrivenConv2d(nn.Conv2d(2, 2, 1).double(), ALWAYS)
    assert double(x.double()).dtype == torch.float64
    assert "float64" in str(double.unsupported(x.double()))
    assert DrivenConv2d(nn.Conv2d(2, 2, 1), ALWAYS)(x[:0]).shape == (0, 2, 3, 3)
    with pytest.raises(RuntimeError):  # torch's own word
        layer(torch.zeros(1, 3, 3, 3))


def test_second_derivatives_are_refused():
    x = events((1, 2, 3, 3), 0.5).requires_grad_()
    y = DrivenConv2d(nn.Conv2d(2, 2, 1), ALWAYS)(x)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


def test_a_frozen_weight_has_no_gradient():
    conv = nn.Conv2d(2, 2, 3)
    conv.weight.requires_grad_(False)
    x = events((2, 2, 5, 5), 0.5).requires_grad_()
    DrivenConv2d(conv, ALWAYS)(x).sum().backward()
    assert conv.weight.grad is None
    assert conv.bias.grad is not None
    assert x.grad is not None


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"expected an nn\.Module and an input"):
        event_driven(torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match=r"expected an nn\.Module and an input"):
        event_driven(network(), None)
    with pytest.raises(ValueError, match="groups=1"):
        DrivenConv2d(nn.Conv2d(2, 2, 1, groups=2), ALWAYS)
