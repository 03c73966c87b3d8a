"""The eight statistics of simulated recordings beside those of the real one, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..disk import whole
from .statistics import DARK_BINS, WINDOWS
from .validate import Validation

GREY, MARKS = "#c9c9c9", "osD^vPX"
"""The colour of bands; a mark for each simulated recording."""


def draw(path: str | Path, validations: Mapping[str, Validation]) -> None:
    """Eight panels: the real recording black, its bands grey, each simulated one in its colour.

    :param path: a picture file, whose suffix says which kind. :param validations: of the same recording, by name.
    """
    import matplotlib
    from matplotlib.figure import Figure

    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    figure = Figure((15, 7.5), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    names, some = list(validations), next(iter(validations.values()))
    looks = {n: {"color": colours[k % 10], "marker": MARKS[k % len(MARKS)]} for k, n in enumerate(names)}
    titles = (
        "1 excess variance of intervals, frames²", "2 correlation with the next interval", "3 Fano factor of counts",
        "4 spread over flat patches", "5 intervals of the dimmest 1 %", "6 saturated pixels",
        "7 against the recorded", "8 mean pictures apart",
    )  # fmt: skip
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
    for group in (1, 2, 3, 7):
        rows = {n: [line for line in v.lines if line.group == group and line.held] for n, v in validations.items()}
        real, ax = rows[names[0]], axes[group - 1]
        scale = np.array([line.recorded if group == 7 else 1.0 for line in real])
        at = np.arange(len(real))
        low, high = (np.array([getattr(line, end) for line in real]) / scale for end in ("low", "high"))
        ax.bar(at, high - low, 0.9, low, color=GREY)
        ax.plot(at, np.array([line.recorded for line in real]) / scale, "k_", markersize=18)
        for shift, (name, lines) in zip(_shifts(names), rows.items(), strict=True):
            values = np.array([line.simulated for line in lines]) / scale
            ax.plot(at + shift, values, linestyle="none", **looks[name])
        ax.set_xticks(at, [line.name.split(", ", 1)[-1].removesuffix(" frames") for line in real], fontsize=7)
        if group == 1:
            _bound(ax, low, high)
    for k in (2, 6):
        axes[k].set_yscale("log")
    axes[2].set_xticks(range(len(WINDOWS)), [f"{w}" for w in WINDOWS])
    for group in (4, 6, 8):
        ax, lines = axes[group - 1], [next(x for x in v.lines if x.group == group) for v in validations.values()]
        ax.axhspan(lines[0].low, lines[0].high, color=GREY)
        ax.axhline(lines[0].recorded, color="black")
        for shift, name, line in zip(_shifts(names), names, lines, strict=True):
            ax.plot([shift], [line.simulated], linestyle="none", **looks[name])
        ax.set_xticks([])
        ax.set_ylim(0 if group != 6 else -0.0002, None if group != 6 else max(0.001, *(x.simulated for x in lines)))
    axes[4].step(DARK_BINS, some.recorded.dark, "k", where="post", linewidth=3)
    for name, validation in validations.items():
        axes[4].step(DARK_BINS, validation.simulated.dark, where="post", color=looks[name]["color"])
    axes[4].set_xscale("log", base=2)
    axes[4].set_xlabel("frames")
    handles = [axes[0].plot([], [], linestyle="none", label=n, **looks[n])[0] for n in names]
    handles += [axes[0].plot([], [], "k_", label="recorded")[0], axes[0].bar([0], [0], color=GREY, label="its parts")]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    with whole(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lstrip(".") or "png", dpi=80)


def _shifts(names: list[str]) -> Any:
    return np.linspace(-0.3, 0.3, len(names)) if len(names) > 1 else np.zeros(1)


def _bound(ax: Any, low: Any, high: Any) -> None:
    """Show the bands, and what is far from them at the edge of what is shown."""
    ax.set_yscale("symlog", linthresh=float(np.nanmin(np.abs(low[low > 0]), initial=1e-3)))
    ax.set_ylim(min(-1e-3, 2 * float(np.nanmin(low))), None)
