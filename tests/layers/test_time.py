"""Repeat, Delay, layouts, and what every temporal layer promises: streams and single steps give the whole's bits."""

import copy
import io
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import spikeworks as sw
from spikeworks.layers import (
    PSN,
    SNN,
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

STEPS = 7

LAYERS = {
    "spiking": lambda: Spiking(sw.LIF(tau=2.0, reset="soft")),
    "learned": lambda: Spiking(sw.PLIF(tau=torch.full((3, 1, 1), 3.0))),
    "delay": lambda: Delay(2),
    "long delay": lambda: Delay(STEPS + 3),
    "no delay": lambda: Delay(0),
    "tdbn": lambda: ThresholdDependentBatchNorm(3),
    "tebn": lambda: TemporalEffectiveBatchNorm(3, STEPS),
    "bntt": lambda: PerStepBatchNorm(3, STEPS),
    "delta": lambda: Delta(0.25),
    "dropout": lambda: Dropout(0.3),
    "recurrent": lambda: Recurrent(Spiking(sw.IF()), nn.Conv2d(3, 3, 3, padding=1)),
    "delayed feedback": lambda: Recurrent(Spiking(sw.IF()), nn.Sequential(Delay(2), nn.Conv2d(3, 3, 1))),
    "masked psn": lambda: MaskedPSN(STEPS, 3, mask=1.0),
    "sliding psn": lambda: SlidingPSN(4),
}


def make(name: str) -> Temporal:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    with torch.no_grad():
        for tensor in [*layer.parameters(), *(b for n, b in layer.named_buffers() if n.endswith("running_mean"))]:
            tensor.add_(0.3 * torch.rand_like(tensor))  # leave the initial ones and zeros
    return layer.eval()


def signal(steps: int = STEPS, batch: int = 2) -> torch.Tensor:
    return 1.5 * torch.rand(steps, batch, 3, 5, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", LAYERS)
def test_a_stream_in_windows_gives_the_bits_of_the_whole(name):
    layer, x_T = make(name), signal()
    whole_T = layer(x_T)
    assert whole_T.shape == x_T.shape
    for windows in ([3, 4], [1, 5, 1], [1] * STEPS):
        state, parts = None, []
        for window_T in x_T.split(windows):
            y_T, state = layer.stream(window_T, state)
            parts.append(y_T)
        if name == "masked psn":  # a matrix product of another size may round otherwise: spikes are what counts
            assert (torch.cat(parts) != whole_T).float().mean() < 1e-3
        else:
            assert torch.equal(torch.cat(parts), whole_T)


@pytest.mark.parametrize("name", LAYERS)
def test_single_steps_inside_a_network_equal_the_layer_alone(name):
    layer, x_T = make(name), signal()
    alone_T = layer(x_T)
    net = SNN(nn.Sequential(nn.Identity(), layer))
    assert torch.equal(net(x_T), alone_T)
    state, outputs = None, []
    for x in x_T:
        y, state = net.step(x, state)
        outputs.append(y)
    assert torch.allclose(torch.stack(outputs), alone_T, atol=0 if name != "masked psn" else 1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_copies_pickles_and_state_dicts_run_alike(name):
    layer, x_T = make(name), signal()
    y_T = layer(x_T)
    fresh = LAYERS[name]()
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh.eval()):
        assert torch.equal(other(x_T), y_T)


@pytest.mark.parametrize("name", LAYERS)
def test_states_of_two_streams_join(name):
    layer = make(name)
    x_T = signal(batch=2)
    halves = [layer.stream(x_T[:4, i : i + 1])[1] for i in range(2)]
    joined_T, _ = layer.stream(x_T[4:], batch(halves))
    assert torch.allclose(joined_T, layer(x_T)[4:], atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_the_state_does_not_alias_the_input(name):
    """A live loop writes the next frame into the same memory."""
    layer, x_T = make(name), signal()
    whole_T = layer(x_T)
    frame, state, outputs = torch.empty_like(x_T[0]), None, []
    for x in x_T:
        frame.copy_(x)
        y, state = layer.step(frame, state)
        outputs.append(y.clone())
    assert torch.allclose(torch.stack(outputs), whole_T, atol=0 if name != "masked psn" else 1e-6)


def test_joining_streams_at_different_steps_is_refused():
    layer, x_T = make("tebn"), signal()
    with pytest.raises(ValueError, match=r"steps \[2, 3\]"):
        batch([layer.stream(x_T[:2])[1], layer.stream(x_T[:3])[1]])


@pytest.mark.parametrize("name", ["spiking", "delay", "tdbn", "tebn", "bntt", "sliding psn", "recurrent", "masked psn"])
def test_channels_last_maps_stay_so(name):
    layer = make(name).to(memory_format=torch.channels_last)
    x = signal().flatten(0, 1).to(memory_format=torch.channels_last)
    seen = {}
    net = SNN(nn.Sequential(nn.Identity(), layer, nn.Identity()))
    net.network[2].register_forward_hook(lambda module, inputs, y: seen.update(y=inputs[0]))
    net(x.unflatten(0, (STEPS, -1)))
    assert seen["y"].is_contiguous(memory_format=torch.channels_last)


def test_folding_and_unfolding_channels_last_copies_nothing():
    class Look(Temporal):
        def run(self, x_T, state):
            self.seen = x_T
            return x_T, None

    look, x = Look(), signal().flatten(0, 1).to(memory_format=torch.channels_last)
    seen = {}
    net = SNN(nn.Sequential(look, nn.Identity()))
    net.network[1].register_forward_hook(lambda module, inputs, y: seen.update(y=y))
    y_T = net(x.unflatten(0, (STEPS, -1)))
    assert x.data_ptr() == look.seen.data_ptr() == seen["y"].data_ptr() == y_T.data_ptr()
    assert look.seen.stride() == (2 * 60, 60, 1, 12, 3)
    assert seen["y"].stride() == (60, 1, 12, 3)


@given(steps=st.integers(1, 6), delay=st.integers(0, 9))
def test_delay_shifts(steps, delay):
    x_T = torch.arange(1.0, steps + 1).view(steps, 1)
    y_T, state = Delay(delay).stream(x_T)
    assert y_T.flatten().tolist() == ([0.0] * delay + x_T.flatten().tolist())[:steps]
    assert len(state) == delay


def test_delay_passes_gradients_across_windows():
    x_T = torch.ones(4, 1, requires_grad=True)
    layer = Delay(1)
    _, state = layer.stream(x_T[:2])
    y_T, _ = layer.stream(x_T[2:], state)
    y_T.sum().backward()
    assert x_T.grad.flatten().tolist() == [0, 1, 1, 0]


def test_repeat_is_a_view():
    x = torch.rand(2, 3)
    x_T = Repeat(5)(x)
    assert x_T.shape == (5, 2, 3)
    assert x_T.data_ptr() == x.data_ptr()
    assert (x_T == x).all()


@pytest.mark.parametrize("wrong", [lambda: Repeat(0), lambda: Repeat(2.0), lambda: Delay(-1), lambda: PSN(0)])
def test_wrong_step_counts_are_refused(wrong):
    with pytest.raises(ValueError, match="expected a whole number of at least"):
        wrong()


def test_recurrent_equals_the_loop_by_hand():
    torch.manual_seed(0)
    feedback = nn.Linear(6, 6)
    x_T = 2 * torch.rand(5, 3, 6)
    v, y, outputs = torch.zeros(3, 6), torch.zeros(3, 6), []
    for x in x_T:
        h = v + (x + feedback(y) - v) / 2
        y = (h >= 1).float()
        v = h * (1 - y)
        outputs.append(y)
    layer = Recurrent(Spiking(sw.LIF(tau=2.0)), feedback)
    assert torch.equal(layer(x_T), torch.stack(outputs))
    layer(x_T).sum().backward()
    assert feedback.weight.grad.abs().sum() > 0


def test_recurrent_adaptive_neurons_equal_the_published_loop():
    """RadLIF as its authors write it: the reset by the spike of the step before, adaptation before the membrane."""
    torch.manual_seed(0)
    alpha, beta = (torch.empty(6).uniform_(low, 0.99).double() for low in (0.5, 0.9))
    a, b = torch.empty(6).uniform_(-1, 1).double(), torch.empty(6).uniform_(0, 2).double()
    feedback = nn.Linear(6, 6, bias=False).double()
    x_T = 6 * torch.rand(40, 3, 6).double()
    u, w, s, outputs = *(torch.zeros(3, 6).double() for _ in range(3)), []
    for x in x_T:
        w = beta * w + a * u + b * s
        u = alpha * (u - s) + (1 - alpha) * (x + feedback(s) - w)
        s = (u >= 1).double()
        outputs.append(s)
    learned = {name: nn.Parameter(value) for name, value in (("decay", alpha), ("decay_w", beta), ("a", a), ("b", b))}
    layer = Recurrent(Spiking(sw.AdLIF(**learned)), feedback)
    assert torch.equal(layer(x_T), torch.stack(outputs))
    assert 0.05 < layer(x_T).mean() < 0.95
    layer(x_T).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


def test_dropout_keeps_its_mask_over_time_and_windows():
    layer = Dropout(0.25, torch.Generator().manual_seed(0))
    ones_T = torch.ones(6, 50, 40)
    y_T, mask = layer.stream(ones_T)
    assert (y_T == y_T[0]).all()
    assert set(y_T.unique().tolist()) == {0.0, (torch.ones(()) / 0.75).item()}
    assert abs((y_T[0] == 0).float().mean() - 0.25) < 5 * (0.25 * 0.75 / 2000) ** 0.5
    assert torch.equal(layer.stream(ones_T, mask)[0], y_T)
    assert not torch.equal(layer(ones_T), y_T)  # a fresh start draws anew
    assert layer.eval()(ones_T) is ones_T
    with pytest.raises(ValueError, match=r"p=1\.5"):
        Dropout(1.5)
