"""Transformers of spikes: published sizes, spikes at every layer's door, and that time changes nothing."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import spikeworks as sw
from spikeworks.layers import Spiking
from spikeworks.models import (
    TRANSFORMERS,
    DualSpikeAttention,
    MetaSpikeFormerConfig,
    QKFormerConfig,
    RepConv,
    SpikformerConfig,
    SpikingResformerConfig,
    meta_spikeformer_15m,
    qkformer_4_384,
    sdt_2_512,
    spikformer_4_384,
    spikingresformer_cifar,
)

LOUD: dict[str, Any] = {"scale": 0.5, "threshold": 0.1}  # so that few channels make spikes, too
SMALL: dict[str, dict[str, Any]] = {
    "spikformer_4_384": {"width": 16, "depth": 2, "heads": 2, **LOUD},
    "sdt_2_512": {"width": 16, "depth": 2, "heads": 2, **LOUD},
    "qkformer_4_384": {"widths": (8, 8, 16), "depths": (1, 1, 1), "heads": 2, **LOUD},
    "qkformer_2_256": {"widths": (16, 16), "heads": 2, "in_channels": 3, **LOUD},
    "meta_spikeformer_15m": {"widths": (8, 8, 16, 16), "depths": (1, 1), "heads": 2, **LOUD},
    "spikingresformer_cifar": {"widths": (8, 8, 16), "depths": (1, 1, 1), "heads": (1, 2, 2), "group": 8},
}
EACH = pytest.mark.parametrize("name", SMALL)


def small(name: str, **options: Any) -> nn.Module:
    return TRANSFORMERS[name](5, generator=torch.Generator().manual_seed(0), **{**SMALL[name], **options})


def spiking(name: str, **options: Any) -> nn.Module:
    return small(name, neuron=sw.LIF(threshold=0.5, detach_reset=True), **options)


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "classes", "count", "published"),
    [
        ("spikformer_4_384", 10, 9_324_730, 9.32),
        ("spikformer_2_256", 10, 2_566_666, 2.57),
        ("spikformer_8_768", 1000, 66_338_632, 66.34),
        ("sdt_2_512", 100, 10_279_588, 10.28),
        ("sdt_2_512", 10, 10_233_418, None),  # 10.28 is given for both; it is the size with 100 classes
        ("sdt_2_256", 10, 2_566_666, 2.57),
        ("sdt_8_768", 1000, 66_338_632, 66.34),
        ("qkformer_4_384", 100, 6_740_884, 6.74),
        ("qkformer_4_384", 10, 6_706_234, None),  # 6.74 is given for both; it is the size with 100 classes
        ("qkformer_2_256", 10, 1_504_138, 1.50),
        ("meta_spikeformer_15m", 1000, 15_112_208, 15.1),
        ("meta_spikeformer_31m", 1000, 31_333_864, 31.3),
        ("meta_spikeformer_55m", 1000, 55_350_248, 55.4),
        ("spikingresformer_cifar", 10, 10_793_152, 10.79),
        ("spikingresformer_cifar", 100, 10_827_712, 10.83),
        ("spikingresformer_l", 1000, 60_375_680, 60.38),
        ("spikingresformer_ti", 1000, 11_180_992, None),
        ("spikingresformer_s", 1000, 17_813_824, None),
        ("spikingresformer_m", 1000, 35_601_472, None),
    ],
)
def test_published_sizes(name: str, classes: int, count: int, published: float | None) -> None:
    with torch.device("meta"):
        size = sum(p.numel() for p in TRANSFORMERS[name](classes).parameters())
    assert size == count
    if published is not None:
        digits = 1 if "meta" in name else 2
        assert round(size / 1e6, digits) == published


def entering(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What enters each convolution and linear layer; of a chain that merges into one, what enters the chain."""
    chained = {m for chain in net.modules() if isinstance(chain, RepConv) for m in chain.modules()}
    deep = {block.separable[3][1] for block in net.modules() if hasattr(block, "separable")}
    seen: dict[str, torch.Tensor] = {}
    for name, module in net.named_modules():
        if isinstance(module, RepConv) or (isinstance(module, nn.Conv2d | nn.Linear) and module not in chained | deep):
            module.register_forward_pre_hook(lambda m, i, name=name: seen.__setitem__(name, i[0].detach()))
    net(x)
    return seen


BINARY = {"sdt_2_512": set(), "meta_spikeformer_15m": {"network.head"}, "spikingresformer_cifar": {"network.head"}}
"""Spike-driven models, and which layers besides the first are not, as published."""


@pytest.mark.parametrize("name", BINARY)
def test_spikes_enter_every_layer_of_a_spike_driven_model(name: str) -> None:
    seen = entering(spiking(name, steps=3), images(2, 3, 32, 32))
    first, *others = seen
    assert not set(seen[first].unique().tolist()) <= {0.0, 1.0}
    assert len(others) > 10
    for layer in set(others) - BINARY[name]:
        assert set(seen[layer].unique().tolist()) == {0.0, 1.0}, layer
    for layer in BINARY[name]:
        assert not torch.equal(seen[layer], seen[layer].round())


COUNTS = {"spikformer_4_384": 6, "qkformer_4_384": 4, "qkformer_2_256": 4}
"""Models that add spikes, and the most that can come together: two of an embedding and one for each branch since."""


@pytest.mark.parametrize("name", COUNTS)
def test_small_counts_enter_every_layer_of_a_model_that_adds_spikes(name: str) -> None:
    seen = entering(spiking(name, steps=3), images(2, 3, 32, 32))
    *others, last = list(seen)[1:]
    assert last == "network.head"  # reads the mean of spikes
    tops = []
    for layer in others:
        assert torch.equal(seen[layer], seen[layer].round()), layer
        assert seen[layer].min() == 0
        tops.append(seen[layer].max().item())
    assert 1 < max(tops) <= COUNTS[name]


def test_both_products_of_dual_spike_attention_have_spikes_on_one_side() -> None:
    net = spiking("spikingresformer_cifar", steps=3)
    seen = []
    for block in net.modules():
        if isinstance(block, DualSpikeAttention):
            for scale in (block.scale1, block.scale2):
                scale.register_forward_pre_hook(lambda m, i: seen.append(i[1]))
    net(images(2, 3, 16, 16))
    assert len(seen) == 6
    assert all(set(s.unique().tolist()) == {0.0, 1.0} for s in seen)


@EACH
def test_gradients_reach_every_parameter(name: str) -> None:
    net = small(name, neuron=sw.PLIF(tau=2.0, threshold=0.5), steps=3)
    logits = net(images(4, 3, 32, 32))
    F.cross_entropy(logits, torch.arange(4)).backward()
    idle = {f"{n}.bias" for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None}
    assert {n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()} <= idle


@EACH
def test_streams_equal_the_whole(name: str) -> None:
    """In float64, where another batch size rounds too little to move a spike."""
    net = spiking(name, decode=None).double()
    x_T = images(4, 2, 3, 32, 32).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    net(x_T)
    net.eval()
    with torch.no_grad():
        whole_T = net(x_T)
        first_T, state = net.stream(x_T[:1])
        rest_T, _ = net.stream(x_T[1:], state)
    assert whole_T.std() > 1e-3
    assert torch.allclose(torch.cat([first_T, rest_T]), whole_T, rtol=0, atol=1e-12)


@EACH
def test_every_site_is_its_own_module_and_fx_traces_the_deep_form(name: str) -> None:
    net, x = small(name, activation=nn.ReLU), images(2, 3, 17, 18)
    calls: list[nn.Module] = []
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, inputs, y: calls.append(module))
    net(x)
    assert len(calls) == len(set(calls)) == sum(isinstance(m, nn.ReLU) for m in net.modules())
    net = small(name).eval()
    assert net(x).shape == (2, 5)
    assert torch.equal(torch.fx.symbolic_trace(net)(x), net(x))


@EACH
def test_copies_pickles_and_state_dicts_run_alike(name: str) -> None:
    net, x = spiking(name, steps=2), images(2, 3, 16, 16)
    net(x)
    net.eval()
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    fresh = TRANSFORMERS[name](5, neuron=sw.LIF(threshold=0.5), steps=2, **SMALL[name]).eval()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), fresh):
        assert torch.equal(other(x), net(x))


def test_events_take_an_eighth_or_a_sixteenth_of_each_side() -> None:
    x = images(1, 2, 64, 48)
    net = small("spikformer_4_384", in_channels=2, pools=(True,) * 4).eval()
    assert net.stem(x).shape == (1, 16, 4, 3)
    net = small("qkformer_2_256", in_channels=2).eval()
    assert net.stages[0](x).shape == (1, 16, 8, 6)
    assert net.stages(x).shape == (1, 16, 4, 3)


def test_spikingformer_is_a_choice_between_the_two() -> None:
    net = spiking("spikformer_4_384", shortcut="membrane", steps=3)
    seen = entering(net, images(2, 3, 32, 32))
    assert all(set(x.unique().tolist()) <= {0.0, 1.0} for x in list(seen.values())[1:])


def test_the_classifier_of_version_2_reads_spikes_if_asked() -> None:
    seen = entering(spiking("meta_spikeformer_15m", readout="spikes", steps=3), images(2, 3, 32, 32))
    assert set(seen["network.head"].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("attention", ["product", "mask"])
def test_version_2_has_the_attention_of_version_1_as_well(attention: str) -> None:
    net = spiking("meta_spikeformer_15m", attention=attention, steps=2)
    assert net(images(2, 3, 32, 32)).shape == (2, 5)
    kinds = {m.kind for m in net.modules() if hasattr(m, "kind")}
    assert kinds == {attention}


def test_only_the_neuron_in_the_attention_has_the_low_threshold() -> None:
    net = spikformer_4_384(neuron=sw.LIF(), width=16, depth=2, heads=2)
    low = {n for n, m in net.named_modules() if isinstance(m, Spiking) and m.value("threshold") == 0.5}
    assert low == {f"network.blocks.{i}.attention.act" for i in range(2)}


def test_it_learns() -> None:
    x, y = 0.5 * images(32, 3, 8, 8), torch.arange(32) % 2
    x[y == 1, :, :4] += 1
    net = small("sdt_2_512", neuron=sw.LIF(threshold=0.5), steps=2, depth=1)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(15):
        optimiser.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimiser.step()
    assert (net(x).argmax(1) == y).float().mean() > 0.9


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: spikformer_4_384(width=100, heads=10), "Spikformer got width=100, expected a multiple of 8"),
        (lambda: spikformer_4_384(heads=5), "Spikformer got width=384 and heads=5, expected a multiple of the heads"),
        (lambda: spikformer_4_384(depth=0), "Spikformer got depth=0"),
        (lambda: spikformer_4_384(width=0), "Spikformer got width=0"),
        (lambda: spikformer_4_384(scale=0.0), "Spikformer got scale=0.0, expected more than 0 and finite"),
        (lambda: sdt_2_512(threshold=float("nan")), "Spikformer got threshold=nan"),
        (lambda: SpikformerConfig(16, 1, 2, pools=(True,)), "Spikformer got pools"),  # type: ignore[arg-type]
        (lambda: SpikformerConfig(16, 1, 2, attention="soft"), "Spikformer got attention='soft'"),  # type: ignore[arg-type]
        (lambda: sdt_2_512(shortcut="none"), "Spikformer got shortcut='none'"),
        (lambda: qkformer_4_384(depths=(1, 1)), "QKFormer got 3 widths, 2 depths and 3 attentions"),
        (lambda: qkformer_4_384(widths=(6, 12, 15)), "QKFormer got width=6 and heads=8"),
        (lambda: QKFormerConfig((3,), (1,), ("token",), heads=1), "QKFormer got width=3 in the first stage"),
        (lambda: qkformer_4_384(stem="dvs"), "QKFormer got stem='dvs'"),
        (lambda: QKFormerConfig((8,), (1,), ("soft",)), "QKFormer got attentions='soft'"),  # type: ignore[arg-type]
        (lambda: meta_spikeformer_15m(widths=(7, 8, 16, 16)), "MetaSpikeFormer got widths=.* the first even"),
        (lambda: MetaSpikeFormerConfig((8, 8, 12, 16)), "MetaSpikeFormer got width=12 and heads=8"),
        (lambda: meta_spikeformer_15m(attention="token"), "MetaSpikeFormer got attention='token'"),
        (lambda: meta_spikeformer_15m(readout="sum"), "MetaSpikeFormer got readout='sum'"),
        (lambda: spikingresformer_cifar(group=48), "SpikingResformer got width=64, ratio=4.0 and group=48"),
        (lambda: SpikingResformerConfig((8, 16)), "SpikingResformer got 2 widths, 3 depths"),
        (lambda: spikingresformer_cifar(stem="large"), "SpikingResformer got stem='large'"),
    ],
)
def test_impossible_shapes_are_refused(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        wrong()
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")
