"""Whole transformers without training: exact with neurons that pass everything on, close with real ones; and energy."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from spikeworks.convert import DCGS, ECMT, STA, Converted, Method, SpikeZIP
from spikeworks.convert.activation import QCFS
from spikeworks.convert.build import spiking
from spikeworks.convert.coding import Coding, Difference, Differential, Rate
from spikeworks.convert.encoders import insert_encoders
from spikeworks.convert.execute import window
from spikeworks.convert.graph import normalise
from spikeworks.convert.quantise import quantised
from spikeworks.layers import Temporal
from spikeworks.models import vit_tiny

METHODS: list[Method] = [ECMT(), DCGS(), STA(), SpikeZIP(), DCGS(scope="channel")]
IDS = [m.name for m in METHODS[:4]] + ["dcgs by channel"]


class Uneven(Temporal):
    """Passes on everything, in time: a neuron without levels whose messages differ from step to step.

    Of a message it holds one half back for the next step, so that no two layers see constant input; what it still owes
    it pays in the last step of ``steps``.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def run(self, x_T: Tensor, state: object) -> tuple[Tensor, tuple[()]]:
        owed, out = torch.zeros_like(x_T[0]), []
        for t, x in enumerate(x_T):
            due = owed + x
            sent = due if t == self.steps - 1 else due / 2
            owed = due - sent
            out.append(sent)
        return torch.stack(out), ()


class Pass(Temporal):
    """The neuron that is the identity."""

    def run(self, x_T: Tensor, state: object) -> tuple[Tensor, tuple[()]]:
        return x_T, ()


def vit(dtype: torch.dtype = torch.float64, activation: type[nn.Module] = nn.GELU) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    network = vit_tiny(
        activation=activation, image=16, in_channels=1, depth=2, width=32, heads=2, generator=generator
    )  # fmt: skip
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.1)  # biases too
    return network.to(dtype).eval()


def images(n: int = 24, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(1)).to(dtype)


def with_neurons(network: nn.Module, neuron: Temporal, coding: Coding) -> torch.fx.GraphModule:
    graph = normalise(network, nonlinear=True)
    for name in insert_encoders(graph):
        graph.set_submodule(name, copy.deepcopy(neuron))
    return spiking(graph, {}, "delta", coding)


@pytest.mark.parametrize("coding", [Rate(), Differential(), Difference()], ids=str)
@pytest.mark.parametrize("size", [1, 3, 8])
def test_with_neurons_that_pass_everything_on_it_is_the_source_at_every_step(coding: Coding, size: int) -> None:
    network, x = vit(), images(5)
    with torch.no_grad():
        y_T, _ = window(with_neurons(network, Pass(), coding), x, 8, coding=coding, size=size)
        assert (coding.decode(y_T) - network(x)).abs().max() < 1e-10


class CutPositions(nn.Module):
    """Positions cut to as many tokens as there are, added to what moves already, and a causal mask cut alike."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.position: Tensor
        self.mask: Tensor
        self.register_buffer("position", torch.randn(1, 9, 6))
        self.register_buffer("mask", torch.ones(9, 9).tril().bool())

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(nn.functional.gelu(self.embed(x))) + self.position[:, : x.shape[1]]
        score = (y @ y.transpose(1, 2)).masked_fill(~self.mask[: x.shape[1], : x.shape[1]], float("-inf"))
        return self.out((score.softmax(-1) @ y).mean(1))


@pytest.mark.parametrize("coding", [Rate(), Differential(), Difference()], ids=str)
@pytest.mark.parametrize("size", [1, 3, 8])
def test_what_depends_on_shapes_alone_is_a_constant(coding: Coding, size: int) -> None:
    """Not a message: sent anew or halved as one, it would be wrong at every step but the first."""
    network = CutPositions().double().eval()
    x = torch.randn(5, 7, 4, dtype=torch.float64)
    with torch.no_grad():
        y_T, _ = window(with_neurons(network, Pass(), coding), x, 8, coding=coding, size=size)
        assert (coding.decode(y_T) - network(x)).abs().max() < 1e-10


def test_under_rate_coding_uneven_messages_still_add_up() -> None:
    """Nothing is lost by neurons that owe: with all paid at T the estimate there is the source's."""
    network, x = vit(), images(5)
    graph = with_neurons(network, Uneven(6), Rate())
    with torch.no_grad():
        y_T, _ = window(graph, x, 6)
        found = Rate().decode(y_T)
        assert (found[-1] - network(x)).abs().max() < 1e-10
        assert (found[0] - network(x)).abs().max() > 1e-3


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_windows_agree_and_samples_do_not_see_each_other(method: Method) -> None:
    network, x = vit(), images(9)
    snn, _ = sw.convert(network, method, [images(32)])
    with torch.no_grad():
        whole = snn.over_time(x, 11)
        step = Converted(snn.network, method, snn.specs, executor="step").over_time(x, 11)
        torch.testing.assert_close(step, whole, rtol=0, atol=1e-9)
        torch.testing.assert_close(snn.over_time(x[3:4], 11), whole[:, 3:4], rtol=0, atol=1e-9)
        assert torch.equal(snn.over_time(x, 11), whole)
        torch.testing.assert_close(snn(x, 5), whole[4], rtol=0, atol=1e-12)


def error(snn: Converted, network: nn.Module, steps: int) -> float:
    x = images(64)
    with torch.no_grad():
        wanted = network(x)
        return float((snn(x, steps) - wanted).norm() / wanted.norm())


def test_errors_fall_and_differential_coding_falls_an_order_of_magnitude_faster() -> None:
    network = vit()
    rate, fine, sums = (sw.convert(network, m, [images(64)])[0] for m in (ECMT(), DCGS(), STA()))
    assert error(rate, network, 32) < error(rate, network, 8) / 2 < error(rate, network, 2) / 4
    assert error(fine, network, 8) < error(rate, network, 8) / 10
    assert error(fine, network, 8) < error(fine, network, 4) / 2 < error(fine, network, 2) / 4
    assert error(sums, network, 8) < error(rate, network, 8) / 3  # difference coding stops at its smallest level


def test_counting_neurons_end_at_the_quantised_network() -> None:
    network = vit()
    method = SpikeZIP(levels=8)
    snn, _ = sw.convert(network, method, [images(64)])
    source = normalise(network, nonlinear=True)
    insert_encoders(source)
    x = images(16)
    with torch.no_grad():
        late = snn(x, 300)
        wanted = quantised(source, snn.specs, 8)(x)
    assert ((late - wanted).abs().amax(1) < 1e-6).double().mean() > 0.5  # a tie resolved otherwise moves the rest
    assert (late - wanted).norm() / wanted.norm() < 0.1


@pytest.mark.parametrize("method", [ECMT(), DCGS(), STA()], ids=["ecmt", "dcgs", "sta"])
def test_relus_are_sites_of_their_own_and_stay_above_zero(method: Method) -> None:
    network = vit(activation=nn.ReLU)
    snn, _ = sw.convert(network, method, [images(64)])
    name = "blocks.0.act"
    assert name in snn.sites
    assert not any(s.startswith("blocks.0.fc2") for s in snn.sites)  # it has its spikes from the ReLU's
    y_T = snn.spikes(images(16), 12)[name]
    assert (y_T < 0).any()
    total = snn.method.coding.integrate(y_T, None, 0)[0]
    assert total.min() > -1e-9
    assert error(snn, network, 16) < 0.2


def test_energy_counts_three_sparse_products_and_lists_what_is_computed_in_floating_point() -> None:
    network = vit(torch.float32)
    x = images(8, torch.float32)
    data = [(x, network(x).argmax(1))]
    snn, report = sw.convert(network, ECMT(), [x.clone()], data, steps=(1, 4))
    layers = {layer.name: layer for layer in report.results[0].layers}
    product = layers["blocks.0.attention.matmul"]
    q, k = (snn.spikes(x, 4)[name] for name in ("blocks.0.attention.matmul_input", "blocks.0.attention.matmul_input_2"))
    counted = 0.0
    sums = [torch.cat((torch.zeros_like(s[:1]), s.cumsum(0)[:-1])) for s in (q, k)]
    for a, b in ((q, k), (q, sums[1]), (sums[0], k)):  # [T, B, N, heads, d]: pairs that meet in a sum over d
        a, b = ((part != 0).double().sum(2) for part in (a, b))
        counted += float((a * b).sum()) / 8
    assert product.kind == "product"
    assert product.acs == pytest.approx(counted)
    assert product.macs == 17 * 17 * 32
    assert layers["blocks.0.attention.softmax"].kind == "softmax"
    notes = " ".join(report.results[0].notes)
    for kind in ("softmax", "gelu", "layer_norm", "matmul"):
        assert kind in notes
    assert "head" in notes  # analog at every step, counted as multiply-accumulates
    assert report.results[0].levels == 16
    assert len(report.results[0].quantised) == 2


def test_a_learned_bound_is_not_lost_in_silence() -> None:
    """Levels do not end at a clip, so a network that was trained with one would be another."""
    ann = sw.convert.replace_activations(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), lambda: QCFS(4))
    with pytest.raises(ValueError, match=r"got '1' \(QCFS\), expected ReLU"):
        sw.convert(ann.eval(), DCGS(), [torch.randn(8, 4)])


def test_a_network_of_other_functions_is_refused_by_methods_that_cannot_compute_them() -> None:
    with pytest.raises(ValueError, match="ECMT"):
        sw.convert(vit(), sw.convert.Robust(), [images()])
