"""How often a network is right, and when it could have stopped."""

from __future__ import annotations

import torch
from torch import Tensor


def correct(logits: Tensor, y_B: Tensor) -> Tensor:
    """How many are right: ``[..., B, C]`` against class numbers ``[B]`` → int64 ``[...]`` (``[T]`` for ``[T, B, C]``).

    :raises ValueError: if the shapes do not belong together.
    """
    if logits.dim() < 2 or y_B.shape != logits.shape[-2:-1]:
        raise ValueError(
            f"correct got logits {tuple(logits.shape)} and labels {tuple(y_B.shape)}, expected [..., B, C] and [B]; "
            "pass class numbers."
        )
    return (logits.argmax(-1) == y_B).sum(-1)


def early_exit(logits_TBC: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Stop each sample at the first step at which its two largest softmax probabilities differ by ``margin`` or more.

    :param logits_TBC: the running mean of the logits after each step.
    :param margin: 0 (stop at once) to 1 (never, save for certainty).
    :returns: predicted classes ``[B]``, and the steps used ``[B]``, 1 to T, T where the margin is never reached.
    :raises ValueError: for another shape or a margin out of [0, 1].
    """
    if logits_TBC.dim() != 3 or logits_TBC.shape[-1] < 2 or not 0 <= margin <= 1:
        raise ValueError(
            f"early_exit got logits {tuple(logits_TBC.shape)} and margin={margin}, expected [T, B, C] with two classes "
            "or more and a margin in [0, 1]; check them."
        )
    top = logits_TBC.softmax(-1).topk(2, -1).values
    sure_TB = top[..., 0] - top[..., 1] >= margin
    sure_TB[-1] = True
    step_B = sure_TB.to(torch.uint8).argmax(0)
    prediction_TB = logits_TBC.argmax(-1)
    return prediction_TB.gather(0, step_B.unsqueeze(0)).squeeze(0), step_B + 1
