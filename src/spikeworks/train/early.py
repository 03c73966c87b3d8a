"""Stopping early for real: a network is run only until it is sure, and timed against running all of its steps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..layers import SNN
from ..measure.decision import Confidence, confidence
from .data import Data
from .evaluate import ready


@dataclass(frozen=True)
class Exit:
    """What one threshold of confidence gives.

    :param threshold: a sample has decided at its first step of at least this confidence, at T if there is none.
    :param accuracy: in percent. :param steps: mean step of the decision, 1 to T.
    :param run: mean over samples of the steps their batch was run for: until all of the batch had decided.
    :param seconds: wall time for all data, preparation left out. :param share: ``seconds`` as a share of what running
        all T steps in one window takes; above 1 it does not pay.
    """

    threshold: float
    accuracy: float
    steps: float
    run: float
    seconds: float
    share: float


@torch.no_grad()
def early_exits(
    network: SNN, data: Data, thresholds: Sequence[float], kind: Confidence = "probability", batch: int = 256,
    window: int = 1,
) -> list[Exit]:  # fmt: skip
    """Run a trained network on all data once per threshold, each batch only until its last sample has decided.

    The running mean of the logits decides. Accuracy and ``steps`` are what :func:`~spikeworks.measure.decision_curve`
    tells without stopping; what stopping saves depends on the batch, so look at the one you will use (1 for a stream).

    :param network: in eval mode, without ``decode``; ``encode`` makes all T steps of the input.
    :param thresholds: of confidence; infinity: nobody stops early.
    :param kind: of confidence, see :func:`~spikeworks.measure.confidence`.
    :param window: steps that are run at once, from 1: more are faster each, but overshoot.
    :raises ValueError: for another network or mode, no thresholds, a NaN among them, or a window below 1.
    """
    if not isinstance(network, SNN) or network.decode is not None or network.training:
        got = "one in training mode" if getattr(network, "training", False) else "one that gives no logits at each step"
        raise ValueError(
            f"early_exits got {type(network).__name__}, {got}, expected an SNN without decode; build it with "
            "decode=None and call eval()."
        )
    if not thresholds or any(math.isnan(threshold) for threshold in thresholds) or window < 1 or batch < 1:
        raise ValueError(
            f"early_exits got thresholds={list(thresholds)}, window={window}, batch={batch}, expected numbers, and "
            "whole numbers from 1; pass such."
        )
    device = next((t.device for t in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    sums = torch.zeros(len(thresholds), 4, dtype=torch.float64)
    whole = 0.0
    for x, y in data.batches(batch):
        x, y_B = ready(x, device), y.to(device)
        x_T = network.encode(x) if network.encode else x
        network.stream(x_T[:1])  # the first call of a shape pays for what later ones find
        begin = _now(device)
        network.stream(x_T)
        whole += _now(device) - begin
        for row, threshold in enumerate(thresholds):
            begin = _now(device)
            answer_B, step_B, run = _until_sure(network, x_T, threshold, kind, window)
            seconds = _now(device) - begin
            right = int((answer_B == y_B).sum())
            sums[row] += torch.tensor([right, int(step_B.sum()), run * len(y), seconds], dtype=torch.float64)
    size = len(data.y)
    return [
        Exit(float(threshold), 100 * right / size, steps / size, run / size, seconds, seconds / whole)
        for threshold, (right, steps, run, seconds) in zip(thresholds, sums.tolist(), strict=True)
    ]


def _until_sure(
    network: SNN, x_T: Tensor, threshold: float, kind: Confidence, window: int
) -> tuple[Tensor, Tensor, int]:  # fmt: skip
    """Each sample's answer and the step it was given at, from 1; and how many steps were run."""
    state: Any = None
    total, run = torch.zeros((), device=x_T.device), 0
    answer_B = step_B = torch.zeros(x_T.shape[1], dtype=torch.long, device=x_T.device)  # step 0: undecided
    for part_T in x_T.split(window):
        z_TBC, state = network.stream(part_T, state)
        for z_BC in z_TBC:
            total, run = total + z_BC, run + 1
            mean_BC = total / run
            sure_B = (confidence(mean_BC[None], kind)[0] >= threshold) | (run == len(x_T))
            new_B = sure_B & (step_B == 0)
            answer_B, step_B = torch.where(new_B, mean_BC.argmax(-1), answer_B), torch.where(new_B, run, step_B)
        if bool((step_B > 0).all()):
            break
    return answer_B, step_B, run


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
