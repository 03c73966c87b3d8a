"""How methods look in figures and in which order they stand in tables: a colour and a marker each, many in families."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil
from typing import Any

from .result import MethodResult

INK, MUTED, RULE, PAPER = "#1f2430", "#6b7280", "#e5e7eb", "#ffffff"
"""Text, secondary text, grid and background; :mod:`spikeworks.view.report` maps them to the page's theme."""

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d46")
"""Okabe & Ito's colours (2008) without yellow and black, which vanish on white and in text; and a brown."""

MARKERS = "osD^v<hp>"

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.2)), (0, (1.2, 1)), (0, (5, 1, 1, 1)))

FAMILIES = ("one spike a step", "steps before step 1, or waiting layers", "spikes of several levels")
"""What methods have in common that a reader must know to compare their T."""


def family(result: MethodResult) -> str:
    """Which of :data:`FAMILIES` a method is of, by what was measured, not by its name."""
    if result.levels > 1:
        return FAMILIES[2]
    return FAMILIES[1] if result.pre or not result.causal else FAMILIES[0]


def groups(results: Sequence[MethodResult]) -> list[tuple[str, list[int]]]:
    """Which methods are drawn together: name of the group, places in ``results``.

    As many methods as there are colours are one group without a name; more are told apart by family, and large families
    in parts of a size.
    """
    if len(results) <= len(PALETTE):
        return [("", list(range(len(results))))]
    found = []
    for name in FAMILIES:
        members = [i for i, result in enumerate(results) if family(result) == name]
        parts = ceil(len(members) / len(PALETTE))
        for n in range(parts):
            size = ceil(len(members) / parts)
            whole = f"{name} ({n + 1} of {parts})" if parts > 1 else name
            found.append((whole, members[n * size : (n + 1) * size]))
    return found


def looks(results: Sequence[MethodResult], shown: Collection[int] | None = None) -> list[dict[str, Any]]:
    """How each method is drawn, the same in every figure: arguments for a line.

    :param shown: places of the methods a figure is about; the others are thin and grey, without a legend.
    """
    made: list[dict[str, Any]] = [{} for _ in results]
    for g, (_, places) in enumerate(groups(results)):
        for j, i in enumerate(places):
            colour, solid = PALETTE[j], g % 2 == 0
            made[i] = {
                "label": results[i].label, "color": colour, "marker": MARKERS[(j + 2 * g) % len(MARKERS)],
                "markersize": 6.2, "clip_on": False, "markerfacecolor": colour if solid else PAPER,
                "markeredgecolor": PAPER if solid else colour, "markeredgewidth": 0.8 if solid else 1.4,
                "linestyle": DASHES[g % len(DASHES)],
            }  # fmt: skip
    aside = {"label": "_", "color": MUTED, "alpha": 0.28, "linewidth": 0.9, "zorder": 1.2, "clip_on": False}
    return [look if shown is None or i in shown else dict(aside) for i, look in enumerate(made)]
