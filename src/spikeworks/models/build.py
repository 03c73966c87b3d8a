"""One network, two forms: deep on ``[B, C, H, W]`` with an activation, spiking on ``[T, B, C, H, W]`` with a neuron."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, overload, runtime_checkable

import torch
from torch import Tensor, nn

from ..layers import SNN, Dropout, Repeat, Spiking, mean
from ..layers.check import at_least
from ..neurons import Neuron

Factory = Callable[[], nn.Module]
"""Makes one activation: called once per site, so that no two sites share a module."""

Norm = Callable[[int], nn.Module]
"""Makes one normalisation for so many channels, e.g. ``nn.BatchNorm2d`` or ``lambda c: TemporalEffective...(c, 4)``."""


@runtime_checkable
class Constructor(Protocol):
    """What every model is made by; options are the fields of the model's config."""

    @overload
    def __call__(
        self, classes: int = ..., *, neuron: Neuron, steps: int | None = ..., backend: str = ...,
        encode: Callable[[Tensor], Tensor] | None = ..., decode: Callable[[Tensor], Tensor] | None = ...,
        channels_last: bool = ..., generator: torch.Generator | None = ..., **options: Any,
    ) -> SNN: ...  # fmt: skip

    @overload
    def __call__(
        self, classes: int = ..., *, activation: Factory = ..., channels_last: bool = ...,
        generator: torch.Generator | None = ..., **options: Any,
    ) -> nn.Module: ...  # fmt: skip


def constructor(make: Callable[..., nn.Module], **spiking: Any) -> Constructor:
    """Give ``make(classes, activation, **options)``, which builds the deep form, the arguments all models share.

    :param spiking: options whose default differs in the spiking form.
    :returns: a function ``(classes=10, *, activation | neuron, ...)``:

        * ``activation``: a factory, default ``nn.ReLU``; the result is the deep network on ``[B, C, H, W]``.
        * ``neuron``: e.g. ``sw.LIF(tau=2.0)``; the result is an :class:`~spikeworks.SNN` on ``[T, B, C, H, W]``, with
          ``decode`` (default the mean over time) and ``encode``. ``steps=4`` is short for ``encode=Repeat(4)``: the
          input is then a still ``[B, C, H, W]``. ``backend`` is that of every neuron. ``nn.Dropout`` becomes
          :class:`~spikeworks.layers.Dropout`: over time the same units are dropped.
        * ``channels_last``: keep convolution weights, and with them all feature maps, channels-last; on CPU and on GPU
          convolutions are faster so. The logits are equal up to rounding.
        * ``generator``: where initial weights are drawn from (a CPU generator); default torch's own.

        It raises ``ValueError`` for arguments that contradict each other, an ``activation`` that is no factory of
        modules, a ``neuron`` that is none, and what the model's config refuses.
    """

    @wraps(make)
    def build(
        classes: int = 10, *, activation: Factory | None = None, neuron: Neuron | None = None, steps: int | None = None,
        encode: Callable[[Tensor], Tensor] | None = None, decode: Callable[[Tensor], Tensor] | None = mean,
        backend: str = "auto", channels_last: bool = True, generator: torch.Generator | None = None, **options: Any,
    ) -> nn.Module:  # fmt: skip
        if neuron is not None and activation is not None:
            raise ValueError(f"{make.__name__} got both activation and neuron, expected one; drop the other.")
        if neuron is None and (steps is not None or encode is not None):
            raise ValueError(f"{make.__name__} got steps or encode without neuron, expected a neuron; pass one.")
        if steps is not None and encode is not None:
            raise ValueError(f"{make.__name__} got both steps and encode, expected one; steps=T is encode=Repeat(T).")

        def site() -> nn.Module:
            return _activation(make.__name__, activation or nn.ReLU) if neuron is None else Spiking(neuron, backend)

        network = make(classes, site, **({} if neuron is None else spiking) | options)
        initialise(network, generator)
        if channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if neuron is None:
            return network
        _hold_dropout(network)
        return SNN(network, encode or (Repeat(steps) if steps is not None else None), decode)

    return build  # type: ignore[return-value]


def initialise(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw convolution weights by Kaiming (normal, fan-out, ReLU) and linear ones by torch's rule; biases are zero.

    Normalisation keeps what its constructor set.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _hold_dropout(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, Dropout(child.p))


def _activation(owner: str, factory: Factory) -> nn.Module:
    made = None if isinstance(factory, nn.Module) or not callable(factory) else factory()
    if not isinstance(made, nn.Module):
        raise ValueError(
            f"{owner} got activation={getattr(factory, '__name__', factory)}, expected what makes a new module at each "
            "call, such as nn.ReLU; for a spiking network pass neuron= instead."
        )
    return made


def check_sizes(owner: str, width: float, **counts: int | tuple[int, ...]) -> None:
    """``ValueError`` in the name of ``owner`` unless width is positive and finite and all counts are 1 or more."""
    if not 0 < width < math.inf:
        raise ValueError(f"{owner} got width={width}, expected more than 0 and finite; 1 is the published width.")
    for name, count in counts.items():
        for value in count if isinstance(count, tuple | list) else (count,):
            at_least(owner, name, value, 1)


def check_bits(owner: str, bits: Tensor, frames: int) -> None:
    """``ValueError`` in the name of ``owner`` unless these are so many frames of a camera, ``[B, frames, H, W]``."""
    if bits.dim() != 4 or bits.shape[1] != frames:
        raise ValueError(
            f"{owner} got {list(bits.shape)}, expected bits [B, {frames}, H, W]; cut out the frames around the one to "
            "tell."
        )


def check_choice(owner: str, name: str, value: str, known: tuple[str, ...]) -> None:
    """``ValueError`` in the name of ``owner`` unless ``value`` is one of those known."""
    if value not in known:
        raise ValueError(f"{owner} got {name}={value!r}, expected one of {known}; choose one.")


def scaled(channels: int, width: float) -> int:
    """``channels·width``, rounded, at least 1."""
    return max(1, round(channels * width))
