"""One neuron watched step by step: its input, every state variable and its output, as numbers and as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..neurons import Neuron, scan
from .figures import STYLE
from .looks import INK, MUTED, PALETTE

if TYPE_CHECKING:
    import matplotlib.figure


def watch(neuron: Neuron, x_T: Tensor) -> dict[str, Tensor]:
    """Run a neuron and keep everything it went through.

    :param neuron: any neuron, built in or of your own. :param x_T: input current ``[T, B, ...]``.
    :returns: ``"input"``, each state variable after each step by its name, and ``"output"``, all ``[T, B, ...]``.
    :raises ValueError: as :func:`spikeworks.scan`.
    """
    states, outputs, state = [], [], None
    with torch.no_grad():
        for x in x_T.split(1):
            out, state = scan(neuron, x, state)
            outputs.append(out)
            states.append(state)
    kept = {name: torch.stack(values) for name, *values in zip(neuron.state_names, *states, strict=True)}
    return {"input": x_T, **kept, "output": torch.cat(outputs)}


def plot_neuron(neuron: Neuron, x_T: Tensor | None = None) -> matplotlib.figure.Figure:
    """A figure of one neuron's input, states and output over time.

    :param x_T: input ``[T]``; default: 60 steps of a current that is 0, then 1.5 times the threshold (or 1.5), then 0.
    :returns: a matplotlib figure made without pyplot, so nothing has to be closed.
    :raises ValueError: for an input that is not one-dimensional.
    """
    import matplotlib
    from matplotlib.figure import Figure

    if x_T is None:
        level = 1.5 * float(torch.as_tensor(neuron.parameters.get("threshold", 1.0)).detach().max())
        x_T = torch.cat([torch.zeros(8), torch.full((40,), level), torch.zeros(12)])
    if x_T.dim() != 1:
        raise ValueError(f"plot_neuron got an input of shape {tuple(x_T.shape)}, expected [T]; pick one neuron.")
    seen = {name: values.reshape(-1).tolist() for name, values in watch(neuron, x_T[:, None]).items()}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 1.0 + 1.15 * len(seen)), layout="constrained")
        rows = figure.subplots(len(seen), 1, sharex=True, squeeze=False)[:, 0]
        for row, (name, values), color in zip(rows, seen.items(), (MUTED, *PALETTE * 2), strict=False):
            time = range(len(values))
            if name == "input":
                row.fill_between(time, values, step="mid", color=color, alpha=0.25)
                row.step(time, values, where="mid", color=color)
            elif name == "output" and set(values) <= {-1.0, 0.0, 1.0}:
                row.vlines([t for t in time if values[t]], 0, [v for v in values if v], color=INK)
            else:
                row.plot(time, values, color=color)
            row.set_ylabel(name)
        rows[0].set_title(neuron.kind.__name__)
        rows[-1].set_xlabel("step")
    return figure
