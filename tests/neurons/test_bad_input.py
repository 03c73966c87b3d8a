"""Bad input is refused in one sentence: what came, what was expected, what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import spikeworks as sw


@sw.neuron
def forgets_its_state(x: Tensor, v: Tensor):
    """A wrong step: no state comes back."""
    return x


@sw.neuron
def returns_too_many(x: Tensor, v: Tensor):
    """A wrong step: two states for one."""
    return x, (v, v)


@sw.neuron
def returns_a_number(x: Tensor, v: Tensor):
    """A wrong step: the state is no tensor."""
    return x, 0.0


def no_default(x: Tensor, v: Tensor, *, tau: float):
    """A wrong signature."""
    return x, v


def nothing() -> tuple[()]:
    """A wrong signature."""
    return ()


def fine(x: Tensor, v: Tensor, *, tau: float = 2.0):
    """A right signature."""
    return x, v / tau


LIF, X = sw.LIF(), torch.zeros(4, 2, 3)
_, STATE = sw.scan(LIF, X)

CASES: dict[str, tuple[Callable[[], Any], str]] = {
    # the input of scan
    "input: not a tensor": (lambda: sw.scan(LIF, [[1.0]]), "scan got list as input, expected a floating-point tensor"),
    "input: integers": (lambda: sw.scan(LIF, X.int()), "scan got torch.int32 as input, expected a floating-point"),
    "input: booleans": (lambda: sw.scan(LIF, X.bool()), "scan got torch.bool as input"),
    "input: complex": (lambda: sw.scan(LIF, X.cfloat()), "scan got torch.complex64 as input"),
    "input: no batch": (lambda: sw.scan(LIF, X[0, 0]), r"scan got an input of shape \(3,\), expected \[T, B, ...\]"),
    "input: a number": (lambda: sw.scan(LIF, X[0, 0, 0]), r"scan got an input of shape \(\), expected \[T, B, ...\]"),
    "input: no time": (lambda: sw.scan(LIF, X[:0]), r"scan got an input of shape \(0, 2, 3\), .* with T >= 1"),
    # the state of scan
    "state: not a tuple": (lambda: sw.scan(LIF, X, X[0]), r"scan got a state of Tensor, expected a tuple \('v',\)"),
    "state: too many": (lambda: sw.scan(LIF, X, (X[0],) * 2), r"scan got a state of .*, expected .*\('v',\)"),
    "state: too few": (lambda: sw.scan(sw.ALIF(), X, STATE), r"scan got a state of .*expected a tuple \('v', 'a'\)"),
    "state: other batch": (
        lambda: sw.scan(LIF, torch.zeros(4, 5, 3), STATE),
        r"scan got state v of shape \(2, 3\) on cpu, expected \(5, 3\) on cpu .* start fresh",
    ),
    "state: other device": (
        lambda: sw.scan(LIF, X, (X[0].to("meta"),)), r"state v of shape \(2, 3\) on meta, expected .* on cpu",
    ),
    # names
    "parameter of scan": (lambda: sw.scan(LIF, X, tua=2.0), r"scan got parameters \['tua'\], expected names among"),
    "option as parameter of scan": (lambda: sw.scan(LIF, X, reset="soft"), r"scan got parameters \['reset'\]"),
    "backend": (lambda: sw.scan(LIF, X, backend="cuda"), "scan got backend='cuda', expected 'auto' or one of"),
    "parameter": (lambda: sw.LIF(taw=2.0), r"LIF got \['taw'\], expected names among \['decay_input', .*spelling"),
    "initial": (lambda: sw.LIF().starting(u=0.0), r"LIF got initial values for \['u'\], expected names among \['v'\]"),
    "initial from": (lambda: sw.LIF().starting(v="rest"), r"LIF got initial values from \['rest'\], expected par"),
    "reset": (lambda: sw.scan(sw.IF(reset="medium"), X, backend="eager"), "reset got 'medium', expected 'hard',"),
    # values
    "tau: zero": (lambda: sw.LIF(tau=0.0), "LIF.tau got 0, expected more than 0; pass a positive number"),
    "tau: negative": (lambda: sw.LIF(tau=-2), "LIF.tau got -2, expected more than 0"),
    "tau: one negative": (lambda: sw.LIF(tau=torch.tensor([2.0, -1.0])), "LIF.tau got -1, expected more than 0"),
    "tau: integers": (lambda: sw.LIF(tau=torch.tensor([2, 3])), r"LIF.tau got a tensor of torch.int64.*\.float\(\)"),
    "tau: text": (lambda: sw.LIF(tau="2"), "LIF.tau got '2', expected a number or a tensor"),
    "tau: true": (lambda: sw.LIF(tau=True), "LIF.tau got True, expected a number or a tensor"),
    "tau: later": (lambda: sw.LIF().replace(tau=-1.0), "LIF.tau got -1, expected more than 0"),
    "tau: in scan": (lambda: sw.scan(LIF, X, tau=-1.0), "LIF.tau got -1, expected more than 0"),
    "v_reset: none": (lambda: sw.LIF(v_reset=None), "LIF.v_reset got None, expected a number or a tensor"),
    "threshold: NaN": (lambda: sw.IF(threshold=math.nan), "IF.threshold got NaN or infinity, expected finite numbers"),
    "threshold: infinite": (lambda: sw.IF(threshold=math.inf), "IF.threshold got NaN or infinity"),
    "threshold: negative": (lambda: sw.IF(threshold=-1.0), "IF.threshold got -1, expected more than 0"),
    "threshold: one NaN": (lambda: sw.IF(threshold=torch.tensor([1.0, math.nan])), "IF.threshold got NaN or infinity"),
    "reset: a number": (lambda: sw.LIF(reset=0), "LIF.reset got 0, expected a str like 'hard'"),
    "detach_reset: text": (lambda: sw.LIF(detach_reset="no"), "LIF.detach_reset got 'no', expected a bool like False"),
    "surrogate: not called": (
        lambda: sw.scan(sw.IF(surrogate=sw.surrogate.atan), X, backend="eager"), "spike got .*atan.*; call it"
    ),
    "PLIF": (lambda: sw.PLIF(tau=1.0), "PLIF got tau=1, expected more than 1"),
    "PLIF: a channel": (lambda: sw.PLIF(tau=torch.tensor([2.0, 0.5])), "PLIF got tau=0.5, expected more than 1"),
    "GLIF": (lambda: sw.GLIF(tau=1.0), r"GLIF got tau=1, expected a value in \(0, 1\)"),
    "GLIF: threshold": (lambda: sw.GLIF(threshold=0.0), r"GLIF got threshold=0, expected a value in \(0, 1\)"),
    # steps of one's own
    "no default": (lambda: sw.neuron(no_default), "neuron got a step with signature .*tau.*give every keyword"),
    "no input": (lambda: sw.neuron(nothing), r"neuron got a step with signature \(\)"),
    "unknown initial": (lambda: sw.neuron(fine, initial={"u": 0.0}), r"fine got initial values for \['u'\]"),
    "unknown initial rule": (lambda: sw.neuron(fine, initial={"v": "rest"}), r"fine got initial values from .*rest"),
    "unknown positive": (lambda: sw.neuron(fine, positive=("tao",)), r"fine got positive=\['tao'\]"),
    "no state back": (
        lambda: sw.scan(forgets_its_state(), X, backend="eager"), "forgets_its_state got a tensor from its step",
    ),
    "states back": (
        lambda: sw.scan(returns_too_many(), X, backend="eager"),
        r"returns_too_many got \(a tensor, \(a tensor, a tensor\)\) from its step, expected .* each of \['v'\]",
    ),
    "number back": (
        lambda: sw.scan(returns_a_number(), X, backend="eager"), r"returns_a_number got \(a tensor, float\) from",
    ),
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


def test_a_refused_input_leaves_the_state_alone() -> None:
    held = STATE.v.clone()
    with pytest.raises(ValueError, match="scan got"):
        sw.scan(LIF, torch.zeros(4, 5, 3), STATE)
    assert torch.equal(STATE.v, held)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: sw.scan(sw.LIF(), x, tau=torch.ones((), device="meta")), "parameter tau as .* on meta"),
        (lambda x: sw.scan(sw.LIF(tau=torch.ones(5, 1, 1) + 1), x), r"parameter tau .* \(5, 1, 1\)"),
        (lambda x: sw.scan(sw.LIF().starting(v=torch.zeros(9)), x), r"initial v as .* \(9,\)"),
        (lambda x: sw.scan(sw.LIF(), x, tau=torch.tensor(2)), "parameter tau as torch.int64"),
        (lambda x: sw.scan(sw.LIF(), x, (0.0,)), "as state v, expected a tensor"),
        (lambda x: sw.scan(sw.CUBALIF(), x, sw.scan(sw.ALIF(), x)[1]), r"a state of \('v', 'a'\)"),
        (lambda x: sw.scan(sw.LIF, x), "expected a Neuron"),
        (lambda x: sw.scan(sw.LIF(), x, backend="cuda"), "got backend='cuda', expected 'auto'"),
    ],
)
def test_what_does_not_fit_is_refused(call, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=sentence):
        call(torch.zeros(4, 2, 3))


@sw.neuron
def writes_its_state(x: Tensor, v: Tensor):
    """A wrong step: the caller's state would change."""
    v += x
    return v, v


@sw.neuron
def writes_its_input(x: Tensor, v: Tensor):
    """A wrong step: the caller's input would change."""
    x += v
    return x, x


@pytest.mark.parametrize("kind", [writes_its_state, writes_its_input])
@pytest.mark.parametrize("begin", ["fresh", "given", "starting"])
@pytest.mark.filterwarnings("ignore:writes_its")  # that it runs on eager is said once
def test_a_step_that_writes_into_its_arguments_is_refused_before_it_does_harm(kind: Any, begin: str) -> None:
    x_T, v = torch.ones(3, 2), torch.ones(2)
    neuron = kind().starting(v=v) if begin == "starting" else kind()
    for backend in ("eager", "auto"):
        with pytest.raises(ValueError, match="wrote into it, expected new tensors"):
            sw.scan(neuron, x_T, (v,) if begin == "given" else None, backend)
        assert torch.equal(x_T, torch.ones(3, 2))
        assert torch.equal(v, torch.ones(2))


@pytest.mark.filterwarnings("ignore:writes_its")
def test_a_step_that_writes_into_its_arguments_is_refused_in_inference_mode_too() -> None:
    with torch.inference_mode():
        x_T = torch.ones(3, 2)
        with pytest.raises(ValueError, match="wrote into it, expected new tensors"):
            sw.scan(writes_its_input(), x_T)
        assert torch.equal(x_T, torch.ones(3, 2))
