"""Training rules that stop the gradient in time: truncated BPTT, SLTT and OTTT, with memory that a long input does not
need more of.

    rule = OTTT()
    loss, z_TBC = rule(network, x, y_B, objective)  # gradients are in .grad, as after loss.backward()

A rule takes the place of forward and backward in a loop; ``optimiser.zero_grad()`` before it and ``optimiser.step()``
after it are the loop's. With ``update``, a function that does both, the weights change within the window instead.

The network is an :class:`~spikeworks.SNN` without ``decode``, as every step is scored when it is there: the loss is
``Σ_w (T_w/T) · objective(z_w, y)`` over windows w of T_w steps. For an objective that is a mean over steps, such as
``TET``, this is the objective itself. Batch normalisation takes its statistics from each window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..layers import SNN, detach
from ..layers.check import at_least, in_time
from ..neurons.state import compute_dtype
from .objective import Loss
from .presynaptic import traced

Update = Callable[[], object]
"""What is called when gradients of one window are in ``.grad``: it takes a step of the optimiser and clears them."""


@dataclass(frozen=True)
class TruncatedBPTT:
    """Back-propagation through time, cut every ``window`` steps: the state is carried on, its gradient is not.

    From T steps on this is BPTT exactly. What is kept for the backward pass is that of one window.

    :param window: steps between two cuts, at least 1.
    :param update: called after each window; default: gradients of all windows add up.
    """

    window: int
    update: Update | None = None

    def __post_init__(self) -> None:
        at_least("TruncatedBPTT", "window", self.window, 1)

    def __call__(self, network: nn.Module, x: Tensor, y_B: Tensor, objective: Loss) -> tuple[Tensor, Tensor]:
        """Input as the network takes it, and class numbers → the loss and logits ``[T, B, C]``, without a graph.

        :raises ValueError: for a network that is no SNN, decodes, or has an encoder that learns; if no window has a
            gradient, as with delays longer than it.
        """
        return by_windows("TruncatedBPTT", network, x, y_B, objective, self.window, self.update)


@dataclass(frozen=True)
class SLTT:
    """Spatial learning through time: the temporal path is dropped, each step is learned through space alone.

    The gradient is that of BPTT with every state held constant, whatever the layer. ``steps=K`` (SLTT-K) learns at K of
    the T steps, drawn anew for each batch, and runs the others without a graph. Meng et al., ICCV 2023, arXiv
    2302.14311; that K steps are drawn without repetition, and that each counts 1/T whatever K is, is from their code,
    as is the detached state.

    :param steps: K, 1 to T; default all.
    :param generator: where the K steps are drawn from; default torch's own.
    :param update: called after each learned step; default: gradients of all steps add up.
    """

    steps: int | None = None
    generator: torch.Generator | None = None
    update: Update | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            at_least("SLTT", "steps", self.steps, 1)

    def __call__(self, network: nn.Module, x: Tensor, y_B: Tensor, objective: Loss) -> tuple[Tensor, Tensor]:
        """As :meth:`TruncatedBPTT.__call__`; the loss is that of all steps, learned or not.

        :raises ValueError: the same; and for more steps than there are.
        """
        return by_windows("SLTT", network, x, y_B, objective, 1, self.update, self._drawn)

    def _drawn(self, count: int) -> set[int]:
        if self.steps is None:
            return set(range(count))
        if self.steps > count:
            raise ValueError(f"SLTT got steps={self.steps} for {count} steps, expected at most {count}; lower it.")
        return set(torch.randperm(count, generator=self.generator)[: self.steps].tolist())


@dataclass(frozen=True)
class OTTT:
    """Online training through time: at each step the error of this step alone, times a trace of what came in before.

    ``∂L/∂W = Σ_t g[t] ⊗ â[t]``, ``â[t] = λâ[t−1] + x[t]``: x is the input of a layer with weights W, λ the leak of the
    neuron behind it, g the gradient that SLTT gives the layer's output. Where no reset interferes the membrane moves
    with W by ``Σ_{τ≤t} λ^{t−τ} x[τ] = â[t]``, so weights in front of the last neurons get the gradient of BPTT exactly
    (``reset="none"``, or ``"soft"`` with ``detach_reset``), as those behind them do. For weights before, whose spikes
    reach later steps through later membranes, and for hard resets, it is an approximation.

    Without ``update`` this is OTTT_A, gradients of all steps add up; with it OTTT_O, a step of the optimiser at each.

    Xiao et al., NeurIPS 2022, arXiv 2210.04195. From their code: the detached state, a trace that includes this step,
    the loss divided by T. Departures, each towards the exact gradient: the leak is that of the neuron behind the
    weights (theirs, before them: their networks have one leak); layers without a neuron behind them, the readout, have
    no trace (theirs has one); the first layer has one (theirs has none), and so has a bias, the trace of an input of 1.
    Reconstructed: parameters of normalisation and of neurons get their gradient from this step alone, as in SLTT.

    :param leak: λ for every neuron, in place of its own; 0 is SLTT.
    :param update: called after each step.
    """

    leak: float | None = None
    update: Update | None = None

    def __call__(self, network: nn.Module, x: Tensor, y_B: Tensor, objective: Loss) -> tuple[Tensor, Tensor]:
        """As :meth:`TruncatedBPTT.__call__`.

        :raises ValueError: the same; for layers other than linear, convolution, normalisation, :class:`Spiking` and
            stateless ones without parameters; for a neuron whose leak is unknown.
        """
        with traced("OTTT", network, self.leak) as settle:
            return by_windows("OTTT", network, x, y_B, settled(settle, objective), 1, self.update)


def settled(settle: Callable[[Tensor], None], objective: Loss) -> Loss:
    """The objective, which tells the traces first that a step has been run."""

    def loss(z_TBC: Tensor, y_B: Tensor) -> Tensor:
        settle(z_TBC)
        return objective(z_TBC, y_B)

    return loss


def in_steps(owner: str, network: nn.Module, x: Tensor) -> tuple[SNN, Tensor]:
    """A network whose steps can be scored and what it is shown, ``[T, B, ...]``; else ``ValueError``."""
    if not isinstance(network, SNN) or network.decode is not None:
        got = f"an SNN with decode={network.decode!r}" if isinstance(network, SNN) else type(network).__name__
        raise ValueError(
            f"{owner} got {got}, expected an SNN without decode, as each step is scored on its own; build it with "
            "decode=None."
        )
    return network, in_time(owner, network.encode(x) if network.encode is not None else x)


def by_windows(
    owner: str, network: nn.Module, x: Tensor, y_B: Tensor, objective: Loss, window: int, update: Update | None,
    chosen: Callable[[int], set[int]] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Forward and backward, window by window, the state cut in between: what every rule here comes to.

    :param chosen: the number of windows → which of them are learned; default all.
    :returns: the loss over all windows and logits ``[T, B, C]``, both without a graph.
    """
    snn, x_T = in_steps(owner, network, x)
    parts = x_T.split(window)
    if x_T.requires_grad and len(parts) > 1:
        raise ValueError(
            f"{owner} got an input with a gradient, expected none, as it would have to be kept over all steps; hold "
            "the encoder fixed (requires_grad_(False)), or train it by BPTT."
        )
    learned = chosen(len(parts)) if chosen is not None else range(len(parts))
    total, answers, state, reached = torch.zeros((), device=x_T.device), [], None, False
    for number, part_T in enumerate(parts):
        torch.clear_autocast_cache()  # of weights as they were, and of those cast without a graph
        with torch.set_grad_enabled(number in learned):
            z_TBC, state = snn.stream(part_T, state)
            state = detach(state)  # at once: what only the next state hangs on is not kept either
            loss = objective(z_TBC.to(compute_dtype(z_TBC)), y_B) * (len(part_T) / len(x_T))
        if loss.requires_grad:  # not where all that a window answers comes from before it, as behind a delay
            loss.backward()
            reached = True
            if update is not None:
                update()
        total = total + loss.detach()
        answers.append(z_TBC.detach())
    if not reached:
        raise ValueError(
            f"{owner} got no gradient in any window of {window} steps, expected one; let parameters learn, or take "
            "windows longer than the delays in the network."
        )
    return total, torch.cat(answers)
