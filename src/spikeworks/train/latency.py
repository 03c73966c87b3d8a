"""Training for early decisions: each step's cross-entropy weighted by how likely the network decides there.

``L = mean_n [ (1 − ε) Σ_t d_t CE(z_t, y) + ε · 1/T Σ_t CE(z_t, y) ]`` with weights ``d_t ≥ 0`` that sum to 1 per sample
and carry no gradient: a network must not lower its loss by being unsure. Logits are those the decision is read from:
for an integrating readout the running sum, ``After(running_sum, TAD())``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .objective import Objective, share, step_cross_entropy


@dataclass(frozen=True)
class TAD(Objective):
    """Temporal adaptive decision loss of latency-coded networks (Lu, Ding & Yu, 2026), reconstructed.

    All that is published of it, in an abstract, is that it weights supervision by sample-dependent confidence. All the
    rest here is reconstructed: with the largest softmax probability ``c_t``, chance taken off as
    ``(c − 1/C)/(1 − 1/C)``,

    * ``"hazard"`` (recommended): c_t is the probability of deciding at t if nothing was decided before:
      ``d_t = c_t Π_{u<t} (1 − c_u)``, the last step takes what is left. Supervision matches a network that stops at its
      first confident step.
    * ``"normalised"``: ``d_t = c_t / Σ_u c_u``; uniform where all are 0. Behaves much like :class:`TET` with share 0.
    * ``"crossing"``: all on the first step at which the softmax probability itself is at least ``certainty``, else on
      the last.

    Without the floor ε the hazard starves late steps.

    :param form: how confidence becomes weights. :param floor: ε, 0 to 1.
    :param of: ``"largest"``: the confidence is that of the most likely class; ``"true"``: of the true one.
    :param chance: what is taken off: True, so that a guess counts as no confidence, or nothing. Confidences below
        chance count as 0.
    :param sharpness: confidences are raised to this power, > 0.
    :param certainty: the probability that ``"crossing"`` asks for.
    :raises ValueError: for values out of range.
    """

    form: Literal["hazard", "normalised", "crossing"] = "hazard"
    floor: float = 0.3
    of: Literal["largest", "true"] = "largest"
    chance: bool = True
    sharpness: float = 1.0
    certainty: float = 0.9

    def __post_init__(self) -> None:
        share("TAD", "floor", self.floor)
        forms = ("hazard", "normalised", "crossing")
        if self.form not in forms or self.of not in ("largest", "true") or not self.sharpness > 0:
            raise ValueError(
                f"TAD got form={self.form!r}, of={self.of!r}, sharpness={self.sharpness}, expected one of "
                f"{list(forms)}, 'largest' or 'true', and more than 0; choose such."
            )

    @torch.no_grad()
    def confidence(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The confidence of each step, chance taken off and sharpened: ``[T, B]`` in [0, 1]."""
        c_TB, classes = self._probability(z_TBC, y_B), z_TBC.shape[-1]
        if self.chance and classes > 1:
            c_TB = (c_TB - 1 / classes).clamp(min=0) / (1 - 1 / classes)
        return c_TB.clamp(max=1) ** self.sharpness

    @torch.no_grad()
    def weights(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """d: ``[T, B]``, each column ≥ 0 and of sum 1; without gradient."""
        steps = z_TBC.shape[0]
        if self.form == "crossing":
            sure_TB = self._probability(z_TBC, y_B) >= self.certainty
            first_B = torch.where(sure_TB.any(0), sure_TB.to(torch.uint8).argmax(0), steps - 1)
            return torch.nn.functional.one_hot(first_B, steps).T.to(z_TBC.dtype)
        c_TB = self.confidence(z_TBC, y_B)
        if self.form == "hazard":
            return first_decision(c_TB)
        total_B = c_TB.sum(0)
        return torch.where(total_B > 0, c_TB / total_B, 1 / steps)

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The scalar."""
        weights_TB = (1 - self.floor) * self.weights(z_TBC, y_B) + self.floor / z_TBC.shape[0]
        return (weights_TB * step_cross_entropy(z_TBC, y_B)).sum(0).mean()

    def _probability(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        p_TBC = z_TBC.detach().softmax(-1)
        if self.of == "largest":
            return p_TBC.amax(-1)
        return p_TBC.gather(-1, y_B.expand(z_TBC.shape[:2]).unsqueeze(-1)).squeeze(-1)


def first_decision(c_TB: Tensor) -> Tensor:
    """``d_t = c_t Π_{u<t} (1 − c_u)``, the last ``Π_{u<T} (1 − c_u)``: ``[T, B]`` in [0, 1] → the same, of sum 1."""
    alive_TB = torch.cat([torch.ones_like(c_TB[:1]), (1 - c_TB[:-1]).cumprod(0)])  # undecided before each step
    return torch.cat([alive_TB[:-1] * c_TB[:-1], alive_TB[-1:]])
