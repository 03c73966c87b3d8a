"""Readouts over time."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.layers import first_spike, last, maximum, mean, running_mean, running_sum, soft_first_spike


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3), min_size=1, max_size=9))
def test_first_spike_is_the_index_or_t(rows):
    s_T = torch.tensor(rows)
    expected = [column.index(1.0) if 1.0 in column else len(column) for column in s_T.T.tolist()]
    assert first_spike(s_T).tolist() == expected
    assert soft_first_spike(s_T).tolist() == expected


def test_soft_first_spike_is_the_expectation_and_its_gradient_is_right():
    p_T = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    expected = sum(t * p_T[t] * (1 - p_T[:t]).prod(0) for t in range(5)) + 5 * (1 - p_T).prod(0)
    assert torch.allclose(soft_first_spike(p_T), expected)
    assert torch.autograd.gradcheck(soft_first_spike, (p_T,))


def test_mean_last_maximum():
    y_T = torch.tensor([[1.0, -2.0], [4.0, -3.0], [1.0, -1.0]])
    assert mean(y_T).tolist() == [2.0, -2.0]
    assert last(y_T).tolist() == [1.0, -1.0]
    assert maximum(y_T).tolist() == [4.0, -1.0]


def test_running_answers_are_those_of_the_windows_so_far():
    y_T = torch.randn(6, 3, 2, dtype=torch.float64)
    for t in range(6):
        assert torch.allclose(running_mean(y_T)[t], mean(y_T[: t + 1]))
        assert torch.allclose(running_sum(y_T)[t], y_T[: t + 1].sum(0))
