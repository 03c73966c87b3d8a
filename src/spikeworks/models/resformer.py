"""SpikingResformer: stages as in a residual network, attention between spikes and patches, currents added.

Shi et al., CVPR 2024, "SpikingResformer: Bridging ResNet and Vision Transformer in Spiking Neural Networks". Dual spike
self-attention multiplies a current by spikes, twice, so both products are sums of currents where there is a spike:
``a = SN(c₁·(p·Y₁)ᵀ·x)``, ``y = SN(c₂·Y₂·a)``, with x the spikes ``[d, N]``, ``Y₁, Y₂`` currents of patches ``[d, M]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .build import Factory, Norm, check_choice, check_sizes, constructor
from .spiking_attention import check_attention, conv_norm


@dataclass(frozen=True)
class SpikingResformerConfig:
    """The shape of a SpikingResformer.

    :param widths: channels of each stage, multiples of its heads; every stage but the first halves the image.
    :param depths: blocks in each stage. :param heads: of each stage.
    :param patches: side of the patches that each stage's attention looks at, in pixels of its image.
    :param ratio: hidden channels of a block's convolutions, in units of the width; > 0.
    :param group: channels of the hidden 3×3 convolutions that see each other, a divisor of all hidden channels.
    :param stem: ``"cifar"``, a 3×3 convolution, or ``"imagenet"``, 7×7 of stride 2 and a max pool of stride 2.
    :param classes: outputs. :param in_channels: 1 for grey, 3 for colour, 2 for events of two polarities.
    :param norm: makes the normalisation after each convolution.
    :raises ValueError: for a size out of range, sizes that do not divide, or a choice that is not known.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...] = (1, 2, 3)
    heads: tuple[int, ...] = (1, 3, 6)
    patches: tuple[int, ...] = (4, 2, 1)
    ratio: float = 4.0
    group: int = 64
    stem: Literal["cifar", "imagenet"] = "cifar"
    classes: int = 10
    in_channels: int = 3
    norm: Norm = nn.BatchNorm2d

    def __post_init__(self) -> None:
        check_choice("SpikingResformer", "stem", self.stem, ("cifar", "imagenet"))
        check_sizes(
            "SpikingResformer", 1.0, widths=self.widths, depths=self.depths, heads=self.heads, patches=self.patches,
            group=self.group, classes=self.classes, in_channels=self.in_channels,
        )  # fmt: skip
        if not len(self.widths) == len(self.depths) == len(self.heads) == len(self.patches) > 0:
            raise ValueError(
                f"SpikingResformer got {len(self.widths)} widths, {len(self.depths)} depths, {len(self.heads)} heads "
                f"and {len(self.patches)} patches, expected as many, one for each stage; make them equally long."
            )
        for width, heads in zip(self.widths, self.heads, strict=True):
            check_attention("SpikingResformer", heads, (width,), self.ratio, 1.0, 1.0)
            if round(self.ratio * width) % self.group:
                raise ValueError(
                    f"SpikingResformer got width={width}, ratio={self.ratio} and group={self.group}, expected hidden "
                    "channels that are a multiple of the group; choose another."
                )


class ByRate(nn.Module):
    """``1/√(r·n)`` times its input, ``r`` the rate of the spikes that were summed, ``n`` how many may be: variance 1.

    The rate of each head is measured in training and kept as a running mean, which the first batch begins; a head that
    never spiked counts as rate 1e-4, where the published code divides by zero. Before training the rate is 1.

    :param heads: how many. :param momentum: weight of the newest batch in the running mean; 0.001 is published.
    """

    rate: Tensor

    def __init__(self, heads: int, momentum: float = 0.001) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("rate", torch.ones(heads))  # not measured yet

    def forward(self, current: Tensor, spikes: Tensor, terms: int) -> Tensor:
        """``current`` ``[B, heads, ...]``, sums of up to ``terms`` where there are ``spikes`` → the same, scaled."""
        if self.training:
            with torch.no_grad():
                now = spikes.mean((0, 2, 3)).to(self.rate.dtype)
                begun = (self.rate != 1).any()
                self.rate.copy_(torch.where(begun, torch.lerp(self.rate, now, self.momentum), now))
        return current * (self.rate.clamp_min(1e-4) * terms).rsqrt().view(1, -1, 1, 1).to(current.dtype)


class DualSpikeAttention(nn.Module):
    """Attention of all pixels' spikes to currents of patches, around a shortcut: ``[B, width, H, W]`` → the same shape.

    :param width: channels, a multiple of ``heads``. :param heads: which share them. :param patch: side of a patch; what
        it leaves over at two edges is not looked at.
    :param activation: makes one activation per site. :param norm: makes one normalisation.
    """

    def __init__(self, width: int, heads: int, patch: int, activation: Factory, norm: Norm) -> None:
        super().__init__()
        self.heads = heads
        self.act_in = activation()
        self.patches = nn.Sequential(nn.Conv2d(width, 2 * width, patch, patch, bias=False), norm(2 * width))
        self.scale1, self.act1 = ByRate(heads), activation()
        self.scale2, self.act2 = ByRate(heads), activation()
        self.proj = conv_norm(width, width, norm)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width, H, W]`` → the same shape."""
        s = self.act_in(x)
        y1, y2 = self._tokens(self.patches(s)).chunk(2, dim=2)  # [B, heads, d, M] each
        spikes = self._tokens(s)  # [B, heads, d, N]
        seen = self.act1(self.scale1(y1.transpose(2, 3) @ spikes, spikes, spikes.shape[2]))  # [B, heads, M, N]
        y = self.act2(self.scale2(y2 @ seen, seen, seen.shape[2]))
        return x + self.proj(y.flatten(1, 2).unflatten(2, x.shape[2:]))

    def _tokens(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, -1)).flatten(3)


class GroupBlock(nn.Module):
    """1×1 to more channels, 3×3 in groups around a shortcut, 1×1 back, all around a shortcut: shape kept.

    :param width: channels. :param hidden: between. :param group: channels of the 3×3 convolution that see each other.
    :param activation: makes one activation per site. :param norm: as everywhere.
    """

    def __init__(self, width: int, hidden: int, group: int, activation: Factory, norm: Norm) -> None:
        super().__init__()
        self.up = nn.Sequential(activation(), conv_norm(width, hidden, norm))
        self.mix = nn.Sequential(activation(), conv_norm(hidden, hidden, norm, 3, groups=hidden // group))
        self.down = nn.Sequential(activation(), conv_norm(hidden, width, norm))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width, H, W]`` → the same shape."""
        y = self.up(x)
        return x + self.down(y + self.mix(y))


class SpikingResformer(nn.Module):
    """``[B, in_channels, H, W]`` → logits ``[B, classes]``: stem, stages, mean over the image, linear layer.

    The linear layer has no bias and reads the mean current, as published: besides the first it is the
    one layer that no spikes enter.

    :param config: the shape. :param activation: makes one activation per site.
    """

    def __init__(self, config: SpikingResformerConfig, activation: Factory) -> None:
        super().__init__()
        self.config = config
        norm, widths, large = config.norm, config.widths, config.stem == "imagenet"
        self.stem = conv_norm(config.in_channels, widths[0], norm, 7 if large else 3, 2 if large else 1)
        if large:
            self.stem.append(nn.MaxPool2d(3, 2, padding=1))
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths):
            blocks = nn.Sequential()
            if stage:
                blocks.extend([activation(), conv_norm(widths[stage - 1], width, norm, 3, 2)])
            for _ in range(config.depths[stage]):
                blocks.append(DualSpikeAttention(width, config.heads[stage], config.patches[stage], activation, norm))
                blocks.append(GroupBlock(width, round(config.ratio * width), config.group, activation, norm))
            self.stages.append(blocks)
        self.head = nn.Linear(widths[-1], config.classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, classes]``."""
        return self.head(self.stages(self.stem(x)).flatten(2).mean(2))


def _make(
    widths: tuple[int, ...], heads: tuple[int, ...], stem: str, classes: int, activation: Factory,
    options: dict[str, object],
) -> SpikingResformer:  # fmt: skip
    given = {"widths": widths, "heads": heads, "stem": stem, "classes": classes, **options}
    return SpikingResformer(SpikingResformerConfig(**given), activation)  # type: ignore[arg-type]


@constructor
def spikingresformer_cifar(classes: int, activation: Factory, **options: object) -> SpikingResformer:
    """SpikingResformer-Ti for images of 32×32, 10.79 M parameters; options as in :class:`SpikingResformerConfig`."""
    return _make((64, 192, 384), (1, 3, 6), "cifar", classes, activation, options)


@constructor
def spikingresformer_ti(classes: int, activation: Factory, **options: object) -> SpikingResformer:
    """SpikingResformer-Ti for images of 224×224, 11.18 M with 1000 classes."""
    return _make((64, 192, 384), (1, 3, 6), "imagenet", classes, activation, options)


@constructor
def spikingresformer_s(classes: int, activation: Factory, **options: object) -> SpikingResformer:
    """SpikingResformer-S for images of 224×224, 17.81 M with 1000 classes."""
    return _make((64, 256, 512), (1, 4, 8), "imagenet", classes, activation, options)


@constructor
def spikingresformer_m(classes: int, activation: Factory, **options: object) -> SpikingResformer:
    """SpikingResformer-M for images of 224×224, 35.60 M with 1000 classes."""
    return _make((64, 384, 768), (1, 6, 12), "imagenet", classes, activation, options)


@constructor
def spikingresformer_l(classes: int, activation: Factory, **options: object) -> SpikingResformer:
    """SpikingResformer-L for images of 224×224, 60.38 M with 1000 classes."""
    return _make((128, 512, 1024), (2, 8, 16), "imagenet", classes, activation, options)
