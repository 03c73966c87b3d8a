"""Attention written out: torch's fused modules and functions as linear layers, products and softmax, before tracing.

    softmax(q·kᵀ/√d + mask)·v

The modules keep their names and parameters; ``in_proj`` becomes ``q_proj``, ``k_proj`` and ``v_proj``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .affine import refusal


def masked_softmax(scores: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Softmax over the last axis of ``scores`` ``[..., L, S]``.

    :param mask: boolean, true where attention is allowed, or floating, added to the scores; broadcasts.
    :param causal: whether query i sees keys 0 to i only.
    """
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return torch.softmax(scores, dim=-1)


class Attention(nn.Module):
    """Multi-head attention with the parameters and the call of :class:`torch.nn.MultiheadAttention`.

    :param source: what it stands for. :param name: its place, for messages.
    :raises ValueError: for ``add_bias_kv`` and ``add_zero_attn``.
    """

    def __init__(self, source: nn.MultiheadAttention, name: str) -> None:
        super().__init__()
        if source.bias_k is not None or source.add_zero_attn:
            what = "add_bias_kv" if source.bias_k is not None else "add_zero_attn"
            raise ValueError(
                f"convert got attention with {what} in {name!r}, expected attention to the tokens alone; train without."
            )
        self.heads, self.batch_first, self.name = source.num_heads, source.batch_first, name
        biases = (None,) * 3 if source.in_proj_bias is None else source.in_proj_bias.chunk(3)
        together = source.in_proj_weight is not None
        separate = (source.q_proj_weight, source.k_proj_weight, source.v_proj_weight)
        weights: Any = source.in_proj_weight.chunk(3) if together else separate
        self.q_proj, self.k_proj, self.v_proj = (_linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.out_proj = _linear(source.out_proj.weight, source.out_proj.bias)

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        """``[B, L, E]`` (``[L, B, E]`` unless batch_first) → the same shape, and the weights ``[B, L, S]`` if asked.

        ``attn_mask`` ``[L, S]``: boolean, true where attention is *not* allowed, or floating, added.

        :raises ValueError: for a mask per sample.
        """
        if key_padding_mask is not None or (isinstance(attn_mask, Tensor) and attn_mask.dim() != 2):
            raise ValueError(
                f"convert got attention with a mask per sample in {self.name!r}, expected one for all; leave it out."
            )
        if not self.batch_first:
            query, key, value = _swapped(query, key, value)
        q, k, v = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        scores = q @ k.transpose(2, 3) * (self.q_proj.out_features // self.heads) ** -0.5
        if isinstance(attn_mask, Tensor) and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask
        elif isinstance(attn_mask, fx.Proxy):
            attn_mask = allowed(attn_mask)
        weights = masked_softmax(scores, attn_mask)
        y = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        shown = (weights.mean(1) if average_attn_weights else weights) if need_weights else None
        return (y if self.batch_first else y.transpose(0, 1)), shown


def allowed(mask: Any) -> Any:
    """The mask of :func:`masked_softmax` for one of :class:`torch.nn.MultiheadAttention`, where true means hidden."""
    return ~mask if mask.dtype == torch.bool else mask


fx.wrap("masked_softmax")
fx.wrap("allowed")


def _swapped(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Each with the batch in front; what was one tensor stays one."""
    q = query.transpose(0, 1)
    k = q if key is query else key.transpose(0, 1)
    return q, k, k if value is key else value.transpose(0, 1)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(), weight.requires_grad)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), weight.requires_grad)
    return layer


class _Layer(nn.Module):
    """What encoder and decoder layers share: the parts of the source under their names."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        for name, part in source.named_children():
            self.add_module(name, part)
        self.norm_first: bool = source.norm_first  # type: ignore[assignment]
        self.activation: Any = source.activation  # a function, or one of the children

    def feed(self, x: Any) -> Any:
        """The two linear layers on each token."""
        return self.dropout(self.linear2(self.dropout(self.linear1_activated(x))))  # type: ignore[operator]

    def linear1_activated(self, x: Any) -> Any:
        """The first, activated."""
        return self.activation(self.linear1(x))  # type: ignore[operator]


class EncoderLayer(_Layer):
    """:class:`torch.nn.TransformerEncoderLayer`, without its fast path."""

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        """``[B, N, E]`` (``[N, B, E]`` unless batch_first) → the same shape."""
        norm1: Any = self.norm1
        norm2: Any = self.norm2
        attend: Any = self.self_attn
        x = norm1(src) if self.norm_first else src
        y = src + attend(x, x, x, src_key_padding_mask, False, src_mask)[0]
        if self.norm_first:
            return y + self.feed(norm2(y))
        y = norm1(y)
        return norm2(y + self.feed(y))


class DecoderLayer(_Layer):
    """:class:`torch.nn.TransformerDecoderLayer`."""

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None, tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """``[B, N, E]`` and the memory ``[B, M, E]`` (``[N, B, E]`` unless batch_first) → ``[B, N, E]``."""
        norms: list[Any] = [self.norm1, self.norm2, self.norm3]
        attend: Any = self.self_attn
        look: Any = self.multihead_attn
        before = norms if self.norm_first else [lambda x: x] * 3
        after = [lambda x: x] * 3 if self.norm_first else norms
        x = before[0](tgt)
        y = after[0](tgt + attend(x, x, x, tgt_key_padding_mask, False, tgt_mask)[0])
        x = before[1](y)
        y = after[1](y + look(x, memory, memory, memory_key_padding_mask, False, memory_mask)[0])
        return after[2](y + self.feed(before[2](y)))


class Stack(nn.Module):
    """:class:`torch.nn.TransformerEncoder` or :class:`torch.nn.TransformerDecoder`: layers, and a norm last."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.layers: Any = source.layers
        self.norm: Any = source.norm

    def forward(self, *x: Any, **options: Any) -> Any:
        """As the source's; masks go to every layer."""
        first, *rest = x
        options = {{"mask": "src_mask"}.get(key, key): value for key, value in options.items()}
        for layer in self.layers:
            first = layer(first, *rest, **options)
        return first if self.norm is None else self.norm(first)


def write_out(root: nn.Module) -> nn.Module:
    """Put traceable modules for torch's attention and transformer modules into a network, in place.

    :returns: the network, another object if it is such a module itself.
    :raises ValueError: for attention that has no such form.
    """
    holder = nn.Module()
    holder.add_module("network", root)
    kinds: tuple[tuple[type[nn.Module], Callable[[Any, str], nn.Module]], ...] = (
        (nn.MultiheadAttention, lambda module, name: Attention(module, name)),
        (nn.TransformerEncoderLayer, lambda module, name: EncoderLayer(module)),
        (nn.TransformerDecoderLayer, lambda module, name: DecoderLayer(module)),
        (nn.TransformerEncoder, lambda module, name: Stack(module)),
        (nn.TransformerDecoder, lambda module, name: Stack(module)),
    )
    for kind, make in kinds:  # inner ones first
        made: dict[Any, nn.Module] = {}
        for name, module in list(holder.named_modules(remove_duplicate=False)):
            if isinstance(module, kind):
                if module not in made:
                    made[module] = make(module, name.removeprefix("network."))
                holder.set_submodule(name, made[module])
    return holder.network  # type: ignore[return-value]


def expand_attention(network: fx.GraphModule) -> None:
    """Every ``F.scaled_dot_product_attention`` of a graph becomes two products and a softmax.

    :raises ValueError: for dropout in evaluation mode and grouped queries.
    """
    for node in list(network.graph.nodes):
        if node.target is not F.scaled_dot_product_attention:
            continue
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if given.get("enable_gqa"):
            raise refusal(node, "attention with grouped queries", "repeat the keys and values and leave out enable_gqa")
        if given.get("dropout_p"):
            raise refusal(node, "attention with dropout", "pass dropout_p=0.0 in evaluation mode")
        graph, (q, k, v) = network.graph, (given[name] for name in names[:3])
        with graph.inserting_before(node):
            scale = given.get("scale")
            if scale is None:
                scale = graph.call_function(_scale, (graph.call_method("size", (q, -1)),))
            scores = graph.call_function(torch.matmul, (q, graph.call_method("transpose", (k, -2, -1))))
            scores = graph.call_function(torch.mul, (scores, scale))
            masks = {"mask": given.get("attn_mask"), "causal": given.get("is_causal", False)}
            weights = graph.call_function(masked_softmax, (scores,), {n: m for n, m in masks.items() if m is not None})
            y = graph.call_function(torch.matmul, (weights, v))
        _tell(node, y)
        node.replace_all_uses_with(y)
        graph.erase_node(node)


def _scale(size: int) -> float:
    return size**-0.5


def _tell(node: fx.Node, last: fx.Node) -> None:
    """What was put before ``node`` up to ``last`` has the place in the source that ``node`` has."""
    while not last.meta and last.op != "root":
        last.meta = dict(node.meta)
        last = last.prev
