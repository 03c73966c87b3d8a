"""A neuron as a value: made from a step, bound to parameters, replaced, copied, pickled, shown."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from spikeworks.neurons import surrogate as sg


@sw.neuron
def adaptive(x: Tensor, v: Tensor, a: Tensor, *, decay: float = 0.9, beta: float = 0.2):
    """An adaptive neuron of one's own."""
    h = decay * v + x
    s = sw.spike(h - (1 + beta * a))
    return s, (h - s * (1 + beta * a), 0.95 * a + s)


@sw.neuron(initial={"v": "rest", "w": lambda p: 2 * p["rest"]}, positive=("tau",))
def initialised(x: Tensor, v: Tensor, w: Tensor, *, rest: float = 0.25, tau: float = 2.0, mode: str = "a"):
    """Its states start at a parameter and at a function of the parameters."""
    return v, (v + x / tau, w)


@sw.neuron
def stateless(x: Tensor, *, threshold: float = 0.0):
    """No memory at all."""
    return sw.spike(x - threshold), ()


def test_a_step_of_ones_own_is_run_as_written() -> None:
    x_T = torch.randn(20, 3, 4)
    out_T, state = sw.scan(adaptive(beta=0.3), x_T, backend="eager")
    v = a = torch.zeros(3, 4)
    for x, out in zip(x_T, out_T, strict=True):
        h = 0.9 * v + x
        s = (h >= 1 + 0.3 * a).float()
        v, a = h - s * (1 + 0.3 * a), 0.95 * a + s
        assert torch.equal(out, s)
    assert torch.equal(state.v, v)
    assert torch.equal(state.a, a)


def test_a_type_reads_like_its_function() -> None:
    assert adaptive.__name__ == "adaptive"
    assert adaptive.__doc__ == "An adaptive neuron of one's own."
    assert adaptive.state_names == ("v", "a")
    assert adaptive(beta=0.3).parameters == {"decay": 0.9, "beta": 0.3}
    assert repr(adaptive(beta=0.3)) == "adaptive(decay=0.9, beta=0.3)"


def test_numbers_are_parameters_and_all_else_is_an_option() -> None:
    neuron = sw.LIF(tau=nn.Parameter(torch.tensor(3.0)), threshold=torch.ones(4, 1, 1), reset="soft")
    assert set(neuron.parameters) == {"tau", "threshold", "v_reset"}
    assert set(neuron.options) == {"reset", "detach_reset", "decay_input", "surrogate"}
    assert repr(neuron).startswith("LIF(tau=3 (learned), threshold=fixed[4, 1, 1], v_reset=0, reset='soft'")


def test_initial_values_come_from_parameters() -> None:
    assert initialised().start() == (0.25, 0.5)
    assert initialised(rest=0.5).start() == (0.5, 1.0)
    assert initialised().start({"rest": 2.0}) == (2.0, 4.0)
    assert initialised().starting(w=-1.0).start() == (0.25, -1.0)
    assert initialised().starting(w="tau").replace(tau=7.0).start() == (0.25, 7.0)


def test_every_reset_neuron_starts_at_its_reset_value() -> None:
    for name, make in sw.neurons.ALL.items():
        if name not in ("PLIF", "GLIF", "AdEx") and "v_reset" in make.defaults:
            start = dict(zip(make.state_names, make(v_reset=-0.25).start(), strict=True))
            assert start["v"] == -0.25, name


def test_replace_keeps_the_rest() -> None:
    neuron = sw.LIF(tau=3.0, reset="soft").starting(v=0.5)
    other = neuron.replace(tau=4.0)
    assert other.parameters["tau"] == 4.0
    assert other.options["reset"] == "soft"
    assert other.start() == (0.5,)
    assert neuron.parameters["tau"] == 3.0


def test_two_neurons_of_one_type_share_nothing() -> None:
    one, two = sw.LIF(), sw.LIF()
    one.parameters["tau"] = 9.0
    assert two.parameters["tau"] == 2.0
    assert sw.LIF().parameters["tau"] == 2.0


def test_a_stateless_step_is_a_neuron() -> None:
    x_T = torch.tensor([[-1.0, 2.0]])
    out_T, state = sw.scan(stateless(), x_T, backend="eager")
    assert out_T.tolist() == [[0, 1]]
    assert tuple(state) == ()


ALL = [pytest.param(make(), id=name) for name, make in sw.neurons.ALL.items()]


@pytest.mark.parametrize("neuron", [*ALL, pytest.param(adaptive(beta=0.3), id="own")])
def test_copies_and_pickles(neuron: sw.Neuron) -> None:
    x_T = torch.randn(5, 2, 3, 2, 2)
    for twin in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert twin.kind is neuron.kind
        assert repr(twin) == repr(neuron)
        for name, value in neuron.parameters.items():
            if isinstance(value, Tensor):
                assert twin.parameters[name] is not value
                assert type(twin.parameters[name]) is type(value)
        assert torch.equal(sw.scan(twin, x_T)[0], sw.scan(neuron, x_T)[0])


@pytest.mark.parametrize("neuron", ALL)
def test_states_copy_and_pickle(neuron: sw.Neuron) -> None:
    _, state = sw.scan(neuron, torch.randn(5, 2, 3, 2, 2))
    state = type(state)(*(value.detach() for value in state))
    for twin in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert type(twin) is type(state)
        assert twin._fields == neuron.state_names
        assert all(torch.equal(a, b) for a, b in zip(twin, state, strict=True))


def test_types_are_pickled_by_reference() -> None:
    for kind in (sw.LIF, adaptive, sg.atan):
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert copy.deepcopy(kind) is kind


def test_step_can_be_called_by_hand() -> None:
    s, state = sw.LIF(tau=2.0).step(torch.tensor([3.0]), torch.tensor([0.5]), tau=4.0)
    assert s.item() == 1
    assert state.v.item() == 0
    assert sw.IF().step(torch.tensor([0.2]), torch.tensor([0.5]))[1]._fields == ("v",)
