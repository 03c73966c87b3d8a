"""What is installed, what can run here and how fast: the tables of ``spikeworks info`` and ``spikeworks bench``."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING

import torch

from .. import neurons
from ..measure import speed
from ..neurons import IF, LIF, PLIF, IntegerLIF, Izhikevich
from ..neurons.backends import BACKENDS
from ..neurons.surrogate import ALL as SURROGATES
from ..recipes.options import names_of
from ..recipes.run import NAMED

if TYPE_CHECKING:
    import rich.console
    import rich.table

LIBRARIES = (
    "numpy", "llvmlite", "triton", "cyclopts", "rich", "matplotlib", "safetensors", "scikit-learn", "pillow",
)  # fmt: skip
"""What the package and its extras rest on."""


def abilities() -> rich.table.Table:
    """Versions, threads, backends and why one does not run, neurons, surrogates, and methods with their fields."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    here = f"Python {platform.python_version()}, torch {torch.__version__}"
    table.add_row("spikeworks", f"[bold]{_version('spikeworks')}[/]  {here}")
    table.add_row("libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    table.add_row("machine", f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads, GPU {gpu}")
    for name, backend in BACKENDS.items():
        sample = torch.zeros(1, 1, device="cuda" if name == "fused_gpu" and torch.cuda.is_available() else "cpu")
        reason = backend.unsupported(sample) if hasattr(backend, "unsupported") else None
        if name == "fused_gpu" and not torch.cuda.is_available():
            reason = "torch finds no GPU"
        table.add_row(name, "[green]runs[/]" if reason is None else f"[yellow]not here[/]: {reason}")
    table.add_row("neurons", ", ".join(neurons.ALL))
    table.add_row("surrogates", ", ".join(SURROGATES))
    for i, (name, make) in enumerate(NAMED.items()):
        options = " ".join(f"--{option.replace('_', '-')}" for option in names_of(make()))
        table.add_row("" if i else "methods", f"[bold]{name}[/]  [dim]{options}[/]")
    return table


def speeds(seed: int) -> rich.console.RenderableType:
    """The neuron core, fused against eager, forward and backward, after both agreed."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shape = (16, 64, 4096)
    backend = "fused_gpu" if torch.cuda.is_available() else "fused_cpu"
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for heading in ("neuron", "eager", backend, "faster"):
        table.add_column(heading, justify="left" if heading == "neuron" else "right")
    for neuron in (IF(), LIF(tau=2.0), LIF(tau=2.0, reset="soft"), PLIF(), IntegerLIF(), Izhikevich()):
        found = speed.compare(neuron, backend, shape, torch.Generator().manual_seed(seed))
        name = neuron.kind.__name__ + (f", {neuron.options['reset']}" if "reset" in neuron.options else "")
        if found.ratio is None:
            table.add_row(name, "", "", f"[red]{found.reason}[/]")
        else:
            table.add_row(name, f"{1e3 * (found.eager or 0):.1f} ms", f"{1e3 * (found.fused or 0):.1f} ms",
                          f"[bold]{found.ratio:.1f}×[/]")  # fmt: skip
    how = (
        f"\n  forward and backward, T={shape[0]}, {shape[1]}×{shape[2]} neurons, float32, {torch.get_num_threads()} "
        "threads; median of 5; spikes equal, gradients within 1e-5"
    )
    return Group(Text(how, style="dim"), table)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "–"
