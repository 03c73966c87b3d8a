"""A linear layer or convolution that does the work of its non-zero inputs only, whenever that is quicker."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..neurons import native
from ..neurons.eager import is_concrete
from .events import EventWeights, Window, image
from .int8 import ByteWeights

_SAMPLED = 1 << 14
"""About so many values are looked at to find the rate of an input."""


class Accelerated(nn.Module):
    """An ``nn.Linear`` or ``nn.Conv2d`` for inference; made by :func:`~spikeworks.layers.accelerate`.

    At each call the rate of the input (the share of its values that are not zero, seen on a sample of its pixels)
    decides between the dense and the event-driven form. In float32 both are the same sum, up to its rounding, and in
    most 1×1 and 3×3 convolutions equal in every bit (see :mod:`.events`). With ``quantum``, weights are bytes, which
    changes results (see :mod:`.int8`); an input that is not made of whole quanta is computed in float32.

    Where a gradient is wanted, under autocast, for other dtypes than float32 and away from the CPU, the layer is the
    dense one; :meth:`unsupported` says why. It holds the layer's parameters under the same names, without gradient.

    :param layer: the layer to stand in for; its parameters are shared.
    :param break_even: the rate (with ``quantum``: quanta per input) from which the dense form is quicker, 0 or more.
    :param quantum: what inputs are whole multiples of; ``None``: weights stay float32.
    :param binary: whether non-zero inputs are expected to be all 1 (all ``quantum``); only speed depends on it.
    :raises ValueError: if events cannot drive the layer: it is of another kind, or a convolution with groups, with
        padding other than by zeros, or with padding given as a word.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, break_even: float, quantum: float | None = None, binary: bool = True
    ) -> None:
        super().__init__()
        window = Window.of(layer)
        if window is None:
            raise ValueError(
                f"Accelerated got {layer!r}, expected nn.Linear or nn.Conv2d with groups=1 and zeros as padding; leave "
                "it as it is."
            )
        self.window, self.linear = window, isinstance(layer, nn.Linear)
        self.break_even, self.quantum, self.binary = break_even, quantum, binary
        self.weight = nn.Parameter(layer.weight.detach(), requires_grad=False)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach(), requires_grad=False)
        self._prepared: tuple[Any, Any] = (None, None)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer: ``[..., C]`` or ``[N, C, H, W]`` in, the output of the layer's own shape."""
        if self.unsupported(x) is not None or (seen := image(x, self.window, self.linear)) is None:
            return self.dense(x)
        events, y = self.rate(seen) < self.break_even, None
        if self.quantum is not None:
            weights: ByteWeights | None = self._ready(ByteWeights, self.quantum, self.binary)
            if weights is not None:
                y = weights.driven(seen) if events else None
                y = weights.dense(seen, self.linear) if y is None else y
        elif events and (exact := self._ready(EventWeights)) is not None:
            y = exact(seen, self.binary)
        if y is None:  # channels last, as what events make
            return self.dense(x if self.linear else seen.permute(0, 3, 1, 2))
        return y.view(*x.shape[:-1], self.window.outputs) if self.linear else y.permute(0, 3, 1, 2)

    def dense(self, x: Tensor) -> Tensor:
        """The layer in its dense float form."""
        if self.linear:
            return F.linear(x, self.weight, self.bias)
        return F.conv2d(x, self.weight, self.bias, self.window.stride, self.window.padding, self.window.dilation)

    def rate(self, x_NHWC: Tensor) -> float:
        """The share of a sample of the values that are not zero; with a quantum, quanta per value."""
        pixels = x_NHWC.view(-1, self.window.channels)
        pixels = pixels[:: max(1, pixels.numel() // _SAMPLED)]
        if not pixels.numel():
            return 0.0
        total = torch.count_nonzero(pixels) if self.quantum is None else pixels.sum() / self.quantum
        return float(total) / pixels.numel()

    def unsupported(self, x: Tensor) -> str | None:
        """Why the layer is computed in its dense float form for an input like ``x``; ``None`` if it need not be."""
        if torch.compiler.is_compiling() or not is_concrete(x):
            return "the input has no values of its own: compilers and transforms have the dense form"
        if x.device.type != "cpu" or self.weight.device.type != "cpu":
            return f"the input is on {x.device}, the weights are on {self.weight.device}, not on the CPU"
        if x.dtype != torch.float32 or self.weight.dtype != torch.float32:
            return f"kernels take float32, the input is {x.dtype}, the weights are {self.weight.dtype}"
        if torch.is_autocast_enabled("cpu"):
            return "autocast has the dense form"
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            return "a gradient is wanted, events are for inference; use torch.no_grad()"
        if x.dim() != 4 and not self.linear:
            return f"the input has {x.dim()} axes, not 4"
        if x.shape[-1 if self.linear else 1] != self.window.channels:
            return "the input does not fit"  # the dense form says what is wrong
        if not self.linear and min(self.window.size(*x.shape[2:])) < 1:
            return "the kernel is larger than the input"
        return native.unavailable()

    def _ready(self, kind: type, *options: Any) -> Any:
        """The weights laid out, made when they are first needed and again when they have changed; ``None`` if they are
        not finite: what a dense layer makes of such a weight and an input of 0 is NaN."""
        made_of = (kind, *options, *(_version(p) for p in (self.weight, self.bias)))
        if self._prepared[0] != made_of:
            with torch.no_grad():
                finite = bool(self.weight.isfinite().all())
                made = kind(self.window, self.weight.detach(), self.bias, *options) if finite else None
            self._prepared = (made_of, made)
        return self._prepared[1]

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made from the weights: copies and files are as small as the layer."""
        return {**self.__dict__, "_prepared": (None, None)}

    def extra_repr(self) -> str:
        """The window, the precision, and from which rate on it is dense."""
        w = self.window
        where = "" if self.linear else f", kernel={w.kernel}, stride={w.stride}, padding={w.padding}"
        kind = "float32" if self.quantum is None else f"int8, quantum={self.quantum:g}"
        return f"{w.channels}, {w.outputs}{where}, {kind}, events below a rate of {self.break_even:.2g}"


def _version(tensor: Tensor | None) -> tuple[int, int]:
    if tensor is None:
        return 0, 0
    return tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version
