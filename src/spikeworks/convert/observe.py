"""Looking at a normalised network while it runs on calibration data, site by site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from ..measure.batches import Batches, batches
from .encoders import site_kind
from .graph import channel_axis, sites

Scope = Literal["layer", "channel"]
"""Whether one value serves a site, or each of its channels has its own."""


class Visitor(fx.Interpreter):
    """Runs a normalised network with something of one's own at its sites: ``Visitor(network, at).run(x)``.

    :param at: site, its activation and the input of that, ``[B, ...]`` → what goes on in place of its output.
    """

    def __init__(self, network: fx.GraphModule, at: Callable[[str, nn.Module, Tensor], Tensor]) -> None:
        super().__init__(network)
        self.extra_traceback = False  # errors stay one sentence
        self.at, self.names = at, frozenset(sites(network))

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a module, or what is at it."""
        if target not in self.names:
            return super().call_module(target, args, kwargs)
        return self.at(target, self.submodules[target], args[0])


def axes(network: fx.GraphModule, scope: Scope, last: bool = False) -> dict[str, int | None]:
    """Site → its channel axis, ``None`` for all where one threshold serves a layer.

    :param last: take the last axis where the channel axis cannot be told, as in transformers.
    :raises ValueError: for an unknown scope, or a channel axis that cannot be told.
    """
    if scope not in ("layer", "channel"):
        raise ValueError(f"calibration got scope={scope!r}, expected 'layer' or 'channel'; choose one.")
    found = {name: channel_axis(network, name) if scope == "channel" else None for name in sites(network)}
    if last and scope == "channel":
        return {name: -1 if axis is None else axis for name, axis in found.items()}
    if unknown := [name for name, axis in found.items() if scope == "channel" and axis is None]:
        raise ValueError(f"calibration got {unknown}, whose channel axis cannot be told; choose scope='layer'.")
    return found


def one_sided(network: fx.GraphModule, method: str) -> None:
    """Refuse sites that can be below 0.

    :param method: what cannot serve them, for the message.
    :raises ValueError: naming them.
    """
    if signed := [name for name in sites(network) if site_kind(network, name) == "encoder"]:
        raise ValueError(
            f"{method} got {signed}, which can be below 0, expected activations like ReLU alone; choose a method for "
            "signed activations, such as ECMT."
        )


def rows(y: Tensor, axis: int | None) -> Tensor:
    """``[B, ...]`` → ``[C, N]``, a row per channel; one row for no axis."""
    return y.reshape(1, -1) if axis is None else y.movedim(axis, 0).flatten(1)


def spread(value_C: Tensor, rank: int, axis: int | None) -> Tensor:
    """Undo :func:`rows` for one value per row: ``[C]`` → ``[]`` or ``[C, 1, ...]``, against which a step broadcasts.

    :param rank: number of axes of the activation, the batch's included.
    """
    if axis is None:
        return value_C.reshape(())
    after = rank - 1 - axis % rank  # axes after the channel
    return value_C.reshape(-1, *(1,) * after)


def active(name: str, value_C: Tensor, q: float = 1.0) -> Tensor:
    """Thresholds ``[C]``: a channel that has none above 0 takes the layer's largest.

    :param name: the site, for the message. :param q: the quantile, for the message.
    :raises ValueError: if no channel has one.
    """
    top = value_C.max()
    if not bool(top > 0):
        raise ValueError(
            f"{name!r} was never active on the calibration data{f' at quantile {q:g}' if q < 1 else ''}, expected some "
            "activation above 0; calibrate on more or other data, raise q, or remove the dead layer."
        )
    return torch.where(value_C > 0, value_C, top)


def finite(name: str, y: Tensor) -> Tensor:
    """``y``; refuses NaN and infinity."""
    if not bool(y.isfinite().all()):
        raise ValueError(f"{name!r} got NaN or infinite activations on calibration data; check the network's weights.")
    return y


def observe(
    network: fx.GraphModule, data: Batches, axis: dict[str, int | None], see: Callable[[str, Tensor], None],
    signed: bool = False, currents: bool = False,
) -> dict[str, tuple[int, int | None]]:  # fmt: skip
    """Show ``see`` the activations of each site, batch by batch, as ``[C, N]``.

    :param axis: site → its channel axis, as :func:`axes` gives it.
    :param signed: whether activations may be below 0.
    :param currents: show what goes into the activations instead.
    :returns: site → rank of its activation and channel axis, for :func:`spread`.
    :raises ValueError: for data that is empty or not finite, activations that are not finite, or below 0 and not to be.
    """
    ranks: dict[str, tuple[int, int | None]] = {}

    def at(name: str, module: nn.Module, z: Tensor) -> Tensor:
        y = module(z)
        shown = finite(name, z if currents else y)
        ranks[name] = shown.dim(), axis[name]
        if not (signed or currents) and bool((y < 0).any()):
            raise ValueError(
                f"{name!r} got activations below 0, expected none, as of ReLU; choose a method for signed activations, "
                "such as ECMT."
            )
        see(name, rows(shown, axis[name]))
        return y

    visitor = Visitor(network, at)
    with torch.no_grad():
        for x, _ in batches(data, network, "calibration"):
            visitor.run(x)
    return ranks


class Means:
    """Means over samples, batch by batch, in double precision: ``add(name, y)``, then ``means[name]``.

    What is added is ``[B, ...]``; the mean is over the first axis, ``[...]``.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, y: Tensor) -> None:
        """Another batch.

        :raises ValueError: if its samples are of another shape than those before.
        """
        now = y.double().sum(0)
        before = self.sums.get(name, now)
        if before.shape != now.shape:
            raise ValueError(
                f"{name!r} got activations of {tuple(now.shape)} after {tuple(before.shape)}, expected one size for a "
                "mean of each neuron; calibrate on inputs of one size."
            )
        self.sums[name] = now if before is now else before + now
        self.counts[name] = self.counts.get(name, 0) + len(y)

    def __getitem__(self, name: str) -> Tensor:
        return self.sums[name] / self.counts[name]
