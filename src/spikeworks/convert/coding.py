"""How a value becomes messages over time, and messages a value.

A spiking network passes messages, one per step; what they mean is the *estimate* they add up to. A coding says how.
Any function f can then be computed exactly, at every step: take the estimate of the input, apply f, and send what makes
the estimate of the output so (:class:`~spikeworks.convert.compensate.Compensated`). Linear operations commute with all
codings here and need nothing.

| coding | estimate e(t) | message x(t) | a constant c is sent as |
|---|---|---|---|
| :class:`Rate` | ``Σ x / t`` | ``t·e(t) − (t−1)·e(t−1)`` | c, c, c, ... |
| :class:`Differential` | ``Σ x(s)/s`` | ``t·(e(t) − e(t−1))`` | c, 0, 0, ... |
| :class:`Difference` | ``Σ x`` | ``e(t) − e(t−1)`` | c, 0, 0, ... |
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coding(ABC):
    """What messages mean. ``elapsed``: how many steps there were before."""

    once: ClassVar[bool]
    """Whether a constant is sent at the first step alone: biases too, then."""

    def integrate(self, x_T: Tensor, total: Tensor | None, elapsed: int) -> tuple[Tensor, Tensor]:
        """Messages ``[T, B, ...]`` → the estimate after each step, the same shape, and the total to go on from.

        :param total: what an earlier call returned ``[B, ...]``; ``None`` at the first step.
        """
        estimates, t = [], elapsed
        for x in x_T:  # one by one: in the order of time however it is cut, and faster than a cumulative sum
            t += 1
            total = self.weigh(x, t) if total is None else total + self.weigh(x, t)
            estimates.append(self.estimate(total, t))
        assert total is not None
        return torch.stack(estimates), total

    def weigh(self, x: Tensor, t: int) -> Tensor:
        """What the message of step t, from 1, adds to the total."""
        return x

    def estimate(self, total: Tensor, t: int) -> Tensor:
        """What the total amounts to after step t."""
        return total

    def message(self, e: Tensor, before: Tensor, t: int) -> Tensor:
        """What step t sends to move the estimate from ``before`` to ``e``."""
        return e - before

    def emit(self, e_T: Tensor, before: Tensor | None, elapsed: int) -> Tensor:
        """Estimates ``[T, B, ...]`` → the messages that add up to them; undoes :meth:`integrate`.

        :param before: the estimate before the first of them, ``[B, ...]``; ``None``: there was none.
        """
        sent = []
        for t, e in enumerate(e_T, elapsed + 1):
            sent.append(self.message(e, torch.zeros_like(e) if before is None else before, t))
            before = e
        return torch.stack(sent)

    def send(self, value: Tensor, steps: int, elapsed: int) -> Tensor:
        """The messages of a constant ``[B, ...]`` over the next steps, ``[T, B, ...]``."""
        if not self.once:
            return value.expand(steps, *value.shape)
        sent = value.new_zeros(steps, *value.shape)
        if elapsed == 0:
            sent[0] = value
        return sent

    def decode(self, y_T: Tensor) -> Tensor:
        """Outputs of each step from a fresh start ``[T, B, ...]`` → the answer up to and including each."""
        return self.integrate(y_T, None, 0)[0]


def earlier(e_T: Tensor, before: Tensor | None = None) -> Tensor:
    """The estimate before each step ``[T, B, ...]``; ``before`` the first, 0 where there was none."""
    first = torch.zeros_like(e_T[:1]) if before is None else before.unsqueeze(0)
    return torch.cat((first, e_T[:-1]))


@dataclass(frozen=True)
class Rate(Coding):
    """Constant current: the same analog input at every step, biases included; the answer is the mean of the outputs.

    Linear and affine layers pass means on, so with enough steps every mean is what the deep network computes. For
    other functions this is expectation compensation, exact at every T: ``O(T) = T·f(X̄_T) − (T−1)·f(X̄_{T−1})``
    (ECMT: Huang et al., ACM MM 2024).
    """

    once: ClassVar[bool] = False

    def estimate(self, total: Tensor, t: int) -> Tensor:
        """``Σ x / t``."""
        return total / t

    def message(self, e: Tensor, before: Tensor, t: int) -> Tensor:
        """``t·e(t) − (t−1)·e(t−1)``."""
        return torch.sub(e * t, before, alpha=t - 1)


@dataclass(frozen=True)
class Differential(Coding):
    """A message of step t counts 1/t, and only changes are sent: the later, the finer.

    Differential coding, Huang et al., ICML 2025 (DCGS), reconstructed from their code. Departure: they find the
    constants of each layer in an extra step of zero input; here these are computed, which is the same.
    """

    once: ClassVar[bool] = True

    def weigh(self, x: Tensor, t: int) -> Tensor:
        """``x(t)/t``."""
        return x / t

    def message(self, e: Tensor, before: Tensor, t: int) -> Tensor:
        """``t·(e(t) − e(t−1))``."""
        return (e - before) * t


@dataclass(frozen=True)
class Difference(Coding):
    """Only changes are sent, all worth the same: the answer is the sum of the outputs.

    As in STA and SpikeZIP-TF (You et al., ICML 2024), reconstructed from their code.
    """

    once: ClassVar[bool] = True
