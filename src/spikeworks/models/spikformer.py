"""Transformers of spikes: a stem of convolutions, then blocks of attention on spikes; one shape, three published forms.

* Spikformer: attention by product, spikes added. Zhou et al., ICLR 2023, "Spikformer: When Spiking Neural Network
  Meets Transformer".
* Spike-driven Transformer: attention by mask, currents added, so 0 or 1 enters every layer but the first. Yao et al.,
  NeurIPS 2023.
* Spikingformer is the choice between: ``attention="product", shortcut="membrane"``. Zhou et al., 2023 (reconstructed).

What is published with it and belongs to training is left out: stochastic depth, erosion of event frames. So are
weights that the published code makes and never uses (two layer norms in each block of Spikformer, a map between heads
in each of the Spike-driven Transformer).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..layers.check import at_least
from .build import Factory, Norm, check_choice, check_sizes, constructor
from .spiking_attention import (
    KINDS,
    SHORTCUTS,
    Kind,
    Shortcut,
    SpikingAttention,
    SpikingBlock,
    SpikingMLP,
    check_attention,
    conv_norm,
)


@dataclass(frozen=True)
class SpikformerConfig:
    """The shape of a transformer of spikes.

    :param width: features of a token, a multiple of 8 and of ``heads``. :param depth: blocks. :param heads: in each.
    :param attention: ``"product"``, ``"mask"``, ``"token"`` or ``"channel"``, see :mod:`.spiking_attention`.
    :param shortcut: ``"spike"`` or ``"membrane"``, see there.
    :param pools: whether each of the stem's four convolutions is pooled to half the image.
    :param ratio: hidden features of a block's small network, in units of ``width``; > 0.
    :param classes: outputs. :param in_channels: 1 for grey, 3 for colour, 2 for events of two polarities.
    :param scale: of the product. :param threshold: of the neuron in the attention.
    :param bias: whether the maps to q, k and v have one.
    :param norm: makes the normalisation after each convolution.
    :raises ValueError: for a size out of range, sizes that do not divide, or a choice that is not known.
    """

    width: int
    depth: int
    heads: int
    attention: Kind = "product"
    shortcut: Shortcut = "spike"
    pools: tuple[bool, bool, bool, bool] = (False, False, True, True)
    ratio: float = 4.0
    classes: int = 10
    in_channels: int = 3
    scale: float = 0.125
    threshold: float = 0.5
    bias: bool = False
    norm: Norm = nn.BatchNorm2d

    def __post_init__(self) -> None:
        check_choice("Spikformer", "attention", self.attention, KINDS)
        check_choice("Spikformer", "shortcut", self.shortcut, SHORTCUTS)
        check_sizes(
            "Spikformer", 1.0, depth=self.depth, heads=self.heads, classes=self.classes, in_channels=self.in_channels,
        )  # fmt: skip
        at_least("Spikformer", "width", self.width, 1)
        check_attention("Spikformer", self.heads, (self.width,), self.ratio, self.scale, self.threshold)
        if self.width % 8:
            raise ValueError(
                f"Spikformer got width={self.width}, expected a multiple of 8; the stem begins with width/8."
            )
        if len(self.pools) != 4:
            raise ValueError(f"Spikformer got pools={self.pools}, expected four, one for each convolution of the stem.")


class Stem(nn.Module):
    """Spiking patch splitting: four 3×3 convolutions, and a fifth that tells places apart, around a shortcut.

    ``[B, in_channels, H, W]`` → ``[B, width, H', W']``, every pool halving a side, rounded up. In the spike form spikes
    are pooled and added; in the membrane form the fourth current is pooled, and the fifth added to it.

    :param config: gives width, pools, shortcut and norm. :param activation: makes one activation per site.
    """

    def __init__(self, config: SpikformerConfig, activation: Factory) -> None:
        super().__init__()
        self.shortcut = config.shortcut
        channels = [config.in_channels, *(config.width // part for part in (8, 4, 2, 1))]
        self.convs = nn.Sequential()
        for i, pooled in enumerate(config.pools):
            self.convs.append(conv_norm(channels[i], channels[i + 1], config.norm, 3))
            if i < 3 or self.shortcut == "spike":
                self.convs.append(activation())
            if pooled:
                self.convs.append(nn.MaxPool2d(3, 2, padding=1))
        self.place = conv_norm(config.width, config.width, config.norm, 3)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, width, H', W']``."""
        x = self.convs(x)
        return x + (self.act(self.place(x)) if self.shortcut == "spike" else self.place(self.act(x)))


class Spikformer(nn.Module):
    """``[B, in_channels, H, W]`` → logits ``[B, classes]``: stem, blocks, mean over the image, linear layer.

    In the membrane form a neuron stands between the mean and the linear layer; in the spike form that layer reads the
    mean of spikes, as published.

    :param config: the shape. :param activation: makes one activation per site.
    """

    def __init__(self, config: SpikformerConfig, activation: Factory) -> None:
        super().__init__()
        self.config = config
        width, norm, shortcut = config.width, config.norm, config.shortcut
        hidden = max(1, round(config.ratio * width))
        self.stem = Stem(config, activation)
        self.blocks = nn.Sequential()
        for _ in range(config.depth):
            attention = SpikingAttention(
                width, config.heads, activation, norm, config.attention, shortcut, config.scale, config.threshold,
                config.bias,
            )  # fmt: skip
            self.blocks.append(SpikingBlock(attention, SpikingMLP(width, hidden, activation, norm, shortcut)))
        self.last = activation() if shortcut == "membrane" else nn.Identity()
        self.head = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, classes]``."""
        return self.head(self.last(self.blocks(self.stem(x)).flatten(2).mean(2)))


EVENTS = {"in_channels": 2, "pools": (True,) * 4}
"""What differs for event frames of 128×128."""


def _make(sizes: dict[str, object], classes: int, activation: Factory, options: dict[str, object]) -> Spikformer:
    return Spikformer(SpikformerConfig(classes=classes, **sizes | options), activation)  # type: ignore[arg-type]


@constructor
def spikformer_4_384(classes: int, activation: Factory, **options: object) -> Spikformer:
    """Spikformer-4-384 for images of 32×32, 9.32 M parameters; options as in :class:`SpikformerConfig`."""
    return _make({"width": 384, "depth": 4, "heads": 12, "bias": True}, classes, activation, options)


@constructor
def spikformer_2_256(classes: int, activation: Factory, **options: object) -> Spikformer:
    """Spikformer-2-256 for event frames of 128×128, 2.57 M; scale 0.25, as in the published code."""
    sizes = {"width": 256, "depth": 2, "heads": 16, "scale": 0.25, **EVENTS}
    return _make(sizes, classes, activation, options)


@constructor
def spikformer_8_768(classes: int, activation: Factory, **options: object) -> Spikformer:
    """Spikformer-8-768 for images of 224×224, 66.34 M with 1000 classes; options as in :class:`SpikformerConfig`."""
    return _make({"width": 768, "depth": 8, "heads": 12, "pools": (True,) * 4}, classes, activation, options)


DRIVEN = {"attention": "mask", "shortcut": "membrane"}
"""What makes it the Spike-driven Transformer."""


@constructor
def sdt_2_512(classes: int, activation: Factory, **options: object) -> Spikformer:
    """Spike-driven Transformer-2-512 for images of 32×32, 10.28 M with 100 classes; options as in
    :class:`SpikformerConfig`."""
    return _make({"width": 512, "depth": 2, "heads": 8, **DRIVEN}, classes, activation, options)


@constructor
def sdt_2_256(classes: int, activation: Factory, **options: object) -> Spikformer:
    """Spike-driven Transformer-2-256 for event frames of 128×128, 2.57 M; options as in :class:`SpikformerConfig`."""
    return _make({"width": 256, "depth": 2, "heads": 8, **DRIVEN, **EVENTS}, classes, activation, options)


@constructor
def sdt_8_768(classes: int, activation: Factory, **options: object) -> Spikformer:
    """Spike-driven Transformer-8-768 for images of 224×224, 66.34 M with 1000 classes."""
    sizes = {"width": 768, "depth": 8, "heads": 8, "pools": (True,) * 4, **DRIVEN}
    return _make(sizes, classes, activation, options)
