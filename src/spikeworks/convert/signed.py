"""Levels for activations of either sign: what stands in front of products in transformers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx

from ..measure.batches import Batches
from .calibrate import Specs
from .histogram import Histogram
from .observe import Means, Scope, active, axes, observe, spread
from .spec import ThresholdSpec


def quantiles(
    network: fx.GraphModule, data: Batches, q: float = 0.99, scope: Scope = "layer", average: bool = False
) -> Specs:
    """The q-quantile of the activations, as ``threshold``, and minus their (1 − q)-quantile, as ``negative``.

    Both are of all values, zeros and the other sign included. What they stand for is the caller's: ECMT (Huang et al.,
    ACM MM 2024) makes of the 0.99-quantiles the *smallest* levels, ``threshold = p·2^(n−1)``; DCGS (Huang et al.,
    ICML 2025) makes of those of 0.999, times a factor, the largest (:func:`~spikeworks.convert.correct.scaled`).

    Computed from two histograms that grow with the data, exact within 2⁻¹² of the largest value and above it, whatever
    the order and size of the batches (:mod:`spikeworks.convert.histogram`).

    :param q: in (½, 1].
    :param scope: one pair per ``"layer"`` or per ``"channel"``: the axis of the layer before, or else the last one.
    :param average: the mean of each batch's quantiles instead, as in the released code of ECMT; for ``scope="layer"``
        this depends on how the data is batched.
    :returns: site → a spec whose ``negative`` is ``None`` where there is nothing below 0. A side that is empty in a
        channel takes the layer's largest, an empty positive side the negative one.
    :raises ValueError: for q out of range, data that is empty or not finite, or a site that is 0 at both quantiles.
    """
    if not 0.5 < q <= 1:
        raise ValueError(f"quantiles got q={q}, expected more than 1/2 and at most 1; 0.99 is usual.")
    axis = axes(network, scope, last=True)
    sides: dict[str, tuple[Tensor, Tensor]] = {}
    if average:
        means = Means()

        def see_batch(name: str, y_CN: Tensor) -> None:
            ordered, rank = y_CN.sort(1).values, math.ceil(q * y_CN.shape[1])
            means.add(name, torch.stack((ordered[:, rank - 1], -ordered[:, -rank])).unsqueeze(0))

        ranks = observe(network, data, axis, see_batch, signed=True)
        for name in ranks:
            up_C, down_C = means[name].float()
            sides[name] = up_C, down_C
    else:
        counts: dict[str, tuple[Histogram, Histogram]] = {}

        def see(name: str, y_CN: Tensor) -> None:
            both = counts.setdefault(name, (Histogram(len(y_CN)), Histogram(len(y_CN))))
            for side, histogram in zip((y_CN, -y_CN), both, strict=True):
                histogram.add(side.relu())  # which takes quantiles to quantiles

        ranks = observe(network, data, axis, see, signed=True)
        sides = {name: (up.quantile(q), down.quantile(q)) for name, (up, down) in counts.items()}
    return {name: _spec(name, *sides[name], *ranks[name], q) for name in ranks}


def maxima(network: fx.GraphModule, data: Batches, scope: Scope = "layer") -> Specs:
    """The largest activation as ``threshold`` and the size of the lowest as ``negative``, exactly.

    Parameters, result and errors as :func:`quantiles`.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def see(name: str, y_CN: Tensor) -> None:
        now = y_CN.amax(1), -y_CN.amin(1)
        up, down = found.get(name, now)
        found[name] = torch.maximum(up, now[0]), torch.maximum(down, now[1])

    ranks = observe(network, data, axes(network, scope, last=True), see, signed=True)
    return {name: _spec(name, *found[name], *ranks[name], 1.0) for name in ranks}


def _spec(name: str, up_C: Tensor, down_C: Tensor, rank: int, axis: int | None, q: float) -> ThresholdSpec:
    below = bool((down_C > 0).any())
    up_C = active(name, down_C if below and not bool((up_C > 0).any()) else up_C, q)
    negative = spread(active(name, down_C, q), rank, axis) if below else None
    return ThresholdSpec(spread(up_C, rank, axis), negative=negative)
