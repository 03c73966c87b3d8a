"""Meta-SpikeFormer (Spike-driven Transformer v2): blocks of convolutions, then blocks of attention, currents added.

Yao et al., ICLR 2024, "Spike-driven Transformer V2". Chains of linear layers stand between two neurons; each is one
convolution once its statistics are fixed (:func:`merged`), and 0 or 1 enters it. Stochastic depth, a part of
training, is left out, and so is a second classifier for distillation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from .build import Factory, Norm, check_choice, check_sizes, constructor
from .spiking_attention import SpikingAttention, SpikingBlock, SpikingMLP, check_attention, conv_norm


@dataclass(frozen=True)
class MetaSpikeFormerConfig:
    """The shape of a Meta-SpikeFormer.

    :param widths: channels of four stages, the first even, the last two multiples of ``heads``; the image is halved
        twice before the first stage ends, once before the second and third, not before the fourth.
    :param depths: blocks of attention in the third and fourth stage; the first two have two of convolutions each.
    :param heads: of every attention. :param ratio: hidden features of a block, in units of its width; > 0.
    :param attention: ``"product"`` (SDSA-3, the published default) or ``"mask"`` (SDSA-1, that of version 1).
    :param readout: what the classifier reads: ``"current"``, the mean over the image, as the published code does, or
        ``"spikes"`` of a neuron that this mean drives. The mean is small at the start: measured on noise of 224×224, an
        untrained network of 15 M with ``LIF()`` and ``"mask"`` is silent with ``"spikes"``.
    :param classes: outputs. :param in_channels: 1 for grey, 3 for colour, 2 for events of two polarities.
    :param scale: of the product. :param threshold: of the neuron in the attention.
    :param norm: makes the normalisation after each convolution, but for those inside of :class:`RepConv`.
    :raises ValueError: for a size out of range, sizes that do not divide, or a choice that is not known.
    """

    widths: tuple[int, int, int, int]
    depths: tuple[int, int] = (6, 2)
    heads: int = 8
    ratio: float = 4.0
    attention: Literal["product", "mask"] = "product"
    readout: Literal["current", "spikes"] = "current"
    classes: int = 10
    in_channels: int = 3
    scale: float = 0.125
    threshold: float = 0.5
    norm: Norm = nn.BatchNorm2d

    def __post_init__(self) -> None:
        check_choice("MetaSpikeFormer", "attention", self.attention, ("product", "mask"))
        check_choice("MetaSpikeFormer", "readout", self.readout, ("current", "spikes"))
        check_sizes(
            "MetaSpikeFormer", 1.0, widths=self.widths, depths=self.depths, heads=self.heads, classes=self.classes,
            in_channels=self.in_channels,
        )  # fmt: skip
        if len(self.widths) != 4 or self.widths[0] % 2 or len(self.depths) != 2:
            raise ValueError(
                f"MetaSpikeFormer got widths={self.widths} and depths={self.depths}, expected four widths, the first "
                "even, and two depths; pass so many."
            )
        check_attention("MetaSpikeFormer", self.heads, self.widths[2:], self.ratio, self.scale, self.threshold)


class RepConv(nn.Module):
    """1×1, then 3×3 of each channel by itself, then 1×1; normalised after the first and the last.

    ``[B, C, H, W]`` → the same shape. The image is padded with what the first normalisation makes of zero, so that all
    of it is one 3×3 convolution of an image padded with zeros, at its edges too.

    :param width: C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.outside = nn.Sequential(
            nn.Conv2d(width, width, 3, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → the same shape."""
        y, norm = self.norm(self.inside(x)), self.norm
        spread = (norm.running_var + norm.eps).sqrt()  # type: ignore[operator]
        of_zero = (norm.bias - norm.running_mean * norm.weight / spread).detach().view(1, -1, 1, 1)  # type: ignore[operator]
        border = 1 - nn.functional.pad(torch.ones_like(y[:1, :1]), (1, 1, 1, 1))
        return self.outside(nn.functional.pad(y, (1, 1, 1, 1)) + of_zero * border)


class ConvBlock(nn.Module):
    """Two branches of convolutions, each around a shortcut of currents: ``[B, width, H, W]`` → the same shape.

    The first is separable (1×1 to twice the width, 7×7 of each channel, 1×1 back), the second two of 3×3.

    :param width: channels. :param hidden: of the second branch. :param activation: makes one activation per site.
    :param norm: makes one normalisation.
    """

    def __init__(self, width: int, hidden: int, activation: Factory, norm: Norm) -> None:
        super().__init__()
        deep = nn.Conv2d(2 * width, 2 * width, 7, padding=3, groups=2 * width, bias=False)
        self.separable = nn.Sequential(
            activation(),
            conv_norm(width, 2 * width, norm),
            activation(),
            nn.Sequential(deep, *conv_norm(2 * width, width, norm)),
        )
        self.full = nn.Sequential(
            activation(), conv_norm(width, hidden, norm, 3), activation(), conv_norm(hidden, width, norm, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width, H, W]`` → the same shape."""
        x = x + self.separable(x)
        return x + self.full(x)


class MetaSpikeFormer(nn.Module):
    """``[B, in_channels, H, W]`` → logits ``[B, classes]``: four stages, mean over the image, linear layer.

    :param config: the shape. :param activation: makes one activation per site.
    """

    def __init__(self, config: MetaSpikeFormerConfig, activation: Factory) -> None:
        super().__init__()
        self.config = config
        norm, (one, two, three, four) = config.norm, config.widths

        def hidden(width: int) -> int:
            return max(1, round(config.ratio * width))

        def transform(width: int) -> SpikingBlock:
            attention = SpikingAttention(
                width, config.heads, activation, norm, config.attention, "membrane", config.scale, config.threshold,
                linear=lambda: nn.Sequential(RepConv(width), norm(width)),
            )  # fmt: skip
            return SpikingBlock(attention, SpikingMLP(width, hidden(width), activation, norm, "membrane"))

        self.stages = nn.Sequential(conv_norm(config.in_channels, one // 2, norm, 7, 2, bias=True))
        self.stages.append(ConvBlock(one // 2, hidden(one // 2), activation, norm))
        convolutions, transforms, strides = (1, 2, 0, 0), (0, 0, *config.depths), (2, 2, 2, 1)
        for i, (inside, width) in enumerate(pairwise((one // 2, one, two, three, four))):
            self.stages.extend([activation(), conv_norm(inside, width, norm, 3, strides[i], bias=True)])
            self.stages.extend(ConvBlock(width, hidden(width), activation, norm) for _ in range(convolutions[i]))
            self.stages.extend(transform(width) for _ in range(transforms[i]))
        self.last = activation() if config.readout == "spikes" else nn.Identity()
        self.head = nn.Linear(four, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, classes]``."""
        return self.head(self.last(self.stages(x).flatten(2).mean(2)))


def merged(chain: nn.Module, channels: int, size: int) -> nn.Conv2d:
    """The one convolution that a chain of linear layers is in evaluation, found by what it makes of single pixels.

    :param chain: maps ``[B, channels, H, W]`` to an image as large, by linear layers in evaluation.
    :param size: side of the convolution, odd: how far one pixel reaches.
    :raises ValueError: if the chain is in training mode, or the size is even.
    """
    if chain.training or size % 2 == 0:
        raise ValueError(
            f"merged got a chain with training={chain.training} and size={size}, expected one in evaluation and an odd "
            "size; call eval() first."
        )
    weight, middle = next(chain.parameters()), size // 2
    with torch.no_grad():
        pixels = weight.new_zeros(channels + 1, channels, size, size)
        pixels[range(channels), range(channels), middle, middle] = 1
        answers = chain(pixels)
        conv = nn.Conv2d(channels, answers.shape[1], size, padding=middle, device=weight.device, dtype=weight.dtype)
        conv.weight.copy_((answers[:-1] - answers[-1]).flip(2, 3).transpose(0, 1))
        assert conv.bias is not None
        conv.bias.copy_(answers[-1, :, middle, middle])
    return conv.eval()


def _make(widths: tuple[int, ...], classes: int, activation: Factory, options: dict[str, object]) -> MetaSpikeFormer:
    given = {"widths": widths, "classes": classes, **options}
    return MetaSpikeFormer(MetaSpikeFormerConfig(**given), activation)  # type: ignore[arg-type]


@constructor
def meta_spikeformer_15m(classes: int, activation: Factory, **options: object) -> MetaSpikeFormer:
    """Meta-SpikeFormer of 15.1 M parameters with 1000 classes; options as in :class:`MetaSpikeFormerConfig`."""
    return _make((64, 128, 256, 360), classes, activation, options)


@constructor
def meta_spikeformer_31m(classes: int, activation: Factory, **options: object) -> MetaSpikeFormer:
    """Meta-SpikeFormer of 31.3 M parameters with 1000 classes; options as in :class:`MetaSpikeFormerConfig`."""
    return _make((96, 192, 384, 480), classes, activation, options)


@constructor
def meta_spikeformer_55m(classes: int, activation: Factory, **options: object) -> MetaSpikeFormer:
    """Meta-SpikeFormer of 55.4 M parameters with 1000 classes; options as in :class:`MetaSpikeFormerConfig`."""
    return _make((128, 256, 512, 640), classes, activation, options)
