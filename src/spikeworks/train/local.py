"""Local losses: every spiking layer learns to answer by itself, and no gradient passes from layer to layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..layers import Spiking
from ..neurons.state import compute_dtype
from .objective import Loss
from .online import Update, by_windows, in_steps, settled
from .presynaptic import traced


@dataclass(frozen=True, eq=False)
class LocalLosses:
    """At each step, of each spiking layer: the loss of a fixed random readout of its spikes, and nothing from above.

    ``L = Σ_t (objective(z[t], y) + Σ_l objective(s_l[t] G_l, y)) / T``; the spikes ``s_l`` that go on to the next layer
    carry no gradient, states neither; within a layer weights learn from traces of their input, as in
    :class:`~spikeworks.train.OTTT`. What follows the last layer with a readout, the network's own head, learns from the
    network's answer z.

    After DECOLLE: Kaiser, Mostafa and Neftci, Frontiers in Neuroscience 2020. From there: fixed readouts, a loss per
    layer and step, detached states, presynaptic traces. Departures: any neuron of one leak in place of theirs with two
    time constants and a refractory state; readouts without a bias; the network answers by a head of its own that
    learns, theirs by readouts.

    :param readouts: ``G_l`` by the name of its layer, ``[features, classes]``, see :func:`local_readouts`. A spiking
        layer without one passes its gradient on.
    :param leak: as in :class:`~spikeworks.train.OTTT`.
    :param update: called after each step.
    """

    readouts: Mapping[str, Tensor]
    leak: float | None = None
    update: Update | None = None

    def __call__(self, network: nn.Module, x: Tensor, y_B: Tensor, objective: Loss) -> tuple[Tensor, Tensor]:
        """As :meth:`TruncatedBPTT.__call__ <spikeworks.train.TruncatedBPTT.__call__>`; the loss is the sum L.

        :raises ValueError: as ``OTTT``; for a readout of a layer that is not there, or of another size.
        """
        modules = dict(network.named_modules())
        if unknown := [name for name in self.readouts if not isinstance(modules.get(name), Spiking)]:
            raise ValueError(
                f"LocalLosses got readouts for {unknown}, expected names of Spiking layers of the network; make them "
                "by local_readouts."
            )
        answers: list[Tensor] = []

        def cut(name: str) -> Any:
            readout = self.readouts[name]

            def hook(module: nn.Module, inputs: Any, s: Tensor) -> Tensor:
                flat = s.flatten(1)
                if flat.shape[1] != readout.shape[0]:
                    raise ValueError(
                        f"LocalLosses got a readout of {readout.shape[0]} features for the {flat.shape[1]} of {name}, "
                        "expected as many; make it for this network and size of input by local_readouts."
                    )
                answers.append((flat @ readout.to(flat)).to(compute_dtype(flat)))  # autocast may have halved it
                return s.detach()

            return modules[name].register_forward_hook(hook)

        def summed(z_TBC: Tensor, y_B: Tensor) -> Tensor:
            losses = [objective(z_TBC, y_B), *(objective(answer.unsqueeze(0), y_B) for answer in answers)]
            answers.clear()
            return torch.stack(losses).sum()

        with traced("LocalLosses", network, self.leak) as settle, ExitStack() as stack:
            for name in self.readouts:
                stack.callback(cut(name).remove)
            return by_windows("LocalLosses", network, x, y_B, settled(settle, summed), 1, self.update)


def local_readouts(network: nn.Module, x: Tensor, classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A fixed random readout for every spiking layer of a network, but for one that is its output.

    Uniform in ``±1/√features``. One step of the network is run, in evaluation mode, to see how many features there are.

    :param x: a batch as the network takes it. :param classes: how many there are.
    :returns: name of the layer → ``[features, classes]``.
    :raises ValueError: if a layer is called twice in one step, or there is none.
    """
    snn, x_T = in_steps("local_readouts", network, x)
    names = {module: name for name, module in network.named_modules() if isinstance(module, Spiking)}
    features: dict[str, int] = {}
    calls: Counter[str] = Counter()

    def see(module: nn.Module, inputs: Any, s: Tensor) -> Tensor:
        calls[names[module]] += 1  # type: ignore[index]
        features[names[module]] = s.flatten(1).shape[1]  # type: ignore[index]
        return s.detach()

    modes = [(module, module.training) for module in network.modules()]
    handles = [module.register_forward_hook(see) for module in names]
    try:
        answer, _ = snn.eval().step(x_T[0])
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    if not answer.requires_grad and features:  # nothing learns behind the last: it is the output
        features.popitem()
    if not features or max(calls.values()) > 1:
        raise ValueError(
            f"local_readouts got a network whose Spiking layers are called {dict(calls)} times, expected one or more "
            "before the output, each called once; give every place a layer of its own."
        )
    bound = {name: count**-0.5 for name, count in features.items()}
    where = generator.device
    return {
        name: ((2 * torch.rand(count, classes, generator=generator, device=where) - 1) * bound[name]).to(x_T.device)
        for name, count in features.items()
    }
