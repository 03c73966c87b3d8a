"""A report as one self-contained HTML page: inline style, inline SVG, nothing fetched, everything escaped."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..measure import figures
from ..measure.energy import CONVENTIONS
from ..measure.result import MethodResult, Report
from ..measure.store import whole

if TYPE_CHECKING:
    import matplotlib.figure

CLOSE = 1.0
"""Percentage points below the deep network that the headline still counts as close."""


def write_page(report: Report, path: str | Path) -> None:
    """Write :func:`page` to ``path``, whole or not at all.

    :raises ValueError: if the report has no results or ``path`` is a folder.
    """
    text = page(report)
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page(report: Report) -> str:
    """The HTML page of a report, light or dark as the reader's system is.

    :raises ValueError: if the report has no results.
    """
    drawn = {name: svg(figure) for name, figure in figures.report_figures(report).items()}
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    subtitle = " · ".join(str(report.meta[k]) for k in ("network", "data", "date") if report.meta.get(k))
    body = [
        f"<header><h1>{escape(report.title)}</h1><p>{escape(subtitle)}</p></header>",
        f'<section class="tiles">{"".join(_tiles(report))}</section>',
        "<h2>Accuracy</h2>",
        '<p class="lead">Top-1 accuracy in percent after T time steps, and of the deep network it was made from on the '
        "same samples. Pre-run steps are spent before step 1, and counted in the energy, not in T. Seconds: conversion "
        "with calibration.</p>",
        f'<div class="card">{_accuracy_table(report)}</div>',
        _card(drawn, "accuracy"),
        *_energy(report, drawn),
        *_layers(report, drawn),
        *_reproduce(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{style}</style></head>\n"
        f"<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"
    )


def svg(figure: matplotlib.figure.Figure) -> str:
    """A figure as an inline ``<svg>`` element in the page's own colours and fonts, with no reference outside itself."""
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context(figures.STYLE):  # svg.* settings act when the figure is written
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)  # HTML knows both namespaces; the page holds no address
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    for colour, name in (
        (figures.INK, "ink"),
        (figures.MUTED, "muted"),
        (figures.RULE, "rule"),
        (figures.PAPER, "paper"),
    ):
        text = text.replace(colour, f"var(--{name})")
    return text.strip()


# ---- the sections ----


def _tiles(report: Report) -> Iterable[str]:
    deep = max(r.source_accuracy for r in report.results)
    yield _tile(f"{deep:.2f} %", "deep network", "top-1 accuracy before conversion")
    scored = [(a, -t, r) for r in report.results for t, a in zip(r.steps, r.accuracy, strict=True)]
    if not scored:
        return
    accuracy, step, result = max(scored, key=lambda s: s[:2])
    yield _tile(f"{accuracy:.2f} %", f"best spiking: {result.label}", f"at T = {-step}{_asides(result)}")
    close = [(t, r.pre, -a, r) for r in report.results for t, a in zip(r.steps, r.accuracy, strict=True)
             if a >= deep - CLOSE]  # fmt: skip
    if not close:
        yield _tile("—", f"within {CLOSE:g} point", "no method at any T measured")
        return
    step, _, _, result = min(close, key=lambda c: c[:3])
    yield _tile(f"T = {step}", f"within {CLOSE:g} point: {result.label}", f"first to come close{_asides(result)}")
    for convention, entry in list(result.energy.items())[:1]:
        if step in entry["spiking"] and entry["deep"]:
            ratio = entry["spiking"][step] / entry["deep"]
            yield _tile(_ratio(ratio), "energy of the deep network", f"{result.label} at T = {step}, {convention}")


def _asides(result: MethodResult) -> str:
    parts = [f"{result.pre} pre-run steps"] * (result.pre > 0) + [f"{result.levels} levels"] * (result.levels > 1)
    parts += ["not causal"] * (not result.causal)
    return "".join(f", {p}" for p in parts)


def _accuracy_table(report: Report) -> str:
    steps = sorted({t for r in report.results for t in r.steps})
    values = [a for r in report.results for a in r.accuracy]
    low, high = min(values, default=0.0), max([*values, *(r.source_accuracy for r in report.results)])
    head = ["method", *(f"T = {t}" for t in steps), "deep", "pre-run", "levels", "causal", "seconds"]
    rows = []
    for result, colour in zip(report.results, figures.colours(report), strict=True):
        read = dict(zip(result.steps, result.accuracy, strict=True))
        beside = dict(zip(result.steps, result.quantised, strict=False))
        cells = [f'<td><i class="dot" style="--dot:{colour}"></i>{escape(result.label)}</td>']
        for t in steps:
            heat = ((read[t] - low) / (high - low or 1)) ** 2 if t in read else 0.0
            rounded = f'<small class="beside">{beside[t]:.2f}</small>' if t in beside else ""
            heated = f'<td class="heat" style="--heat:{heat:.2f}">{read.get(t, 0.0):.2f}{rounded}</td>'
            cells.append(heated if t in read else "<td></td>")
        cells += [
            _td(f"{result.source_accuracy:.2f}"),
            _td(result.pre or "–"),
            _td(result.levels),
            _td("yes" if result.causal else "no"),
        ]
        rows.append(f"<tr>{''.join(cells)}{_td(f'{result.seconds:.1f}')}</tr>")
    return _table(head, rows)


def _energy(report: Report, drawn: dict[str, str]) -> Iterable[str]:
    conventions = list(dict.fromkeys(c for r in report.results for c in r.energy))
    if not conventions:
        return
    yield "<h2>Energy per inference</h2>"
    yield (
        '<p class="lead">Counted from the operations and spikes of this run under the conventions below; in brackets '
        "the ratio to the deep network that the last column is of. Memory traffic is in none of them, and numbers "
        "under different conventions do not compare.</p>"
    )
    yield _card(drawn, "energy")
    for place, convention in enumerate(conventions):
        entries = [(r, r.energy[convention]) for r in report.results if convention in r.energy]
        steps = sorted({t for _, e in entries for t in e["spiking"]})
        rows = []
        for result, entry in entries:
            cells = [_td(result.label)]
            for t in steps:
                value = entry["spiking"].get(t)
                ratio = (
                    f" <small>({_ratio(value / entry['deep'])})</small>" if value is not None and entry["deep"] else ""
                )
                cells.append(f"<td>{_joules(value)}{ratio}</td>")
            cells.append(_td(_joules(entry["deep"])))
            rows.append(f"<tr>{''.join(cells)}</tr>")
        source = entries[0][1].get("source") or next((c.source for c in CONVENTIONS if c.name == convention), "")
        about = f"<p>{escape(str(source))}</p>" if source else ""
        table = _table(["method", *(f"T = {t}" for t in steps), "deep"], rows)
        opened = "" if place else " open"
        yield f"<details{opened}><summary>{escape(convention)}</summary>{about}{table}</details>"


def _layers(report: Report, drawn: dict[str, str]) -> Iterable[str]:
    if not any(r.layers or r.notes for r in report.results):
        return
    yield "<h2>Layers</h2>"
    yield (
        '<p class="lead">Error: distance between a layer’s mean output over the largest T and the deep network’s '
        "activation, relative to the activation. Rate: spikes per neuron and step. ACs: additions actually caused by "
        "spikes over all steps, per sample; MACs: multiply-accumulates of one dense pass.</p>"
    )
    yield from (_card(drawn, name) for name in ("error", "rate", "offset"))
    head = ["layer", "kind", "neurons", "error", "rate", "threshold", "MACs", "ACs"]
    for result in report.results:
        rows = [
            "<tr>" + "".join(map(_td, (x.name, x.kind, f"{x.neurons:,}", _number(x.error), _number(x.rate),
                                       _number(x.threshold), _count(x.macs), _count(x.acs)))) + "</tr>"
            for x in result.layers
        ]  # fmt: skip
        notes = "".join(f"<li>{escape(n)}</li>" for n in result.notes)
        tags = "".join(f'<span class="tag">{escape(a)}</span>' for a in _asides(result).split(", ") if a)
        yield (
            f"<details><summary>{escape(result.label)}{tags}</summary>"
            f"{f'<ul>{notes}</ul>' if notes else ''}{_table(head, rows, text=2) if rows else ''}</details>"
        )


def _reproduce(report: Report) -> Iterable[str]:
    yield "<h2>How to reproduce</h2>"
    meta = dict(report.meta)
    if command := meta.pop("command", None):
        yield f"<pre>{escape(str(command))}</pre>"
    items = "".join(f"<dt>{escape(k.replace('_', ' '))}</dt><dd>{escape(v)}</dd>" for k, v in _flat(meta))
    yield f"<dl>{items}</dl>"
    yield "<footer>Made by spikeworks. This page stands alone: it fetches nothing and can be sent as one file.</footer>"


# ---- shared pieces ----


def _tile(value: str, what: str, how: str) -> str:
    inside = f'<span class="what">{escape(what)}</span><b>{escape(value)}</b><span>{escape(how)}</span>'
    return f'<div class="tile">{inside}</div>'


def _card(drawn: dict[str, str], name: str) -> str:
    return f'<div class="card">{drawn[name]}</div>' if name in drawn else ""


def _table(head: list[str], rows: list[str], text: int = 1) -> str:
    columns = "".join(f"<th{' class=text' if i < text else ''}>{escape(h)}</th>" for i, h in enumerate(head))
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _td(value: Any) -> str:
    return f"<td>{escape(str(value))}</td>"


def _number(value: float | None) -> str:
    return "" if value is None else "NaN" if math.isnan(value) else f"{value:.3f}"


def _count(value: float | None) -> str:
    if value is None:
        return ""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.2f} {letter}"
    return f"{value:.0f}"


def _ratio(value: float) -> str:
    return f"{value:.2f} ×" if value >= 0.1 else f"{value:.2g} ×"


def _joules(value: float | None) -> str:
    if value is None:
        return ""
    for size, unit in ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if value >= size:
            return f"{_three(value / size)} {unit}"
    return f"{_three(value / 1e-12)} pJ"


def _three(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _flat(meta: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in meta.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} · ")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
