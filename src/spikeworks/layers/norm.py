"""Batch normalisation that knows of time: what shifts and scales the current before a spiking neuron.

All three take ``[T, B, C, ...]`` alone and folded tensors inside an :class:`~spikeworks.layers.SNN`; ``...`` is any
number of axes (none after a linear layer, H and W after a convolution). Plain ``nn.BatchNorm2d`` inside an SNN already
pools its statistics over time and batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .check import at_least
from .state import span, unfit
from .time import Temporal


class AnyBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of ``[B, C, ...]`` with any number of trailing axes; otherwise ``nn.BatchNorm2d``."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"batch normalisation got {tuple(input.shape)} per step, expected [B, {self.num_features}, ...]; "
                "channels come after the batch."
            )


class ThresholdDependentBatchNorm(Temporal):
    """tdBN: ``y = λ·α·θ·(x − μ)/√(σ² + ε) + β`` with μ, σ² over time, batch and space.

    α·θ is the initial value of the weight, so that currents start with standard deviation α·θ and neither silence nor
    saturate neurons of threshold θ. State: none. Zheng et al., AAAI 2021, eq. 5–7 (there λ starts at 1).

    :param channels: C.
    :param threshold: θ of the neuron that follows.
    :param alpha: 1; the paper takes 1/√2 where two normalised branches are added before the neuron.
    :param eps: added to the variance.
    :param momentum: weight of the newest batch in the running statistics, 0 to 1.
    """

    def __init__(
        self, channels: int, threshold: float = 1.0, alpha: float = 1.0, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.norm = AnyBatchNorm(channels, eps, momentum)
        nn.init.constant_(self.norm.weight, alpha * threshold)

    def run(self, x_T: Tensor, state: None) -> tuple[Tensor, None]:
        """``[T, B, C, ...]`` → the same, normalised."""
        if state is not None:
            raise unfit(self, state, "none")
        return _pooled(self.norm, x_T), None


class TemporalEffectiveBatchNorm(Temporal):
    """TEBN: ``y[t] = p[t]·BN(x)[t]``, statistics over time and batch, one learned scale per step.

    Its state is the number of steps seen. Duan et al., NeurIPS 2022, eq. 8 (reconstructed; p starts at 1).

    :param channels: C.
    :param steps: how many steps have a scale; longer runs are refused.
    :param eps: added to the variance.
    :param momentum: weight of the newest batch in the running statistics, 0 to 1.
    """

    def __init__(self, channels: int, steps: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.norm = AnyBatchNorm(channels, eps, momentum)
        self.scale = nn.Parameter(torch.ones(at_least("TemporalEffectiveBatchNorm", "steps", steps, 1)))

    def run(self, x_T: Tensor, state: int | None) -> tuple[Tensor, int]:
        """``[T, B, C, ...]`` → the same, normalised; raises ``ValueError`` past the last scale."""
        first, last = span(self, x_T, state, len(self.scale))
        p_T = self.scale[first:last].view(-1, *(1,) * (x_T.dim() - 1))
        return _pooled(self.norm, x_T) * p_T, last

    def extra_repr(self) -> str:
        """The number of steps."""
        return f"steps={len(self.scale)}"


class PerStepBatchNorm(Temporal):
    """BNTT: a batch normalisation of its own for every step, with a weight and no bias.

    Its state is the number of steps seen. Kim and Panda, Frontiers in Neuroscience 2021, eq. 7 (reconstructed).

    :param channels: C.
    :param steps: how many steps have statistics; longer runs are refused.
    :param eps: added to the variance.
    :param momentum: weight of the newest batch in the running statistics, 0 to 1.
    """

    def __init__(self, channels: int, steps: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        at_least("PerStepBatchNorm", "steps", steps, 1)
        self.norms = nn.ModuleList(AnyBatchNorm(channels, eps, momentum) for _ in range(steps))
        for norm in self.norms:
            norm.register_parameter("bias", None)

    def run(self, x_T: Tensor, state: int | None) -> tuple[Tensor, int]:
        """``[T, B, C, ...]`` → the same, normalised; raises ``ValueError`` past the last step."""
        first, last = span(self, x_T, state, len(self.norms))
        return torch.stack([n(x) for n, x in zip(self.norms[first:last], x_T.unbind(0), strict=True)]), last  # type: ignore[arg-type, misc]


def _pooled(norm: nn.Module, x_T: Tensor) -> Tensor:
    return norm(x_T.flatten(0, 1)).unflatten(0, x_T.shape[:2])
