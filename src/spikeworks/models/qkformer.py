"""QKFormer: stages that halve the image, masks of tokens in the early ones, attention by product in the last.

Zhou et al., NeurIPS 2024, "QKFormer: Hierarchical Spiking Transformer using Q-K Attention". Spikes are added in every
shortcut, so small whole numbers enter the layers; stochastic depth, which belongs to training, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from .build import Factory, Norm, check_choice, check_sizes, constructor
from .spiking_attention import KINDS, Kind, SpikingAttention, SpikingBlock, SpikingMLP, check_attention, conv_norm


@dataclass(frozen=True)
class QKFormerConfig:
    """The shape of a QKFormer.

    :param widths: features of a token in each stage, multiples of ``heads``; stages but the first halve the image.
    :param depths: blocks in each stage. :param attentions: of each stage, see :mod:`.spiking_attention`.
    :param heads: of every attention. :param ratio: hidden features of a small network, in units of its width; > 0.
    :param stem: ``"cifar"``, which keeps the image, or ``"events"``, which takes an eighth of each side.
    :param classes: outputs. :param in_channels: 1 for grey, 3 for colour, 2 for events of two polarities.
    :param scale: of the product. :param threshold: of the neuron in the attention.
    :param norm: makes the normalisation after each convolution.
    :raises ValueError: for a size out of range, sizes that do not divide, or a choice that is not known.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    attentions: tuple[Kind, ...]
    heads: int = 8
    ratio: float = 4.0
    stem: Literal["cifar", "events"] = "cifar"
    classes: int = 10
    in_channels: int = 3
    scale: float = 0.125
    threshold: float = 0.5
    norm: Norm = nn.BatchNorm2d

    def __post_init__(self) -> None:
        check_choice("QKFormer", "stem", self.stem, ("cifar", "events"))
        for attention in self.attentions:
            check_choice("QKFormer", "attentions", attention, KINDS)
        check_sizes(
            "QKFormer", 1.0, widths=self.widths, depths=self.depths, heads=self.heads, classes=self.classes,
            in_channels=self.in_channels,
        )  # fmt: skip
        if not len(self.widths) == len(self.depths) == len(self.attentions) > 0:
            raise ValueError(
                f"QKFormer got {len(self.widths)} widths, {len(self.depths)} depths and {len(self.attentions)} "
                "attentions, expected as many, one for each stage; make them equally long."
            )
        check_attention("QKFormer", self.heads, self.widths, self.ratio, self.scale, self.threshold)
        part = 8 if self.stem == "events" else 2
        if self.widths[0] % part:
            raise ValueError(
                f"QKFormer got width={self.widths[0]} in the first stage, expected a multiple of {part}; choose "
                "another."
            )


class Embedding(nn.Module):
    """Two branches of spikes, added: 3×3 convolutions, and one of 1×1 in as many strides as those have pools.

    :param channels: what comes in, and what each 3×3 convolution puts out. :param pools: whether each is pooled, before
        its activation. :param activation: makes one activation per site. :param norm: makes one normalisation.
    """

    def __init__(self, channels: tuple[int, ...], pools: tuple[bool, ...], activation: Factory, norm: Norm) -> None:
        super().__init__()
        self.branch = nn.Sequential()
        for inside, outside, pooled in zip(channels[:-1], channels[1:], pools, strict=True):
            self.branch.append(conv_norm(inside, outside, norm, 3))
            if pooled:
                self.branch.append(nn.MaxPool2d(3, 2, padding=1))
            self.branch.append(activation())
        self.shortcut = conv_norm(channels[0], channels[-1], norm, stride=2 ** sum(pools)).append(activation())

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C', H', W']``."""
        return self.branch(x) + self.shortcut(x)


def _stem(config: QKFormerConfig, activation: Factory) -> nn.Sequential:
    norm, width = config.norm, config.widths[0]
    if config.stem == "cifar":
        first = conv_norm(config.in_channels, width // 2, norm, 3).append(activation())
        return first.append(Embedding((width // 2, width), (False,), activation, norm))
    first = conv_norm(config.in_channels, width // 8, norm, 3).append(activation())
    first.extend([conv_norm(width // 8, width // 4, norm, 3), nn.MaxPool2d(3, 2, padding=1), activation()])
    return first.append(Embedding((width // 4, width // 2, width), (True, True), activation, norm))


class QKFormer(nn.Module):
    """``[B, in_channels, H, W]`` → logits ``[B, classes]``: stem, stages, mean over the image, linear layer.

    :param config: the shape. :param activation: makes one activation per site.
    """

    def __init__(self, config: QKFormerConfig, activation: Factory) -> None:
        super().__init__()
        self.config = config
        norm, widths = config.norm, config.widths
        self.stages = nn.Sequential()
        for stage, (width, depth, kind) in enumerate(zip(widths, config.depths, config.attentions, strict=True)):
            if stage:
                blocks = nn.Sequential(Embedding((widths[stage - 1], width, width), (False, True), activation, norm))
            else:
                blocks = _stem(config, activation)
            for _ in range(depth):
                attention = SpikingAttention(
                    width, config.heads, activation, norm, kind, "spike", config.scale, config.threshold
                )
                hidden = max(1, round(config.ratio * width))
                blocks.append(SpikingBlock(attention, SpikingMLP(width, hidden, activation, norm)))
            self.stages.append(blocks)
        self.head = nn.Linear(widths[-1], config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, classes]``."""
        return self.head(self.stages(x).flatten(2).mean(2))


def _make(sizes: dict[str, object], classes: int, activation: Factory, options: dict[str, object]) -> QKFormer:
    return QKFormer(QKFormerConfig(classes=classes, **sizes | options), activation)  # type: ignore[arg-type]


@constructor
def qkformer_4_384(classes: int, activation: Factory, **options: object) -> QKFormer:
    """QKFormer for images of 32×32, 6.74 M parameters with 100 classes; options as in :class:`QKFormerConfig`."""
    sizes = {"widths": (96, 192, 384), "depths": (1, 1, 2), "attentions": ("token", "token", "product")}
    return _make(sizes, classes, activation, options)


@constructor
def qkformer_2_256(classes: int, activation: Factory, **options: object) -> QKFormer:
    """QKFormer for event frames of 128×128, 1.50 M; options as in :class:`QKFormerConfig`. The published size asks for
    small networks of ratio 1."""
    sizes = {
        "widths": (128, 256), "depths": (1, 1), "attentions": ("token", "product"), "heads": 16, "ratio": 1.0,
        "stem": "events", "in_channels": 2,
    }  # fmt: skip
    return _make(sizes, classes, activation, options)
