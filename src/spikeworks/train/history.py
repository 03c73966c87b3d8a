"""What training went through: its epochs, and which of them was best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .monitor import Activity


@dataclass(frozen=True)
class Epoch:
    """One epoch: its number from 1, mean training loss, wall time in seconds.

    :param accuracy: on training batches as they came, in percent, or the score that ``fit`` was given.
    :param validation: the same on validation.
    :param activity: spiking layer → what a :class:`~spikeworks.train.Monitor` saw after this epoch, if one looked.
    """

    number: int
    epochs: int
    loss: float
    accuracy: float
    validation: float
    seconds: float
    activity: dict[str, Activity] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """The best epoch on validation (the first of equals), the last one, and the wall time of all in seconds."""

    best: Epoch
    last: Epoch
    seconds: float

    def __str__(self) -> str:
        best, last = self.best, self.last
        return (
            f"best {best.validation:.2f} % on validation in epoch {best.number}, last {last.validation:.2f} % in epoch "
            f"{last.number} of {last.epochs}; {self.seconds:.0f} s"
        )


def summary(history: Sequence[Epoch]) -> Summary:
    """Best and last of what ``fit`` returned.

    :raises ValueError: if there are no epochs.
    """
    if not history:
        raise ValueError("summary got no epochs, expected what fit returned; train for one at least.")
    return Summary(ranked(history)[0], history[-1], sum(epoch.seconds for epoch in history))


def ranked(history: Sequence[Epoch]) -> list[Epoch]:
    """Best on validation first; of equals, the earlier first."""
    return sorted(history, key=lambda epoch: -epoch.validation)
