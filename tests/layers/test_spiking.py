"""A neuron as a layer: which of its tensors it owns, under which names, and that they are the ones in use."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import spikeworks as sw
from spikeworks.layers import SNN, Spiking, batch


def signal(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backend", ["eager", "fused_cpu"])
def test_an_initial_value_is_learned(backend):
    layer = Spiking(sw.LIF(reset="soft").starting(v=nn.Parameter(torch.full((3,), 0.4))), backend)
    assert dict(layer.named_parameters()).keys() == {"initial_v"}
    x_T = signal(5, 4, 3)
    layer(x_T).sum().backward()
    v = torch.full((3,), 0.4, requires_grad=True)
    sw.scan(sw.LIF(reset="soft").starting(v=v), x_T, backend=backend)[0].sum().backward()
    assert v.grad.any()
    assert torch.allclose(layer.initial_v.grad, v.grad)
    with torch.no_grad():
        layer.initial_v.fill_(0.9)
    assert torch.equal(layer(x_T), sw.scan(sw.LIF(reset="soft").starting(v=0.9), x_T, backend=backend)[0])


def test_initial_values_that_are_tensors_travel_with_the_layer():
    @sw.neuron(initial={"a": lambda p: 2 * p["rest"], "w": "rest"})
    def three(x, v, a, w, *, rest=0.25):
        return x + v + a + w, (v, a, w)

    fixed = torch.tensor([[0.5], [0.75]])
    layer = Spiking(three(rest=torch.tensor(0.5)).starting(v=fixed))
    assert set(layer.state_dict()) == {"rest", "initial_v"}
    x_T = signal(2, 4, 2, 3)
    assert torch.equal(layer(x_T), x_T + fixed + 1.0 + 0.5)
    state = layer.stream(x_T)[1]
    assert [s.shape for s in state] == [x_T.shape[1:]] * 3
    assert torch.equal(layer.stream(x_T, state)[0], layer(x_T))
    for other in (copy.deepcopy(layer), Spiking(three(rest=torch.ones(())).starting(v=torch.ones(2, 1)))):
        other.load_state_dict(layer.state_dict())
        assert torch.equal(other(x_T), layer(x_T))
    meta = layer.to("meta")
    assert meta(x_T.to("meta")).shape == x_T.shape
    assert three().starting(v=fixed).start()[0] is fixed  # the neuron itself is as it was


def test_states_of_layers_with_initial_tensors_join_and_the_layers_pickle():
    layer = Spiking(sw.IF().starting(v=torch.tensor([0.0, 0.5, 0.9])))
    net, x_T = SNN(nn.Sequential(layer)), signal(4, 2, 3)
    assert torch.equal(pickle.loads(pickle.dumps(net))(x_T), net(x_T))
    halves = [layer.stream(x_T[:, i : i + 1])[1] for i in range(2)]
    assert torch.equal(batch(halves).v, layer.stream(x_T)[1].v)


def test_an_initial_value_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"scan got initial v as torch.float32 \(2,\) on cpu, expected"):
        Spiking(sw.IF().starting(v=torch.zeros(2)))(signal(4, 2, 3))


NAMES = ("type", "half", "run", "step", "forward", "training", "state", "backend", "neuron", "x_T", "learned")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [torch.tensor, lambda v: nn.Parameter(torch.tensor(v))])
def test_names_that_modules_need_are_refused_for_tensors_only(name, kind):
    scope = {"sw": sw}
    exec(f"@sw.neuron\ndef named(x, v, *, {name}=1.0):\n    return v + x, v * {name}", scope)  # a signature per name
    with pytest.raises(
        ValueError, match=f"Spiking got a named with a tensor named '{name}', expected a name that"
    ) as e:
        Spiking(scope["named"](**{name: kind(0.5)}))
    assert "\n" not in str(e.value)
    x_T = signal(3, 2)
    assert torch.equal(Spiking(scope["named"]())(x_T), x_T)


def test_a_parameter_and_an_initial_value_of_one_name_are_refused():
    @sw.neuron
    def clash(x, v, *, initial_v=1.0):
        return v + x, v * initial_v

    with pytest.raises(ValueError, match="a tensor named 'initial_v'"):
        Spiking(clash(initial_v=torch.ones(2)).starting(v=torch.ones(2)))


def test_repr_shows_the_present_values():
    layer = Spiking(sw.LIF(tau=nn.Parameter(torch.tensor(2.0)), threshold=torch.tensor(1.0)))
    assert "tau=2 (learned), threshold=1 (fixed)" in repr(layer)
    with torch.no_grad():
        layer.tau.fill_(3.5)
        layer.threshold.fill_(0.5)
    assert "tau=3.5 (learned), threshold=0.5 (fixed)" in repr(layer)
    assert "tau=" in repr(layer.to("meta"))  # no values there
