"""The graph pass on transformers: attention written in every way, as functions that can be compensated."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeworks.convert.encoders import insert_encoders, site_kind
from spikeworks.convert.function import Function
from spikeworks.convert.graph import channel_axis, normalise, sites, until
from spikeworks.convert.verify import verify
from spikeworks.models import vit_tiny

E, H, N = 12, 3, 7
MASK = torch.ones(N, N, dtype=torch.bool).tril()


class Net(nn.Module):
    """``body(self, q, k, v)`` on tokens ``[B, H, N, E/H]``, normalised before and read out after."""

    def __init__(self, body: Callable[[Any, Tensor, Tensor, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(5, E), nn.LayerNorm(E)
        self.qkv, self.proj, self.head = nn.Linear(E, 3 * E), nn.Linear(E, E), nn.Linear(E, 4)
        for name, part in parts.items():
            self.register_buffer(name, part) if isinstance(part, Tensor) else self.add_module(name, part)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = self.qkv(self.norm(x)).reshape(x.shape[0], N, 3, H, E // H).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(self.body(self, q, k, v).transpose(1, 2).flatten(2))
        return self.head(x.mean(1))


def by_hand(self: Any, q: Tensor, k: Tensor, v: Tensor, scores: Callable[[Tensor], Tensor]) -> Tensor:
    return scores(q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v


ATTENTION: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
    "matmul": (lambda s, q, k, v: by_hand(s, q, k, v, lambda a: a), {}),
    "functional": (lambda s, q, k, v: torch.matmul(F.softmax(torch.matmul(q * 0.5, k.mT), dim=3), v), {}),
    "module": (lambda s, q, k, v: s.drop(s.soft(q @ k.mT / 2)) @ v, {"soft": nn.Softmax(-1), "drop": nn.Dropout()}),
    "einsum": (
        lambda s, q, k, v: torch.einsum(
            "b h i j, b h j d -> b h i d", torch.einsum("bhid,bhjd->bhij", q, k).softmax(-1), v
        ),
        {},
    ),
    "bmm": (
        lambda s, q, k, v: torch.bmm((q.mean(1) @ k.mean(1).mT).softmax(-1), v[:, 0]).unsqueeze(1).repeat(1, H, 1, 1),
        {},
    ),
    "sdpa": (lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v), {}),
    "sdpa scaled": (lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.1), {}),
    "sdpa causal": (lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), {}),
    "sdpa mask": (lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=s.mask), {"mask": MASK}),
    "sdpa bias": (lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v, s.bias), {"bias": torch.randn(H, N, N)}),
    "sdpa infinite": (
        lambda s, q, k, v: F.scaled_dot_product_attention(q, k, v, s.mask),
        {"mask": torch.zeros(N, N).masked_fill(~MASK, -math.inf)},
    ),
    "masked fill": (
        lambda s, q, k, v: by_hand(s, q, k, v, lambda a: a.masked_fill(s.mask[: a.size(-1)] == 0, float("-inf"))),
        {"mask": MASK},
    ),
    "where": (
        lambda s, q, k, v: by_hand(s, q, k, v, lambda a: torch.where(s.mask, a, torch.finfo(torch.float32).min) * 1.0),
        {"mask": MASK},
    ),
    "added mask": (
        lambda s, q, k, v: by_hand(s, q, k, v, lambda a: (a + s.mask[None, None, :, : a.shape[-1]]).float()),
        {"mask": torch.zeros(N, N).masked_fill(~MASK, -math.inf)},
    ),
}  # fmt: skip


def equal(network: nn.Module, source: nn.Module, x: Tensor) -> None:
    torch.testing.assert_close(network(x), source(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(network(x[:1]), source(x)[:1], rtol=1e-5, atol=1e-5)


def kinds(network: nn.Module) -> list[str]:
    return [module.kind for module in network.modules() if isinstance(module, Function)]


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_in_any_writing_becomes_two_products_and_a_softmax(name: str) -> None:
    body, parts = ATTENTION[name]
    source, x = Net(body, **parts).eval(), torch.randn(4, N, 5)
    network = normalise(source, nonlinear=True)
    equal(network, source, x)
    assert sorted(kinds(network)) == ["layer_norm", "matmul", "matmul", "softmax"]
    products = [m for m in network.modules() if isinstance(m, Function) and m.contraction]
    assert [m.arity for m in products] == [2, 2]
    insert_encoders(network)
    equal(network, source, x)
    places = [n.rpartition("_input")[0] for n in sites(network)]
    assert places[0] == "qkv"
    assert places[-1] == "proj"
    assert len(places) == 6
    assert all(site_kind(network, n) == "encoder" for n in sites(network))
    equal(copy.deepcopy(network), source, x)
    equal(pickle.loads(pickle.dumps(network)), source, x)
    assert sites(normalise(network, nonlinear=True)) == sites(network)


class RMSNorm(nn.Module):
    """Written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(E) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)


class Gated(nn.Module):
    """A block as language models have it: RMS normalisation, a gate, no ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(5, E), RMSNorm()
        self.gate, self.up, self.down = nn.Linear(E, 9), nn.Linear(E, 9), nn.Linear(9, E)
        self.head = nn.Linear(E, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        y = self.norm(x)
        return self.head((x + self.down(F.silu(self.gate(y)) * self.up(y))).mean(1))


def test_gates_and_normalisation_written_by_hand() -> None:
    source, x = Gated().eval(), torch.randn(3, N, 5)
    network = normalise(source, nonlinear=True)
    equal(network, source, x)
    assert kinds(network) == ["pow", "rsqrt", "product", "silu", "product"]
    assert [
        n for n in ("norm.pow", "norm.rsqrt", "norm.mul", "silu", "mul") if not hasattr(network, n.split(".")[0])
    ] == []
    insert_encoders(network)
    assert sites(network) == ["gate_input", "down_input"]  # one for gate and up; none for products of elements
    equal(network, source, x)


class Plain(nn.Module):
    """``body(self, y)`` on what a linear layer makes of ``[B, N, 5]``."""

    def __init__(self, body: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.embed, self.body = nn.Linear(5, E), body
        for name, part in parts.items():
            self.register_buffer(name, part) if isinstance(part, Tensor) else self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, self.embed(x))


SINGLE: dict[str, tuple[Callable[[Any, Tensor], Tensor], dict[str, Any], list[str]]] = {
    "modules": (
        lambda s, y: s.b(s.a(y)) + s.c(y) + s.d(s.a(y)),
        {"a": nn.SiLU(inplace=True), "b": nn.Sigmoid(), "c": nn.Hardtanh(), "d": nn.RMSNorm(E)},
        ["silu", "sigmoid", "hardtanh", "rms_norm", "silu"],
    ),
    "functions": (
        lambda s, y: F.elu(y, 0.5) + F.leaky_relu(y, negative_slope=0.2) + torch.tanh(y) + y.clamp(-1, 1) + F.mish(y),
        {},
        ["elu", "leaky_relu", "tanh", "clamp", "mish"],
    ),
    "norms": (
        lambda s, y: F.layer_norm(y, (y.shape[-1],), s.w, None) + F.normalize(y, dim=-1) + s.g(y.mT).mT,
        {"w": torch.rand(E), "g": nn.GroupNorm(3, E)},
        ["layer_norm", "normalize", "group_norm"],
    ),
    "powers": (
        lambda s, y: y**2 + y.abs().sqrt() + torch.exp(y) + 1 / (2 + y.square()) + y.var(-1, keepdim=True),
        {},
        ["pow", "abs", "sqrt", "exp", "square", "division", "var"],
    ),
    "two": (
        lambda s, y: torch.maximum(y, y * 2) + y * y + y / (3 + y.abs()) + y.amax(1, keepdim=True),
        {},
        ["maximum", "product", "abs", "division", "amax"],
    ),
    "three": (lambda s, y: torch.einsum("bnd,bnd,bnd->bnd", y, y, y), {}, ["matmul"]),
}


@pytest.mark.parametrize("name", SINGLE)
def test_functions_keep_their_arguments(name: str) -> None:
    body, parts, expected = SINGLE[name]
    source, x = Plain(body, **parts).eval(), torch.randn(3, N, 5)
    network = normalise(source, nonlinear=True)
    found = [network.get_submodule(str(n.target)) for n in network.graph.nodes if n.op == "call_module"]
    functions = [module for module in found if isinstance(module, Function)]
    assert sorted(f.kind for f in functions) == sorted(expected)
    equal(network, source, x)
    equal(pickle.loads(pickle.dumps(network)), source, x)
    assert sum(f.bilinear for f in functions) == (name == "two")
    for node in network.graph.nodes:
        if node.op == "call_module" and isinstance(module := network.get_submodule(node.target), Function):
            assert len(node.args) == module.arity + (name == "norms" and module.kind == "layer_norm")


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], dict[str, Any], str]] = {
    "rounded": (lambda s, y: torch.round(y), {}, "round"),
    "sorted": (lambda s, y: y.sort(-1)[0], {}, "sort"),
    "argmax": (lambda s, y: y.argmax(-1).float(), {}, "argmax"),
    "softmax of samples": (lambda s, y: y.softmax(0), {}, "softmax over the batch axis"),
    "module of samples": (lambda s, y: s.a(y), {"a": nn.Softmax(0)}, "Softmax over the batch axis"),
    "largest of all": (lambda s, y: y - y.amax(), {}, "amax over the batch axis"),
    "samples times samples": (lambda s, y: y.transpose(0, 1) @ y, {}, "batch on different axes"),
    "infinite": (lambda s, y: y.masked_fill(s.m, -math.inf) * 2, {"m": torch.eye(E) > 0}, "infinite values"),
    "mask of the input": (lambda s, y: y.masked_fill(y > 0, 0.0), {}, "gt"),
    "recurrent": (lambda s, y: s.a(y)[0], {"a": nn.LSTM(E, E, batch_first=True)}, "LSTM"),
    "queries in groups": (
        lambda s, y: F.scaled_dot_product_attention(y[:, None], y[:, None], y[:, None], enable_gqa=True),
        {},
        "grouped queries",
    ),
    "dropout": (lambda s, y: F.scaled_dot_product_attention(y, y, y, dropout_p=0.5), {}, "dropout_p"),
    "bias tokens": (
        lambda s, y: s.a(y, y, y)[0],
        {"a": nn.MultiheadAttention(E, H, add_bias_kv=True, batch_first=True)},
        "add_bias_kv in 'a'",
    ),
    "mask per sample": (
        lambda s, y: s.a(y, y, y, key_padding_mask=s.m)[0],
        {"a": nn.MultiheadAttention(E, H, batch_first=True), "m": torch.zeros(3, N, dtype=torch.bool)},
        "mask per sample in 'a'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_by_name(name: str) -> None:
    body, parts, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        normalise(Plain(body, **parts).eval(), nonlinear=True)
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gelu", "norm", "product", "attention"])
def test_rate_coding_says_who_takes_what_it_refuses(name: str) -> None:
    body, parts = {
        "gelu": (lambda s, y: F.gelu(y), {}),
        "norm": (lambda s, y: s.n(y), {"n": nn.LayerNorm(E)}),
        "product": (lambda s, y: y * y, {}),
        "attention": (lambda s, y: F.scaled_dot_product_attention(y, y, y), {}),
    }[name]
    with pytest.raises(ValueError, match=r"or choose a method that takes it, such as ECMT or DCGS\.$"):
        normalise(Plain(body, **parts).eval())


def test_a_relu_stays_a_site_and_needs_no_encoder() -> None:
    source, x = vit_tiny(4, activation=nn.ReLU, image=8, width=12, heads=3, depth=1).eval(), torch.randn(2, 3, 8, 8)
    network = normalise(source, nonlinear=True)
    insert_encoders(network, head=True)
    block = "blocks.0."
    assert sites(network) == [
        *(f"{block}attention.{n}_input" for n in ("qkv", "matmul")), f"{block}attention.matmul_input_2",
        f"{block}attention.matmul_2_input_2", f"{block}attention.matmul_2_input", f"{block}attention.proj_input",
        f"{block}fc1_input", f"{block}act", "head_input",
    ]  # fmt: skip
    assert [site_kind(network, n) for n in sites(network)][-2:] == ["relu", "encoder"]
    assert [channel_axis(network, n) for n in sites(network)] == [-1, -1, -1, -1, 1, -1, -1, -1, -1]
    equal(network, source, x)
    part = until(network, f"{block}act")
    y = source.blocks[0].norm2(source.blocks[0].attention(source.blocks[0].norm1(z := embedded(source, x))) + z)
    torch.testing.assert_close(part(x), source.blocks[0].fc1(y))


def test_the_largest_of_some_spikes_is_encoded_anew_and_their_mean_is_not() -> None:
    for pool, encoders in ((nn.MaxPool2d(2), ["3_input"]), (nn.AvgPool2d(2), [])):
        source = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), pool, nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten(),
                               nn.Linear(4, 2)).eval()  # fmt: skip
        network = normalise(source, nonlinear=True)
        assert insert_encoders(network) == encoders
        equal(network, source, torch.randn(2, 1, 6, 6))


def embedded(source: Any, x: Tensor) -> Tensor:
    tokens = source.patches(x).flatten(2).transpose(1, 2)
    return torch.cat((source.token.expand(len(x), -1, -1), tokens), 1) + source.position


class Branches(nn.Module):
    """A forward that goes through shapes, as large libraries have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attend, self.head = nn.Linear(5, E), nn.Linear(E, 3 * E), nn.Linear(E, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 3 or x.shape[-1] != 5:
            raise ValueError("wrong")
        y = self.embed(x)
        shape = (*y.shape[:-1], H, -1)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.attend(y).chunk(3, -1))
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        weights = (q @ k.mT).masked_fill(~seen, torch.finfo(q.dtype).min).softmax(-1)
        y = y + (weights @ v).transpose(1, 2).reshape(*x.shape[:2], -1)
        return self.head(y.mean(1))


def test_an_example_tells_the_shapes_that_a_forward_branches_on() -> None:
    source, x = Branches().eval(), torch.randn(4, N, 5)
    with pytest.raises(ValueError, match="cannot be traced"):
        normalise(source, nonlinear=True)
    network = normalise(source, nonlinear=True, example=x[:1] * math.nan)
    assert kinds(network) == ["matmul", "softmax", "matmul"]
    equal(network, source, x)


def test_a_batch_whose_samples_are_mixed_is_found_on_data() -> None:
    source, x = Plain(lambda s, y: F.gelu(y - y.mean(-3, keepdim=True))).eval(), torch.randn(3, N, 5)
    with pytest.raises(ValueError, match="of a sample alone"):
        verify(normalise(source, nonlinear=True), source, x, "convert")
    assert torch.equal(verify(normalise(source, nonlinear=True), source, x[:1], "convert"), source(x[:1]))
