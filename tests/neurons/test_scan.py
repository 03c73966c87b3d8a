"""The loop over time: what holds for every neuron, whatever its equation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import spikeworks as sw

NEURONS = [pytest.param(make(), id=name) for name, make in sw.neurons.ALL.items()]
every_neuron = pytest.mark.parametrize("neuron", NEURONS)


def drive(*shape: int, seed: int = 0) -> Tensor:
    return 0.4 + 0.7 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@every_neuron
@given(data=st.data())
def test_windows_of_any_length_give_the_whole_sequence(neuron: sw.Neuron, data: st.DataObject) -> None:
    T = data.draw(st.integers(1, 12))
    cuts = sorted(data.draw(st.sets(st.integers(1, T), max_size=4)))
    x_T = drive(T, 2, 3)
    whole_T, end = sw.scan(neuron, x_T, backend="eager")
    parts, state = [], None
    for lower, upper in zip([0, *cuts], [*cuts, T], strict=True):
        if upper > lower:
            part_T, state = sw.scan(neuron, x_T[lower:upper], state, backend="eager")
            parts.append(part_T)
    assert torch.equal(torch.cat(parts), whole_T)
    assert state is not None
    for a, b in zip(state, end, strict=True):
        assert torch.equal(a, b)


@every_neuron
def test_gradients_flow_through_a_carried_state(neuron: sw.Neuron) -> None:
    x_T = drive(9, 2, 3).double().requires_grad_()
    whole_T, _ = sw.scan(neuron, x_T)
    first_T, state = sw.scan(neuron, x_T[:4])
    second_T, _ = sw.scan(neuron, x_T[4:], state)
    weight_T = drive(9, 2, 3, seed=1).double()
    expected = torch.autograd.grad((whole_T * weight_T).sum(), x_T)[0]
    got = torch.autograd.grad((torch.cat([first_T, second_T]) * weight_T).sum(), x_T)[0]
    assert torch.allclose(got, expected, rtol=1e-12, atol=1e-14)
    assert bool((expected != 0).any())


@every_neuron
def test_one_step_equals_the_step(neuron: sw.Neuron) -> None:
    x = drive(2, 3)
    out_T, state = sw.scan(neuron, x[None], backend="eager")
    begin = sw.neurons.start(neuron, x[None])
    out, new = neuron.step(x, *begin)
    assert torch.equal(out_T[0], out)
    assert all(torch.equal(a, b) for a, b in zip(state, new, strict=True))


@every_neuron
def test_elements_do_not_see_each_other(neuron: sw.Neuron) -> None:
    x_T = drive(8, 5, 3)
    whole_T, _ = sw.scan(neuron, x_T, backend="eager")
    for b in range(5):
        assert torch.equal(sw.scan(neuron, x_T[:, b : b + 1], backend="eager")[0], whole_T[:, b : b + 1])


@every_neuron
@pytest.mark.parametrize("shape", [(4, 0), (4, 0, 3), (4, 2, 0, 3)])
def test_empty_batch(neuron: sw.Neuron, shape: tuple[int, ...]) -> None:
    x_T = torch.zeros(shape, requires_grad=True)
    out_T, state = sw.scan(neuron, x_T)
    assert out_T.shape == shape
    assert all(value.shape == shape[1:] for value in state)
    out_T.sum().backward()
    assert x_T.grad is not None
    assert x_T.grad.shape == shape


@pytest.mark.parametrize("backend", ["eager", "fused_cpu"])
@pytest.mark.parametrize("parameter", [(), (5,), (1, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("shape", [(4, 0, 5), (2, 0, 3, 5)], ids=str)
def test_empty_batch_with_tensor_parameters(shape: tuple[int, ...], parameter: tuple[int, ...], backend: str) -> None:
    x_T = torch.zeros(shape, requires_grad=True)
    neuron = sw.ALIF(threshold=torch.full(parameter, 1.5), tau=nn.Parameter(torch.full(parameter, 2.5)))
    out_T, state = sw.scan(neuron, x_T, backend=backend)
    assert out_T.shape == shape
    (out_T.sum() + state.v.sum()).backward()
    tau = neuron.parameters["tau"]
    assert isinstance(tau, nn.Parameter)
    assert x_T.grad is not None
    assert tau.grad is not None
    assert x_T.grad.shape == shape
    assert torch.equal(tau.grad, torch.zeros(parameter))


@every_neuron
def test_layout_of_the_input_does_not_matter(neuron: sw.Neuron) -> None:
    x_T = drive(6, 2, 3, 4, 5)
    expected_T, end = sw.scan(neuron, x_T, backend="eager")
    views = {
        "time last": x_T.movedim(0, -1).contiguous().movedim(-1, 0),
        "channels last": x_T.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3),
        "strided": torch.stack([x_T, x_T], -1)[..., 0],
    }
    for name, view_T in views.items():
        assert not view_T.is_contiguous()
        out_T, state = sw.scan(neuron, view_T, backend="eager")
        assert torch.equal(out_T, expected_T), name
        assert all(torch.equal(a, b) for a, b in zip(state, end, strict=True)), name


@every_neuron
def test_expanded_input(neuron: sw.Neuron) -> None:
    x_T = drive(1, 2, 3).expand(6, 2, 3)
    assert torch.equal(sw.scan(neuron, x_T)[0], sw.scan(neuron, x_T.contiguous())[0])


@every_neuron
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_input_keeps_a_float32_membrane(neuron: sw.Neuron, dtype: torch.dtype) -> None:
    x_T = drive(20, 2, 3).to(dtype)
    out_T, state = sw.scan(neuron, x_T, backend="eager")
    full_T, end = sw.scan(neuron, x_T.float(), backend="eager")
    assert out_T.dtype == dtype
    assert torch.equal(out_T, full_T.to(dtype))
    for a, b in zip(state, end, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


@every_neuron
def test_half_precision_gradients_come_in_their_own_dtype(neuron: sw.Neuron) -> None:
    x_T = drive(5, 2, 3).bfloat16().requires_grad_()
    sw.scan(neuron, x_T, backend="eager")[0].float().sum().backward()
    full_T = x_T.detach().float().requires_grad_()
    sw.scan(neuron, full_T, backend="eager")[0].sum().backward()
    assert x_T.grad is not None
    assert full_T.grad is not None
    assert x_T.grad.dtype == torch.bfloat16
    assert torch.equal(x_T.grad, full_T.grad.bfloat16())


@every_neuron
def test_float64_input_computes_in_float64(neuron: sw.Neuron) -> None:
    out_T, state = sw.scan(neuron, drive(5, 2, 3).double())
    assert out_T.dtype == torch.float64
    assert all(value.dtype == torch.float64 for value in state)


@every_neuron
def test_autocast_changes_nothing(neuron: sw.Neuron) -> None:
    x_T = drive(12, 2, 3)
    expected_T, end = sw.scan(neuron, x_T)
    with torch.autocast("cpu", torch.bfloat16):
        out_T, state = sw.scan(neuron, x_T)
    assert out_T.dtype == torch.float32
    assert torch.equal(out_T, expected_T)
    assert all(torch.equal(a, b) for a, b in zip(state, end, strict=True))


@every_neuron
def test_input_and_state_are_left_as_they_were(neuron: sw.Neuron) -> None:
    x_T = drive(5, 2, 3)
    _, state = sw.scan(neuron, x_T)
    held = [x_T.clone(), *(value.detach().clone() for value in state)]
    _, _ = sw.scan(neuron, x_T, state)
    assert all(torch.equal(a, b) for a, b in zip((x_T, *state), held, strict=True))


@sw.neuron
def change(x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Its state is its input."""
    return x - before, x


@pytest.mark.parametrize("backend", ["eager", "fused_cpu"])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_state_outlives_the_buffer_it_was_read_from(steps: int, backend: str) -> None:
    buffer_T, state, parts = torch.zeros(steps, 1), None, []
    for first in range(0, 6, steps):
        buffer_T[:, 0] = torch.arange(first, first + steps)
        out_T, state = sw.scan(change(), buffer_T, state, backend)
        parts.append(out_T)
        assert state.before.untyped_storage().nbytes() == 4
    assert torch.cat(parts).flatten().tolist() == [0, 1, 1, 1, 1, 1]
    x_T = torch.ones(3, 1, requires_grad=True)
    sw.scan(change(), x_T, backend=backend)[1].before.sum().backward()
    assert x_T.grad is not None
    assert x_T.grad.flatten().tolist() == [0, 0, 1]
    with torch.no_grad():
        assert not sw.scan(change(), x_T[:steps], backend=backend)[1].before.requires_grad


@every_neuron
def test_every_call_starts_fresh(neuron: sw.Neuron) -> None:
    x_T = drive(7, 2, 3)
    assert torch.equal(sw.scan(neuron, x_T)[0], sw.scan(neuron, x_T)[0])


@every_neuron
def test_state_is_a_named_tuple_of_tensors_of_one_step(neuron: sw.Neuron) -> None:
    _, state = sw.scan(neuron, drive(5, 2, 3))
    assert state._fields == neuron.state_names
    assert all(value.shape == (2, 3) and value.dtype == torch.float32 for value in state)


def test_a_parameter_can_be_overridden_for_one_call() -> None:
    x_T, neuron = drive(12, 2, 3), sw.LIF(tau=2.0)
    expected_T, _ = sw.scan(sw.LIF(tau=5.0), x_T)
    assert torch.equal(sw.scan(neuron, x_T, tau=5.0)[0], expected_T)
    assert not torch.equal(sw.scan(neuron, x_T)[0], expected_T)
    assert neuron.parameters["tau"] == 2.0


def test_an_overridden_reset_value_is_the_initial_value_too() -> None:
    x_T = drive(12, 2, 3)
    assert torch.equal(sw.scan(sw.LIF(), x_T, v_reset=-0.5)[0], sw.scan(sw.LIF(v_reset=-0.5), x_T)[0])


def test_gradients_reach_parameters_learned_and_overriding() -> None:
    x_T = drive(12, 4, 3)
    learned = sw.LIF(tau=nn.Parameter(torch.tensor(2.0)), threshold=nn.Parameter(torch.ones(3)))
    sw.scan(learned, x_T)[0].sum().backward()
    for name in ("tau", "threshold"):
        parameter = learned.parameters[name]
        assert isinstance(parameter, nn.Parameter)
        assert parameter.grad is not None
        assert parameter.grad.shape == parameter.shape
        assert bool((parameter.grad != 0).all())
    tau = torch.tensor(2.0, requires_grad=True)
    sw.scan(sw.LIF(), x_T, tau=tau)[0].sum().backward()
    assert tau.grad is not None
    assert tau.grad != 0


def test_no_graph_is_kept_without_gradients() -> None:
    with torch.no_grad():
        out_T, state = sw.scan(sw.PLIF(), drive(5, 2, 3))
    assert not out_T.requires_grad
    assert not state.v.requires_grad


def test_functional_transforms() -> None:
    neuron, x_T = sw.LIF(tau=2.0), drive(6, 4, 3)
    expected_T, _ = sw.scan(neuron, x_T)
    per_sample = torch.func.vmap(lambda x_T: sw.scan(neuron, x_T[:, None])[0][:, 0], in_dims=1, out_dims=1)(x_T)
    assert torch.equal(per_sample, expected_T)
    leaf_T = x_T.clone().requires_grad_()
    sw.scan(neuron, leaf_T)[0].sum().backward()
    assert leaf_T.grad is not None
    gradient = torch.func.grad(lambda x_T: sw.scan(neuron, x_T)[0].sum())(x_T)
    assert torch.allclose(gradient, leaf_T.grad, rtol=1e-5, atol=1e-6)


def test_a_poisson_spike_draws_anew_and_still_runs() -> None:
    neuron = sw.IF(threshold=1e-6, reset="none", surrogate=sw.surrogate.poisson_pass())
    with pytest.warns(UserWarning, match="IF runs on the eager backend because"):
        out_T, _ = sw.scan(neuron, torch.full((1, 4000), 0.3))
    assert out_T.mean().item() == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 4000) ** 0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_tensor_parameters_of_any_dtype_leave_the_membrane_its_own(dtype: torch.dtype) -> None:
    results = []
    for backend in ("eager", "fused_cpu"):
        tau, v_reset = (nn.Parameter(torch.full((3,), value, dtype=dtype)) for value in (2.5, -0.125))
        out_T, state = sw.scan(sw.LIF(tau=tau, v_reset=v_reset), drive(9, 2, 3), backend=backend)
        assert state.v.dtype == torch.float32
        (out_T.sum() + state.v.sum()).backward()
        assert tau.grad is not None
        assert v_reset.grad is not None
        assert tau.grad.dtype == v_reset.grad.dtype == dtype
        results.append((out_T, state.v, tau.grad, v_reset.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
