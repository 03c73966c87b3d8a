"""Event-driven float32 layers: the work of a linear layer or convolution done for non-zero inputs only.

``y = Σ w·x + b`` over the inputs that are not zero, one term after the other in the order kernel row, kernel column,
channel; the product is not rounded where the processor fuses it with the sum. That is the plain sum of a dense layer
whose terms of zero are left out, in every bit. Dense layers of libraries do not promise that order: oneDNN keeps it in
most 1×1 and 3×3 convolutions (nine in ten of those tried, with AVX-512) and is then equal in every bit; it splits the
sum in others, as MKL does in matrix products, and the difference is the float32 rounding of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..neurons import native
from ..neurons.assembly import LANES
from . import gather, pack

_GRAIN = 1 << 15
"""Values worth a thread of their own."""
_WIDEST = 1 << 16
"""Values in one row of pixels that positions of 16 bits can tell apart."""
_MOST_VECTORS = 8


class Window(NamedTuple):
    """How a kernel moves over an image; pairs are (vertical, horizontal)."""

    channels: int
    outputs: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @staticmethod
    def of(layer: nn.Module) -> Window | None:
        """The window of an ``nn.Linear`` or ``nn.Conv2d``; ``None`` if events cannot drive it."""
        if type(layer) is nn.Linear:
            return Window(layer.in_features, layer.out_features, (1, 1), (1, 1), (0, 0), (1, 1))
        if type(layer) is not nn.Conv2d or layer.groups != 1 or layer.padding_mode != "zeros":
            return None
        if isinstance(layer.padding, str):
            return None
        pairs = [(int(p[0]), int(p[1])) for p in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)]
        window = Window(layer.in_channels, layer.out_channels, *pairs)
        # weight rows are found by signed 32-bit byte offsets
        fits = 0 < window.terms * 4 * LANES * _MOST_VECTORS < 2**31 and window.outputs > 0
        return window if fits else None

    @property
    def terms(self) -> int:
        """Inputs of one output."""
        return self.channels * self.kernel[0] * self.kernel[1]

    @property
    def taps(self) -> gather.Taps:
        """The kernel in runs of taps that touch each other."""
        runs, taps = (1, self.kernel[1]) if self.dilation[1] == 1 else (self.kernel[1], 1)
        return gather.Taps(self.kernel[0], runs, taps)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output; 0 or less if the kernel does not fit."""
        pairs = zip((height, width), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        up, along = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in pairs)
        return up, along


class Listed(NamedTuple):
    """Non-zero inputs ``[N, H, W, C]``, listed by the ``pack`` kernel; no row of pixels has more than ``longest``."""

    shape: torch.Size
    entries: Tensor
    values: Tensor | None
    starts: Tensor
    longest: int


def image(x: Tensor, window: Window, linear: bool) -> Tensor | None:
    """The input as contiguous ``[N, H, W, C]``, pixels of a linear layer's input being its positions; ``None`` if a row
    of pixels is too long to be listed."""
    if not linear:
        x = x.permute(0, 2, 3, 1)
        return x.contiguous() if x.shape[2] * window.channels <= _WIDEST else None
    if window.channels > _WIDEST:
        return None
    count = x.numel() // max(1, window.channels)
    width = math.gcd(count, 32) if window.channels * 32 <= _WIDEST else 1
    return x.reshape(1, count // max(1, width), max(1, width), window.channels)


def listed(x_NHWC: Tensor, kind: str, unit: float = 1.0) -> Listed | None:
    """List what is not zero; ``None`` if values are not what ``kind`` promises (see :func:`.pack.pack`)."""
    n, height, width, channels = x_NHWC.shape
    threads = threads_for(x_NHWC.numel())
    room = x_NHWC.numel() + LANES * (threads + 1)
    entries = x_NHWC.new_empty(room, dtype=torch.int16)
    values = x_NHWC.new_empty(room) if kind == "values" else None
    starts = x_NHWC.new_empty(n * height * (width + 1), dtype=torch.int64)
    scalar = torch.full((1,), unit, dtype=torch.float32)
    fields = [
        n * height, width, channels, x_NHWC.data_ptr(), entries.data_ptr(), _pointer(values), starts.data_ptr(),
        scalar.data_ptr(), 0,
    ]  # fmt: skip
    left = native.call(_pack(kind), fields, threads)
    if left[pack.PACK.index("status")]:
        return None
    longest = width * channels
    if kind == "levels" and starts.numel():  # positions are listed several times
        ends = starts.view(-1, width + 1)
        longest = int((ends[:, -1] - ends[:, 0]).max())
    return Listed(x_NHWC.shape, entries, values, starts, longest)


def add_up(
    kernel: int, inputs: Listed, window: Window, block: int, weights: Tensor, scale: Tensor | None, bias: Tensor
) -> Tensor:  # fmt: skip
    """Run a ``gather`` kernel: ``[N, H, W, C]`` listed → ``[N, H', W', O]``; ``block``: outputs in a block."""
    n, height, width, channels = inputs.shape
    up, along = window.size(height, width)
    y = bias.new_empty((n, up, along, window.outputs))
    if not y.numel():
        return y
    blocks = -(-window.outputs // block)
    # a kernel row meets a listed position once per tap
    list_size = _whole(4 * (window.kernel[0] * window.kernel[1] * inputs.longest + LANES))
    scratch_size = list_size * (1 if inputs.values is None else 2) + _whole(8 * along)
    threads = threads_for(inputs.shape.numel())
    scratch = bias.new_empty(threads * scratch_size // 4)
    fields = [
        n * up, height, up, width, along, channels, *window.stride, *window.padding, *window.dilation,
        inputs.entries.data_ptr(), _pointer(inputs.values), inputs.starts.data_ptr(), weights.data_ptr(),
        _pointer(scale), bias.data_ptr(), y.data_ptr(), window.outputs, blocks, scratch.data_ptr(),
        scratch_size, list_size,
    ]  # fmt: skip
    native.call(kernel, fields, threads)
    return y


class EventWeights:
    """Float32 weights laid out for events: ``[block][kernel row][kernel column][C][outputs of the block]``.

    :param window: the layer's window.
    :param weight: ``[O, C, kh, kw]`` or ``[O, C]``, finite.
    :param bias: ``[O]`` or ``None``.
    """

    def __init__(self, window: Window, weight: Tensor, bias: Tensor | None) -> None:
        vectors = -(-window.outputs // LANES)
        self.vectors = -(-vectors // -(-vectors // _MOST_VECTORS))
        self.window, self.block = window, LANES * self.vectors
        self.weights = _laid_out(window, weight.reshape(window.outputs, window.channels, *window.kernel), self.block)
        self.bias = padded(bias, window.outputs, self.block, weight)

    def __call__(self, x_NHWC: Tensor, binary: bool) -> Tensor:
        """``[N, H, W, C]`` contiguous → ``[N, H', W', O]``; ``binary``: values may all be 0 or 1; it is found out."""
        inputs = listed(x_NHWC, "ones") if binary else None
        inputs = inputs or listed(x_NHWC, "values")
        assert inputs is not None, "any value can be listed"
        kernel = _gather(self.window.taps, self.vectors, inputs.values is not None)
        return add_up(kernel, inputs, self.window, self.block, self.weights, None, self.bias)


def _laid_out(window: Window, weight: Tensor, block: int) -> Tensor:
    blocks = -(-window.outputs // block)
    if weight.stride(0) == 1 or blocks * block > window.outputs:
        return blocked(window, weight, block).permute(0, 3, 4, 2, 1).contiguous()
    # copying one matrix turned over is far quicker than copying an array with its axes in another order
    rows = weight.permute(0, 2, 3, 1).reshape(blocks, block, window.terms)
    made = weight.new_empty((blocks, window.terms, block))
    for of_block, turned in zip(made.unbind(), rows.unbind(), strict=True):
        of_block.copy_(turned.t())
    return made


def blocked(window: Window, weight: Tensor, block: int) -> Tensor:
    """Weights as ``[blocks, block, C, kh, kw]``, zero beyond the outputs there are."""
    blocks = -(-window.outputs // block)
    if blocks * block == window.outputs:
        return weight.reshape(blocks, block, window.channels, *window.kernel)
    full = weight.new_zeros((blocks * block, window.channels, *window.kernel))
    full[: window.outputs] = weight.reshape(window.outputs, window.channels, *window.kernel)
    return full.view(blocks, block, *full.shape[1:])


def padded(values: Tensor | None, outputs: int, block: int, like: Tensor) -> Tensor:
    """One float per output, zero beyond them, as many as whole blocks have."""
    full = like.new_zeros(-(-outputs // block) * block)
    if values is not None:
        full[:outputs] = values
    return full


def compress() -> bool:
    """Whether this processor has AVX-512's compress instruction."""
    return native.vector_math().width == LANES


@cache
def _pack(kind: str) -> int:
    return native.load(pack.pack(kind, compress()))


@cache
def _gather(taps: gather.Taps, vectors: int, values: bool) -> int:
    return native.load(gather.gather(taps, vectors, values))


def threads_for(values: int) -> int:
    """How many threads a kernel over so many values is worth."""
    return max(1, min(torch.get_num_threads(), values // _GRAIN))


def _pointer(tensor: Tensor | Sequence[int] | None) -> int:
    return tensor.data_ptr() if isinstance(tensor, Tensor) else 0


def _whole(size: int) -> int:
    return -(-size // 64) * 64
