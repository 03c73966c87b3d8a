"""Attention on spikes: no softmax, since sums of spikes are not negative; a neuron turns the sum into spikes again.

With ``q, k, v`` the spikes of a head, ``[d, N]`` (features, tokens), ``SN`` a neuron and ``∘`` a product of elements:

* ``"product"``: ``SN(scale·(q·kᵀ)·v)``. Zhou et al., ICLR 2023, "Spikformer"; SDSA-3 of Yao et al., ICLR 2024.
* ``"mask"``: ``q ∘ SN(Σ_tokens k ∘ v)``, one mask over features. Yao et al., NeurIPS 2023, "Spike-driven Transformer".
* ``"token"``: ``k ∘ SN(Σ_features q)``, one mask over tokens. Zhou et al., NeurIPS 2024, "QKFormer".
* ``"channel"``: ``k ∘ SN(Σ_tokens q)``, one mask over features. The same.

All but the first are linear in tokens without a matrix product. A block adds its branch in one of two ways:

* ``"spike"``: the branch ends in a neuron, and spikes are added up: small whole numbers enter the next layer.
* ``"membrane"``: the branch begins with a neuron, and currents are added: 0 or 1 enters every layer of a branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ..layers import Spiking
from .build import Factory, Norm, check_choice

Kind = Literal["product", "mask", "token", "channel"]
Shortcut = Literal["spike", "membrane"]
KINDS = ("product", "mask", "token", "channel")
SHORTCUTS = ("spike", "membrane")


def conv_norm(
    inside: int, outside: int, norm: Norm, size: int = 1, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Sequential:
    """A convolution of ``size×size``, padded so that stride 1 keeps the image, and its normalisation."""
    return nn.Sequential(nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=bias), norm(outside))


def attending(activation: Factory, threshold: float) -> nn.Module:
    """One more activation; if it is a neuron with a threshold in the units of its input, that one is ``threshold``."""
    site = activation()
    if isinstance(site, Spiking) and "threshold" in site.neuron.kind.positive:
        if "threshold" in site.learned:
            with torch.no_grad():
                site.threshold.fill_(threshold)  # type: ignore[operator, union-attr]
        else:
            site.neuron = site.neuron.replace(threshold=threshold)
    return site


def product(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``(q·kᵀ)·v`` over tokens for ``[..., d, N]``, computed as ``(v·kᵀ)·q``: d²N operations in place of dN².

    On spikes both orders are sums of whole numbers, so equal to the last bit.
    """
    return (v @ k.transpose(-1, -2)) @ q


class SpikingAttention(nn.Module):
    """``[B, width, H, W]`` → the same shape, pixels being tokens; see the module for the kinds.

    :param width: features of a token, a multiple of ``heads``. :param heads: which share them.
    :param activation: makes one activation per site. :param norm: makes the normalisation after each linear map.
    :param kind: ``"product"``, ``"mask"``, ``"token"`` or ``"channel"``.
    :param shortcut: ``"spike"`` or ``"membrane"``.
    :param scale: of the product; 0.125 is published.
    :param threshold: of the neuron in the attention (a deep activation has none); 0.5 is published.
    :param bias: whether the maps to q, k and v have one, idle before the normalisation as it is.
    :param linear: makes each linear map with its normalisation; default a 1×1 convolution.
    :raises ValueError: for a kind or a shortcut that is not known.
    """

    def __init__(
        self, width: int, heads: int, activation: Factory, norm: Norm = nn.BatchNorm2d, kind: Kind = "product",
        shortcut: Shortcut = "spike", scale: float = 0.125, threshold: float = 0.5, bias: bool = False,
        linear: Callable[[], nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        check_choice("SpikingAttention", "kind", kind, KINDS)
        check_choice("SpikingAttention", "shortcut", shortcut, SHORTCUTS)
        self.heads, self.kind, self.scale = heads, kind, scale

        def site(bias: bool) -> nn.Sequential:
            return nn.Sequential(linear() if linear else conv_norm(width, width, norm, bias=bias), activation())

        self.act_in = activation() if shortcut == "membrane" else nn.Identity()
        self.q, self.k = site(bias), site(bias)
        self.v = site(bias) if kind in ("product", "mask") else None
        self.act = attending(activation, threshold)
        self.proj = linear() if linear else conv_norm(width, width, norm, bias=True)
        self.act_out = activation() if shortcut == "spike" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width, H, W]`` → the branch alone, without the shortcut."""
        x = self.act_in(x)
        q, k = self._tokens(self.q(x)), self._tokens(self.k(x))
        if self.v is None:
            y = k * self.act(q.sum(2 if self.kind == "token" else 3, keepdim=True))
        elif self.kind == "mask":
            y = q * self.act((k * self._tokens(self.v(x))).sum(3, keepdim=True))
        else:
            y = self.act(self.scale * product(q, k, self._tokens(self.v(x))))
        return self.act_out(self.proj(y.flatten(1, 2).unflatten(2, x.shape[2:])))

    def _tokens(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, -1)).flatten(3)  # [B, heads, d, N]

    def extra_repr(self) -> str:
        """The kind, the heads and the scale."""
        return f"kind={self.kind!r}, heads={self.heads}" + (f", scale={self.scale}" if self.kind == "product" else "")


class SpikingMLP(nn.Module):
    """Two linear layers on each token: ``[B, width, H, W]`` → the same shape, the branch alone.

    :param width: features of a token. :param hidden: of the layer between. :param activation: makes one activation.
    :param norm: makes the normalisation after each. :param shortcut: ``"spike"`` or ``"membrane"``.
    """

    def __init__(
        self, width: int, hidden: int, activation: Factory, norm: Norm = nn.BatchNorm2d, shortcut: Shortcut = "spike"
    ) -> None:
        super().__init__()
        check_choice("SpikingMLP", "shortcut", shortcut, SHORTCUTS)
        self.act_in = activation() if shortcut == "membrane" else nn.Identity()
        self.fc1 = conv_norm(width, hidden, norm, bias=True)
        self.act = activation()
        self.fc2 = conv_norm(hidden, width, norm, bias=True)
        self.act_out = activation() if shortcut == "spike" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width, H, W]`` → the same shape."""
        return self.act_out(self.fc2(self.act(self.fc1(self.act_in(x)))))


class SpikingBlock(nn.Module):
    """``x + attention(x)``, then ``x + mlp(x)``: ``[B, width, H, W]`` → the same shape."""

    def __init__(self, attention: SpikingAttention, mlp: SpikingMLP) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width, H, W]`` → the same shape."""
        x = x + self.attention(x)
        return x + self.mlp(x)


def check_attention(
    owner: str, heads: int, widths: tuple[int, ...], ratio: float, scale: float, threshold: float
) -> None:
    """``ValueError`` in the name of ``owner`` unless heads divide all widths and the others are positive and finite."""
    for width in widths:
        if width % heads:
            raise ValueError(
                f"{owner} got width={width} and heads={heads}, expected a multiple of the heads; choose another."
            )
    for name, value in (("ratio", ratio), ("scale", scale), ("threshold", threshold)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{owner} got {name}={value}, expected more than 0 and finite; pass such a number.")
