"""Transformers that others wrote: torch's own modules, timm and Hugging Face."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convert.test_transformer_graph import E, H, N, equal, kinds
from spikeworks.convert.encoders import insert_encoders, site_kind
from spikeworks.convert.graph import channel_axis, normalise, sites


class Tokens(nn.Module):
    """A transformer of torch's own on ``[B, N, E]``, with the batch where it wants it."""

    def __init__(self, body: nn.Module, first: bool, mask: Tensor | None = None, readout: str = "token") -> None:
        super().__init__()
        self.embed, self.body, self.head = nn.Linear(5, E), body, nn.Linear(E, 4)
        self.token, self.position = nn.Parameter(torch.randn(1, 1, E)), nn.Parameter(torch.randn(N + 3, E))
        self.first, self.readout = first, readout
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(x.size(0), -1, -1), self.embed(x)], dim=1)
        x = x + self.position[: x.shape[1]]
        if not self.first:
            x = x.permute(1, 0, 2)
        x = self.body(x) if self.mask is None else self.body(x, self.mask)
        if self.readout == "token":
            return self.head(x[:, 0] if self.first else x[0])
        return self.head(x.mean(1 if self.first else 0))


class Attends(nn.Module):
    """``x + attention(x)``, by the given call."""

    def __init__(self, attention: nn.MultiheadAttention, weights: bool = False) -> None:
        super().__init__()
        self.attention, self.weights, self.norm = attention, weights, nn.LayerNorm(E)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y, weights = self.attention(x, x, x, attn_mask=mask, need_weights=self.weights)
        y = self.norm(x + y)
        return y + (weights.sum(-1, keepdim=True) * 0.1 if weights is not None and self.attention.batch_first else 0)


class Looks(nn.Module):
    """A decoder looking at its own input, and no in-projection in common."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(E, H, 16, norm_first=first, batch_first=first)
        self.decoder = nn.TransformerDecoder(layer, 2)
        self.cross = nn.MultiheadAttention(E, H, kdim=E, vdim=E, batch_first=first)
        nn.init.normal_(self.cross.in_proj_bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.decoder(x, x * 0.5)
        return y + self.cross(y, x, x * 2)[0]


def layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(E, H, 16, **options)


def bodies(first: bool) -> dict[str, nn.Module]:
    options = {"batch_first": first}
    return {
        "attention": Attends(nn.MultiheadAttention(E, H, **options)),
        "weights": Attends(nn.MultiheadAttention(E, H, bias=False, **options), weights=True),
        "post-norm": layer(**options),
        "pre-norm": layer(norm_first=True, activation="gelu", **options),
        "encoder": nn.TransformerEncoder(
            layer(norm_first=True, activation=F.silu, **options), 2, nn.LayerNorm(E), enable_nested_tensor=False
        ),
        "decoder": Looks(first),
    }


def shaken(network: nn.Module) -> nn.Module:
    """In evaluation mode, no parameter 0 or 1."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return network.eval()


@pytest.mark.parametrize("readout", ["token", "mean"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", bodies(True))
def test_torchs_own_transformers(name: str, first: bool, readout: str) -> None:
    source, x = shaken(Tokens(bodies(first)[name], first, readout=readout)), torch.randn(4, N, 5)
    state = {key: value.clone() for key, value in source.state_dict().items()}
    network = normalise(source, nonlinear=True)
    assert [n.target for n in network.graph.nodes if n.target in (torch.movedim, torch.permute, "permute")] == []
    insert_encoders(network)
    equal(network, source, x)
    assert all(torch.equal(value, state[key]) for key, value in source.state_dict().items())
    assert not [m for m in network.modules() if isinstance(m, (nn.MultiheadAttention, nn.Dropout))]
    readers = [re.split("_input", n)[0].rpartition(".")[2] for n in sites(network)]
    assert "head" not in readers
    if name == "pre-norm":  # q, k and v read one
        assert readers == ["q_proj", "matmul", "matmul", "matmul_2", "matmul_2", "out_proj", "linear1", "linear2"]
        assert [channel_axis(network, n) for n in sites(network)] == [-1, -1, -1, -1, 1, -1, -1, -1]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
@pytest.mark.parametrize("name", ["attention", "post-norm", "encoder"])
def test_masks_of_torchs_own(name: str, kind: torch.dtype, first: bool) -> None:
    hidden = ~torch.ones(N + 1, N + 1, dtype=torch.bool).tril()
    mask = hidden if kind == torch.bool else torch.zeros(N + 1, N + 1).masked_fill(hidden, -math.inf)
    source, x = shaken(Tokens(bodies(first)[name], first, mask)), torch.randn(3, N, 5)
    network = normalise(source, nonlinear=True)
    equal(network, source, x)
    changed = torch.cat((x[:, :1] * 0, x[:, 1:]), 1)  # what the token in front does not see
    torch.testing.assert_close(network(x), network(changed))


TIMM = {"vit_tiny_patch16_224": {"img_size": 32}, "eva02_tiny_patch14_224": {"img_size": 28}, "pvt_v2_b0": {},
        "swin_tiny_patch4_window7_224": {"img_size": 56, "depths": (2, 2), "window_size": 7}}  # fmt: skip


@pytest.mark.parametrize("name", TIMM)
def test_models_of_timm(name: str) -> None:
    timm = pytest.importorskip("timm", exc_type=ImportError)
    source = timm.create_model(name, pretrained=False, num_classes=5, **TIMM[name]).eval()
    side = TIMM[name].get("img_size", 64)
    converted(source, torch.randn(2, 3, side, side))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["ViT", "DeiT", "Dinov2", "Bert"])
def test_models_of_hugging_face(name: str, attention: str) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": E, "num_attention_heads": H, "num_hidden_layers": 1, "intermediate_size": 16}
    more = {"vocab_size": 20} if name == "Bert" else {"image_size": 16, "patch_size": 8}
    config = getattr(transformers, f"{name}Config")(**sizes, **more, attn_implementation=attention)
    task = "SequenceClassification" if name == "Bert" else "ImageClassification"

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = getattr(transformers, f"{name}For{task}")(config)

        def forward(self, x: Tensor) -> Tensor:
            return self.inside(x).logits

    converted(Logits().eval(), torch.randint(0, 20, (2, 6)) if name == "Bert" else torch.randn(2, 3, 16, 16))


def converted(source: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        network = normalise(source, nonlinear=True, example=x)
        assert {"softmax", "matmul", "layer_norm"} <= set(kinds(network))
        insert_encoders(network)
        assert all(site_kind(network, n) == "encoder" for n in sites(network))
        equal(network, source, torch.cat((x, x, x[:1])))
