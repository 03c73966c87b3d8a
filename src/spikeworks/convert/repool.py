"""Max pooling in a graph before conversion: what the policies ``"avg"`` and ``"pre-neuron"`` change."""

from __future__ import annotations

from torch import fx, nn

from .activation import Activation
from .affine import CONVOLUTIONS, MAX_POOLS, calls
from .pool import average


def average_pools(network: fx.GraphModule) -> None:
    """Every max pooling becomes average pooling over the same windows."""
    for node, module in calls(network, MAX_POOLS):
        network.set_submodule(str(node.target), average(module))


def pool_before_neurons(network: fx.GraphModule) -> None:
    """site → pool becomes pool → site. A pool that no activation reaches without a weighted layer between acts on
    currents already.

    :raises ValueError: for a pool that acts on spikes and cannot be put before their neuron: others read the site, too,
        or sums, joins or normalisation lie between.
    """
    found = {node for node, _ in calls(network, (nn.ReLU, Activation))}
    weighted = {node for node, _ in calls(network, (nn.Linear, *CONVOLUTIONS))}
    for node, _ in calls(network, MAX_POOLS):
        site = node.args[0]
        if site not in found:
            if _reached(node, found, weighted):
                raise _refusal(node, "which pools what is made of several activations or of normalised ones", "one")
            continue
        if len(site.users) > 1:  # type: ignore[union-attr]
            raise _refusal(node, f"which pools {site.target!r} that others read too", "no other reader")  # type: ignore[union-attr]
        node.args = (site.args[0],)  # type: ignore[union-attr]
        node.replace_all_uses_with(site)  # type: ignore[arg-type]
        site.args = (node,)  # type: ignore[union-attr]
        node.append(site)  # type: ignore[arg-type]


def _reached(node: fx.Node, found: set[fx.Node], weighted: set[fx.Node]) -> bool:
    """Whether a site's spikes come to a node without passing a weighted layer."""
    return any(n in found or (n not in weighted and _reached(n, found, weighted)) for n in node.all_input_nodes)


def _refusal(node: fx.Node, what: str, expected: str) -> ValueError:
    return ValueError(f"pooling='pre-neuron' got {node.target!r}, {what}, expected {expected}; choose pooling='delta'.")
