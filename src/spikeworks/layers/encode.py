"""From numbers to spikes: small frozen callables ``[B, ...]`` → ``[T, B, ...]``, to be given to ``SNN(encode=...)``.

Direct encoding (the same input at every step) is :class:`~spikeworks.layers.Repeat`. :class:`Delta` differs: it takes
a signal that already is in time, so it is a layer with a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..neurons import IF, Parameter, State, neuron, scan, spike
from ..neurons import surrogate as sg
from ..neurons.state import compute_dtype
from ..neurons.surrogate import Surrogate
from .check import at_least, floating
from .time import Repeat, Temporal


@dataclass(frozen=True)
class Slices:
    """Frames in a row as channels of so many steps: ``[B, steps·n, H, W]`` → ``[steps, B, n, H, W]``, a view.

    What a spike camera saw is spikes already; a step takes n frames of it.

    :param steps: T, at least 1.
    :raises ValueError: if ``steps`` is less than 1; called, for a number of frames that is no multiple of it.
    """

    steps: int

    def __post_init__(self) -> None:
        at_least("Slices", "steps", self.steps, 1)

    def __call__(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[1] % self.steps:
            raise ValueError(
                f"Slices got {list(x.shape)}, expected [B, frames, ...] with a multiple of {self.steps} frames; cut "
                "off the rest."
            )
        return x.unflatten(1, (self.steps, -1)).transpose(0, 1)


@dataclass(frozen=True)
class Rate:
    """Bernoulli coding: at each step a spike with probability x, independently; the mean over time tends to x.

    :param steps: T, at least 1.
    :param generator: where the draws come from; default torch's own. Draws are made on the generator's device.
    Called on x ``[B, ...]`` in [0, 1]; raises ``ValueError`` outside. 0 never fires, 1 always.
    """

    steps: int
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        at_least("Rate", "steps", self.steps, 1)

    def __call__(self, x: Tensor) -> Tensor:
        return bernoulli(_unit("Rate", x), self.steps, self.generator)


@dataclass(frozen=True)
class Latency:
    """One spike per value, the earlier the larger: x = 1 at step 0, x = 0 at step T − 1.

    ``"linear"``: ``t = round((T − 1)(1 − x))``. ``"log"``: ``t = round(T − 1 − ln(αx + 1))``, ``α = e^{T−1} − 1``; as
    ``αx + 1 = e^{T−1}x + (1 − x)`` the logarithm is taken as ``logaddexp(T − 1 + ln x, ln(1 − x))``, finite for any T.

    :param steps: T, at least 1.
    :param curve: ``"linear"`` or ``"log"``.
    Called on x ``[B, ...]`` in [0, 1]; raises ``ValueError`` outside.
    """

    steps: int
    curve: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        at_least("Latency", "steps", self.steps, 1)
        if self.curve not in ("linear", "log"):
            raise ValueError(f"Latency got curve={self.curve!r}, expected 'linear' or 'log'; choose one.")

    def __call__(self, x: Tensor) -> Tensor:
        last, value = self.steps - 1, _unit("Latency", x).to(compute_dtype(x))
        if self.curve == "linear":
            time = last * (1 - value)
        else:
            time = last - torch.logaddexp(last + value.log(), torch.log1p(-value))
        clock_T = torch.arange(self.steps, device=x.device, dtype=value.dtype).view(-1, *(1,) * x.dim())
        return (clock_T == time.round()).to(x.dtype)


@dataclass(frozen=True)
class Phase:
    """Weighted phase coding: the binary digits of x, most significant first; step k of a period weighs ``2^−(k+1)``.

    The digits are those of ``min(⌊x·2^bits⌋, 2^bits − 1)``, so the weighted sum over a period is at most x and more
    than ``x − 2^−bits`` for x < 1, and ``1 − 2^−bits`` for x = 1 (SpikingJelly refuses that value). Kim et al.,
    Neurocomputing 2018.

    :param bits: steps in a period, 1 to 62.
    :param periods: how often the code is repeated; T = bits·periods.
    Called on x ``[B, ...]`` in [0, 1]; raises ``ValueError`` outside.
    """

    bits: int = 8
    periods: int = 1

    def __post_init__(self) -> None:
        at_least("Phase", "periods", self.periods, 1)
        if at_least("Phase", "bits", self.bits, 1) > 62:
            raise ValueError(f"Phase got bits={self.bits}, expected 1 to 62; a float has no more digits than that.")

    def __call__(self, x: Tensor) -> Tensor:
        wide = _unit("Phase", x).to(compute_dtype(x))
        digits = (wide * 2.0**self.bits).long().clamp(max=2**self.bits - 1)
        shift_T = torch.arange(self.bits - 1, -1, -1, device=x.device).view(-1, *(1,) * x.dim())
        return ((digits >> shift_T) & 1).to(x.dtype).repeat(self.periods, *(1,) * x.dim())


@dataclass(frozen=True)
class Population:
    """Gaussian receptive fields: each value excites ``neurons`` neurons by ``a = exp(−(x − μ_i)²/2σ²)``, 0 < a ≤ 1.

    Centres are spread evenly from ``low`` to ``high``, both included, and ``σ = spacing/beta``. Deterministic: a drives
    an ``IF`` neuron of threshold 1 with soft reset, so n steps give ``⌊n·a⌋`` spikes up to rounding. Random:
    Bernoulli(a) at each step. After Bohte et al., Neurocomputing 2002, and Tang et al., CoRL 2020 (reconstructed): the
    former sets the outermost centres half a spacing outside of the range, the latter learns μ and σ.

    :param steps: T, at least 1.
    :param neurons: neurons per value, at least 2.
    :param low: centre of the first.
    :param high: centre of the last, more than ``low``.
    :param beta: sharpness, > 0; 1 to 2 is usual.
    :param random: draw spikes instead of integrating.
    :param generator: where the draws come from; default torch's own.
    Called on x ``[B, ...]``, any finite value; returns ``[T, B, ..., neurons]``.
    """

    steps: int
    neurons: int = 10
    low: float = 0.0
    high: float = 1.0
    beta: float = 1.5
    random: bool = False
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        at_least("Population", "steps", self.steps, 1)
        at_least("Population", "neurons", self.neurons, 2)
        if not (self.low < self.high and self.beta > 0):
            raise ValueError(
                f"Population got low={self.low}, high={self.high}, beta={self.beta}, expected low < high and beta > 0; "
                "check them."
            )

    def excite(self, x: Tensor) -> Tensor:
        """``[B, ...]`` → excitations a ``[B, ..., neurons]``."""
        centres = torch.linspace(self.low, self.high, self.neurons, device=x.device, dtype=x.dtype)
        width = (self.high - self.low) / (self.neurons - 1) / self.beta
        return torch.exp(-(((x.unsqueeze(-1) - centres) / width) ** 2) / 2)

    def __call__(self, x: Tensor) -> Tensor:
        if not bool(floating("Population", x).isfinite().all()):
            raise ValueError("Population got NaN or infinity, expected finite values; clean the input.")
        excitation = self.excite(x)
        if self.random:
            return bernoulli(excitation, self.steps, self.generator)
        return scan(IF(reset="soft"), Repeat(self.steps)(excitation))[0]


@neuron(positive=("threshold",))
def step_forward(
    x: Tensor, reference: Tensor, *, threshold: Parameter = 0.1, surrogate: Surrogate = sg.atan()
) -> tuple[Tensor, Any]:
    """A signed spike where x is a threshold or more away from the reference, which then moves by one threshold."""
    s = spike(x - reference - threshold, surrogate) - spike(reference - x - threshold, surrogate)
    return s, reference + s * threshold


class Delta(Temporal):
    """Threshold crossing: a signal ``[T, B, ...]`` → spikes −1, 0, 1 of the same shape, at most one per step and value.

    The reference starts at the first input (so step 0 is silent) and follows in steps of ``threshold``. Where the
    signal moves by no more than the threshold per step, ``|x[t] − x[0] − threshold·Σ_{u≤t} s[u]| < threshold``; a
    faster signal is caught up with later. Its state is the reference. Step-forward coding, Kasabov et al., Neural
    Networks 2016 (reconstructed).

    :param threshold: > 0, in units of the signal.
    """

    def __init__(self, threshold: float = 0.1) -> None:
        super().__init__()
        self.neuron = step_forward(threshold=threshold)

    def run(self, x_T: Tensor, state: State | None) -> tuple[Tensor, State]:
        """``[T, B, ...]`` → signed spikes ``[T, B, ...]`` and the reference."""
        if state is None:
            state = (floating("Delta", x_T)[0].clone(),)
        return scan(self.neuron, x_T, state)

    def extra_repr(self) -> str:
        """The threshold."""
        return repr(self.neuron)


def bernoulli(p: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """Independent draws ``[steps, *p.shape]`` of 0 and 1 with probability ``p``, in the dtype of ``p``."""
    where = p.device if generator is None else generator.device
    # never in half precision, whose draws come in steps of 2^-11
    draws = torch.rand((steps, *p.shape), generator=generator, dtype=compute_dtype(p), device=where)
    return (draws.to(p.device) < p).to(p.dtype)


def _unit(owner: str, x: Tensor) -> Tensor:
    if not bool(((floating(owner, x) >= 0) & (x <= 1)).all()):  # written so that NaN fails
        low, high = x.min().item(), x.max().item()
        raise ValueError(f"{owner} got values from {low:g} to {high:g}, expected all in [0, 1]; scale the input.")
    return x
