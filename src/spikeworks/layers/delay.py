"""Delays that are learned: every synapse has a weight and a delay, and both have a gradient.

``y[t, o] = Σ_i Σ_k K[o, i, k]·x[t − k, i] + b[o]`` with ``K[o, i, k] = w[o, i]·g(k) / Σ_j g(j)``,
``g(k) = exp(−(k − d[o, i])²/2σ²)``: a bump around the delay d, so wide at first that the gradient sees every delay,
then annealed to one tap. Hammouamri, Khalfaoui-Hassani and Masquelier, ICLR 2024, "Learning Delays in Spiking Neural
Networks using Dilated Convolutions with Learnable Spacings" (reconstructed). Departures: σ is the width itself, one for
the layer (the published code adds a constant to a width of each synapse), and no small constant is in the normaliser.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .check import at_least, floating
from .state import carried, recent
from .time import Temporal

_SHARP = 1e-3
"""A width at which the next tap is e^(−500000) of the nearest: nothing, in any floating-point format."""


class DelayedLinear(Temporal):
    """A linear layer whose every synapse has a learned delay; causal, on the last axis of ``[T, B, ..., in_features]``.

    Its state is a tuple of the last ``max_delay`` inputs, oldest first (zero before the start). A stream gives the
    values of the whole up to rounding.

        layer = DelayedLinear(700, 256, max_delay=25)
        optimiser.register_step_post_hook(lambda *_: layer.clamp_())   # delays stay within 0 to max_delay
        layer.anneal(epoch / (epochs - 1))                             # σ from max_delay/2 to 0.5
        layer.round_()                                                 # after training: whole delays, one tap each

    Delays are in steps, and drawn uniformly from 0 to ``max_delay``; weights as in ``nn.Linear``. A delay beyond the
    range acts as the nearest in it, and its gradient is that one's, so that it can come back.

    :param in_features: inputs. :param out_features: outputs.
    :param max_delay: in steps, at least 0; there are ``max_delay + 1`` taps.
    :param sigma: the width to begin with, in steps, > 0; default ``max_delay/2``, at least ``final``.
    :param final: the width to end with, in steps, > 0, at most ``sigma``.
    :param bias: whether there is one, 0 to begin with.
    :param generator: where weights and delays are drawn from; default torch's own.
    :raises ValueError: for a number out of range.
    """

    sigma: Tensor

    def __init__(
        self, in_features: int, out_features: int, max_delay: int, sigma: float | None = None, final: float = 0.5,
        bias: bool = True, generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_features = at_least("DelayedLinear", "in_features", in_features, 1)
        self.out_features = at_least("DelayedLinear", "out_features", out_features, 1)
        self.max_delay = at_least("DelayedLinear", "max_delay", max_delay, 0)
        start = max(max_delay / 2, final) if sigma is None else sigma
        if not 0 < final <= start < math.inf:
            raise ValueError(
                f"DelayedLinear got sigma={start} and final={final}, expected 0 < final <= sigma; a bump gets narrower."
            )
        self.start, self.final = float(start), float(final)
        shape, bound = (out_features, in_features), 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.zeros(shape).uniform_(-bound, bound, generator=generator))
        self.delay = nn.Parameter(torch.zeros(shape).uniform_(0, max_delay, generator=generator))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.register_buffer("sigma", torch.tensor(self.start))  # kept with the weights: training goes on where it was

    def anneal(self, fraction: float) -> None:
        """Set the width for this part of the schedule: ``σ = sigma·(final/sigma)^fraction``, 0 to 1."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"DelayedLinear got fraction={fraction}, expected 0 to 1; pass the part of training done.")
        self.sigma.fill_(self.start * (self.final / self.start) ** fraction)

    @torch.no_grad()
    def clamp_(self) -> None:
        """Put delays that have left 0 to ``max_delay`` back to the edge."""
        self.delay.clamp_(0, self.max_delay)

    @torch.no_grad()
    def round_(self) -> None:
        """Round all delays to whole steps (a half to the even one) and let each synapse have one tap."""
        self.delay.clamp_(0, self.max_delay).round_()
        self.sigma.zero_()

    def kernel(self) -> Tensor:
        """``K``: what each synapse weighs at each delay, ``[out_features, in_features, max_delay + 1]``."""
        within = self.delay + (self.delay.clamp(0, self.max_delay) - self.delay).detach()
        within = within.to(torch.promote_types(within.dtype, torch.float32))  # a half cannot hold the sharpest distance
        taps = torch.arange(self.max_delay + 1, device=within.device, dtype=within.dtype)
        distance = (taps - within.unsqueeze(2)) / self.sigma.clamp_min(_SHARP).to(within.dtype)
        return self.weight.unsqueeze(2) * torch.softmax(-(distance**2) / 2, dim=2).to(self.weight.dtype)

    def run(self, x_T: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``[T, B, ..., in_features]`` → ``[T, B, ..., out_features]`` and the inputs to carry on from."""
        floating("DelayedLinear", x_T)
        if x_T.dim() < 3 or x_T.shape[-1] != self.in_features:
            raise ValueError(
                f"DelayedLinear got {tuple(x_T.shape)}, expected [T, B, ..., {self.in_features}]; features come last."
            )
        past = carried(self, x_T, state, self.max_delay)
        known_T = torch.cat((torch.stack(past), x_T)) if past else x_T
        lines = known_T.flatten(1, -2).permute(1, 2, 0)  # [samples, in_features, steps]
        y = nn.functional.conv1d(lines, self.kernel().flip(2), self.bias)
        return y.permute(2, 0, 1).unflatten(1, x_T.shape[1:-1]), recent(past, x_T, self.max_delay)

    def extra_repr(self) -> str:
        """The sizes, the longest delay and the width as it is now."""
        width = "" if self.sigma.is_meta else f", sigma={self.sigma.item():g}"
        return f"{self.in_features}, {self.out_features}, max_delay={self.max_delay}{width}"
