"""What a run before the run corrects, neuron by neuron: the identity, the mask of SRP, the shift of COS."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spikeworks.convert.control import SILENT, SLACK, Seen, Shift, Silence, account, observing
from spikeworks.convert.neuron import ONCE, ValueIF, equal, powers
from spikeworks.convert.parallel import ParallelIF
from spikeworks.layers import Spiking
from spikeworks.neurons import scan

N = 100_000


def layer(levels: int = 1, threshold: float = 1.0) -> Spiking:
    return Spiking(ValueIF(threshold=threshold / levels, fraction=0.5, rule=equal(levels)))


def observed(site: Spiking, x_T: Tensor, start: Tensor | None = None) -> Seen:
    first = torch.full_like(x_T[0], float(0.5 * site.neuron.parameters["threshold"])) if start is None else start
    _, state = observing("site", site, x_T, (first,))
    return account(site, state, first, x_T.shape[0])


def currents(steps: int, levels: int = 1) -> Tensor:
    """Uneven arrival, negative currents, and, being multiples of 1/8 in half of them, ties."""
    x_T = torch.randn(steps, N, dtype=torch.float64, generator=torch.Generator().manual_seed(steps)) * 1.2
    x_T[:, : N // 2] = (x_T[:, : N // 2] * 8).round() / 8
    return x_T + 0.25


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 3, 4, 8])
def test_master_identity(steps: int, levels: int) -> None:
    x_T = currents(steps)
    seen = observed(layer(levels), x_T)
    count = (x_T.sum(0) * levels + 0.5).floor().clamp(0, steps * levels)
    assert torch.equal(seen.wanted(), count)
    assert torch.equal(seen.offset(), seen.count - count)
    assert not ((seen.count == 0) & (count > 0)).any()  # ANN active, SNN silent: impossible for one layer
    settled = (seen.v >= 0) & (seen.v < 1)
    assert torch.equal(seen.count[settled], count[settled])


@pytest.mark.parametrize("levels", [1, 3])
def test_observing_is_running(levels: int) -> None:
    x_T, site = currents(5).float(), layer(levels)
    out_T, state = observing("site", site, x_T, None)
    plain_T, (v,) = scan(site.neuron, x_T)
    assert torch.equal(out_T, plain_T)
    assert torch.equal(state[0], v)
    first_T, part = observing("site", site, x_T[:2], None)
    rest_T, whole = observing("site", site, x_T[2:], part)
    assert torch.equal(torch.cat((first_T, rest_T)), out_T)
    assert all(map(torch.equal, whole, state))


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("steps", [2, 4, 8])
def test_a_shift_changes_the_count_by_exactly_one(steps: int, levels: int) -> None:
    """Every neuron that is flagged, 100 %; those that are right are left alone, bit for bit."""
    x_T, site = currents(steps), layer(levels)
    first = observed(site, x_T)
    start = Shift().adjust(first, first, 0)
    after = observed(site, x_T, start)
    over = (first.v < 0) & (first.count >= 1)
    under = (first.v >= 1) & (first.count < first.most)
    assert over.sum() > 1000
    assert under.sum() > 1000
    assert (after.count - first.count)[over].eq(-1).all()
    assert (after.count - first.count)[under].eq(1).all()
    assert torch.equal(start[~(over | under)], first.start[~(over | under)])


def mutated(seen: Seen, rule: str) -> Tensor:
    """The rule of COS with a part of it left out."""
    over, under = (seen.v < 0) & (seen.count > 0), (seen.v >= 1) & (seen.count < seen.most)
    one, zero = torch.ones_like(seen.v), torch.zeros_like(seen.v)
    down = seen.low + SLACK if rule == "no max" else one
    up = 1 + SLACK - seen.high if rule == "no max" else one
    return seen.start + torch.where(over, -down, torch.where(under, up, zero)) * seen.unit


@pytest.mark.parametrize(("rule", "least"), [("no max", 0.05), ("plain shift by θ", 0.005)])
def test_both_parts_of_the_shift_are_needed(rule: str, least: float) -> None:
    """Mutation: without the max(1, ·), and without what it is compared with, the law above breaks."""
    x_T, site = currents(4), layer()
    first = observed(site, x_T)
    after = observed(site, x_T, mutated(first, rule))
    flagged = ((first.v < 0) & (first.count > 0)) | ((first.v >= 1) & (first.count < first.most))
    wrong = (after.count - first.count)[flagged] != torch.where(first.v < 0, -1.0, 1.0)[flagged].double()
    assert wrong.double().mean() > least


@pytest.mark.parametrize("levels", [1, 2])
def test_k_iterations_repair_offsets_up_to_k(levels: int) -> None:
    x_T, site = currents(8), layer(levels)
    first = last = observed(site, x_T)
    wanted, wrong = first.wanted(), []
    for i in range(3):
        wrong.append((last.count != wanted).double().mean())
        last = observed(site, x_T, Shift(3).adjust(first, last, i))
        assert (last.count == wanted)[first.offset().abs() <= i + 1].all()
    assert wrong[0] > wrong[1] * 1.3 > wrong[2] * 1.3**2 > 0


def test_asking_the_new_residual_again_would_be_wrong() -> None:
    """After a correct shift down the residual stays below 0: the decision is the first run's."""
    x_T, site = currents(4), layer()
    first = observed(site, x_T)
    after = observed(site, x_T, Shift().adjust(first, first, 0))
    naive = (after.v < 0) & (after.count >= 1)
    assert (naive & (after.count == first.wanted())).sum() > 1000


def test_a_neuron_that_fired_at_every_step_is_left_alone() -> None:
    """The released code sets it to start at about 1000 θ, after which it fires for ever."""
    x_T = torch.full((4, 3), 2.0, dtype=torch.float64)
    seen = observed(layer(), x_T)
    assert torch.equal(Shift().adjust(seen, seen, 0), seen.start)


def test_the_mask_is_the_published_one() -> None:
    x_T = currents(4)
    seen = observed(layer(), x_T)
    start = Silence().adjust(seen, seen, 0)
    silent = seen.v <= 1e-3
    assert (start[silent] == SILENT).all()
    assert torch.equal(start[~silent], seen.start[~silent])
    false_alarms = (seen.wanted() == 0) & (seen.count > 0)
    assert false_alarms.sum() > 5000
    assert silent[false_alarms].all()  # v < 0 is necessary


def test_a_silenced_neuron_never_fires() -> None:
    x_T = torch.full((1000, 4), 50.0)
    out_T, _ = scan(ValueIF(fraction=0.5), x_T, (torch.full((4,), SILENT),))
    assert (out_T == 0).all()


@pytest.mark.parametrize("steps", [4])
def test_the_four_kinds_of_unevenness(steps: int) -> None:
    """N(0, 1) currents per step around N(0, 1/2): shares as in the specification's one-layer test, and case 3 empty."""
    x_T = currents(steps)
    seen = observed(layer(), x_T)
    n, k = seen.count, seen.wanted()
    assert ((n == 0) & (k > 0)).sum() == 0
    assert ((k == 0) & (n > 0)).sum() > ((k > 0) & (n > k)).sum() * 0.5
    exact = (n >= 1) & (seen.v < -(n - 1))
    assert torch.equal(exact, (k == 0) & (n > 0))


@pytest.mark.parametrize(
    "site",
    [Spiking(ValueIF(rule=powers(3))), ParallelIF(ValueIF(rule=ONCE))],
    ids=["signed", "parallel"],
)
def test_neurons_whose_counts_cannot_be_corrected_are_refused(site: Spiking) -> None:
    with pytest.raises(ValueError, match=r"'conv\.act' is .*expected ValueIF"):
        observing("conv.act", site, torch.zeros(2, 3), None)


def test_no_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Shift(0)
