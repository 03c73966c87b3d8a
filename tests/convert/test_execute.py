"""The window and the step executor give the same bits; nothing is left over; batches do not see each other."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from convert.small_nets import Branches, PreActivation, Residual, exact, exact_images
from spikeworks.convert import OPI, Converted, Max, convert
from spikeworks.convert.execute import window
from spikeworks.convert.graph import sites

NETS: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual,
    "branches": Branches,
    "pooled": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(20, 10)
    ),
    "linear first": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 10)),
}


def power_of_two_thresholds(snn: Converted) -> Converted:
    """So that all sums in the network are exact in float32, whatever their order."""
    for name in snn.sites:
        threshold = snn.network.get_submodule(name).threshold
        threshold.copy_(2.0 ** threshold.log2().floor())  # type: ignore[union-attr, operator]
    return snn


def make(name: str) -> Converted:
    snn, report = convert(exact(NETS[name]()), OPI(Max(scope="channel")), [exact_images(16)])
    assert not report.results
    return power_of_two_thresholds(snn)


@pytest.mark.parametrize("name", NETS)
def test_step_by_step_equals_layer_by_layer_bit_for_bit(name: str) -> None:
    snn, x = make(name), exact_images(7, seed=5)
    steps = Converted(snn.network, snn.method, executor="step")
    wide, narrow = snn.over_time(x, 9), steps.over_time(x, 9)
    assert wide.shape == (9, 7, 10)
    assert torch.equal(wide, narrow)
    assert wide[-1].unique().numel() > 10


def test_real_weights_agree_in_double() -> None:
    source = PreActivation().double().train()
    x = torch.rand(16, 1, 8, 8, dtype=torch.float64)
    source(x)
    snn, _ = convert(source.eval(), OPI(Max()), [x])
    steps = Converted(snn.network, snn.method, executor="step")
    torch.testing.assert_close(snn.over_time(x, 12), steps.over_time(x, 12), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_samples_do_not_see_each_other(name: str) -> None:
    snn, x = make(name), exact_images(11, seed=6)
    whole, order = snn(x, 6), torch.randperm(11)
    assert torch.equal(snn(x[order], 6), whole[order])
    assert torch.equal(torch.cat([snn(part, 6) for part in x.split(4)]), whole)  # the last batch is smaller
    assert torch.equal(snn(x[:1], 6), whole[:1])


def test_nothing_is_left_over() -> None:
    snn, x = make("residual"), exact_images(5)
    before = copy.deepcopy(snn.state_dict())
    attributes = {name: set(vars(module)) for name, module in snn.named_modules()}
    first = snn(x, 5)
    snn(exact_images(3, seed=9) * 3, 7)
    assert torch.equal(snn(x, 5), first)
    assert all(torch.equal(value, before[key]) for key, value in snn.state_dict().items())
    assert attributes == {name: set(vars(module)) for name, module in snn.named_modules()}


def test_every_time_is_read_from_one_run() -> None:
    snn, x = make("branches"), exact_images(4)
    whole = snn.over_time(x, 8)
    for steps in (1, 3, 8):
        assert torch.equal(snn(x, steps), whole[steps - 1])


def test_what_no_neuron_precedes_is_computed_once() -> None:
    snn, x = make("residual"), exact_images(3)
    sizes: dict[str, int] = {}

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: sizes.__setitem__(name, len(inputs[0]))

    for name in ("conv1", "conv2", "fc2"):
        snn.network.get_submodule(name).register_forward_hook(note(name))
    snn(x, 6)
    assert sizes == {"conv1": 3, "conv2": 18, "fc2": 18}


@pytest.mark.parametrize("name", NETS)
def test_streaming_a_constant_input_is_the_same_run(name: str) -> None:
    snn, x = make(name), exact_images(3)
    whole = snn.over_time(x, 7)
    first, state = snn.stream(x.expand(3, *x.shape))
    second, state = snn.stream(x.expand(3, *x.shape), state)
    last, _ = snn.step(x, state)
    y_T = torch.cat((first, second, last.unsqueeze(0)))
    assert torch.equal(snn.method.coding.decode(y_T), whole)
    assert torch.equal(sw.SNN(snn.network)(x.expand(7, *x.shape)), y_T)


@pytest.mark.parametrize("sizes", [(1, 8), (3, 2), (8, 5)])
def test_windows_of_any_size_are_one_run(sizes: tuple[int, int]) -> None:
    """T = 11 in windows of 1, 2, 3, 5 and 8 steps, the last one shorter; and a state carries from one to the other."""
    snn, x = make("pooled"), exact_images(3)
    whole, _ = window(snn.network, x, 11, size=11)
    for first, second in (sizes, sizes[::-1]):
        assert torch.equal(window(snn.network, x, 11, size=first)[0], whole)
        early, state = window(snn.network, x, 5, size=first)
        assert set(state) == {*sites(snn.network), "2"}  # the pooling, too
        late, _ = window(snn.network, x, 6, state, size=second)
        assert torch.equal(torch.cat((early, late)), whole)


def test_copies_and_files() -> None:
    snn, x = make("pooled"), exact_images(3)
    wanted = snn.over_time(x, 5)
    assert torch.equal(copy.deepcopy(snn).over_time(x, 5), wanted)
    assert torch.equal(pickle.loads(pickle.dumps(snn)).over_time(x, 5), wanted)
    other, _ = convert(exact(NETS["pooled"](), seed=3), OPI(Max(scope="channel")), [exact_images(16)])
    assert not torch.equal(other.over_time(x, 5), wanted)
    other.load_state_dict(snn.state_dict())
    assert torch.equal(other.over_time(x, 5), wanted)


def test_training_mode_does_not_reach_the_inside() -> None:
    source = PreActivation()
    x = torch.rand(16, 1, 8, 8)
    source(x)
    snn, _ = convert(source.eval(), Max(), [x])
    wanted = snn(x, 4)
    assert torch.equal(snn.train()(x, 4), wanted)
    assert not any(module.training for module in snn.network.modules())


def test_delayed_readout() -> None:
    x = exact_images(4)
    source = exact(Residual())
    late, _ = convert(source, Max(steps=8, start=3), [x])
    plain, _ = convert(source, Max(steps=8), [x])
    outputs, _ = plain.stream(x.expand(8, *x.shape))
    torch.testing.assert_close(late(x), outputs[3:].mean(0))
    assert late.over_time(x).shape[0] == 5
    with pytest.raises(ValueError, match="start < steps"):
        late(x, 3)
    with pytest.raises(ValueError, match="steps >= 1"):
        Max(steps=0)


def test_gradients_reach_the_weights() -> None:
    snn = make("residual")
    snn(exact_images(4), 4).square().sum().backward()
    slopes = [parameter.grad for parameter in snn.parameters()]
    assert slopes
    assert all(slope is not None and bool(slope.isfinite().all()) for slope in slopes)


def test_an_unknown_executor_is_refused() -> None:
    snn = make("residual")
    with pytest.raises(ValueError, match="expected one of"):
        Converted(snn.network, snn.method, executor="fast")  # type: ignore[arg-type]


def test_a_constant_network_input_may_have_any_rank() -> None:
    source = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    tokens: Tensor = torch.rand(5, 6, 3)
    snn, _ = convert(source, Max(scope="channel"), [tokens])
    assert (snn(tokens, 512) - source(tokens)).abs().max() < 0.01


@pytest.mark.parametrize("name", ["residual", "linear first"])
def test_accelerated_networks_answer_alike(name: str) -> None:
    """Weights in which every sum is exact: the same bits, dense or event-driven."""
    snn, x = make(name), exact_images(7)
    fast, plan = snn.accelerated(x, 5)
    assert fast.method == snn.method
    assert torch.equal(fast.over_time(x, 9), snn.over_time(x, 9))
    assert len(plan.lines) == sum(isinstance(m, nn.Linear | nn.Conv2d) for m in snn.network.modules())
    assert fast.sites == snn.sites


def test_evaluation_of_many_samples_is_event_driven_and_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeworks.convert import report

    snn, ann = make("residual"), exact(Residual())
    data = [(exact_images(8, seed=s), torch.arange(8)) for s in range(4)]
    plain = report.evaluate(snn, ann, data, (1, 4), look=8)
    monkeypatch.setattr(report, "MANY", 16)
    quick = report.evaluate(snn, ann, data, (1, 4), look=8)
    assert quick.accuracy == plain.accuracy
    assert "event-driven" in quick.notes[-1]
    assert "event-driven" not in plain.notes[-1]
