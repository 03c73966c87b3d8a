"""From many frames of an event stream to few: the two readings of "fewer frames" that training at low T can have."""

from __future__ import annotations

from torch import Tensor

from ..layers.check import at_least, floating, in_time


def rebin(x_T: Tensor, steps: int) -> Tensor:
    """The same events in fewer frames, ``[N, B, ...]`` → ``[steps, B, ...]``: neighbours added, times ``steps/N``.

    Counts grow by N/steps when frames are added, so the factor keeps what a network learned on N frames right: the
    mean over frames stays as it was. Where all N hold equally many events, so do the new ones.

    :param x_T: frames, floating point. :param steps: how many are wanted, a divisor of N.
    :raises ValueError: for another number of steps, or whole numbers.
    """
    frames = len(in_time("rebin", floating("rebin", x_T)))
    if at_least("rebin", "steps", steps, 1) > frames or frames % steps:
        raise ValueError(
            f"rebin got steps={steps} for {frames} frames, expected a divisor of {frames}; cut the stream into a "
            "multiple of the steps."
        )
    return x_T.unflatten(0, (steps, frames // steps)).mean(1)


def frame_window(x_T: Tensor, steps: int, start: int = 0) -> Tensor:
    """Frames ``start`` to ``start + steps − 1`` of ``[N, B, ...]``, the others dropped: a view, nothing is copied.

    What the released code of hybrid step-wise distillation does, with half of the frames.

    :raises ValueError: for frames that are not there.
    """
    frames = len(in_time("frame_window", x_T))
    if at_least("frame_window", "start", start, 0) + at_least("frame_window", "steps", steps, 1) > frames:
        raise ValueError(
            f"frame_window got start={start}, steps={steps} for {frames} frames, expected no more than there are."
        )
    return x_T[start : start + steps]
