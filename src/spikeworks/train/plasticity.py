"""Spike-timing-dependent plasticity: weights that learn from the order of spikes before and after them, without a loss.

    state = STDP().learn(layer, pre_T, post_T)         # changes layer.weight
    state = STDP().learn(layer, pre_later_T, post_later_T, state)

``layer`` is linear or a convolution, ``pre_T`` its input, ``post_T`` the spikes of the neurons it feeds. A weight that
serves several places (a convolution) sums over them; the change is the mean over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from ..layers.check import floating, in_time
from ..layers.state import like_a_step, unfit
from .presynaptic import WEIGHTED


class STDPState(NamedTuple):
    """The traces of spikes before and after a layer, each as one step ``[B, ...]``."""

    pre: Tensor
    post: Tensor


class RewardState(NamedTuple):
    """The traces of spikes, and the eligibility of each weight for each sample, ``[B, *weight.shape]``."""

    traces: STDPState
    eligibility: Tensor


@dataclass(frozen=True)
class STDP:
    """Pairs of spikes change a weight by ``A₊e^{−Δ/τ₊}`` if the one after comes Δ ≥ 0 steps after the one before,
    by ``−A₋e^{Δ/τ₋}`` if Δ < 0.

    A pair within one step, Δ = 0, counts as cause and effect, since a spike reaches the next layer within its step.
    Every pair counts; with ``nearest`` only the pair of each spike with the latest on the other side. Towards a bound
    changes shrink: ``A₊`` is multiplied by ``((high − w)/(high − low))^μ``, ``A₋`` by ``((w − low)/(high − low))^μ``;
    μ = 0 is the additive rule, stopped at the bounds, μ = 1 the multiplicative one.

    Bi and Poo 1998; Song, Miller and Abbott 2000 (additive); Gütig et al. 2003 (μ); Morrison et al. 2008 (traces). The
    formulas are reconstructed.

    :param up: A₊, at least 0, in units of the weight. :param down: A₋, likewise.
    :param tau_up: τ₊ in steps, > 0. :param tau_down: τ₋, likewise.
    :param low: least weight, −∞ for none. :param high: largest, more than ``low``.
    :param softness: μ, at least 0; above 0 both bounds have to be finite.
    :param nearest: nearest neighbours in place of all pairs.
    """

    up: float = 0.01
    down: float = 0.01
    tau_up: float = 20.0
    tau_down: float = 20.0
    low: float = 0.0
    high: float = 1.0
    softness: float = 0.0
    nearest: bool = False

    def __post_init__(self) -> None:
        for names, fits, expected in (
            ("up, down", 0 <= self.up < math.inf and 0 <= self.down < math.inf, "finite numbers of at least 0"),
            ("tau_up, tau_down", self.tau_up > 0 and self.tau_down > 0, "steps above 0"),
            ("low, high", self.low < self.high, "low < high"),
            ("softness", 0 <= self.softness < math.inf, "a finite number of at least 0"),
            ("softness, low, high", not self.softness or math.isfinite(self.high - self.low), "finite bounds"),
        ):
            if not fits:
                got = ", ".join(f"{name}={getattr(self, name)!r}" for name in names.split(", "))
                raise ValueError(f"STDP got {got}, expected {expected}.")

    @torch.no_grad()
    def learn(self, layer: nn.Module, pre_T: Tensor, post_T: Tensor, state: STDPState | None = None) -> STDPState:
        """Change ``layer.weight`` at each step; return the traces, to carry on with.

        :param pre_T: spikes into the layer, ``[T, B, ...]``. :param post_T: spikes behind it, in the layer's own shape
            of output. :param state: as returned before; default: no spike has been.
        :raises ValueError: for a layer that is neither linear nor a convolution, weights beyond the bounds, other
            shapes, or a state that does not fit.
        """
        self._check(layer, pre_T, post_T)
        state = _carried(layer, pre_T, post_T, state)
        for pre, post in zip(pre_T.unbind(0), post_T.unbind(0), strict=True):
            change, state = self._pairs(layer, pre, post, state, _summed)
            self._add(layer, change / max(len(pre), 1))
        return state

    def _pairs(
        self, layer: Any, pre: Tensor, post: Tensor, state: STDPState, correlate: Callable[..., Tensor]
    ) -> tuple[Tensor, STDPState]:
        """What the pairs that this step completes ask for."""
        before, after = (
            trace * math.exp(-1 / tau)
            for trace, tau in ((state.pre, self.tau_up), (state.post, self.tau_down))
        )  # fmt: skip
        added = (lambda trace, s: torch.where(s != 0, s, trace)) if self.nearest else torch.add
        before = added(before, pre)
        up, down = self.up * correlate(layer, before, post), self.down * correlate(layer, pre, after)
        if self.softness:
            place = ((layer.weight - self.low) / (self.high - self.low)).clamp(0, 1)  # which rounding may leave
            up, down = up * (1 - place) ** self.softness, down * place**self.softness
        return up - down, STDPState(before, added(after, post))

    def _add(self, layer: Any, change: Tensor) -> None:
        layer.weight.add_(change).clamp_(self.low, self.high)

    def _check(self, layer: Any, pre_T: Tensor, post_T: Tensor) -> None:
        if not isinstance(layer, WEIGHTED):
            raise ValueError(f"STDP got {type(layer).__name__}, expected a linear layer or a convolution; pass one.")
        if bool(((layer.weight < self.low) | (layer.weight > self.high)).any()):
            low, high = layer.weight.min().item(), layer.weight.max().item()
            raise ValueError(
                f"STDP got weights from {low:g} to {high:g}, expected them in [{self.low:g}, {self.high:g}]; draw or "
                "clamp them first."
            )
        step = layer(floating("STDP", in_time("STDP", pre_T))[0])
        wanted = (pre_T.shape[0], *step.shape)
        if floating("STDP", in_time("STDP", post_T)).shape != wanted:
            raise ValueError(
                f"STDP got spikes {tuple(post_T.shape)} behind the layer, expected {wanted}, as the layer puts out; "
                "record them before any pooling."
            )


@dataclass(frozen=True)
class RewardSTDP:
    """STDP that waits for a reward: pairs make a weight eligible, reward turns eligibility into change.

    ``e ← e·e^{−1/τ} + ΔSTDP`` for each sample, ``w ← w + mean_b r[b]·e[b]`` at each step; r < 0 undoes. Izhikevich 2007
    (dopamine is r here, without dynamics of its own); Frémaux and Gerstner 2016. The formulas are
    reconstructed.

    :param stdp: what pairs of spikes ask for, and the bounds.
    :param tau: how long a weight stays eligible, in steps, > 0.
    """

    stdp: STDP = STDP()
    tau: float = 20.0

    def __post_init__(self) -> None:
        if not self.tau > 0:
            raise ValueError(f"RewardSTDP got tau={self.tau!r}, expected steps above 0; pass a time constant.")

    @torch.no_grad()
    def learn(
        self, layer: nn.Module, pre_T: Tensor, post_T: Tensor, reward_TB: Tensor, state: RewardState | None = None
    ) -> RewardState:
        """Change ``layer.weight`` at each step with a reward; return traces and eligibility, to carry on with.

        Eligibility takes a copy of the weight for each sample.

        :param pre_T: as in :meth:`STDP.learn`. :param post_T: likewise. :param reward_TB: reward at each step, of each
            sample; mostly 0. :param state: as returned before.
        :raises ValueError: as :meth:`STDP.learn`; for rewards of another shape.
        """
        self.stdp._check(layer, pre_T, post_T)
        weight: Any = layer.weight
        if reward_TB.shape != pre_T.shape[:2]:
            raise ValueError(
                f"RewardSTDP got rewards {tuple(reward_TB.shape)}, expected {tuple(pre_T.shape[:2])}, one for each "
                "step and sample; fill with 0 where there is none."
            )
        each = (pre_T.shape[1], *weight.shape)
        if state is None:
            state = RewardState(_carried(layer, pre_T, post_T, None), weight.new_zeros(each))
        if not isinstance(state, RewardState) or state.eligibility.shape != each:
            raise unfit(layer, state, f"a RewardState with eligibility {each}")
        traces, eligible = _carried(layer, pre_T, post_T, state.traces), state.eligibility
        for pre, post, reward in zip(pre_T.unbind(0), post_T.unbind(0), reward_TB.unbind(0), strict=True):
            asked, traces = self.stdp._pairs(layer, pre, post, traces, _each)
            eligible = eligible * math.exp(-1 / self.tau) + asked
            self.stdp._add(layer, torch.einsum("b,b...->...", reward.to(eligible), eligible) / max(len(pre), 1))
        return RewardState(traces, eligible)


def _carried(layer: nn.Module, pre_T: Tensor, post_T: Tensor, state: STDPState | None) -> STDPState:
    if state is None:
        return STDPState(torch.zeros_like(pre_T[0]), torch.zeros_like(post_T[0]))
    if not isinstance(state, STDPState):
        raise unfit(layer, state, "an STDPState")
    return STDPState(like_a_step(layer, pre_T, state.pre), like_a_step(layer, post_T, state.post))


def _summed(layer: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """``Σ a·b`` over batch and places, for every weight between a before it and b after it."""
    weight: Any = layer.weight
    # that is what a layer's own backward pass does, whatever its strides, paddings and groups
    pull = vjp(lambda w: functional_call(layer, {"weight": w}, (a,)), weight.detach())[1]
    return pull(b)[0]  # type: ignore[no-any-return]


def _each(layer: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """The same for each sample, ``[B, *weight.shape]``."""
    return vmap(lambda a, b: _summed(layer, a, b))(a.unsqueeze(1), b.unsqueeze(1))
