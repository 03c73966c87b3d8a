"""Vision transformer: its size, its equation, the images it takes, and what it refuses."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spikeworks.models import SelfAttention, TransformerBlock, ViT, ViTConfig, vit_tiny


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def small(**options: Any) -> ViT:
    sizes = {"image": 12, "width": 12, "heads": 3, "depth": 2, **options}
    return vit_tiny(5, generator=torch.Generator().manual_seed(0), **sizes)


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_sizes_by_hand(pool: str) -> None:
    count = sum(p.numel() for p in vit_tiny(10, image=28, in_channels=1, pool=pool).parameters())
    block = 4 * 96 * 96 + 4 * 96 + 2 * 96 * 192 + 96 + 192 + 4 * 96
    tokens = 49 + (pool == "token")
    assert count == (16 + 1) * 96 + tokens * 96 + (pool == "token") * 96 + 6 * block + 2 * 96 + 96 * 10 + 10


def test_the_published_size() -> None:
    with torch.device("meta"):
        config = ViTConfig(image=224, patch=16, width=768, depth=12, heads=12, ratio=4.0, classes=1000)
        assert sum(p.numel() for p in ViT(config).parameters()) == 86_567_656  # ViT-B/16


def test_attention_is_torchs() -> None:
    ours, theirs = SelfAttention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.proj.weight.data, ours.proj.bias.data
    x = images(2, 7, 12)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])


def test_a_block_is_its_equation() -> None:
    block, x = TransformerBlock(ViTConfig(width=12, heads=3, ratio=1.5), nn.GELU), images(2, 7, 12)
    y = x + block.attention(F.layer_norm(x, (12,)))
    torch.testing.assert_close(block(x), y + block.fc2(F.gelu(block.fc1(F.layer_norm(y, (12,))))))
    assert block.fc1.out_features == 18


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize(("channels", "image"), [(1, 28), (3, 32), (2, (8, 12))])
def test_image_sizes(pool: str, channels: int, image: int | tuple[int, int]) -> None:
    net = small(image=image, in_channels=channels, pool=pool)
    height, width = (image, image) if isinstance(image, int) else image
    assert net(images(2, channels, height, width)).shape == (2, 5)
    assert net.config.tokens == height * width // 16 + (pool == "token")


def test_the_mean_reads_every_token_and_positions_tell_them_apart() -> None:
    net, x = small(pool="mean"), images(2, 3, 12, 12)
    turned = x.flip(3)  # other patches in other places, each turned as well
    assert not torch.allclose(net(x), net(turned), atol=1e-4)
    x.requires_grad_()
    net(x)[0].sum().backward()
    assert x.grad is not None
    assert (x.grad[0] != 0).all()
    assert not x.grad[1].any()  # every sample by itself


def test_one_generator_gives_one_network_and_gradients_reach_every_parameter() -> None:
    a, b = small(), small()
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    F.cross_entropy(a(images(4, 3, 12, 12)), torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.any() for p in a.parameters())
    weight = vit_tiny().blocks[0].fc1.weight
    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / (96 + 192)), rel=0.01)


def test_dropout_acts_in_training_only_and_the_activation_is_the_one_given() -> None:
    net, x = small(dropout=0.5, activation=nn.ReLU), images(2, 3, 12, 12)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), copy.deepcopy(net)(x))
    assert [type(b.act) for b in net.blocks] == [nn.ReLU] * 2
    assert net.blocks[0].act is not net.blocks[1].act


def test_fx_traces_it() -> None:
    net, x = small().eval(), images(2, 3, 12, 12)
    assert torch.equal(torch.fx.symbolic_trace(net)(x), net(x))


def test_it_learns() -> None:
    x, y = images(64, 3, 12, 12), torch.arange(64) % 2
    x[y == 1, :, :4, :4] += 1.5
    net = small()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimiser.step()
    assert (net(x).argmax(1) == y).float().mean() > 0.95


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: vit_tiny(image=30), "ViT got image=30 and patch=4, expected sides that are multiples of the patch"),
        (lambda: vit_tiny(width=98, heads=4), "ViT got width=98 and heads=4, expected a multiple of the heads"),
        (lambda: vit_tiny(width=0), "ViT got width=0, expected a whole number of at least 1"),
        (lambda: vit_tiny(depth=0), "ViT got depth=0"),
        (lambda: vit_tiny(classes=0), "ViT got classes=0"),
        (lambda: vit_tiny(patch=0), "ViT got patch=0"),
        (lambda: vit_tiny(ratio=0.0), "ViT got ratio=0.0, expected more than 0 and finite"),
        (lambda: vit_tiny(dropout=1.0), "ViT got dropout=1.0, expected 0 <= dropout < 1"),
        (lambda: ViTConfig(pool="max"), "ViT got pool='max', expected one of"),  # type: ignore[arg-type]
        (lambda: vit_tiny(activation=nn.ReLU()), "vit_tiny got activation=ReLU"),
    ],
)
def test_impossible_shapes_are_refused(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        wrong()
    assert "\n" not in str(refusal.value)
