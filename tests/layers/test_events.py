"""Event-driven layers against dense ones: odd shapes, all rates, any values, and what they leave to the dense form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeworks.layers import Accelerated, events, int8
from spikeworks.neurons import native

pytestmark = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))

VALUES = ("ones", "theta", "per channel", "signed", "levels")
RATES = (0.0, 0.02, 0.1, 0.5, 1.0)


def spikes(kind: str, shape: tuple[int, ...], rate: float, channel: int = 1) -> torch.Tensor:
    x = (torch.rand(shape) < rate).float()
    if kind == "theta":
        return x * 0.37
    if kind == "per channel":
        return x * torch.rand(shape[channel]).view([-1 if d == channel % len(shape) else 1 for d in range(len(shape))])
    if kind == "signed":
        return x * torch.randn(shape)
    return x * torch.randint(1, 5, shape) * 0.25 if kind == "levels" else x


def in_order(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The plain sum of rows of terms ``[R, K]``, one after the other in float32, products not rounded."""
    y = torch.zeros(len(x), len(weight))
    for i in range(x.shape[1]):  # the product of two floats fits a double; the sum is rounded twice, seldom to another
        y = (y.double() + x[:, i, None].double() * weight[:, i].double()).float()
    return y + bias


def rows(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """The inputs of each output pixel of a convolution, in the order kernel row, kernel column, channel."""
    columns = nn.functional.unfold(x, conv.kernel_size, conv.dilation, conv.padding, conv.stride)
    return columns.unflatten(1, (x.shape[1], -1)).permute(0, 3, 2, 1).flatten(2).flatten(0, 1)


def check_order(kind: str, got: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal in every bit where the reference is exact, all but a few values elsewhere."""
    assert torch.allclose(got, expected, rtol=1e-6, atol=1e-6)
    if kind == "ones":
        assert torch.equal(got, expected)
    elif native.vector_math().width >= 8:
        assert float((got != expected).float().mean()) < 0.01


def last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


CONVOLUTIONS = [  # C, O, kernel, stride, padding, dilation, H, W, N
    (3, 5, 3, 1, 1, 1, 7, 9, 2),
    (17, 33, 3, 2, 1, 1, 9, 7, 3),
    (16, 16, 1, 1, 0, 1, 5, 5, 2),
    (20, 70, 3, 1, 2, 2, 11, 8, 1),
    (31, 64, 5, 2, 2, 1, 13, 13, 2),
    (64, 130, 3, 1, 1, 1, 8, 8, 2),
    (40, 10, (2, 3), (1, 2), (0, 1), (1, 3), 9, 15, 3),
    (5, 3, 9, 1, 4, 1, 12, 12, 2),  # more kernel rows than are written out
    (4, 4, (3, 8), 1, 0, (1, 2), 5, 15, 1),
    (1, 1, 1, 3, 2, 1, 1, 1, 1),
]


@pytest.mark.parametrize("shape", CONVOLUTIONS)
def test_convolutions_equal_dense_ones(shape):
    c, o, kernel, stride, padding, dilation, height, width, n = shape
    conv = nn.Conv2d(c, o, kernel, stride, padding, dilation).requires_grad_(False)
    layer = Accelerated(conv, 2.0)
    dense = conv.to(memory_format=torch.channels_last)
    for kind in VALUES:
        for rate in RATES:
            x = spikes(kind, (n, c, height, width), rate)
            expected, got = dense(last(x)), layer(x)
            assert got.shape == expected.shape
            assert torch.allclose(got, expected, rtol=1e-5, atol=1e-5)
            assert torch.equal(layer(last(x)), got)
            terms = conv.weight.permute(0, 2, 3, 1).flatten(1)
            check_order(kind, got.permute(0, 2, 3, 1).flatten(0, 2), in_order(rows(x, conv), terms, conv.bias))


@pytest.mark.parametrize("shape", [(1, 17, 5), (7, 100, 10), (33, 333, 77), (64, 128, 256), (3, 1, 1)])
def test_linear_layers_equal_the_sum_in_order(shape):
    count, inputs, outputs = shape
    linear = nn.Linear(inputs, outputs).requires_grad_(False)
    layer = Accelerated(linear, 2.0)
    for kind in VALUES:
        for rate in RATES:
            x = spikes(kind, (count, inputs), rate, -1)
            got = layer(x)
            assert torch.allclose(got, linear(x), rtol=1e-5, atol=1e-5)
            check_order(kind, got, in_order(x, linear.weight, linear.bias))


@given(
    c=st.integers(1, 40), o=st.integers(1, 40), kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3), padding=st.integers(0, 2), dilation=st.integers(1, 2), bias=st.booleans(),
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)), n=st.integers(0, 3), rate=st.sampled_from(RATES),
    kind=st.sampled_from(VALUES),
)  # fmt: skip
@settings(max_examples=20)
def test_any_convolution(c, o, kernel, stride, padding, dilation, size, n, rate, kind, bias):
    conv = nn.Conv2d(c, o, kernel, stride, padding, dilation, bias=bias).requires_grad_(False)
    x = spikes(kind, (n, c, *size), rate)
    got = Accelerated(conv, 2.0)(x)
    assert got.shape == conv(x).shape
    assert torch.allclose(got, conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("break_even", [0.0, 2.0])
@pytest.mark.parametrize("quantum", [None, 1.0])
def test_shapes_of_any_kind(break_even, quantum):
    linear = Accelerated(nn.Linear(12, 7), break_even, quantum)
    for shape in ((12,), (0, 12), (2, 0, 12), (5, 12), (2, 3, 4, 12)):
        x = torch.ones(shape)
        assert torch.allclose(linear(x), linear.dense(x), atol=0.05)
    conv = Accelerated(nn.Conv2d(3, 6, 3), break_even, quantum)
    assert conv(torch.ones(0, 3, 5, 5)).shape == (0, 6, 3, 3)
    assert conv(torch.ones(3, 5, 5)).shape == (6, 3, 3)  # one image without a batch
    strided = torch.ones(4, 5, 5, 2, 3).permute(0, 4, 1, 2, 3)[..., 0]
    flipped = (torch.rand(2, 5, 5, 3) < 0.3).float().permute(0, 3, 2, 1)
    for x in (strided, flipped, torch.ones(1, 3, 5, 5).expand(4, 3, 5, 5)):
        assert torch.allclose(conv(x), conv.dense(x), atol=0.05)
    for bad in (torch.ones(2, 4, 5, 5), torch.ones(2, 3, 2, 2)):
        with pytest.raises(RuntimeError):
            conv(bad)


def test_what_is_not_a_number_goes_on():
    conv = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)
    x = torch.zeros(1, 3, 6, 6)
    x[0, 1, 2, 2] = float("nan")
    x[0, 2, 5, 5] = float("inf")
    for layer in (Accelerated(conv, 2.0), Accelerated(conv, 2.0, 1.0), Accelerated(conv, 0.0, 1.0)):
        got, expected = layer(x), conv(x)
        assert torch.equal(got.isnan(), expected.isnan())
        assert torch.equal(got.nan_to_num(0.5), expected.nan_to_num(0.5))
    conv.weight[1, 1, 0, 0] = float("inf")  # times an input of 0 it is NaN
    assert torch.equal(Accelerated(conv, 2.0)(torch.zeros(1, 3, 6, 6)).isnan(), conv(torch.zeros(1, 3, 6, 6)).isnan())


def test_the_form_follows_the_rate():
    layer = Accelerated(nn.Linear(64, 8).requires_grad_(False), 0.3)
    asked: list[str] = []
    layer.dense = lambda x: asked.append("dense") or nn.functional.linear(x, layer.weight, layer.bias)
    for rate, expected in ((0.1, []), (0.6, ["dense"])):
        asked.clear()
        layer((torch.rand(512, 64) < rate).float())
        assert asked == expected
    x = (torch.rand(4096, 64) < 0.25).float()
    assert layer.rate(x.view(1, 1, 4096, 64)) == pytest.approx(0.25, abs=0.02)


def test_changed_weights_are_noticed():
    layer = Accelerated(nn.Linear(16, 16), 2.0)
    x = torch.eye(16)
    layer(x)
    layer.weight.mul_(3)
    assert torch.allclose(layer(x), layer.dense(x))
    layer.load_state_dict(nn.Linear(16, 16).state_dict())
    assert torch.allclose(layer(x), layer.dense(x))
    with torch.inference_mode():
        assert torch.allclose(layer(x), layer.dense(x))


def test_what_is_left_to_the_dense_form_and_why():
    conv = nn.Conv2d(4, 8, 3)
    layer, x = Accelerated(conv, 2.0), torch.ones(1, 4, 5, 5)
    assert layer.unsupported(x) is None
    assert "gradient" in str(layer.unsupported(x.clone().requires_grad_()))
    assert "float64" in str(layer.unsupported(x.double()))
    assert "bfloat16" in str(layer.unsupported(x.bfloat16()))
    assert "meta" in str(layer.unsupported(x.to("meta")))
    reasons: list[str | None] = []
    torch.vmap(lambda x: reasons.append(layer.unsupported(x)) or layer(x))(x[None])
    assert "transforms" in str(reasons[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert "autocast" in str(layer.unsupported(x))
        assert layer(x).dtype == torch.bfloat16
    leaf = x.clone().requires_grad_()
    layer(leaf).sum().backward()
    assert torch.equal(leaf.grad, torch.autograd.grad(conv(leaf).sum(), leaf)[0])
    assert layer.double()(x.double()).dtype == torch.float64
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
    assert layer.float().to("meta")(x.to("meta")).shape == (1, 8, 3, 3)


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding_mode="circular"),
     nn.Conv1d(4, 4, 3), nn.ReLU()],
)  # fmt: skip
def test_other_layers_are_refused(layer):
    with pytest.raises(ValueError, match=r"Accelerated got .*, expected nn.Linear or nn.Conv2d with groups=1"):
        Accelerated(layer, 0.5)


def test_rows_too_long_to_list_are_dense():
    layer = Accelerated(nn.Conv2d(2, 3, 1), 2.0)
    x = (torch.rand(1, 2, 1, 40_000) < 0.1).float()
    assert events.image(x, layer.window, False) is None
    assert torch.equal(layer(x), layer.dense(x))


def test_processors_without_the_compress_instruction(monkeypatch):
    conv = nn.Conv2d(19, 6, 3).requires_grad_(False)
    x = spikes("signed", (2, 19, 6, 7), 0.3)
    expected = Accelerated(conv, 2.0)(x)
    monkeypatch.setattr(events, "compress", lambda: False)
    events._pack.cache_clear()
    try:
        assert torch.equal(Accelerated(conv, 2.0)(x), expected)
    finally:
        events._pack.cache_clear()


def test_two_threads_make_the_same():
    conv = nn.Conv2d(24, 40, 3, padding=1).requires_grad_(False)
    x = spikes("ones", (7, 24, 33, 31), 0.2)
    layers = [Accelerated(conv, 2.0), Accelerated(conv, 2.0, 1.0), Accelerated(conv, 0.0, 1.0)]
    expected = [layer(x) for layer in layers]
    torch.set_num_threads(2)
    try:
        assert all(torch.equal(layer(x), y) for layer, y in zip(layers, expected, strict=True))
    finally:
        torch.set_num_threads(1)


def rounded(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """The float64 layer whose weights are what bytes stand for."""
    flat = layer.weight.detach().flatten(1)
    scale = flat.abs().amax(1, keepdim=True) / 127
    twin = type(layer)(*(layer.in_features, layer.out_features)) if isinstance(layer, nn.Linear) else None
    twin = twin or nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
    twin = twin.double().requires_grad_(False)
    twin.weight.copy_(((flat / scale).round() * scale).view_as(layer.weight))
    twin.bias.copy_(layer.bias)
    return twin


@pytest.mark.parametrize("break_even", [0.0, 1e9])
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv2d(17, 33, 3, 2, 1), (9, 7)), (nn.Conv2d(40, 16, 1), (3, 5)), (nn.Conv2d(96, 200, 3), (5, 6)),
        (nn.Conv2d(9, 64, 3, padding=2), (6, 6)), (nn.Linear(700, 300), ()), (nn.Linear(30, 3), ()),
    ],
)  # fmt: skip
def test_bytes_sum_exactly(layer, size, break_even):
    twin = rounded(layer.requires_grad_(False))
    for quantum, most in ((1.0, 1), (0.37, 1), (0.25, 4), (0.1, 127)):
        for rate in RATES:
            channels = (layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels, *size)
            shape = (3, *channels)
            x = (torch.rand(shape) < rate) * torch.randint(1, most + 1, shape) * quantum
            expected = twin(x.double()).float()
            bound = 1e-5 * float(expected.abs().max()) + 1e-6
            got = Accelerated(layer, break_even, quantum)(x)
            assert float((got - expected).abs().max()) < bound
            # the promised bound on the error of int8: half a step of the weights per unit of input
            step = layer.weight.flatten(1).abs().amax() / 254
            off = (got - layer(x)).abs().max()
            assert off <= float(step * x.flatten(1).sum(1).max()) + bound


def test_inputs_that_are_no_levels_are_computed_in_float():
    conv = nn.Conv2d(8, 8, 3).requires_grad_(False)
    x = spikes("ones", (2, 8, 6, 6), 0.3)
    for value in (0.5, -1.0, 1.01, 128.0, 1e9):
        x[0, 0, 0, 0] = value
        for break_even in (0.0, 1e9):
            layer = Accelerated(conv, break_even, 1.0)
            assert torch.equal(layer(x), layer.dense(last(x)))


def test_the_quantum_of_an_input():
    assert int8.quantum(torch.tensor([0.0, 0.25, 1.0])) == 0.25
    assert int8.quantum(torch.tensor([0.0, 0.37])) == pytest.approx(0.37)
    assert int8.quantum(torch.zeros(3)) is None
    assert int8.quantum(torch.tensor([-1.0, 1.0])) is None
    assert int8.quantum(torch.rand(100)) is None
    assert int8.levels(torch.tensor([0.0, 0.5, 63.5]), 0.5).tolist() == [0, 1, 127]
