"""The neuron a converted network is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..neurons import Parameter, neuron, spike
from ..neurons import surrogate as sg
from ..neurons.surrogate import Surrogate


def _start(bound: Mapping[str, Any]) -> Parameter:
    return bound["fraction"] * bound["threshold"]


@neuron(initial={"v": _start}, positive=("threshold",))
def ValueIF(  # noqa: N802  neurons read as types
    x: Tensor, v: Tensor, *, threshold: Parameter = 1.0, fraction: Parameter = 0.5, surrogate: Surrogate = sg.rect()
) -> tuple[Tensor, Any]:
    """Integrate and fire with spikes worth θ: ``m = v + x``, ``s = Θ(m − θ)``, ``v = m − sθ``, output ``sθ``.

    No leak, soft reset, no lower bound, so charge is conserved for any input: ``Σ sθ + v(T) = Σ x + v(0)``, with
    ``v(0) = fraction·θ``. As spikes carry θ, the weights of the source network serve unchanged; the form with 0/1
    spikes and θ folded into the next weights is the same numbers scaled.

    :param threshold: θ > 0; one number or per channel, ``[C, 1, 1]`` for images.
    :param fraction: v(0)/θ: 0, or ½ which makes the expected error zero (Bu et al., AAAI 2022).
    """
    m = v + x
    out = spike(m - threshold, surrogate) * threshold
    return out, m - out
