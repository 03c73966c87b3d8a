"""What was measured of trained networks: plain records that tables, figures, JSON and pages are made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..disk import whole
from .accuracy import correct
from .decision import decision_curve, step_spread

PER_STEP = 8
"""Points of an accuracy-latency curve in one time step."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One network, or another way to answer the same question, on a test set.

    :param name: in its study. :param label: for people.
    :param values: what was measured, by name with its unit: ``"PSNR, dB"``; or further numbers of a classifier, e.g.
        accuracy on corrupted samples.
    :param validation: the score after each epoch of training, none if it was not trained. The last is the last epoch's;
        the best chose the weights, unless the plan says otherwise.
    :param seconds: of training.
    :param rates: of each spiking layer, the share of steps at which a unit fires, over some test samples.
    """

    name: str
    label: str
    values: dict[str, float] = field(default_factory=dict)
    validation: list[float] = field(default_factory=list)
    seconds: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """The mean of :attr:`rates` over layers."""
        return sum(self.rates.values()) / len(self.rates) if self.rates else None


@dataclass(frozen=True, kw_only=True)
class Trained(Scored):
    """One trained classifier on a test set; its :attr:`validation` is top-1 in percent.

    :param running: top-1 in percent if every sample is decided after step t, for t = 1 to T.
    :param each: top-1 in percent of each step by itself. :param spread: the standard deviation of these over steps.
    :param curve: top-1 in percent at mean decision times of 1, 1 + 1/8, … T: each sample stops at its first confident
        step, at the largest threshold of confidence whose mean time is no later.
    """

    running: list[float]
    each: list[float]
    spread: float
    curve: list[float]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.running)

    @property
    def accuracy(self) -> float:
        """Top-1 in percent after all T steps."""
        return self.running[-1]

    @property
    def times(self) -> list[float]:
        """The mean decision times at which :attr:`curve` is read."""
        return [1 + i / PER_STEP for i in range(len(self.curve))]

    def time_for(self, accuracy: float) -> float:
        """The least mean decision time on the curve that reaches an accuracy in percent; infinity if none does."""
        return next((t for t, a in zip(self.times, self.curve, strict=True) if a >= accuracy), float("inf"))


@dataclass(frozen=True)
class Study:
    """Networks trained for one question, and what is needed to ask it again.

    :param title: for people. :param results: one for each network, as they came, all :class:`Trained` or none.
    :param meta: recipe, seed, command, …
    """

    title: str
    results: Sequence[Scored]
    meta: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all; :func:`load_study` reads it."""
        with whole(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1, default=str), encoding="utf-8")

    def plot(self, path: str | Path) -> None:
        """Draw what was measured; the suffix of ``path`` chooses the format."""
        from .study_figures import plot_study

        plot_study(self, path)


def load_study(path: str | Path) -> Study:
    """Read what :meth:`Study.save` wrote.

    :raises ValueError: if the file is absent, not JSON, or not a study.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        results = [(Trained if "running" in r else Scored)(**r) for r in data["results"]]
        return Study(data["title"], results, dict(data["meta"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"load_study got {path}, expected a study that a training recipe wrote: {error!r}.") from error


def trained(
    name: str, z_TBC: Tensor, y_B: Tensor, read: Callable[[Tensor], Tensor], label: str = "",
    validation: list[float] | None = None, seconds: float = 0.0, values: Mapping[str, float] | None = None,
) -> Trained:  # fmt: skip
    """Measure a network by its logits.

    :param z_TBC: the logits of each step. :param y_B: class numbers.
    :param read: logits of each step → what a decision after each step is read from, e.g.
        :func:`~spikeworks.layers.running_mean`.
    :raises ValueError: for shapes that do not belong together, or logits that are not finite.
    """
    decided_TBC = read(z_TBC)
    curve = decision_curve(decided_TBC, y_B)
    times = torch.arange(PER_STEP * (len(z_TBC) - 1) + 1, dtype=curve.time.dtype) / PER_STEP + 1
    rows = torch.searchsorted(curve.time, times, right=True) - 1
    running, each = ((100 * correct(z, y_B).double() / len(y_B)).tolist() for z in (decided_TBC, z_TBC))
    spread = step_spread(z_TBC, y_B).deviation
    sure = curve.accuracy[rows].tolist()
    return Trained(
        name=name, label=label or name, running=running, each=each, spread=spread, curve=sure,
        validation=validation or [], seconds=seconds, values=dict(values or {}),
    )  # fmt: skip


def classifiers(results: Sequence[Scored]) -> list[Trained]:
    """The results of a study of classifiers; none if it is one of other networks."""
    return [r for r in results if isinstance(r, Trained)]
