"""When a network could have decided: accuracy against mean decision time, over every threshold of confidence at once.

Losses differ in how sure they make a network, so two networks must not be compared at one threshold; the whole curve
can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .accuracy import correct

Confidence = Literal["probability", "margin"]
"""The largest softmax probability, or how far it is above the second."""


def confidence(z_TBC: Tensor, kind: Confidence = "probability") -> Tensor:
    """How sure the network is after each step: ``[T, B]`` in [0, 1].

    :param z_TBC: the logits a decision after each step is read from: the running mean or sum, or as they are.
    :raises ValueError: for another kind, or a margin of fewer than two classes.
    """
    if kind not in ("probability", "margin") or (kind == "margin" and z_TBC.shape[-1] < 2):
        raise ValueError(
            f"confidence got kind={kind!r} for logits {tuple(z_TBC.shape)}, expected 'probability', or 'margin' with "
            "two classes or more; choose one."
        )
    p_TBC = z_TBC.softmax(-1)
    if kind == "probability":
        return p_TBC.amax(-1)
    top = p_TBC.topk(2, -1).values
    return top[..., 0] - top[..., 1]


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Accuracy and mean decision time at every threshold that makes a difference.

    :param threshold: ``[K]`` ascending; each sample stops at its first step of confidence ≥ threshold, at T if there is
        none. The last is infinity: nobody stops early. Between two thresholds the next larger one holds.
    :param accuracy: in percent, ``[K]``. :param time: mean step of the decision, 1 to T, ``[K]``, never falling.
    """

    threshold: Tensor
    accuracy: Tensor
    time: Tensor

    def at(self, threshold: float) -> tuple[float, float]:
        """Accuracy in percent and mean decision time at a threshold."""
        where = torch.tensor(float(threshold), dtype=self.threshold.dtype, device=self.threshold.device)
        row = int(torch.searchsorted(self.threshold, where))
        return float(self.accuracy[row]), float(self.time[row])

    def least_time(self, accuracy: float) -> float:
        """The least mean decision time at which the accuracy is reached, in percent; infinity if it never is."""
        good = self.accuracy >= accuracy
        return float(self.time[good].min()) if bool(good.any()) else math.inf


@torch.no_grad()
def decision_curve(z_TBC: Tensor, y_B: Tensor, kind: Confidence = "probability") -> DecisionCurve:
    """The whole sweep, exactly, from one sort.

    A sample is undecided after step t if the largest confidence so far, ``M_t``, is below the threshold θ. So the mean
    decision time is ``1 + Σ_{t<T} P(M_t < θ)``, and the number of right answers ``Σ right_1 + Σ_{t<T}
    (right_{t+1} − right_t)[M_t < θ]``: two running sums over all ``M_t`` in ascending order.

    :param z_TBC: as in :func:`confidence`. :param y_B: class numbers.
    :raises ValueError: for shapes that do not belong together, an empty one, or logits that are not finite.
    """
    if z_TBC.dim() != 3 or not z_TBC.numel() or not bool(z_TBC.isfinite().all()):
        raise ValueError(
            f"decision_curve got logits {tuple(z_TBC.shape)}, expected finite values [T, B, C], no axis empty; "
            "build the SNN without decode to get every step."
        )
    correct(z_TBC, y_B)  # refuses labels that do not fit
    right_TB = (z_TBC.argmax(-1) == y_B).long()
    highest = confidence(z_TBC, kind).cummax(0).values[:-1].flatten()
    gained = (right_TB[1:] - right_TB[:-1]).flatten()
    order = highest.argsort()
    zero = highest.new_zeros(1, dtype=torch.long)
    right = torch.cat([zero, gained[order].cumsum(0)]) + right_TB[0].sum()
    threshold, counts = torch.unique_consecutive(highest[order], return_counts=True)
    below = torch.cat([zero, counts.cumsum(0)])  # how many M_t are below each threshold, and below infinity
    size = z_TBC.shape[1]
    return DecisionCurve(
        torch.cat([threshold, threshold.new_full((1,), math.inf)]),
        100 * right[below].double() / size,
        1 + below.double() / size,
    )


@dataclass(frozen=True)
class StepSpread:
    """How far the accuracies of single steps lie apart, in percentage points: their standard deviation over the T steps
    (over T, not T − 1), and the largest less the smallest."""

    deviation: float
    range: float


def step_spread(z_TBC: Tensor, y_B: Tensor) -> StepSpread:
    """The spread of the accuracy that each step has by itself; a network one can stop anywhere has little.

    :param z_TBC: the logits of each step, not their running mean. :param y_B: class numbers.
    :raises ValueError: if the shapes do not belong together.
    """
    if z_TBC.dim() != 3 or not z_TBC.numel():
        raise ValueError(f"step_spread got logits {tuple(z_TBC.shape)}, expected [T, B, C], none of the axes empty.")
    accuracy_T = 100 * correct(z_TBC, y_B).double() / z_TBC.shape[1]
    return StepSpread(float(accuracy_T.std(correction=0)), float(accuracy_T.max() - accuracy_T.min()))
