"""Learning from what another network answers: distillation on the mean, on each step, on the last, on features.

With ``p = softmax(q/τ)`` of the teacher's logits q and ``KL(p ‖ softmax(z/τ))`` in nats, times τ² so that gradients
keep their size whatever τ is (Hinton et al., 2015). KL is convex in z, so step-wise distillation is at least
distillation on the mean, with equality where all steps are equal: what it adds is a price on steps that differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .objective import Objective


@dataclass(frozen=True, eq=False)
class Distil(Objective):
    """``τ² · KL(softmax(q/τ) ‖ softmax(z/τ))``, the mean over the batch; labels are not looked at.

    :param target: the teacher's logits of this very batch, ``[B, C]``; no gradient goes into them.
    :param temperature: τ > 0; 10 in their code, 2 to 4 elsewhere.
    :param at: ``"steps"``: the mean over t of the term of each ``z_t``, step-wise distillation (Hu et al., ACM MM 2024;
        from their code, which divides by B·C instead of B: a weight of 1/C gives that); ``"mean"``: of ``mean_t z_t``;
        ``"last"``: of ``z_T``.
    :raises ValueError: for another ``at``, a temperature that is not above 0, or a target that does not fit the logits.
    """

    target: Tensor
    temperature: float = 10.0
    at: Literal["steps", "mean", "last"] = "steps"

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.at not in ("steps", "mean", "last"):
            raise ValueError(
                f"Distil got temperature={self.temperature}, at={self.at!r}, expected more than 0 and 'steps', 'mean' "
                "or 'last'; choose such."
            )

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The scalar."""
        if self.target.shape != z_TBC.shape[1:]:
            raise ValueError(
                f"Distil got a target {tuple(self.target.shape)} for logits {tuple(z_TBC.shape)}, expected [B, C] "
                "of the same batch and classes; ask the teacher about this batch."
            )
        z = {"steps": z_TBC, "mean": z_TBC.mean(0, keepdim=True), "last": z_TBC[-1:]}[self.at]
        log_q = (self.target.detach() / self.temperature).log_softmax(-1)
        log_p = (z / self.temperature).log_softmax(-1)
        divergence_TB = (log_q.exp() * (log_q - log_p)).sum(-1)
        return self.temperature**2 * divergence_TB.mean()


def feature_distance(f_T: Tensor, target: Tensor, kind: Literal["square", "cosine"] = "square") -> Tensor:
    """How far features over time are from a teacher's, step by step: a scalar, no gradient into the target.

    :param f_T: the student's ``[T, B, ...]``. :param target: the teacher's ``[B, ...]``, or ``[T, B, ...]``.
    :param kind: ``"square"``: the mean of ``(f − g)²``; ``"cosine"``: the mean over t and B of ``1 − cos(f_t, g)``, the
        features of a sample flattened, which leaves the scale free.
    :raises ValueError: for shapes that do not belong together, or another ``kind``.
    """
    if target.shape not in (f_T.shape, f_T.shape[1:]) or kind not in ("square", "cosine"):
        raise ValueError(
            f"feature_distance got {tuple(f_T.shape)}, a target {tuple(target.shape)} and kind={kind!r}, expected "
            "[T, B, ...], the same or [B, ...], and 'square' or 'cosine'; project the student's features first."
        )
    goal_T = target.detach().expand_as(f_T)
    if kind == "square":
        return (f_T - goal_T).square().mean()
    return (1 - torch.cosine_similarity(f_T.flatten(2), goal_T.flatten(2), dim=-1)).mean()
