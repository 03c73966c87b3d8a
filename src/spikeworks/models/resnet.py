"""Residual networks of basic blocks, in three forms that differ in where the shortcut joins.

* ``"plain"``: ``act(norm(conv(act(norm(conv(x))))) + shortcut(x))``: currents are added, then one activation.
  He et al., CVPR 2016.
* ``"sew"``: ``g(act(norm(conv(act(norm(conv(x)))))), shortcut(x))``: spikes are joined after the activation, with
  ``g(s, x)`` one of ``s + x`` (add), ``s·x`` (and), ``(1 − s)·x`` (iand); a shortcut that changes shape has an
  activation. Fang et al., NeurIPS 2021, "Deep Residual Learning in Spiking Neural Networks".
* ``"ms"``: ``norm(conv(act(norm(conv(act(x)))))) + shortcut(x)``: the shortcut carries the membrane current past all
  activations. Hu et al., "Advancing Spiking Neural Networks towards Deep Residual Learning", TNNLS 2024
  (reconstructed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .build import Factory, Norm, check_choice, check_sizes, constructor, scaled

Form = Literal["plain", "sew", "ms"]
Connect = Literal["add", "and", "iand"]


@dataclass(frozen=True)
class ResNetConfig:
    """The shape of a residual network.

    :param blocks: basic blocks in each stage; every stage but the first halves the image.
    :param channels: of each stage.
    :param form: ``"plain"``, ``"sew"`` or ``"ms"``, see the module.
    :param connect: how a SEW block joins: ``"add"``, ``"and"`` or ``"iand"``.
    :param classes: outputs.
    :param in_channels: 1 for grey, 3 for colour, 2 for events of two polarities.
    :param stem: ``"cifar"``, a 3×3 convolution, or ``"imagenet"``, 7×7 of stride 2 and a max pool of stride 2.
    :param width: factor on all channels, > 0.
    :param norm: makes the normalisation after each convolution.
    :param zero_init: start the last normalisation of each block at zero, so that a block starts as its shortcut.
    :raises ValueError: for a size out of range, a choice that is not known, or choices that exclude each other.
    """

    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    form: Form = "plain"
    connect: Connect = "add"
    classes: int = 10
    in_channels: int = 3
    stem: Literal["cifar", "imagenet"] = "cifar"
    width: float = 1.0
    norm: Norm = nn.BatchNorm2d
    zero_init: bool = False

    def __post_init__(self) -> None:
        check_choice("ResNet", "form", self.form, ("plain", "sew", "ms"))
        check_choice("ResNet", "connect", self.connect, ("add", "and", "iand"))
        check_choice("ResNet", "stem", self.stem, ("cifar", "imagenet"))
        check_sizes(
            "ResNet", self.width, blocks=self.blocks, channels=self.channels, classes=self.classes,
            in_channels=self.in_channels,
        )  # fmt: skip
        if not len(self.blocks) == len(self.channels) > 0:
            raise ValueError(
                f"ResNet got blocks={self.blocks} and channels={self.channels}, expected as many, one for each stage; "
                "make them equally long."
            )
        if self.zero_init and self.form == "sew" and self.connect == "and":
            raise ValueError(
                "ResNet got zero_init with connect='and', expected 'add' or 'iand'; a silent branch would silence all."
            )


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut: ``[B, C, H, W]`` → ``[B, C', H/stride, W/stride]``.

    :param config: gives form, connect, norm and zero_init.
    :param inside: C. :param outside: C'. :param stride: of the first convolution and the shortcut.
    :param activation: makes one activation per site.
    """

    def __init__(self, config: ResNetConfig, inside: int, outside: int, stride: int, activation: Factory) -> None:
        super().__init__()
        self.form, self.connect = config.form, config.connect
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.norm1 = config.norm(outside)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.norm2 = config.norm(outside)
        self.act2 = activation()
        self.shortcut = nn.Sequential()
        if stride != 1 or inside != outside:
            self.shortcut.extend([nn.Conv2d(inside, outside, 1, stride, bias=False), config.norm(outside)])
            if config.form == "sew":
                self.shortcut.append(activation())
        if config.zero_init:
            for module in self.norm2.modules():
                if isinstance(module, _BatchNorm):
                    nn.init.zeros_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` → ``[B, C', H/stride, W/stride]``."""
        if self.form == "ms":
            y = self.norm1(self.conv1(self.act1(x)))
            return self.norm2(self.conv2(self.act2(y))) + self.shortcut(x)
        y = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        if self.form == "plain":
            return self.act2(y + self.shortcut(x))
        s, x = self.act2(y), self.shortcut(x)
        if self.connect == "add":
            return s + x
        return s * x if self.connect == "and" else (1 - s) * x


class ResNet(nn.Module):
    """``[B, in_channels, H, W]`` → logits ``[B, classes]``: stem, stages of blocks, mean over the image, linear layer.

    In the ms form the stem has no activation and one follows the last block.

    :param config: the shape.
    :param activation: makes one activation per site.
    """

    def __init__(self, config: ResNetConfig, activation: Factory) -> None:
        super().__init__()
        self.config = config
        ms = config.form == "ms"
        channels = [scaled(c, config.width) for c in config.channels]
        large = config.stem == "imagenet"
        size, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(config.in_channels, channels[0], size, stride, padding, bias=False),
            config.norm(channels[0]),
            *([] if ms else [activation()]),
            *([nn.MaxPool2d(3, 2, padding=1)] if large else []),
        )
        self.stages = nn.Sequential()
        inside = channels[0]
        for stage, (count, outside) in enumerate(zip(config.blocks, channels, strict=True)):
            blocks = nn.Sequential()
            for i in range(count):
                blocks.append(Block(config, inside, outside, 2 if stage and not i else 1, activation))
                inside = outside
            self.stages.append(blocks)
        self.last = activation() if ms else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(inside, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` → ``[B, classes]``."""
        return self.head(self.pool(self.last(self.stages(self.stem(x)))).flatten(1))


def _resnet(depth: int, form: Form, classes: int, activation: Factory, options: dict[str, object]) -> ResNet:
    blocks, channels = {
        18: ((2, 2, 2, 2), (64, 128, 256, 512)),
        20: ((3, 3, 3), (16, 32, 64)),
        34: ((3, 4, 6, 3), (64, 128, 256, 512)),
    }[depth]
    return ResNet(ResNetConfig(blocks, channels, form, classes=classes, **options), activation)  # type: ignore[arg-type]


@constructor
def resnet18(classes: int, activation: Factory, **options: object) -> ResNet:
    """ResNet-18, 64 to 512 channels in blocks [2, 2, 2, 2]; options as in :class:`ResNetConfig`."""
    return _resnet(18, "plain", classes, activation, options)


@constructor
def resnet20(classes: int, activation: Factory, **options: object) -> ResNet:
    """ResNet-20 for small images, 16 to 64 channels in blocks [3, 3, 3]; options as in :class:`ResNetConfig`."""
    return _resnet(20, "plain", classes, activation, options)


@constructor
def resnet34(classes: int, activation: Factory, **options: object) -> ResNet:
    """ResNet-34, 64 to 512 channels in blocks [3, 4, 6, 3]; options as in :class:`ResNetConfig`."""
    return _resnet(34, "plain", classes, activation, options)


@constructor
def sew_resnet18(classes: int, activation: Factory, **options: object) -> ResNet:
    """Spike-element-wise ResNet-18; options as in :class:`ResNetConfig`."""
    return _resnet(18, "sew", classes, activation, options)


@constructor
def sew_resnet20(classes: int, activation: Factory, **options: object) -> ResNet:
    """Spike-element-wise ResNet-20; options as in :class:`ResNetConfig`."""
    return _resnet(20, "sew", classes, activation, options)


@constructor
def sew_resnet34(classes: int, activation: Factory, **options: object) -> ResNet:
    """Spike-element-wise ResNet-34; options as in :class:`ResNetConfig`."""
    return _resnet(34, "sew", classes, activation, options)


@constructor
def ms_resnet18(classes: int, activation: Factory, **options: object) -> ResNet:
    """Membrane-shortcut ResNet-18; options as in :class:`ResNetConfig`."""
    return _resnet(18, "ms", classes, activation, options)


@constructor
def ms_resnet20(classes: int, activation: Factory, **options: object) -> ResNet:
    """Membrane-shortcut ResNet-20; options as in :class:`ResNetConfig`."""
    return _resnet(20, "ms", classes, activation, options)


@constructor
def ms_resnet34(classes: int, activation: Factory, **options: object) -> ResNet:
    """Membrane-shortcut ResNet-34; options as in :class:`ResNetConfig`."""
    return _resnet(34, "ms", classes, activation, options)
