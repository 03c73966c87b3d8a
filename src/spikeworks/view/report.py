"""A report as one self-contained HTML page: inline style, inline SVG, nothing fetched, everything escaped."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import whole
from ..measure import figures, looks
from ..measure.energy import CONVENTIONS
from ..measure.looks import groups
from ..measure.result import LayerResult, MethodResult, Report

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
    subtitle = " · ".join(str(report.meta[k]) for k in ("network", "data", "date") if report.meta.get(k))
    body = [
        f"<header><h1>{escape(report.title)}</h1><p>{escape(subtitle)}</p></header>",
        f'<section class="tiles">{"".join(_tiles(report))}</section>',
        *_accuracy(report, drawn),
        *_energy(report, drawn),
        *_layers(report, drawn),
        *_reproduce(report.meta),
    ]
    return document(report.title, body)


def document(title: str, body: Iterable[str]) -> str:
    """A page of its own, with its style inside."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
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
        (looks.INK, "ink"),
        (looks.MUTED, "muted"),
        (looks.RULE, "rule"),
        (looks.PAPER, "paper"),
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


def _accuracy(report: Report, drawn: dict[str, str]) -> Iterable[str]:
    yield "<h2>Accuracy</h2>"
    yield (
        '<p class="lead">Top-1 accuracy in percent after T time steps, and of the deep network it was made from on the '
        "same samples. Pre-run steps are spent before step 1, and counted in the energy, not in T. Levels: values that "
        "one spike can take besides 0. Causal: a layer can do step t before the one in front has done step t + 1. "
        "Seconds: conversion with calibration.</p>"
    )
    if any(r.quantised for r in report.results):  # in a table of many it would be half of all numbers: shown on demand
        checked = " checked" if len(groups(report.results)) == 1 else ""
        yield (
            f'<input type="checkbox" id="beside"{checked}><label for="beside">In small: <b>the deep network, as many '
            "values</b>: its activations rounded to as many as T steps tell apart. What a method is below that, it "
            "loses to spikes that come unevenly.</label>"
        )
    yield f'<div class="card wide">{_accuracy_table(report)}</div>'
    yield _card(drawn, "accuracy")


def _accuracy_table(report: Report) -> str:
    steps = sorted({t for r in report.results for t in r.steps})
    values = [a for r in report.results for a in r.accuracy]
    low, high = min(values, default=0.0), max([*values, *(r.source_accuracy for r in report.results)])
    colours = figures.colours(report)
    head = ["method", *(f"T = {t}" for t in steps), "deep", "pre-run", "levels", "causal", "seconds"]

    def row(i: int) -> str:
        result = report.results[i]
        read = dict(zip(result.steps, result.accuracy, strict=True))
        beside = dict(zip(result.steps, result.quantised, strict=False))
        cells = [f'<td><i class="dot" style="--dot:{colours[i]}"></i>{escape(result.label)}</td>']
        for t in steps:
            heat = ((read[t] - low) / (high - low or 1)) ** 2 if t in read else 0.0
            rounded = f'<small class="beside">{beside[t]:.2f}</small>' if t in beside else ""
            heated = f'<td class="heat" style="--heat:{heat:.2f}">{read.get(t, 0.0):.2f}{rounded}</td>'
            cells.append(heated if t in read else "<td></td>")
        causal = "yes" if result.causal else "no"
        told = (f"{result.source_accuracy:.2f}", result.pre or "–", result.levels, causal, f"{result.seconds:.1f}")
        return f"<tr>{''.join([*cells, *map(_td, told)])}</tr>"

    return _table(head, _grouped(report, row, len(head)))


def _energy(report: Report, drawn: dict[str, str]) -> Iterable[str]:
    conventions = list(dict.fromkeys(c for r in report.results for c in r.energy))
    if not conventions:
        return
    yield "<h2>Energy per inference</h2>"
    yield (
        '<p class="lead">Ratio to the deep network that the last column is of, and the energy itself, counted from the '
        "operations and spikes of this run, steps before step 1 included, under one convention at a time. Numbers "
        "under different conventions do not compare; memory traffic is in none of them.</p>"
    )
    yield _card(drawn, "energy")
    for place, convention in enumerate(conventions):
        entries = [r.energy.get(convention) for r in report.results]
        steps = sorted({t for e in entries if e for t in e["spiking"]})
        head = ["method", *(f"T = {t}" for t in steps), "deep"]

        def row(i: int, entries: list[dict[str, Any] | None] = entries, steps: list[int] = steps) -> str:
            if (entry := entries[i]) is None:
                return ""
            cells = [_td(report.results[i].label)]
            for t in steps:
                value, deep = entry["spiking"].get(t), entry["deep"]
                both = value is not None and deep
                cells.append(
                    f"<td>{_ratio(value / deep)} <small>{_joules(value)}</small></td>" if both else _td(_joules(value))
                )
            return f"<tr>{''.join(cells)}{_td(_joules(entry['deep']))}</tr>"

        named = next((e["source"] for e in entries if e and e.get("source")), "")
        source = named or next((c.source for c in CONVENTIONS if c.name == convention), "")
        about = f"<p>{escape(str(source))}</p>" if source else ""
        table = _table(head, _grouped(report, row, len(head)))
        opened = "" if place else " open"
        yield f"<details{opened}><summary>{escape(convention)}</summary>{about}{table}</details>"


def _layers(report: Report, drawn: dict[str, str]) -> Iterable[str]:
    if not any(r.layers or r.notes for r in report.results):
        return
    yield "<h2>Layers</h2>"
    yield (
        '<p class="lead">Error: distance between a layer’s mean output over the largest T and the deep network’s '
        "activation, relative to the activation. Rate: spikes per neuron and step. ACs: additions actually caused by "
        "spikes over all steps, per sample; MACs: multiply-accumulates of one dense pass. What is computed in "
        "floating point at every step is in no energy.</p>"
    )
    yield from (_card(drawn, name) for name in ("error", "rate", "offset"))
    head = ["layer", "kind", "neurons", "error", "rate", "threshold", "MACs", "ACs"]
    for result in report.results:
        rows = [_layer(x) for x in result.layers]
        notes = "".join(f"<li>{escape(n)}</li>" for n in result.notes)
        tags = "".join(f'<span class="tag">{escape(a)}</span>' for a in _asides(result).split(", ") if a)
        yield (
            f"<details><summary>{escape(result.label)}{tags}</summary>"
            f"{f'<ul>{notes}</ul>' if notes else ''}{_table(head, rows, text=2) if rows else ''}</details>"
        )


def _layer(x: LayerResult) -> str:
    """A row; of a function that is no product and no neuron, what it is instead of empty cells."""
    first = f'{_td(x.name)}<td class="text">{escape(x.kind)}</td>{_td(f"{x.neurons:,}")}'
    if x.macs is None and x.rate is None:
        return f'<tr class="float">{first}<td colspan="5">computed in floating point, at every step</td></tr>'
    told = (_number(x.error), _number(x.rate), _number(x.threshold), _count(x.macs), _count(x.acs))
    return f"<tr>{first}{''.join(map(_td, told))}</tr>"


def _reproduce(told: dict[str, Any]) -> Iterable[str]:
    yield "<h2>How to reproduce</h2>"
    meta = dict(told)
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


def _grouped(report: Report, row: Callable[[int], str], columns: int) -> list[str]:
    """A row per method, in families where there are many, as in the figures."""
    rows: list[str] = []
    for name, places in groups(report.results):
        made = [text for text in map(row, places) if text]
        if name and made:
            rows.append(f'<tr class="family"><th colspan="{columns}">{escape(name)}</th></tr>')
        rows += made
    return rows


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
