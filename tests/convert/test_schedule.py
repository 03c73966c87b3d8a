"""Two-stage and parallel schedules on whole networks: what they equal, and that nothing is left over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from convert.small_nets import Residual
from spikeworks.convert import (
    COS,
    OPI,
    QCFS,
    RTS,
    SRP,
    TCL,
    Converted,
    Group,
    Max,
    Method,
    Parallel,
    TwoStage,
    activation,
    replace_activations,
)  # fmt: skip
from spikeworks.convert.control import SILENT, Shift, Silence
from spikeworks.convert.execute import window
from spikeworks.convert.graph import normalise
from spikeworks.convert.quantise import quantised

LEVELS = 4


def source(levels: int = LEVELS, kind: Callable[[int], nn.Module] | None = None) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        plain = Residual()
    network = replace_activations(plain, lambda: kind(levels) if kind else activation.QCFS(levels, 1.0))
    with torch.no_grad():
        for p in network.parameters():
            if p.dim() > 1:
                p.mul_(2.5)  # so that activations fill their range
    return network.eval().double()


def images(n: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def convert(method: Method, ann: nn.Module | None = None) -> Converted:
    ann = source() if ann is None else ann
    dtype = next(ann.parameters()).dtype
    return sw.convert(ann, method, [images(32).to(dtype)])[0]


STAGED: list[Method] = [
    SRP(), SRP(scope="layer"), COS(), COS(scope="global"), COS(iterations=2), COS(scope="global", iterations=2),
    COS(Group(levels=2)), SRP(OPI(Max())), COS(OPI(Max()), pre=3),
]  # fmt: skip
IDS = [f"{m.name}-{m.scope}-{m.iterations if isinstance(m, COS) else 1}-{m.base.name}" for m in STAGED]  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", STAGED, ids=IDS)
def test_no_steps_before_is_the_method_underneath_bit_for_bit(method: Method) -> None:
    ann = source()
    if isinstance(method.base, OPI):  # type: ignore[attr-defined]
        ann = normalise(Residual().double().eval())
    none = convert(replace(method, pre=0), ann)  # type: ignore[call-arg]
    base = method.base  # type: ignore[attr-defined]
    for x in (images(), images(1)):
        assert torch.equal(none.over_time(x, 6), convert(base, ann).over_time(x, 6))


@pytest.mark.parametrize("method", STAGED[:7], ids=IDS[:7])
def test_a_sample_does_not_see_its_batch_and_nothing_is_left_over(method: Method) -> None:
    """Batches of 6, 1 and 5, in turns; a run cut off in the middle; two networks' runs interleaved."""
    snn, x = convert(method), images()
    kept = {name: value.clone() for name, value in snn.state_dict().items()}
    whole = snn.over_time(x, 6)
    for part in (slice(0, 1), slice(1, 6)):
        torch.testing.assert_close(snn.over_time(x[part], 6), whole[:, part], rtol=0, atol=1e-10)
    with pytest.raises(RuntimeError):
        snn(x[:, :, 0])

    def abort(*_: object) -> None:
        raise KeyboardInterrupt

    handle = snn.network.get_submodule("fc1").register_forward_hook(abort)
    with pytest.raises(KeyboardInterrupt):
        snn(2 * x)
    handle.remove()
    assert torch.equal(snn.over_time(x, 6), whole)
    assert all(torch.equal(value, kept[name]) for name, value in snn.state_dict().items())


def test_two_threads_at_once() -> None:
    snn = convert(COS())
    inputs = [images(4, seed=s) for s in range(4)]
    alone = [snn.over_time(x, 5) for x in inputs]
    found: dict[int, list[Tensor]] = {}

    def work(i: int) -> None:
        with torch.no_grad():
            found[i] = [snn.over_time(inputs[i], 5) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, runs in found.items():
        assert all(torch.equal(run, alone[i]) for run in runs)


def test_both_scopes_start_the_first_layer_alike() -> None:
    """Its input is exact either way."""
    x = images(64)
    outputs = [convert(COS(scope=scope)).spikes(x, 4) for scope in ("layer", "global")]
    name = next(iter(outputs[0]))
    assert torch.equal(outputs[0][name], outputs[1][name])
    assert any(not torch.equal(outputs[0][n], outputs[1][n]) for n in outputs[0])


def test_read_before_the_run_before_is_over() -> None:
    """T = 1 with ρ = 4, layer by layer: later layers still see ρ corrected steps."""
    snn, x = convert(COS()), images(16)
    assert snn(x, 1).shape == (16, 10)
    torch.testing.assert_close(snn(x, 1), snn.over_time(x, 8)[0], rtol=0, atol=1e-12)


def test_silenced_neurons_never_emit_and_the_mask_is_that_of_the_residual() -> None:
    x = images(64)
    plain, srp = convert(QCFS()), convert(SRP())
    before, after = plain.spikes(x, 4), srp.spikes(x, 9)
    name = next(iter(before))
    deep = torch.relu(normalise(source()).get_submodule("conv1")(x))
    current = normalise(source()).get_submodule("conv1")(x)
    residual = current * 4 + 0.5 - before[name].sum(0)
    silent = residual <= 1e-3
    assert silent.any()
    assert not silent.all()
    assert (after[name][:, silent] == 0).all()
    assert (deep[silent] < 1).all()
    assert SILENT < -1e20


def test_layers_that_fire_in_error_are_emptied_when_the_run_before_saw_the_same() -> None:
    """Per layer, ANN 0 and SNN > 0: with layer scope each layer's run before sees what it is then given."""
    x, snn = images(64), convert(SRP(scope="layer", pre=4))
    wrong: list[int] = []
    schedule = snn.method.schedule
    assert isinstance(schedule, TwoStage)

    def at(name: str, layer: sw.Spiking, x_T: Tensor, state: object) -> tuple[Tensor, object]:
        y_T, state = schedule._settle(name, layer, x_T, state)
        wanted = (x_T.sum(0) + 0.5).floor().clamp(0, 4)
        wrong.append(int(((wanted == 0) & (y_T.sum(0) > 0)).sum()))
        return y_T, state

    with torch.no_grad():
        window(snn.network, x, 4, at=at)
    assert len(wrong) == 4
    assert sum(wrong) == 0


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_parallel_networks_equal_their_source(levels: int) -> None:
    """The whole network at T = L: logits to 1e-12 in double, the same over time and in the domain of counts."""
    ann = source(levels)
    snn, x = convert(Parallel(steps=levels), ann), images(64)
    with torch.no_grad():
        wanted = ann(x)
        assert (snn(x) - wanted).abs().max() < 1e-12
        assert (snn.over_time(x)[-1] - wanted).abs().max() < 1e-12
        assert (convert(QCFS(steps=levels), ann)(x) - wanted).abs().max() > 1e-3 or levels == 1


@pytest.mark.parametrize("levels", [2, 4])
def test_one_step_of_a_group_is_the_source(levels: int) -> None:
    """K·T = L with T = 1: the whole network, exactly."""
    ann, x = source(levels), images(64)
    snn = convert(Group(levels=levels), ann)
    with torch.no_grad():
        assert (snn(x, 1) - ann(x)).abs().max() < 1e-12


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_parallel_networks_are_their_source_with_as_many_levels(steps: int) -> None:
    ann, x = source(), images(32)
    snn = convert(Parallel(), ann)
    with torch.no_grad():
        assert (snn(x, steps) - quantised(normalise(ann), snn.specs, steps)(x)).abs().max() < 1e-12


def test_offsets_bring_parallel_networks_nearer_to_a_relu_network() -> None:
    """DA-QCFS, at the T it was made for; with none it is the plain parallel network."""
    ann, x = Residual().double().eval(), images(64, seed=5)
    data = [images(64, seed=s) for s in range(4)]
    plain, fitted = (sw.convert(ann, Parallel(Max(), offsets=n, steps=4), data)[0] for n in (0, 400))
    with torch.no_grad():
        near, far = (float((snn(x) - ann(x)).norm()) for snn in (fitted, plain))
    assert near < 0.9 * far


def test_shifting_the_current_is_shifting_the_start_at_that_time_alone() -> None:
    ann = source(kind=lambda levels: activation.Clip(1.0))
    x = images(32)
    shifted, started = convert(RTS(steps=4), ann), convert(OPI(TCL()), ann)
    first = next(iter(shifted.spikes(x, 4)))
    assert torch.equal(shifted.spikes(x, 4)[first].sum(0) != 0, started.spikes(x, 4)[first].sum(0) != 0)
    a, b = (snn.spikes(x, 4)[first].sum(0) for snn in (shifted, started))
    assert torch.equal(a, b)
    late = [snn.spikes(x, 16)[first].sum(0) for snn in (shifted, started)]
    assert not torch.equal(*late)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: COS(pre=-1), "pre >= 0"),
        (lambda: SRP(scope="both"), "'global' or 'layer'"),  # type: ignore[arg-type]
        (lambda: Shift(0), "at least 1"),
        (lambda: COS(steps=0), "steps >= 1"),
        (lambda: Group(levels=0).thresholds(normalise(source()), None), "at least one level"),
        (lambda: convert(COS(Parallel()))(images()), "ParallelIF"),
        (lambda: Converted(convert(COS()).network, COS(), executor="step"), "'window'"),
        (lambda: convert(Parallel()).stream(images().unsqueeze(0)), "has to stay"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_controllers_are_values() -> None:
    assert Silence() == Silence()
    assert hash(COS()) == hash(COS())
    assert COS() != COS(iterations=2)


def test_data_to_choose_by_and_data_to_judge_by_are_apart() -> None:
    x, y = images(8), torch.arange(8)
    for calibration, evaluate in (([x], [(x, y)]), ([(x, y)], [(x, y)]), (batches := [(x, y)], batches)):
        with pytest.raises(ValueError, match="in calibration and in evaluate"):
            sw.convert(source(), QCFS(), calibration, evaluate)
    _, report = sw.convert(source(), QCFS(), [(x, y)], [(x.clone(), y)], steps=(1,))
    assert report.results[0].steps == [1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_of_half_precision_keep_membranes_in_float32(dtype: torch.dtype) -> None:
    ann, x = source().to(dtype), images(8).to(dtype)
    for method in (SRP(), COS(), Parallel()):
        logits = convert(method, ann)(x, 4)
        assert logits.dtype == dtype
        assert logits.isfinite().all()
