"""What this machine can run, and how fast."""

from __future__ import annotations

from .shared import console_here


def bench(*, seed: int = 0) -> None:
    """Time the neuron core on this machine: fused against eager, forward and backward, after both agreed.

    Parameters
    ----------
    seed
        of the input
    """
    from ..view import machine

    console = console_here()
    with console.status("timing"):
        measured = machine.speeds(seed)
    console.print(measured, highlight=False)


def info() -> None:
    """What is installed and what can run here: versions, backends and why not, neurons, methods and their fields."""
    from ..view import machine

    console_here().print(machine.abilities(), highlight=False)
