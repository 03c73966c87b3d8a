"""Attention on spikes against slow references, one equation each."""

import pytest
import torch
from torch import nn

import spikeworks as sw
from spikeworks.layers import SNN, Spiking
from spikeworks.models import RepConv, SpikingAttention, SpikingBlock, SpikingMLP, merged
from spikeworks.models.resformer import ByRate, DualSpikeAttention
from spikeworks.models.spiking_attention import attending, product

KINDS = ("product", "mask", "token", "channel")


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.3).float()


@pytest.mark.parametrize(("features", "tokens"), [(32, 64), (64, 7), (1, 1), (5, 196)])
def test_both_orders_of_the_product_are_equal_to_the_last_bit(features: int, tokens: int) -> None:
    q, k, v = (part.squeeze(0) for part in spikes(3, 2, 3, features, tokens).split(1))
    attention = q.transpose(2, 3) @ k  # [.., N, N]
    assert torch.equal(product(q, k, v), (attention @ v.transpose(2, 3)).transpose(2, 3))
    counts = [4 * part for part in (q, k, v)]  # whole numbers serve as well
    assert torch.equal(product(*counts), 64 * product(q, k, v))


def by_hand(kind: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """One head and one sample, ``[d, N]``: what enters the neuron, element by element."""
    d, n = q.shape
    y = torch.zeros(d, n, dtype=q.dtype)
    for i in range(d):
        for t in range(n):
            if kind == "product":
                y[i, t] = scale * sum(q[j, t] * k[j, u] * v[i, u] for j in range(d) for u in range(n))
            elif kind == "mask":
                y[i, t] = sum(k[i, u] * v[i, u] for u in range(n))
            elif kind == "token":
                y[i, t] = sum(q[j, t] for j in range(d))
            else:
                y[i, t] = sum(q[i, u] for u in range(n))
    return y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shortcut", ["spike", "membrane"])
def test_each_kind_is_its_equation(kind: str, shortcut: str) -> None:
    layer = SpikingAttention(6, 2, nn.Sigmoid, kind=kind, shortcut=shortcut, scale=0.3).double().eval()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    inside = x.sigmoid() if shortcut == "membrane" else x
    q, k, v = (part(inside) if part else inside for part in (layer.q, layer.k, layer.v))
    y = torch.empty_like(q)
    for b in range(2):
        for part in (slice(0, 3), slice(3, 6)):
            one, two, three = (t[b, part].flatten(1) for t in (q, k, v))
            active = by_hand(kind, one, two, three, 0.3).sigmoid()
            gated = {"product": active, "mask": one * active}.get(kind, two * active)
            y[b, part] = gated.unflatten(1, (3, 4))
    y = layer.proj(y)
    torch.testing.assert_close(layer(x), y.sigmoid() if shortcut == "spike" else y, rtol=0, atol=1e-12)


def test_a_mask_of_tokens_silences_whole_tokens_and_one_of_channels_whole_features() -> None:
    x_T = spikes(1, 2, 8, 3, 3)
    for kind, axis in (("token", 0), ("channel", 1)):
        layer = SpikingAttention(8, 1, lambda: Spiking(sw.IF(threshold=0.3)), kind=kind, threshold=3.0).eval()
        seen = []
        layer.act.register_forward_hook(lambda m, i, y, seen=seen: seen.append(y))
        layer.proj.register_forward_pre_hook(lambda m, i, seen=seen: seen.append(i[0].flatten(2)))
        SNN(layer)(x_T)
        mask, y = seen
        assert mask.shape[2 + axis] == 1
        silent = (mask == 0).expand(2, 1, 8, 9).squeeze(1)
        assert 0 < silent.float().mean() < 1
        assert not y[silent].any()


@pytest.mark.parametrize(
    "neuron", [sw.LIF(tau=3.0), sw.PLIF(), sw.IF(threshold=nn.Parameter(torch.tensor(2.0))), sw.GLIF()]
)
def test_the_threshold_in_the_attention_is_its_own(neuron: sw.neurons.Neuron) -> None:
    site = attending(lambda: Spiking(neuron), 0.5)
    assert isinstance(site, Spiking)
    if neuron.kind.__name__ == "GatedLIF":  # its threshold is a gate
        assert site.value("threshold").item() == pytest.approx(0.0)
    else:
        assert torch.as_tensor(site.value("threshold")).item() == 0.5
    if neuron.kind.__name__ == "LIF":
        assert neuron.parameters["threshold"] == 1.0
        assert site.neuron.parameters["tau"] == 3.0
    assert isinstance(attending(nn.ReLU, 0.5), nn.ReLU)


def test_a_block_adds_what_its_parts_say() -> None:
    attention, mlp = SpikingAttention(4, 2, nn.ReLU), SpikingMLP(4, 6, nn.ReLU)
    block, x = SpikingBlock(attention, mlp).eval(), torch.randn(2, 4, 3, 3)
    y = x + attention(x)
    assert torch.equal(block(x), y + mlp(y))
    assert torch.equal(mlp(x), mlp.fc2(mlp.fc1(x).relu()).relu())
    driven = SpikingMLP(4, 6, nn.ReLU, shortcut="membrane").eval()
    assert torch.equal(driven(x), driven.fc2(driven.fc1(x.relu()).relu()))


def lived(module: nn.Module, x: torch.Tensor) -> nn.Module:
    """Statistics that are not those of the start."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -1, 1)
    module.train()
    for _ in range(3):
        module(x)
    return module.eval()


def test_a_chain_of_linear_layers_is_one_convolution_at_the_edges_too() -> None:
    x = spikes(3, 6, 5, 7).double()
    chain = lived(nn.Sequential(RepConv(6), nn.BatchNorm2d(6)).double(), x)
    torch.testing.assert_close(merged(chain, 6, 3)(x), chain(x), rtol=0, atol=1e-12)
    deep = nn.Conv2d(6, 6, 7, padding=3, groups=6, bias=False)
    chain = lived(nn.Sequential(deep, nn.Conv2d(6, 4, 1, bias=False), nn.BatchNorm2d(4)).double(), x)
    torch.testing.assert_close(merged(chain, 6, 7)(x), chain(x), rtol=0, atol=1e-12)
    for wrong in (lambda: merged(chain, 6, 4), lambda: merged(chain.train(), 6, 7)):
        with pytest.raises(ValueError, match="expected one in evaluation and an odd size"):
            wrong()


def test_dual_spike_attention_is_its_equation() -> None:
    layer = DualSpikeAttention(6, 2, 2, nn.Sigmoid, nn.BatchNorm2d).double().eval()
    layer.scale1.rate.copy_(torch.tensor([0.2, 0.3]))
    layer.scale2.rate.copy_(torch.tensor([0.1, 0.4]))
    x = torch.randn(2, 6, 4, 6, dtype=torch.float64)
    s = x.sigmoid()
    y = layer.patches(s)
    assert y.shape == (2, 12, 2, 3)
    out = torch.empty_like(x)
    for b in range(2):
        for h, part in enumerate((slice(0, 3), slice(3, 6))):
            y1, y2 = y[b, 6 * h : 6 * h + 3].flatten(1), y[b, 6 * h + 3 : 6 * h + 6].flatten(1)
            a = (y1.T @ s[b, part].flatten(1) / (layer.scale1.rate[h] * 3).sqrt()).sigmoid()
            out[b, part] = (y2 @ a / (layer.scale2.rate[h] * 6).sqrt()).sigmoid().unflatten(1, (4, 6))
    torch.testing.assert_close(layer(x), x + layer.proj(out), rtol=0, atol=1e-12)


def test_currents_scaled_by_the_rate_have_unit_variance() -> None:
    scale = ByRate(2)
    s = torch.cat([spikes(8, 1, 50, 40), torch.zeros(8, 1, 50, 40)], 1)
    current = torch.randn(8, 2, 30, 50) @ s
    y = scale(current, s, 50)
    assert y[:, 0].std() == pytest.approx(1.0, rel=0.1)
    assert not y[:, 1].any()  # a silent head stays finite
    assert torch.allclose(scale.rate, s.mean((0, 2, 3)))
    scale(current, torch.ones_like(s), 50)
    assert torch.allclose(scale.rate, torch.lerp(s.mean((0, 2, 3)), torch.ones(2), 0.001))
    kept = scale.rate.clone()
    scale.eval()(current, s, 50)
    assert torch.equal(scale.rate, kept)


def test_choices_that_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="SpikingAttention got kind='softmax', expected one of"):
        SpikingAttention(4, 2, nn.ReLU, kind="softmax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SpikingMLP got shortcut='none', expected one of"):
        SpikingMLP(4, 8, nn.ReLU, shortcut="none")  # type: ignore[arg-type]
