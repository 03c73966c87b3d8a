"""Batch normalisation, an affine map in evaluation mode, put into the layer before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules import batchnorm, conv
from torch.nn.utils.parametrize import is_parametrized


def fold_norms(network: fx.GraphModule) -> int:
    """Fold each batch normalisation into the convolution or linear layer it directly follows, if both are called once
    and nothing else reads what is between them: ``W' = Wγ/√(σ²+ε)``, ``b' = (b − μ)γ/√(σ²+ε) + β``.

    In place; classes with a forward of their own are left alone. Returns how many were folded.
    """
    modules = dict(network.named_modules())
    called = [n for n in network.graph.nodes if n.op == "call_module"]
    targets, folded = [n.target for n in called], 0
    for node in called:
        norm, before = modules[str(node.target)], node.args[0] if node.args else None
        if not isinstance(norm, batchnorm._BatchNorm) or not _of_torch(norm) or norm.running_mean is None:
            continue
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        layer = modules[str(before.target)]
        once = targets.count(node.target) == 1 and targets.count(before.target) == 1
        fits = isinstance(layer, (nn.Linear, conv._ConvNd)) and _channels(layer) == norm.num_features
        if once and fits and _of_torch(layer) and not is_parametrized(layer):
            _fold(layer, norm)
            node.replace_all_uses_with(before)
            network.graph.erase_node(node)
            folded += 1
    return folded


def _of_torch(module: nn.Module) -> bool:
    return str(type(module).forward.__module__).startswith("torch.nn.")


def _channels(layer: nn.Module) -> object:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


@torch.no_grad()
def _fold(layer: nn.Module, norm: Any) -> None:
    weight: nn.Parameter = layer.weight  # type: ignore[assignment]
    ones, zeros = torch.ones_like(norm.running_mean), torch.zeros_like(norm.running_mean)
    scale = (ones if norm.weight is None else norm.weight) * (norm.running_var + norm.eps).rsqrt()
    shift = (zeros if norm.bias is None else norm.bias) - norm.running_mean * scale
    bias = zeros if layer.bias is None else layer.bias
    if getattr(layer, "transposed", False):  # weight is [C_in, C_out/groups, ...]
        groups: int = layer.groups  # type: ignore[assignment]
        factor = scale.view(groups, 1, -1, *(1,) * (weight.dim() - 2))
        folded = (weight.unflatten(0, (groups, -1)) * factor).flatten(0, 1)
    else:
        folded = weight * scale.view(-1, *(1,) * (weight.dim() - 1))
    layer.weight = nn.Parameter(folded, weight.requires_grad)
    layer.bias = nn.Parameter(bias * scale + shift, weight.requires_grad)  # type: ignore[operator]
