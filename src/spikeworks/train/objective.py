"""What a network that answers at every step is trained for: objectives on logits over time and labels.

    objective = TET(share=0.05) + 0.1 * Recorded(seen, rate_penalty)
    loss = objective(z_TBC, y_B)

Every objective is called on logits ``z_TBC`` and class numbers ``y_B`` and gives one number, so any of them serves
where another does; weighted sums of them are objectives. A plain function of that signature is one, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Any, Tensor], Tensor]
"""``loss(z_TBC, y_B)`` → a scalar: an :class:`Objective`, or a function; answers without classes stay as they are."""


@runtime_checkable
class OfBatch(Protocol):
    """What makes a loss for each batch, from its samples: a teacher has to see them."""

    def of(self, x: Tensor, /) -> Loss:
        """The loss for the batch that the network was given as ``x``."""
        ...


class Objective(ABC):
    """A loss of logits over time; ``a + 0.5 * b`` is one again."""

    @abstractmethod
    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The scalar; logits and labels belong together."""

    def __call__(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """Logits ``[T, B, C]`` and class numbers ``[B]`` → a scalar.

        :raises ValueError: for other shapes, or an empty one.
        """
        return self.loss(*fitting(type(self).__name__, z_TBC, y_B))

    def __add__(self, other: Loss) -> Weighted:
        return Weighted((*_parts(self), *_parts(other)))

    def __radd__(self, other: Loss | int) -> Weighted:
        if isinstance(other, int):  # sum() starts at 0
            return Weighted(_parts(self))
        return Weighted((*_parts(other), *_parts(self)))

    def __mul__(self, weight: float) -> Weighted:
        return Weighted(tuple((weight * w, part) for w, part in _parts(self)))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Weighted(Objective):
    """``Σ weight · part``; what ``+`` and ``*`` make.

    :param parts: pairs of a weight and a loss, at least one.
    """

    parts: tuple[tuple[float, Loss], ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("Weighted got no parts, expected pairs of a weight and a loss; pass at least one.")

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The weighted sum."""
        return torch.stack([weight * part(z_TBC, y_B) for weight, part in self.parts]).sum()


@dataclass(frozen=True)
class MeanCE(Objective):
    """Cross-entropy of the mean over time: ``CE(1/T Σ_t z_t, y)``.

    :param smoothing: label smoothing, 0 to 1.
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        share("MeanCE", "smoothing", self.smoothing)

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The scalar."""
        return F.cross_entropy(z_TBC.mean(0), y_B, label_smoothing=self.smoothing)


@dataclass(frozen=True)
class LastCE(Objective):
    """Cross-entropy of the last step: ``CE(z_T, y)``. Steps before it are trained through the state alone.

    :param smoothing: label smoothing, 0 to 1.
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        share("LastCE", "smoothing", self.smoothing)

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The scalar."""
        return F.cross_entropy(z_TBC[-1], y_B, label_smoothing=self.smoothing)


@dataclass(frozen=True)
class TET(Objective):
    """Temporal efficient training: ``(1 − λ) · 1/T Σ_t CE(z_t, y) + λ · mean (z − φ)²``.

    Cross-entropy is convex, so the first term is at least that of :class:`MeanCE`, with equality for equal steps.
    Deng et al., ICLR 2022: λ = 0.05 on event data, 10⁻³ and less on images, φ = θ (from their code, where the second
    term is the mean over all entries).

    :param share: λ, 0 to 1. :param level: φ, in units of the logits.
    :param smoothing: label smoothing, 0 to 1.
    """

    share: float = 0.05
    level: float = 1.0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        share("TET", "share", self.share)
        share("TET", "smoothing", self.smoothing)

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The scalar."""
        ce = step_cross_entropy(z_TBC, y_B, self.smoothing).mean()
        return (1 - self.share) * ce + self.share * (z_TBC - self.level).square().mean()


@dataclass(frozen=True)
class After(Objective):
    """A loss of what a function makes of the logits, e.g. ``After(running_sum, TAD())``.

    :param function: ``[T, B, C]`` → ``[T', B, C]``, e.g. :func:`spikeworks.layers.running_mean`.
    """

    function: Callable[[Tensor], Tensor]
    then: Loss

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The loss on the function's values."""
        return self.then(self.function(z_TBC), y_B)


@dataclass(frozen=True, eq=False)
class Recorded(Objective):
    """The mean of a penalty over recorded tensors, whatever the logits are: regularisers, in the one protocol.

        with sw.measure.record(network, ["conv1", "spike1"]) as seen:
            objective = MeanCE() + 0.1 * Recorded(seen, rate_penalty, ("spike1",))
            ...the loop: each forward pass fills ``seen`` anew...

    :param seen: name → tensor, looked at when the loss is asked for, so it may be filled later.
    :param penalty: a tensor → a scalar, see :mod:`spikeworks.train.regularise`.
    :param names: which of them; default all.
    """

    seen: Mapping[str, Tensor]
    penalty: Callable[[Tensor], Tensor]
    names: tuple[str, ...] | None = field(default=None)

    def loss(self, z_TBC: Tensor, y_B: Tensor) -> Tensor:
        """The mean penalty.

        :raises ValueError: if nothing has been recorded under a name.
        """
        names = tuple(self.seen) if self.names is None else self.names
        if not names or any(name not in self.seen for name in names):
            raise ValueError(
                f"Recorded got tensors for {sorted(self.seen)}, expected some for {list(names) or 'any layer'}; run "
                "the network inside of the recording first."
            )
        return torch.stack([self.penalty(self.seen[name]) for name in names]).mean()


def step_cross_entropy(z_TBC: Tensor, y_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """``CE(z_t, y)`` of each step and sample, ``[T, B]``."""
    steps, size_b = z_TBC.shape[:2]
    flat = F.cross_entropy(
        z_TBC.flatten(0, 1), y_B.expand(steps, size_b).flatten(), reduction="none", label_smoothing=smoothing
    )
    return flat.view(steps, size_b)


def fitting(owner: str, z_TBC: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and labels, if they belong together; else ``ValueError`` in the name of ``owner``."""
    if z_TBC.dim() != 3 or y_B.shape != z_TBC.shape[1:2] or not z_TBC.numel() or y_B.is_floating_point():
        raise ValueError(
            f"{owner} got logits {tuple(z_TBC.shape)} and labels {tuple(y_B.shape)} of {y_B.dtype}, expected "
            "[T, B, C] and class numbers [B], none of them empty; build the SNN without decode to get every step."
        )
    return z_TBC, y_B


def share(owner: str, name: str, value: float) -> float:
    """``value``, if it is in [0, 1]; else ``ValueError`` in the name of ``owner``."""
    if not 0 <= value <= 1:
        raise ValueError(f"{owner} got {name}={value!r}, expected 0 to 1; pass such a number.")
    return value


def _parts(loss: Loss) -> tuple[tuple[float, Loss], ...]:
    return loss.parts if isinstance(loss, Weighted) else ((1.0, loss),)
