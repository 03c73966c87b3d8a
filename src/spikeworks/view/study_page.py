"""A study of trained networks as one self-contained HTML page, made as a report's is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..disk import whole
from ..measure.study_figures import COLOURS, study_figure
from ..measure.trained import Study, Trained
from .report import _card, _reproduce, _table, _td, _tile, document, svg


def write_study_page(study: Study, path: str | Path) -> None:
    """Write :func:`study_page` to ``path``, whole or not at all.

    :raises ValueError: if nothing was measured, or ``path`` is a folder.
    """
    text = study_page(study)
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def study_page(study: Study) -> str:
    """The HTML page of a study, light or dark as the reader's system is.

    :raises ValueError: if nothing was measured.
    """
    drawn = {"all": svg(study_figure(study))}
    subtitle = " · ".join(str(study.meta[k]) for k in ("data", "date") if study.meta.get(k))
    return document(study.title, [
        f"<header><h1>{escape(study.title)}</h1><p>{escape(subtitle)}</p></header>",
        f'<section class="tiles">{"".join(_tiles(study.results))}</section>',
        "<h2>Accuracy</h2>",
        '<p class="lead">Top-1 accuracy in percent on test samples that nothing was chosen by: if every sample is '
        "decided after t steps, and if each is decided as soon as the network is sure. Spread: standard deviation over "
        "the accuracies of single steps. Time: mean decision time that reaches the accuracy after all steps, to a "
        "point. Rate: spikes per unit and step, the mean over layers. Best and last: of all epochs, on validation.</p>",
        _card(drawn, "all"),
        f'<div class="card wide">{_numbers(study.results)}</div>',
        *_reproduce(study.meta),
    ])  # fmt: skip


def _tiles(results: Sequence[Trained]) -> Iterable[str]:
    best = max(results, key=lambda r: r.accuracy)
    yield _tile(f"{best.accuracy:.2f} %", best.label, "the highest accuracy, after all its steps")
    first = max(results, key=lambda r: r.running[0])
    yield _tile(f"{first.running[0]:.2f} %", first.label, "the highest after one step")
    yield _tile(f"{sum(r.seconds for r in results) / 60:.1f} min", "training", f"of {len(results)} networks")


def _numbers(results: Sequence[Trained]) -> str:
    read = shown_steps(results)
    more = list(dict.fromkeys(name for r in results for name in r.values))
    head = ["network", *(f"T = {t}" for t in read), "spread", "time", "rate", "best", "last", "seconds", *more]
    rows = []
    for i, r in enumerate(results):
        cells = [f'<td><i class="dot" style="--dot:{COLOURS[i % len(COLOURS)]}"></i>{escape(r.label)}</td>']
        told = [f"{r.running[t - 1]:.2f}" if t <= r.steps else "" for t in read]
        told += [f"{r.spread:.2f}", f"{r.time_for(r.accuracy - 1):.2f}", "–" if r.rate is None else f"{r.rate:.3f}"]
        told += [f"{max(r.validation):.2f}", f"{r.validation[-1]:.2f}"] if r.validation else ["–", "–"]
        told += [f"{r.seconds:.0f}", *(f"{r.values[n]:.2f}" if n in r.values else "" for n in more)]
        rows.append(f"<tr>{''.join([*cells, *map(_td, told)])}</tr>")
    return _table(head, rows)


def shown_steps(results: Sequence[Trained]) -> list[int]:
    """The first step, powers of two, and the last of every network."""
    most = max(r.steps for r in results)
    powers = {1 << i for i in range(most.bit_length()) if 1 << i <= most}
    return sorted(powers | {r.steps for r in results})
