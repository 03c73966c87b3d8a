"""What layers are given and cannot use is refused in one sentence: what came, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from spikeworks.layers import (
    PSN,
    SNN,
    Checkpoint,
    Delay,
    Delta,
    Dropout,
    MaskedPSN,
    PerStepBatchNorm,
    Recurrent,
    Repeat,
    SlidingPSN,
    Spiking,
    Temporal,
    TemporalEffectiveBatchNorm,
    ThresholdDependentBatchNorm,
    batch,
)
from spikeworks.layers.parallel import MaskedState
from spikeworks.layers.recurrent import RecurrentState

X = torch.rand(4, 5, 3)
FEWER = X[:, :2]
NAN = torch.full((4, 5, 3), float("nan"))
MASKED = MaskedPSN(8, 3, mask=1.0)


def recurrent() -> Recurrent:
    return Recurrent(Spiking(sw.IF()), nn.Linear(3, 3))


def network(layer: nn.Module) -> SNN:
    return SNN(nn.Sequential(layer))


class Hidden(nn.Module):
    """Keeps its layer where torch does not find it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [Spiking(sw.IF())]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


class Mean(nn.Module):
    """Loses the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0)


class Two(nn.Module):
    """Gives two outputs."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    # inputs
    "input: a list": (lambda: SNN(Delay(1))([[1.0]]), r"SNN got list as input, expected a tensor \[T, B, ...\]"),
    "input: streamed": (lambda: network(Delay(1)).stream([[1.0]]), "SNN got list as input"),
    "input: stepped": (lambda: network(Delay(1)).step([1.0]), "SNN got list as input"),
    "input: no batch": (lambda: network(Delay(1))(X[0, 0]), r"SNN got a tensor .*\(3,\) on cpu as input"),
    "input: no time": (lambda: network(Delay(1))(X[:0]), r"SNN got a tensor .*\(0, 5, 3\).* with T >= 1"),
    "input: alone": (lambda: Delay(1)([[1.0]]), r"Delay got list as input, expected a tensor \[T, B, ...\]"),
    "input: alone, no time": (lambda: Delay(1)(X[:0]), r"Delay got a tensor .*\(0, 5, 3\).* with T >= 1"),
    "input: alone, a step": (lambda: Delay(1).step(0.5), "Delay got 0.5 as input"),
    "input: repeated": (lambda: Repeat(4)([1.0]), r"Repeat got list, expected a tensor \[B, ...\]"),
    "inside: no batch": (lambda: SNN(nn.Sequential(Mean(), Delay(1)))(X), r"SNN got .*\(3,\) .* a multiple of T=4"),
    "inside: two outputs": (lambda: SNN(Two())(X), "SNN got a tuple of 2, .* expected one tensor"),
    "inside: not registered": (lambda: SNN(Hidden())(X), "SNN got Spiking inside, .* use nn.ModuleList"),
    "PSN: NaN": (lambda: PSN(4)(NAN), "PSN got input that drove its membrane to NaN or infinity, expected finite"),
    "MaskedPSN: NaN": (lambda: MaskedPSN(4, 2)(NAN), "MaskedPSN got input that drove its membrane to NaN"),
    "SlidingPSN: NaN": (lambda: SlidingPSN(2)(NAN), "SlidingPSN got input that drove its membrane to NaN"),
    "PSN: infinity": (lambda: PSN(4)(NAN.nan_to_num(torch.inf)), "PSN got input that drove its membrane to NaN"),
    "PSN: integers": (lambda: PSN(4)(X.int()), r"PSN got torch.int32, expected a floating-point tensor; convert it"),
    "MaskedPSN: integers": (lambda: MASKED(X.long()), "MaskedPSN got torch.int64, expected a floating-point tensor"),
    "SlidingPSN: integers": (lambda: SlidingPSN(2)(X.bool()), "SlidingPSN got torch.bool, expected a floating-point"),
    # states
    "SNN: a tuple": (lambda: network(Delay(1)).stream(X, (X[0],)), "SNN got a state of a tuple of 1, .* a dict from"),
    "SNN: a tensor": (lambda: network(Delay(1)).stream(X, X[0]), "SNN got a state of a tensor .* expected a dict from"),
    "SNN: step": (lambda: network(Delay(1)).step(X[0], X[0]), "SNN got a state of a tensor .* expected a dict from"),
    "SNN: numbers": (lambda: network(Delay(1)).stream(X, {7: X[0]}), r"SNN got a state for \['7'\]"),
    "SNN: other layers": (lambda: network(Delay(1)).stream(X, {"7": X[0]}), r"SNN got a state for \['7'\]"),
    "SNN: inside": (
        lambda: network(Delay(1)).stream(X, network(Delay(2)).stream(X)[1]), "Delay got a state of a tuple of 2",
    ),
    "Delay: of another": (lambda: Delay(2).stream(X, Delay(3).stream(X)[1]), "Delay got .* of 3, .* a tuple of 2 like"),
    "Delay: of a neuron": (lambda: Delay(1).stream(X, Spiking(sw.IF()).stream(X)[1]), "Delay got .* a tuple of 1 like"),
    "Delay: a tensor": (lambda: Delay(2).stream(X, torch.zeros(2, 5, 3)), "Delay got .* a tuple of 2 like"),
    "Delay: another batch": (
        lambda: Delay(2).stream(X, Delay(2).stream(FEWER)[1]), r"Delay got .*\(2, 3\) .* expected a tensor .*\(5, 3\)",
    ),
    "Delay: another device": (lambda: Delay(1).stream(X, (X[0].to("meta"),)), "Delay got .* on meta, .* on cpu"),
    "Delay: integers": (lambda: Delay(1).stream(X, (X[0].int(),)), "Delay got .*int32 .*expected .*float32"),
    "Delay: numbers": (lambda: Delay(1).stream(X, (0.0,)), "Delay got a state of 0.0, expected a tensor"),
    "SlidingPSN: another order": (
        lambda: SlidingPSN(2).stream(X, SlidingPSN(4).stream(X)[1]), "SlidingPSN got .* of 3, .* a tuple of 1 like",
    ),
    "SlidingPSN: another batch": (
        lambda: SlidingPSN(3).stream(X, SlidingPSN(3).stream(FEWER)[1]), r"SlidingPSN got .*\(2, 3\)",
    ),
    "MaskedPSN: another batch": (lambda: MASKED.stream(X, MASKED.stream(FEWER)[1]), r"MaskedPSN got .*\(2, 3\)"),
    "MaskedPSN: a tuple": (lambda: MASKED.stream(X, (2, ())), "MaskedPSN got .* a MaskedState"),
    "MaskedPSN: fewer": (lambda: MASKED.stream(X, MaskedState(4, (X[0],))), "MaskedPSN got .* a tuple of 2 like"),
    "MaskedPSN: no number": (lambda: MASKED.stream(X, MaskedState(0.5, ())), "MaskedPSN got a state of 0.5"),
    "PSN: a tensor": (lambda: PSN(4).stream(X, X[0]), "PSN got a state of a tensor .* expected the number of steps"),
    "Dropout: a broadcast mask": (
        lambda: Dropout(0.5).stream(X, Dropout(0.5).stream(X[:, :1])[1]), r"Dropout got .*\(1, 3\) .*\(5, 3\)",
    ),
    "Dropout: in evaluation": (lambda: Dropout(0.5).eval().stream(X, FEWER[0]), r"Dropout got .*\(2, 3\)"),
    "Dropout: a tuple": (lambda: Dropout(0.5).stream(X, (X[0],)), "Dropout got a state of a tuple of 1"),
    "TEBN: a tensor": (
        lambda: TemporalEffectiveBatchNorm(3, 8).stream(X, torch.zeros(2)), "BatchNorm got .* expected the number of",
    ),
    "BNTT: negative": (lambda: PerStepBatchNorm(3, 8).stream(X, -1), "PerStepBatchNorm got a state of -1"),
    "BNTT: a flag": (lambda: PerStepBatchNorm(3, 8).stream(X, True), "PerStepBatchNorm got a state of True"),
    "tdBN: any": (lambda: ThresholdDependentBatchNorm(3).stream(X, 4), "BatchNorm got a state of 4, expected none"),
    "Delta: another batch": (lambda: Delta().stream(X, Delta().stream(FEWER)[1]), r"scan got state .*\(2, 3\)"),
    "Recurrent: another batch": (
        lambda: recurrent().stream(X, recurrent().stream(FEWER)[1]), r"Recurrent got .*\(2, 3\) .*expected .*\(5, 3\)",
    ),
    "Recurrent: a tuple": (
        lambda: recurrent().stream(X, tuple(recurrent().stream(X)[1])), "Recurrent got a state of .* a RecurrentState",
    ),
    "Recurrent: feedback": (
        lambda: recurrent().stream(X, RecurrentState(None, X[0], X[0])), "SNN got a state of .* expected a dict from",
    ),
    # joined
    "batch: none": (lambda: batch([]), "batch got 0 states, expected one or more of one structure; join streams of"),
    "batch: two networks": (
        lambda: batch([Delay(1).stream(X)[1], Delay(2).stream(X)[1]]), "batch got 2 states, .* of one structure",
    ),
    "batch: two shapes": (
        lambda: batch([Delay(1).stream(X)[1], Delay(1).stream(X[..., :2])[1]]), "batch got .* but for the first axis",
    ),
    "batch: one fresh": (lambda: batch([X[0], None]), "batch got streams at steps .* expected one step for all"),
    # constructors
    "Spiking: a type": (lambda: Spiking(sw.LIF), "Spiking got LIF as neuron, expected a Neuron such as sw.LIF().*call"),
    "Spiking: a layer": (lambda: Spiking(nn.ReLU()), "Spiking got ReLU as neuron, expected a Neuron"),
    "SNN: a neuron": (lambda: SNN(sw.IF()), "SNN got Neuron as network, expected an nn.Module; a neuron becomes"),
    "Recurrent: a network": (
        lambda: Recurrent(nn.Sequential(nn.Linear(3, 3), Spiking(sw.IF())), nn.Linear(3, 3)),
        r"Recurrent got Sequential as layer, expected a temporal layer .*; wrap other networks in SNN\(...\)",
    ),
    "Recurrent: a neuron": (lambda: Recurrent(sw.IF(), nn.Linear(3, 3)), "Recurrent got Neuron as layer"),
    "Recurrent: no feedback": (lambda: Recurrent(Spiking(sw.IF()), torch.relu), "SNN got .* expected an nn.Module"),
    "Checkpoint": (lambda: Checkpoint(torch.relu), "Checkpoint got .* expected an nn.Module"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_sentence(case: str) -> None:
    call, words = CASES[case]
    with pytest.raises(ValueError, match=words) as refusal:
        call()
    message = str(refusal.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 400


def test_a_layer_of_ones_own_is_asked_for_time_too() -> None:
    class Look(Temporal):
        def run(self, x_T: Tensor, state: Any) -> tuple[Tensor, Any]:
            return x_T, state

    with pytest.raises(ValueError, match="Look got a tensor"):
        Look()(torch.rand(3))
