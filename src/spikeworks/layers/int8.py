"""Layers with weights of one byte, for inputs that are whole numbers of quanta: spikes, or averages of spikes.

Weights are quantised per output channel, symmetric: ``w ≈ s_o·q`` with q in −127 to 127 and ``s_o = max|w_o|/127``.
Inputs are ``k`` quanta, k in 0 to 127, and are not rounded. Sums are exact integers, so the only error is the weights':
at most ``s_o/2`` per unit of input. This changes results, and is never chosen without being asked for.

Dense: ``torch.ops.onednn``, as ``torch.compile`` calls it for quantised models. Event-driven: see :mod:`.gather`.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from ..neurons import native
from . import events, gather, pack
from .events import Window

_MOST_VECTORS = 4


class ByteWeights:
    """A layer's weights in bytes, for the dense and the event-driven form.

    :param window: the layer's window.
    :param weight: ``[O, C, kh, kw]`` or ``[O, C]``, finite.
    :param bias: ``[O]`` or ``None``.
    :param quantum: what inputs are whole multiples of, > 0.
    :param binary: whether they may all be 0 or ``quantum``; it is found out.
    """

    def __init__(self, window: Window, weight: Tensor, bias: Tensor | None, quantum: float, binary: bool) -> None:
        self.window, self.quantum, self.binary = window, quantum, binary
        flat = weight.reshape(window.outputs, -1)
        scale = flat.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 127
        whole = (flat / scale[:, None]).round().clamp(-127, 127).reshape(weight.shape)
        self.half = 8 if window.outputs <= 16 else 16 if window.outputs <= 32 else 32
        vectors = -(-window.outputs // (2 * self.half))
        self.vectors = -(-vectors // -(-vectors // _MOST_VECTORS))
        self.block = 2 * self.half * self.vectors
        split = events.blocked(window, whole, self.block).unflatten(1, (self.vectors, 2, self.half))
        # output n in the low byte of a word, output n + half in the high one; 128 is added so that bytes add unsigned
        self.weights = (split.permute(0, 5, 6, 4, 1, 3, 2) + 128).to(torch.uint8).contiguous()
        self.scale = events.padded(scale * quantum, window.outputs, self.block, weight)
        self.bias = events.padded(bias, window.outputs, self.block, weight)
        self.dense_scale, self.dense_bias = scale, bias
        self.zeros = torch.zeros(window.outputs, dtype=torch.int64, device=weight.device)
        self.packed = self._prepack(whole.to(torch.int8))

    def _prepack(self, whole: Tensor) -> Tensor:
        window = self.window
        if whole.dim() == 2:
            return torch.ops.onednn.qlinear_prepack(whole, None)
        moved = [list(window.stride), list(window.padding), list(window.dilation)]
        return torch.ops.onednn.qconv_prepack(whole, self.dense_scale, self.quantum, 0, *moved, 1, None)

    def driven(self, x_NHWC: Tensor) -> Tensor | None:
        """Event-driven: ``[N, H, W, C]`` contiguous → ``[N, H', W', O]``; ``None`` if inputs are not whole quanta, or
        more of them than inputs."""
        inputs = events.listed(x_NHWC, "ones", self.quantum) if self.binary else None
        inputs = inputs or events.listed(x_NHWC, "levels", 1 / self.quantum)
        if inputs is None:
            return None
        kernel = _gather(self.window.taps, self.vectors, self.half)
        return events.add_up(kernel, inputs, self.window, self.block, self.weights, self.scale, self.bias)

    def dense(self, x_NHWC: Tensor, linear: bool) -> Tensor | None:
        """Dense, through oneDNN: the same contract, but for the limit on quanta; ``None`` for an empty input, too."""
        n, height, width, _ = x_NHWC.shape
        whole = levels(x_NHWC, self.quantum) if x_NHWC.numel() else None
        if whole is None:
            return None
        quantised = (self.packed, self.dense_scale, self.zeros, self.dense_bias)
        if linear:
            y = torch.ops.onednn.qlinear_pointwise(
                whole.reshape(-1, self.window.channels),
                self.quantum,
                0,
                *quantised,
                1.0,
                0,
                torch.float32,
                "none",
                [],
                "",
            )
            return y.view(n, height, width, -1)
        window = self.window
        moved = [list(window.stride), list(window.padding), list(window.dilation)]
        y = torch.ops.onednn.qconv_pointwise(
            whole.permute(0, 3, 1, 2), self.quantum, 0, *quantised, *moved, 1, 1.0, 0, torch.float32, "none", [], ""
        )
        return y.permute(0, 2, 3, 1)


def levels(x: Tensor, quantum: float) -> Tensor | None:
    """How many quanta each value has, uint8; ``None`` if one is no whole number of them from 0 to 127."""
    y = torch.empty(x.shape, dtype=torch.uint8)
    unit = torch.full((1,), 1 / quantum, dtype=torch.float32)
    fields = [x.numel(), x.data_ptr(), y.data_ptr(), unit.data_ptr(), 0]
    left = native.call(_levels(), fields, events.threads_for(x.numel()))
    return None if left[pack.LEVELS.index("status")] else y


def quantum(x: Tensor) -> float | None:
    """The least value above zero, if all values are 0 to 127 times that; else ``None``."""
    above = x[x > 0]
    if not above.numel():
        return None
    least = float(above.min())
    return least if levels(x.contiguous(), least) is not None else None


@cache
def _levels() -> int:
    return native.load(pack.levels())


@cache
def _gather(taps: gather.Taps, vectors: int, half: int) -> int:
    return native.load(gather.gather_bytes(taps, vectors, half))
