"""Activations to train a deep network with, so that a spiking network can follow it: a learned bound, and levels.

    model = sw.convert.replace_activations(relu_network, lambda: sw.convert.activation.QCFS(levels=4))
    ...train as usual...
    snn, report = sw.convert(model.eval(), sw.convert.QCFS())

An integrate-and-fire neuron emits at most one threshold per step and never less than nothing, so the activation it
stands for is bounded: the bound becomes the threshold. Over T steps it emits whole spikes: levels are those. Most put
out values, in units of their input; :class:`RNL` puts out rates, spikes per step.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ..neurons import Parameter, neuron, scan


class Activation(nn.Module):
    """What a spiking neuron stands for: ``[B, ...]`` in, the same shape out, never below 0 and bounded."""

    levels: int | None = None
    """How many values above 0 its staircase takes; ``None``: it has none."""

    scale: Literal["value", "rate"] = "value"
    """What is put out: ``"value"``, from 0 to the threshold, or ``"rate"``, that divided by the threshold, 0 to 1."""

    def threshold(self) -> Tensor:
        """The threshold of the neuron that stands for it, in units of the input: detached, shape ``[]``, > 0."""
        raise NotImplementedError


class Bounded(Activation):
    """Between 0 and a learned bound λ, which is the threshold.

    :param init: λ before training, finite and > 0, in units of the activation.
    :param trained: whether λ is learned.
    :raises ValueError: for another ``init``.
    """

    def __init__(self, init: float, trained: bool = True) -> None:
        super().__init__()
        if not (math.isfinite(init) and init > 0):
            raise ValueError(f"{type(self).__name__} got init={init}, expected a finite number above 0; pass one.")
        self.bound = nn.Parameter(torch.tensor(float(init)), requires_grad=trained)

    def threshold(self) -> Tensor:
        """λ, detached, shape ``[]``."""
        return self.bound.detach().clone()

    def extra_repr(self) -> str:
        """The bound, and the levels if there are any."""
        return f"bound={self.bound.item():g}" + (f", levels={self.levels}" if self.levels else "")


# Activations are steps without state, so that they run as one kernel instead of a pass over memory per operation.


@neuron
def clip(z: Tensor, *, bound: Parameter = 1.0) -> tuple[Tensor, tuple[()]]:
    """``min(max(z, 0), λ)`` as a step."""
    return torch.where(z > bound, bound, z.relu()), ()  # in this order NaN stays NaN


class Clip(Bounded):
    """``min(max(z, 0), λ)``; the gradient of λ is 1 above the bound, 0 below.

    Trainable clipping, Ho & Chang, DAC 2021 (reconstructed; initial bound 2 for CIFAR and 4 for ImageNet there, 4 for
    all in the code of QCFS). Weight decay on λ is part of the method: it keeps the threshold low.
    """

    def __init__(self, init: float = 4.0, trained: bool = True) -> None:
        super().__init__(init, trained)
        self.clip = clip()

    def forward(self, z: Tensor) -> Tensor:
        """``[B, ...]`` → the same shape, in [0, λ]."""
        return scan(self.clip, z.unsqueeze(0), bound=self.bound)[0].squeeze(0)


class _Floor(torch.autograd.Function):
    """⌊x⌋, its gradient that of x: the straight-through estimator."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:  # type: ignore[override]
        return x.floor()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing to keep: the gradient does not depend on x."""

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return grads[0]


@neuron(positive=("levels",))
def staircase(z: Tensor, *, bound: Parameter = 1.0, levels: Parameter = 4.0) -> tuple[Tensor, tuple[()]]:
    """QCFS as a step: 5 times as fast as its seven operations one by one (float32, forward and backward)."""
    scaled = torch.clamp(z / bound, 0, 1) * levels + 0.5
    floored: Tensor = _Floor.apply(scaled)  # type: ignore[assignment]
    return floored / levels * bound, ()


class QCFS(Bounded):
    """Quantisation, clip, floor, shift: ``λ·⌊clip(z/λ, 0, 1)·L + 1/2⌋ / L``.

    Equal to ``λ·clip(⌊zL/λ + 1/2⌋/L, 0, 1)``: the number of spikes of threshold λ that a neuron starting at λ/2 emits
    in L steps of constant input z, times λ/L. Straight-through floor: ``dĥ/dz`` is 1 for 0 ≤ z ≤ λ, else 0; ``dĥ/dλ``
    follows from it: ``(ĥ − z)/λ`` inside, 1 above, 0 below.

    :param levels: L, at least 1. Small L helps few steps; 4 or 8 is usual.
    :param init: λ before training.
    :raises ValueError: for ``levels`` below 1.
    Bu et al., ICLR 2022. Departures: the formula for the gradient of λ there is wrong (so say its authors), and of the
    three windows in print and code this is that of their newer code.
    """

    def __init__(self, levels: int = 4, init: float = 8.0, trained: bool = True) -> None:
        super().__init__(init, trained)
        if levels < 1:
            raise ValueError(f"QCFS got levels={levels}, expected a whole number of at least 1; pass one.")
        self.levels = levels
        self.staircase = staircase(levels=float(levels))

    def forward(self, z: Tensor) -> Tensor:
        """``[B, ...]`` → the same shape, one of the L + 1 multiples of λ/L from 0 to λ."""
        return scan(self.staircase, z.unsqueeze(0), bound=self.bound)[0].squeeze(0)


@neuron(positive=("levels",))
def slipped(
    z: Tensor, *, bound: Parameter = 1.0, levels: Parameter = 4.0, slope: Parameter = 0.5, ramp: Parameter = 0.0,
    stair: Parameter = 0.5,
) -> tuple[Tensor, tuple[()]]:  # fmt: skip
    """SlipReLU as a step; both shifts in levels."""
    scaled = z / bound * levels
    clipped = torch.where(scaled + ramp > levels, levels, (scaled + ramp).relu())
    floored: Tensor = _Floor.apply(torch.where(scaled + stair > levels, levels, (scaled + stair).relu()))  # type: ignore[assignment]
    return (slope * clipped + (1 - slope) * floored) / levels * bound, ()


class SlipReLU(Bounded):
    """Between a clip and a staircase: ``a·λ·clip(z/λ + δ₁/N, 0, 1) + (1 − a)·λ·clip(⌊N·z/λ + δ₂⌋/N, 0, 1)``.

    a = 1 and δ₁ = 0 is :class:`Clip`, a = 0 and δ₂ = ½ is :class:`QCFS`. The neuron that stands for it starts at δ₂·θ
    and makes the staircase, so the ramp, which has no flat parts, is there for training; with the default shifts it
    costs a·λ/2N at most. Straight-through floor: each part has slope a or 1 − a where its clip is open, that is
    −δ ≤ N·z/λ ≤ N − δ, else 0; ``dĥ/dλ`` follows.

    :param levels: N, at least 1.
    :param slope: a, 0 to 1; not learned.
    :param init: λ before training.
    :param shifts: δ₁ and δ₂ in levels, −½ to ½ each.
    :raises ValueError: for values out of range.
    Jiang et al., ICML 2023 (reconstructed: formula and defaults from the authors' code, where N = 16; the paper was not
    read). Departures: there the staircase is clipped after the floor, which gives the same values and a window of
    gradients wider by up to a level; a can be learned there, but what is then clamped is lost to the optimiser.
    """

    def __init__(
        self, levels: int = 4, slope: float = 0.5, init: float = 8.0, shifts: tuple[float, float] = (0.0, 0.5),
        trained: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(init, trained)
        if levels < 1 or not 0 <= slope <= 1 or not all(abs(shift) <= 0.5 for shift in shifts):
            raise ValueError(
                f"SlipReLU got levels={levels}, slope={slope}, shifts={shifts}, expected a whole number of at least 1, "
                "0 to 1, and two of -0.5 to 0.5; pass those."
            )
        self.levels, self.slope, self.shifts = levels, slope, shifts
        ramp, stair = shifts
        self.slipped = slipped(levels=float(levels), slope=slope, ramp=ramp, stair=stair)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, ...]`` → the same shape, in [0, λ]."""
        return scan(self.slipped, z.unsqueeze(0), bound=self.bound)[0].squeeze(0)

    def extra_repr(self) -> str:
        """The bound, the levels and the slope."""
        return f"{super().extra_repr()}, slope={self.slope:g}"


FULL = 10.0
"""c in stage 1 of RNL: p = 1 but for 5·10⁻⁵."""


@neuron
def normalised(z: Tensor, *, threshold: Parameter = 1.0) -> tuple[Tensor, tuple[()]]:
    """``clip(max(z, 0)/θ, 0, 1)`` as a step."""
    return torch.where(z > threshold, 1.0, z.relu() / threshold), ()  # in this order NaN stays NaN


class RNL(Activation):
    """Rate norm layer: ``r̂ = clip(max(z, 0)/θ, 0, 1)`` with ``θ = p·max + 10⁻⁶`` and ``p = sigmoid(c)``.

    What it puts out is the firing rate itself, so the next weights are trained on rates, and spikes of 0 and 1 serve
    them unscaled. ``max`` is a running maximum of the positive part of the whole input: in training mode and while not
    :attr:`locked`, ``max ← (1 − m)·max + m·max(z, 0)``, from 1, before it is used. Training is in two stages:
    :func:`spikeworks.train.fit` trains the weights at p = 1, with c frozen (no gradient, no decay); then
    :func:`spikeworks.train.fit_rate_inference` freezes them and learns p.

    :param logit: c, a number; or a parameter, which is then shared with all layers that are given it.
    :param momentum: m, above 0 and at most 1.
    :raises ValueError: for another ``momentum``, or a ``logit`` that is not a finite number.
    Ding, Yu, Tian & Huang, IJCAI 2021. Departures: c is frozen in stage 1 wherever the layer sits; in the authors' code
    weight decay moves it in some networks.
    """

    scale = "rate"

    maximum: Tensor
    """The running maximum, in units of the input, shape ``[]``."""

    def __init__(self, logit: float | nn.Parameter = FULL, momentum: float = 0.1) -> None:
        super().__init__()
        if not 0 < momentum <= 1:
            raise ValueError(f"RNL got momentum={momentum}, expected more than 0 and at most 1; 0.1 is usual.")
        given = logit if isinstance(logit, nn.Parameter) else torch.tensor(float(logit))
        if given.dim() or not bool(given.isfinite()):
            raise ValueError(f"RNL got logit={logit}, expected one finite number; {FULL:g} makes p = 1.")
        self.logit = given if isinstance(given, nn.Parameter) else nn.Parameter(given, requires_grad=False)
        self.register_buffer("maximum", torch.tensor(1.0))
        self.momentum = momentum
        self.locked = False
        self.normalised = normalised()

    def lock(self, locked: bool = True) -> RNL:
        """Keep the running maximum as it is, in training mode too; returns the layer. Not part of the state dict."""
        self.locked = locked
        return self

    @property
    def share(self) -> Tensor:
        """p, shape ``[]``, in (0, 1); carries the gradient of c."""
        return self.logit.sigmoid()

    def threshold(self) -> Tensor:
        """θ, detached, shape ``[]``."""
        return self._threshold().detach()

    def _threshold(self) -> Tensor:
        return self.share * self.maximum + 1e-6

    def forward(self, z: Tensor) -> Tensor:
        """``[B, ...]`` → rates of the same shape, in [0, 1]."""
        if self.training and not self.locked and z.numel():
            largest = z.detach().max().relu().to(self.maximum)
            self.maximum = self.maximum.lerp(largest, self.momentum)  # anew: autograd may hold the one before
        return scan(self.normalised, z.unsqueeze(0), threshold=self._threshold())[0].squeeze(0)

    def extra_repr(self) -> str:
        """θ, p and the running maximum."""
        return f"threshold={self.threshold():g}, share={self.share.detach():g}, maximum={self.maximum:g}"
