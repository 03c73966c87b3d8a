"""Convolutions that train by events: the forward pass and the gradient of the weights do the work of spikes only.

The gradient of a weight is itself a sum over the non-zero inputs, ``dW[o, c, k] = Σ g[n, o, p]·x[n, c, p·s + k]``: a
convolution of ``x`` in which samples are the channels, channels the samples, and ``g`` the kernel. So both are done by
the kernels of :mod:`.events`; the gradient of the input is dense.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from ..neurons import native
from ..neurons.eager import is_concrete
from .accelerate import break_even, race
from .check import describe
from .events import EventWeights, Window, image

_SAMPLED = 1 << 14
"""About so many values are looked at to find the rate of an input."""
_LONGEST = 1 << 16
"""Values in one row of pixels that the lists of events can tell apart."""
Network = TypeVar("Network", bound=nn.Module)


class Below(NamedTuple):
    """The rates of the input below which events are quicker: in the forward pass, for the gradient of the weights."""

    forward: float
    weight: float


class DrivenConv2d(nn.Conv2d):
    """An ``nn.Conv2d`` that trains by events wherever that is quicker; made by :func:`event_driven`.

    Float32 sums, also under autocast, whose dtype the output has. A weight's gradient differs from the dense one by the
    rounding of its sum; what the forward pass has of that, :mod:`.events` says.

    :param layer: the convolution to stand in for; its parameters are shared.
    :param below: the rates below which events are used.
    :raises ValueError: if events cannot drive the layer (groups, padding other than by zeros).
    """

    def __init__(self, layer: nn.Conv2d, below: Below) -> None:
        window = Window.of(layer)
        if window is None:
            raise ValueError(
                f"DrivenConv2d got {layer!r}, expected an nn.Conv2d with groups=1 and zeros as padding; leave it as it "
                "is."
            )
        shape = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        super().__init__(window.channels, window.outputs, *shape, bias=False, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = layer.weight, layer.bias
        self.window, self.below = window, below
        self.training = layer.training

    def forward(self, input: Tensor) -> Tensor:
        """As the convolution: ``[N, C, H, W]`` → ``[N, O, H', W']``."""
        x = input
        if self.unsupported(x) is not None:
            return super().forward(x)
        rate = _rate(x.detach())
        by_events = rate < self.below.forward and bool(self.weight.detach().sum().isfinite())  # 0·inf is not 0
        if not by_events and (rate >= self.below.weight or not torch.is_grad_enabled()):
            return super().forward(x)
        return _Convolution.apply(x, self.weight, self.bias, self.window, by_events, rate < self.below.weight)  # type: ignore[no-any-return]

    def unsupported(self, x: Tensor) -> str | None:
        """Why the layer is dense for an input like ``x``; ``None`` if it need not be."""
        if torch.compiler.is_compiling() or not is_concrete(x):
            return "the input has no values of its own: compilers and transforms have the dense form"
        if x.device.type != "cpu" or self.weight.device.type != "cpu":
            return f"the input is on {x.device}, the weights are on {self.weight.device}, not on the CPU"
        taken = (torch.float32, *((torch.bfloat16, torch.float16) if torch.is_autocast_enabled("cpu") else ()))
        if self.weight.dtype != torch.float32 or x.dtype not in taken:
            return f"kernels take float32, the input is {x.dtype}, the weights are {self.weight.dtype}"
        fits = x.dim() == 4 and x.shape[1] == self.window.channels and min(self.window.size(*x.shape[2:])) > 0
        if not fits or not x.numel():
            return "the input does not fit"  # the dense form says what is wrong
        if max(self.window.channels, x.shape[0]) * x.shape[3] > _LONGEST:
            return "rows of pixels are too long to be listed"
        return native.unavailable()

    def extra_repr(self) -> str:
        """The convolution's, and the rates below which events are used."""
        shown = f"events below {self.below.forward:.2g}, for the weights below {self.below.weight:.2g}"
        return f"{super().extra_repr()}, {shown}"


def _rate(x: Tensor) -> float:
    """The share of values that are not zero, seen on a sample of whole rows of memory."""
    x = x.permute(0, 2, 3, 1) if x.is_contiguous(memory_format=torch.channels_last) else x
    rows = x.reshape(-1, x.shape[-1])[:: max(1, x.numel() // _SAMPLED)]
    return float(torch.count_nonzero(rows)) / rows.numel()


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, by_events: bool, of_weight: bool
    ) -> Tensor:
        ctx.window, ctx.of_weight = window, of_weight
        ctx.low = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        ctx.save_for_backward(x, weight)
        with torch.autocast("cpu", enabled=False):
            if by_events:
                return forward(x, weight, bias, window).to(ctx.low)
            return dense(x.to(ctx.low), weight.to(ctx.low), None if bias is None else bias.to(ctx.low), window)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():
            raise RuntimeError(
                "A convolution by events cannot be differentiated again (create_graph=True); use the network that it "
                "was made from for second derivatives."
            )
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        driven = wants_weight and ctx.of_weight
        low = x.to(ctx.low), weight.to(ctx.low)
        gx, gw, gb = dense_backward(g, *low, ctx.window, (wants_x, wants_weight and not driven, wants_bias))
        if driven:
            gw = weight_gradient(x, g, ctx.window)
        typed = (t if t is None or t.dtype == d else t.to(d) for t, d in ((gx, x.dtype), (gw, weight.dtype)))
        return *typed, None if gb is None else gb.to(weight.dtype), None, None, None


def dense(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    """The convolution as torch does it."""
    return F.conv2d(x, weight, bias, window.stride, window.padding, window.dilation)


def dense_backward(
    g: Tensor, x: Tensor, weight: Tensor, window: Window, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """Gradients of input, weight and bias as torch has them, those wanted."""
    if not any(wanted):
        return None, None, None
    moved = (window.stride, window.padding, window.dilation)
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        g, x, weight, [window.outputs], *moved, False, (0, 0), 1, list(wanted)
    )


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    """The convolution by events, in float32, channels last."""
    seen = image(x.float(), window, False)
    assert seen is not None, "rows are short enough"
    return EventWeights(window, weight.detach(), bias)(seen, True).permute(0, 3, 1, 2)


def weight_gradient(x: Tensor, g: Tensor, window: Window) -> Tensor:
    """The gradient of the weights by events: ``x`` ``[N, C, H, W]``, ``g`` ``[N, O, H', W']`` → ``[O, C, kh, kw]``."""
    count, channels, height, width = x.shape
    turned = Window(
        count, window.outputs, (g.shape[2], g.shape[3]), window.dilation, window.padding, window.stride
    )  # the kernel g moves by the dilation, and its own taps lie a stride apart
    flat = x.permute(0, 2, 3, 1).reshape(count, -1)
    # by way of one matrix turned over, which is quick
    x_HWCN = torch.empty((flat.shape[1], count), dtype=torch.float32).copy_(flat.t()).view(height, width, channels, -1)
    kernel = g.float().contiguous(memory_format=torch.channels_last).transpose(0, 1)
    made = EventWeights(turned, kernel, None)(x_HWCN.permute(2, 0, 1, 3).contiguous(), True)
    rows, columns = window.kernel  # a stride that does not come out even leaves positions over
    return made[:, :rows, :columns].permute(3, 0, 1, 2)


def event_driven(network: Network, sample: Tensor) -> Network:
    """A copy of a spiking network that trains quicker on the CPU where spikes are sparse; its parameters are shared.

    Each ``nn.Conv2d`` whose forward pass or weight gradient is quicker by events at some rate becomes a
    :class:`DrivenConv2d`, which then picks the form by the rate of each input. The rates are measured on this machine,
    with the sample's shapes, the threads torch has now, and in the dtype of autocast if this is called under it. Other
    shapes work, too; a kernel is compiled for each size of an output map.

    Parameters and buffers are shared and keep their names: to train the copy is to train the network. Results are equal
    up to the rounding of float32 sums (under autocast events round less than the dense form); a spike whose membrane is
    that close to its threshold may move. The clock decides, and may decide otherwise another time: who wants equal bits
    keeps the copy, or makes :class:`DrivenConv2d` layers with rates of their own.

    :param network: an :class:`~spikeworks.SNN`, lean or not, or any module.
    :param sample: an input of it, of the size to be trained with. It is run once in a copy, in the network's mode.
    :returns: the copy, of the same type; ``print`` shows which layers are driven, and below which rates.
    :raises ValueError: for a network that is no module, or a sample that is no tensor.
    """
    if not isinstance(network, nn.Module) or not isinstance(sample, Tensor):
        raise ValueError(
            f"event_driven got {describe(network)} and {describe(sample)}, expected an nn.Module and an input tensor "
            "of it; pass event_driven(network, sample)."
        )
    below = _measured(network, sample)
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    made = copy.deepcopy(network, shared)  # type: ignore[arg-type]
    for parent_name, parent in list(made.named_modules()):
        for name, child in list(parent.named_children()):
            if (found := below.get(f"{parent_name}.{name}".lstrip("."))) is not None:
                setattr(parent, name, DrivenConv2d(child, found))  # type: ignore[arg-type]
    return made


def _measured(network: nn.Module, sample: Tensor) -> dict[str, Below]:
    """Where events are of use, by layer name; a copy runs, so that no statistics change."""
    probe, found = copy.deepcopy(network), {}

    def watch(name: str) -> Callable[..., None]:
        def hook(layer: nn.Conv2d, inputs: tuple[Any, ...]) -> None:
            below = _timed(layer, inputs[0])
            if below is not None and max(below) > 0:
                found[name] = below

        return hook

    for name, module in probe.named_modules():
        hooked = module._forward_hooks or module._forward_pre_hooks
        if name and type(module) is nn.Conv2d and Window.of(module) and not hooked and not is_parametrized(module):
            module.register_forward_pre_hook(watch(name))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        probe(sample)
    return found


def _timed(layer: nn.Conv2d, x: Tensor) -> Below | None:
    stand_in = DrivenConv2d(layer, Below(math.inf, math.inf))
    if stand_in.unsupported(x) is not None:
        return None
    window, weight = stand_in.window, layer.weight.detach()
    low = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    x, rate, low_weight = x.detach().to(low), _rate(x.detach()), weight.to(low)
    seen = image(x.float(), window, False)
    assert seen is not None, "rows are short enough"
    with torch.autocast("cpu", enabled=False):
        y = dense(x, low_weight, None, window)
        g = (
            torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
            .to(y)
            .contiguous(memory_format=torch.channels_last)
        )

        def nchw(x_NHWC: Tensor) -> Tensor:
            return x_NHWC.permute(0, 3, 1, 2).to(low)

        taken = race(
            {"dense": lambda x: dense(x, low_weight, None, window)},
            lambda s: forward(nchw(s), weight, None, window).to(low),
            x, seen, 1.0,
        )  # fmt: skip
        first = break_even(taken, rate, taken["dense"])
        taken = race(
            {"dense": lambda x: dense_backward(g, x, low_weight, window, (False, True, False))},
            lambda s: weight_gradient(nchw(s), g, window),
            x, seen, 1.0,
        )  # fmt: skip
    return Below(first, break_even(taken, rate, taken["dense"]))
