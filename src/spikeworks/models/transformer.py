"""Vision transformer: an image in patches, each a token; attention between tokens, a small network on each.

``x + proj(softmax(q·kᵀ/√d)·v)``, then ``x + fc2(act(fc1(norm(x))))``, normalisation before each (pre-norm). Dosovitskiy
et al., ICLR 2021, "An Image is Worth 16x16 Words". Attention is written out, so that every operation of it can be seen
by what converts the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..layers.check import at_least
from .build import Factory, check_choice, check_sizes


@dataclass(frozen=True)
class ViTConfig:
    """The shape of a vision transformer.

    :param image: height and width of the input in pixels (one number for both), multiples of ``patch``.
    :param patch: side of a patch in pixels. :param width: features of a token, a multiple of ``heads``.
    :param depth: blocks. :param heads: of the attention in each.
    :param ratio: hidden features of a block's small network, in units of ``width``; > 0.
    :param classes: outputs.
    :param in_channels: 1 for grey, 3 for colour, 2 for events of two polarities.
    :param pool: what the classifier reads: ``"token"``, one more, learned token, or ``"mean"``, the mean of all.
    :param dropout: probability after the position embedding, the attention and the small network, 0 for none.
    :raises ValueError: for a size out of range, sizes that do not divide, or a pooling that is not known.
    """

    image: int | tuple[int, int] = 32
    patch: int = 4
    width: int = 96
    depth: int = 6
    heads: int = 4
    ratio: float = 2.0
    classes: int = 10
    in_channels: int = 3
    pool: Literal["token", "mean"] = "token"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_choice("ViT", "pool", self.pool, ("token", "mean"))
        at_least("ViT", "width", self.width, 1)
        check_sizes(
            "ViT", 1.0, image=self.image, patch=self.patch, depth=self.depth, heads=self.heads, classes=self.classes,
            in_channels=self.in_channels,
        )  # fmt: skip
        if any(side % self.patch for side in self.sides):
            raise ValueError(
                f"ViT got image={self.image} and patch={self.patch}, expected sides that are multiples of the patch; "
                "pad the image or choose another patch."
            )
        if self.width % self.heads:
            raise ValueError(
                f"ViT got width={self.width} and heads={self.heads}, expected a multiple of the heads; choose another."
            )
        if not 0 < self.ratio < math.inf:
            raise ValueError(f"ViT got ratio={self.ratio}, expected more than 0 and finite; 4 is the published ratio.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"ViT got dropout={self.dropout}, expected 0 <= dropout < 1; pass a probability.")

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the input."""
        return (self.image, self.image) if isinstance(self.image, int) else self.image

    @property
    def tokens(self) -> int:
        """Patches, and one more for the class token."""
        return math.prod(side // self.patch for side in self.sides) + (self.pool == "token")


class SelfAttention(nn.Module):
    """Attention of tokens to each other: ``[B, N, width]`` → the same shape.

    :param width: features of a token. :param heads: which share them.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, N, width]`` → ``[B, N, width]``."""
        q, k, v = self.qkv(x).chunk(3, dim=2)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        weights = torch.softmax(q @ k.transpose(2, 3) * self.scale, dim=3)  # [B, heads, N, N]
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention, then two linear layers on each token, both around a shortcut: ``[B, N, width]`` → the same shape.

    :param config: gives width, heads, ratio and dropout. :param activation: makes the activation between the layers.
    """

    def __init__(self, config: ViTConfig, activation: Factory) -> None:
        super().__init__()
        hidden = max(1, round(config.ratio * config.width))
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = SelfAttention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, hidden)
        self.act = activation()
        self.fc2 = nn.Linear(hidden, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, N, width]`` → ``[B, N, width]``."""
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.fc2(self.act(self.fc1(self.norm2(x)))))


class ViT(nn.Module):
    """``[B, in_channels, H, W]`` → logits ``[B, classes]``: patches, learned positions, blocks, norm, linear layer.

    :param config: the shape. :param activation: makes the activation of each block.
    """

    def __init__(self, config: ViTConfig, activation: Factory = nn.GELU) -> None:
        super().__init__()
        self.config = config
        self.patches = nn.Conv2d(config.in_channels, config.width, config.patch, config.patch)
        self.token = nn.Parameter(torch.zeros(1, 1, config.width)) if config.pool == "token" else None
        self.position = nn.Parameter(torch.zeros(1, config.tokens, config.width))
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.Sequential(*(TransformerBlock(config, activation) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, classes]``."""
        y = self.patches(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            y = torch.cat((self.token.expand(x.shape[0], -1, -1), y), dim=1)
        y = self.norm(self.blocks(self.drop(y + self.position)))
        return self.head(y[:, 0] if self.token is not None else y.mean(1))


def vit_tiny(
    classes: int = 10, *, activation: Factory = nn.GELU, generator: torch.Generator | None = None, **options: object
) -> ViT:
    """A transformer for images of 28×28 or 32×32: patches of 4, 96 features, 6 blocks of 4 heads; 0.46 M parameters.

    :param activation: makes the activation of each block; ``nn.ReLU`` for one that is a spiking site itself.
    :param generator: where initial weights are drawn from (a CPU generator); default torch's own.
    :param options: fields of :class:`ViTConfig`, such as ``image=28, in_channels=1``.
    :raises ValueError: as :class:`ViTConfig`, and for an ``activation`` that is no factory.
    """
    if isinstance(activation, nn.Module) or not callable(activation):
        raise ValueError(
            f"vit_tiny got activation={activation}, expected what makes a new module at each call; pass nn.GELU, "
            "without brackets."
        )
    network = ViT(ViTConfig(classes=classes, **options), activation)  # type: ignore[arg-type]
    for module in network.modules():  # as in the published code: Xavier, biases zero, embeddings small
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1), generator=generator)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    for embedding in (network.position, network.token):
        if embedding is not None:
            nn.init.normal_(embedding, std=0.02, generator=generator)
    return network
