"""Operations counted from the spikes that were there, and what they cost under each published convention.

A multiply-accumulate (MAC) is one weight times one analog input; an accumulate (AC) is one weight added because one
spike came. An input position reaches as many weights as the layer has connections from it, its *fan-out*, which
stride, padding and groups make uneven: it is measured, not estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def fan_out(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """How many weights of a convolution or linear layer each input position reaches.

    :param layer: a convolution, transposed or not, or a linear layer; left as it is. Its geometry alone counts.
    :param shape: of one sample, without the batch: ``(C, H, W)``.
    :returns: float32 of that shape. Its sum is the MACs of one dense pass; ``Σ spikes·fan_out`` the ACs of one step.
    """
    return reach(_of_ones(layer), shape, next(layer.parameters()).device)


def reach(product: Callable[[Tensor], Tensor], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """The fan-out of any product with weights that are all 1: the gradient of its summed output, exact for any stride,
    padding, dilation and groups."""
    with torch.enable_grad():
        x = torch.ones((1, *shape), device=device, requires_grad=True)
        (reached,) = torch.autograd.grad(product(x).sum(), x)
    return reached[0]


def _of_ones(layer: Any) -> nn.Module:
    """A plain layer of the same geometry with weights 1 and no bias, whatever makes the weights of ``layer``."""
    if isinstance(layer, nn.Linear):
        plain: nn.Module = nn.Linear(layer.in_features, layer.out_features, bias=False)
    else:
        names = (
            "in_channels",
            "out_channels",
            "kernel_size",
            "stride",
            "padding",
            "dilation",
            "groups",
            "padding_mode",
        )
        names += ("output_padding",) * layer.transposed
        kind = getattr(nn, f"Conv{'Transpose' * layer.transposed}{len(layer.kernel_size)}d")
        plain = kind(**{name: getattr(layer, name) for name in names}, bias=False)
    nn.init.ones_(plain.weight)  # type: ignore[arg-type]
    return plain.to(next(layer.parameters()).device)


@dataclass(frozen=True)
class Work:
    """Operations per sample.

    :param still: MACs whose analog input is the same at every step (the first layers under constant input).
    :param analog: MACs *per step* whose analog input changes from step to step.
    :param accumulates: T → ACs over the first T steps, those of runs before included.
    :param updates: T → additions in the neurons over the first T steps: one per unit and step, one more per spike.
    :param deep: MACs of the deep network.
    :param before: steps of runs before the run; what they add is in ``accumulates`` and ``updates`` already.
    """

    still: float
    analog: float
    accumulates: dict[int, float]
    updates: dict[int, float]
    deep: float
    before: int = 0


@dataclass(frozen=True)
class Convention:
    """Joules per operation, and what is counted. Figures of different conventions must never be mixed.

    :param mac: joules per multiply-accumulate. :param ac: joules per accumulate.
    :param cached: constant analog input is multiplied once, not at every step.
    :param updates: the neurons' own additions are counted (papers omit them).
    :param source: where the figures come from.
    """

    name: str
    mac: float
    ac: float
    cached: bool
    updates: bool
    source: str

    def deep(self, macs: float) -> float:
        """Joules of the deep network per sample."""
        return self.mac * macs

    def spiking(self, work: Work) -> dict[int, float]:
        """T → joules of the spiking network per sample."""
        return {
            steps: self.mac
            * (work.still * (1 if self.cached else steps + work.before) + work.analog * (steps + work.before))
            + self.ac * (acs + (work.updates[steps] if self.updates else 0))
            for steps, acs in work.accumulates.items()
        }


_HOROWITZ = "32-bit float in 45 nm: Horowitz, ISSCC 2014"
_QCFS = "77 fJ per synaptic operation, 12.5 pJ per FLOP, a MAC counted as one: as used by Bu et al., ICLR 2022"

CONVENTIONS: tuple[Convention, ...] = (
    Convention("45 nm, first layer once", 4.6e-12, 0.9e-12, True, False, _HOROWITZ),
    Convention("45 nm, first layer every step", 4.6e-12, 0.9e-12, False, False, _HOROWITZ),
    Convention("45 nm, first layer once, with neuron updates", 4.6e-12, 0.9e-12, True, True, _HOROWITZ),
    Convention("77 fJ/SOP against 12.5 pJ/FLOP", 12.5e-12, 77e-15, True, False, _QCFS),
)
"""Every convention a report gives, the usual one first."""


def energies(work: Work) -> dict[str, dict[str, object]]:
    """Convention → ``{"deep": joules, "spiking": {T: joules}}``, per sample."""
    return {c.name: {"deep": c.deep(work.deep), "spiking": c.spiking(work)} for c in CONVENTIONS}
