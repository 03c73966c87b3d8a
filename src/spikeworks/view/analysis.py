"""An analysis as one self-contained HTML page, made as a report's is: the place to look when accuracy is lost."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from ..disk import whole
from ..measure.analysis import CASES, Analysis, LayerAnalysis, Reference
from ..measure.analysis_figures import AGAINST, analysis_figures
from .report import _card, _number, _reproduce, _table, _td, _tile, document, svg


def write_analysis_page(analysis: Analysis, path: str | Path) -> None:
    """Write :func:`analysis_page` to ``path``, whole or not at all.

    :raises ValueError: for an analysis without layers, or if ``path`` is a folder.
    """
    text = analysis_page(analysis)
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def analysis_page(analysis: Analysis) -> str:
    """The HTML page of an analysis, light or dark as the reader's system is.

    Which layer to look at first; the four cases per layer, by both references and after each correction; offsets of
    spike counts; residual potentials; K(t); every number in a table. What was not counted is left out.

    :raises ValueError: for an analysis without stages or layers.
    """
    drawn = {name: svg(figure) for name, figure in analysis_figures(analysis).items()}
    about = [str(analysis.meta[k]) for k in ("network", "data", "date") if analysis.meta.get(k)]
    subtitle = " · ".join([*about, f"T = {analysis.steps}", f"{analysis.samples:,} samples"])
    body = [
        f"<header><h1>{escape(analysis.title)}</h1><p>{escape(subtitle)}</p></header>",
        f'<section class="tiles">{"".join(_tiles(analysis))}</section>',
        *_section(
            drawn, "Neurons that are off", ("cases",),
            "A count of spikes is held against two references. By own input: what the same charge would have given had "
            "it arrived evenly; what is off is off by the order of arrival, in this layer alone. By the deep network: "
            "what its activation asks for in T steps, with everything that the layers in front did. A layer that is "
            "long below and short above is not where accuracy is lost: it is told wrong things.",
        ),
        *_section(
            drawn, "Spikes too many or too few", ("offset", "layers"),
            "Offset ψ: spikes emitted minus spikes asked for. A correction that moves counts by one empties ±1, and "
            "what was further away moves up; per layer, by own input.",
        ),
        *_section(
            drawn, "What is left in the membranes", ("residual",),
            "Residual potential after T steps, in thresholds. For neurons that count: without a correction, who ends "
            "between 0 and θ was right by its own input, who ends below 0 fired too often, unless it never fired, and "
            "who ends above θ too rarely, unless it fired whenever it could. A correction shifts the start, and what "
            "is left with it; silenced neurons are in the first bin.",
        ),
        *_section(
            drawn, "How fast rates arrive", ("fit",),
            "K(t): distance of what the neurons have said by step t from the activation, squared and relative, as the "
            "network runs at last. A curve that stays above its bound is fed unevenly; one that does not fall at all "
            "stands for something else than its activation.",
        ),
        *_tables(analysis),
        *_reproduce(analysis.meta),
    ]  # fmt: skip
    return document(analysis.title, body)


# ---- the sections ----


def _tiles(analysis: Analysis) -> Iterable[str]:
    names = list(analysis.stages)
    last = analysis.stages[names[-1]]
    how: dict[Reference, str] = {
        "source": "all neurons, everything included",
        "own": "all neurons, uneven arrival alone",
    }
    for by in how:
        shares = [
            share for name in dict.fromkeys((names[0], names[-1])) if (share := analysis.off(name, by)) is not None
        ]
        if shares:
            yield _tile(" → ".join(map(_share, shares)), f"off by {AGAINST[by]}", _from(names, how[by]))
    counted = [layer for layer in last if layer.offset is not None]
    if counted:
        worst = max(counted, key=lambda layer: 1 - (layer.exact("own") or 0.0))
        off = 1 - (worst.exact("own") or 0.0)
        yield _tile(worst.name if off else "none", "most uneven layer", f"{_share(off)} off by own input, {names[-1]}")
    known = [(layer.error, layer.name) for layer in last if layer.error is not None]
    if known:
        error, name = max(known)
        yield _tile(
            name if error >= 5e-4 else "none",
            "largest error",
            f"{error:.3f} of the size of its activation, {names[-1]}",
        )


def _from(names: list[str], how: str) -> str:
    return how if len(names) == 1 else f"{how}: {names[0]} → {names[-1]}"


def _section(drawn: dict[str, str], title: str, names: tuple[str, ...], lead: str) -> Iterable[str]:
    if not any(name in drawn for name in names):
        return
    yield f"<h2>{escape(title)}</h2>"
    yield f'<p class="lead">{escape(lead)}</p>'
    yield from (_card(drawn, name) for name in names)


def _tables(analysis: Analysis) -> Iterable[str]:
    yield "<h2>Layers</h2>"
    yield (
        '<p class="lead">Shares of all neurons and samples. Error: distance of what a layer amounts to after T steps '
        "from the deep network’s activation, relative to it. By own input and by the deep network: all that is off by "
        "each; the four cases are by the deep network.</p>"
    )
    head = ["layer", "error", "by own input", "by deep network", *CASES]
    for number, (stage, layers) in enumerate(analysis.stages.items(), 1):
        opened = " open" if number == len(analysis.stages) else ""
        rows = [_row(layer) for layer in layers]
        yield f"<details{opened}><summary>{escape(stage)}</summary>{_table(head, rows)}</details>"


def _row(layer: LayerAnalysis) -> str:
    known = [f"<td>{escape(layer.name)}<small>{layer.units:,} neurons</small></td>", _td(_number(layer.error))]
    off = [_heat(layer.exact(by)) for by in AGAINST]
    cases = [_td("–" if layer.source is None else _share(layer.source[case])) for case in CASES]
    return f"<tr>{''.join((*known, *off, *cases))}</tr>"


def _heat(exact: float | None) -> str:
    """A cell for what is off, the darker the more."""
    if exact is None:
        return _td("–")
    return f'<td class="heat" style="--heat:{(1 - exact) ** 0.5:.2f}">{_share(1 - exact)}</td>'


def _share(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 or not share else "<0.1 %"
