"""VGG: stacks of 3×3 convolutions, each normalised and activated, pooling between, fully connected layers last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor, nn

from .build import Factory, Norm, check_choice, check_sizes, constructor, scaled

Plan = tuple[int | Literal["pool"], ...]
"""Channels of each convolution, and where to pool."""

PLANS: dict[int, Plan] = {
    9: (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool"),
    11: (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"),
    16: (
        64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool",
    ),
}  # fmt: skip
"""Depth → plan; depth counts the convolutions of the plan and the fully connected layers."""


@dataclass(frozen=True)
class VGGConfig:
    """The shape of a VGG.

    :param plan: see :data:`PLANS`.
    :param hidden: features of the hidden fully connected layers; ``()`` for one linear classifier.
    :param classes: outputs.
    :param in_channels: 1 for grey, 3 for colour, 2 for events of two polarities.
    :param image: height and width of the input in pixels (one number for both). Where a side is down to one pixel,
        pooling is left out, so 28 serves as well as 32.
    :param pool: ``"avg"``, which converts without loss, or ``"max"``.
    :param width: factor on the channels of all convolutions, > 0.
    :param dropout: probability after each hidden layer, 0 for none.
    :param norm: makes the normalisation after each convolution.
    :param norm_hidden: makes one after each hidden fully connected layer. The constructors leave it out of the deep
        form, as the original does, and take ``nn.BatchNorm1d`` in the spiking form, where the hidden neurons are
        silent at the start without it (measured rate 0.000 with ``LIF()``, 0.035 with).
    :raises ValueError: for a size out of range, or a pooling that is not known.
    """

    plan: Plan
    hidden: tuple[int, ...]
    classes: int = 10
    in_channels: int = 3
    image: int | tuple[int, int] = 32
    pool: Literal["avg", "max"] = "avg"
    width: float = 1.0
    dropout: float = 0.0
    norm: Norm = nn.BatchNorm2d
    norm_hidden: Norm | None = None

    def __post_init__(self) -> None:
        check_choice("VGG", "pool", self.pool, ("avg", "max"))
        channels = tuple(item for item in self.plan if item != "pool")
        check_sizes(
            "VGG", self.width, plan=channels, hidden=self.hidden, classes=self.classes, in_channels=self.in_channels,
            image=self.image,
        )  # fmt: skip
        if not 0 <= self.dropout < 1:
            raise ValueError(f"VGG got dropout={self.dropout}, expected 0 <= dropout < 1; pass a probability.")


class VGG(nn.Module):
    """``[B, in_channels, H, W]`` → logits ``[B, classes]``. Simonyan and Zisserman, ICLR 2015, with normalisation.

    Convolutions have biases, as in the published conversion networks (QCFS and its successors).

    :param config: the shape.
    :param activation: makes one activation per site.
    """

    def __init__(self, config: VGGConfig, activation: Factory) -> None:
        super().__init__()
        self.config = config
        self.features, features = _features(config, activation)
        layers: list[nn.Module] = []
        for size in config.hidden:
            layers.append(nn.Linear(features, size))
            layers += [config.norm_hidden(size)] if config.norm_hidden else []
            layers.append(activation())
            layers += [nn.Dropout(config.dropout)] if config.dropout else []
            features = size
        self.head = nn.Sequential(*layers, nn.Linear(features, config.classes))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, classes]``."""
        return self.head(self.features(x).flatten(1))


def _features(config: VGGConfig, activation: Factory) -> tuple[nn.Sequential, int]:
    pools = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}
    height, wide = (config.image, config.image) if isinstance(config.image, int) else config.image
    layers: list[nn.Module] = []
    channels = config.in_channels
    for item in config.plan:
        if item != "pool":
            out = scaled(item, config.width)
            layers += [nn.Conv2d(channels, out, 3, padding=1), config.norm(out), activation()]
            channels = out
        elif min(height, wide) >= 2:
            layers.append(pools[config.pool](2))
            height, wide = height // 2, wide // 2
    return nn.Sequential(*layers), channels * height * wide


@partial(constructor, norm_hidden=nn.BatchNorm1d)
def vgg9(classes: int, activation: Factory, hidden: tuple[int, ...] = (1024,), **options: object) -> VGG:
    """VGG-9: 7 convolutions (64, 128, 256 channels) and 1024-C; options as in :class:`VGGConfig`."""
    return VGG(VGGConfig(PLANS[9], hidden, classes, **options), activation)  # type: ignore[arg-type]


@partial(constructor, norm_hidden=nn.BatchNorm1d)
def vgg11(classes: int, activation: Factory, hidden: tuple[int, ...] = (4096, 4096), **options: object) -> VGG:
    """VGG-11: 8 convolutions (64 to 512 channels) and 4096-4096-C; options as in :class:`VGGConfig`."""
    return VGG(VGGConfig(PLANS[11], hidden, classes, **options), activation)  # type: ignore[arg-type]


@partial(constructor, norm_hidden=nn.BatchNorm1d)
def vgg16(classes: int, activation: Factory, hidden: tuple[int, ...] = (4096, 4096), **options: object) -> VGG:
    """VGG-16: 13 convolutions (64 to 512 channels) and 4096-4096-C; options as in :class:`VGGConfig`."""
    return VGG(VGGConfig(PLANS[16], hidden, classes, **options), activation)  # type: ignore[arg-type]
