"""Codes: exact round trips where the code is exact, 5-sigma bounds where it is drawn."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.layers import Delta, Latency, Phase, Population, Rate, Slices, first_spike, soft_first_spike

UNIT = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20)


def test_rate_has_the_mean_and_the_independence_of_bernoulli():
    steps, x = 4000, torch.tensor([[0.0, 0.003, 0.3, 0.9, 1.0]])
    s_T = Rate(steps, torch.Generator().manual_seed(0))(x)
    sigma = (x * (1 - x) / steps).sqrt()
    assert ((s_T.mean(0) - x).abs() <= 5 * sigma).all()  # exact where sigma is 0
    centred_T = (s_T - x)[:, 0, 1:4]
    lag = (centred_T[1:] * centred_T[:-1]).mean(0) / (x * (1 - x))[0, 1:4]
    assert (lag.abs() < 5 / steps**0.5).all()


def test_rate_repeats_with_its_generator_and_only_then():
    x = torch.full((50,), 0.5)
    again = [Rate(8, torch.Generator().manual_seed(3))(x) for _ in range(2)]
    assert torch.equal(*again)
    generator = torch.Generator().manual_seed(3)
    assert not torch.equal(Rate(8, generator)(x), Rate(8, generator)(x))


def test_rate_in_half_precision_keeps_small_probabilities():
    x = torch.full((100_000,), 1e-4, dtype=torch.float16)
    p, n = x[0].item(), 4 * x.numel()
    total = Rate(4, torch.Generator().manual_seed(0))(x).float().sum().item()
    assert abs(total - n * p) < 5 * (n * p) ** 0.5


@given(values=UNIT, steps=st.integers(1, 40))
def test_latency_fires_once_and_reads_back(values, steps):
    x = torch.tensor(values)
    s_T = Latency(steps)(x)
    assert (s_T.sum(0) == 1).all()
    time = first_spike(s_T)
    assert torch.equal(time.float(), soft_first_spike(s_T))
    if steps > 1:
        assert ((1 - time / (steps - 1)) - x).abs().max() <= 0.5 / (steps - 1) + 1e-6


@given(values=UNIT, steps=st.sampled_from([1, 2, 17, 100, 800]))
def test_log_latency_is_finite_for_any_length_and_follows_the_formula(values, steps):
    x = torch.tensor(values, dtype=torch.float64)
    s_T = Latency(steps, "log")(x)
    assert (s_T.sum(0) == 1).all()
    time, last = first_spike(s_T), steps - 1
    # e^(T-1) overflows a float at T=800 but not the big-number exponent of ln: split x = 0 from the rest
    expected = torch.where(x > 0, -torch.log(x + (1 - x) * torch.tensor(float(-last), dtype=x.dtype).exp()), last)
    assert ((time - expected).abs() <= 0.5 + 1e-9).all()
    order = x.argsort()
    assert (time[order].diff() <= 0).all()


@given(values=UNIT, bits=st.integers(1, 24), periods=st.integers(1, 3))
def test_phase_is_the_binary_expansion(values, bits, periods):
    x = torch.tensor(values)
    s_T = Phase(bits, periods)(x).unflatten(0, (periods, bits))
    assert (s_T == s_T[0]).all()
    weights = 0.5 ** torch.arange(1, bits + 1, dtype=torch.float64)
    back = (s_T[0].double() * weights.unsqueeze(1)).sum(0)
    wide = x.double()
    assert torch.equal(back, torch.where(wide < 1, (wide * 2**bits).floor() / 2**bits, 1 - 0.5**bits))


@given(
    start=st.integers(-8, 8),
    moves=st.lists(st.integers(-4, 4), max_size=30),
    cut=st.integers(0, 30),
)
def test_delta_follows_within_a_threshold(start, moves, cut):
    """In eighths, so that all sums are exact; no move exceeds the threshold of one half."""
    x_T = (start + torch.tensor([0, *moves]).cumsum(0)).view(-1, 1) / 8
    layer = Delta(threshold=0.5)
    s_T = layer(x_T)
    assert set(s_T.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert s_T[0] == 0
    assert ((x_T - x_T[0] - 0.5 * s_T.cumsum(0)).abs() < 0.5).all()
    cut = min(cut, len(moves))
    if cut:
        first_T, state = layer.stream(x_T[:cut])
        assert torch.equal(torch.cat([first_T, layer.stream(x_T[cut:], state)[0]]), s_T)


def test_delta_catches_up_after_a_jump_and_passes_gradients():
    x_T = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 0.5]).view(-1, 1).requires_grad_()
    s_T = Delta(threshold=0.5)(x_T)
    assert s_T.flatten().tolist() == [0, 1, 1, 0, 0, -1]
    s_T[5].sum().backward()
    assert x_T.grad[5] > 0


def test_population_integrates_its_receptive_fields():
    code = Population(steps=50, neurons=7, low=-1.0, high=1.0)
    x = torch.linspace(-1.2, 1.3, 12, dtype=torch.float64).view(4, 3)
    s_T, a = code(x), code.excite(x)
    assert s_T.shape == (50, 4, 3, 7)
    counts = s_T.cumsum(0)
    clock_T = torch.arange(1, 51).view(-1, 1, 1, 1)
    assert ((counts - clock_T * a) <= 1e-9).all()
    assert ((clock_T * a - counts) < 1 + 1e-9).all()
    at_centres = code.excite(torch.linspace(-1, 1, 7, dtype=torch.float64))
    assert torch.equal(at_centres.diagonal(), torch.ones(7, dtype=torch.float64))
    assert torch.allclose(at_centres[0, 1], torch.tensor(-(1.5**2) / 2, dtype=torch.float64).exp())


def test_random_population_has_the_mean_of_its_excitation():
    code = Population(4000, 5, random=True, generator=torch.Generator().manual_seed(0))
    x = torch.tensor([[0.1, 0.8]])
    a = code.excite(x)
    assert ((code(x).mean(0) - a).abs() <= 5 * (a * (1 - a) / 4000).sqrt() + 1e-6).all()


@pytest.mark.parametrize("code", [Rate(4), Latency(4), Latency(4, "log"), Phase(4)])
@pytest.mark.parametrize("bad", [[1.01], [-0.01], [float("nan"), 0.5], [float("inf")]])
def test_values_outside_of_the_unit_interval_are_refused(code, bad):
    for dtype in (torch.float32, torch.float64):
        with pytest.raises(ValueError, match=r"expected all in \[0, 1\]"):
            code(torch.tensor(bad, dtype=dtype))


@pytest.mark.parametrize("code", [Rate(4), Latency(4), Phase(4), Population(4), Delta()])
def test_whole_numbers_are_refused(code):
    with pytest.raises(ValueError, match=r"got torch\.uint8, expected a floating-point tensor"):
        code(torch.zeros(3, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Rate(0), lambda: Latency(3, "cubic"), lambda: Phase(63), lambda: Phase(0), lambda: Population(4, 1),
        lambda: Population(4, low=1.0, high=1.0), lambda: Population(4, beta=0.0), lambda: Delta(0.0),
        lambda: Population(4)(torch.tensor([float("nan")])),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        wrong()


@pytest.mark.parametrize("code", [Rate(4, torch.Generator().manual_seed(1)), Latency(4), Phase(4), Population(4)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_codes_keep_dtype_and_pickle(code, dtype):
    x = torch.rand(3, 2).to(dtype)
    other = pickle.loads(pickle.dumps(code))
    y_T = code(x)
    assert y_T.dtype == dtype
    assert torch.equal(other(x), y_T)


def test_slices_are_the_frames_in_their_order() -> None:
    x = torch.arange(2 * 12 * 3).view(2, 12, 3)
    found = Slices(4)(x)
    assert found.shape == (4, 2, 3, 3)
    for t, b, n in ((0, 0, 0), (1, 0, 2), (3, 1, 1)):
        assert torch.equal(found[t, b, n], x[b, 3 * t + n])
    assert found.data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match=r"Slices got \[2, 12, 3\], expected \[B, frames, ...\] with a multiple of 5"):
        Slices(5)(x)
    with pytest.raises(ValueError, match="steps"):
        Slices(0)
