"""A study of trained networks as one self-contained HTML page, made as a report's is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..disk import whole
from ..measure.study_figures import COLOURS, study_figure
from ..measure.trained import Scored, Study, classifiers
from .report import _card, _reproduce, _table, _td, _tile, document, svg
from .study_rows import legend, study_rows


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
    decided = bool(classifiers(study.results))
    drawn = {"all": svg(study_figure(study))}
    subtitle = " · ".join(str(study.meta[k]) for k in ("data", "date") if study.meta.get(k))
    return document(study.title, [
        f"<header><h1>{escape(study.title)}</h1><p>{escape(subtitle)}</p></header>",
        f'<section class="tiles">{"".join(_tiles(study.results))}</section>',
        f"<h2>{'Accuracy' if decided else 'Results'}</h2>",
        f'<p class="lead">{escape(f"{ACCURACY * decided}{legend(study.results)}")}</p>',
        _card(drawn, "all"),
        f'<div class="card wide">{_numbers(study.results)}</div>',
        *_reproduce(study.meta),
    ])  # fmt: skip


ACCURACY = "Top-1 accuracy in percent on test samples that nothing was chosen by. "


def _tiles(results: Sequence[Scored]) -> Iterable[str]:
    if decided := classifiers(results):
        best = max(decided, key=lambda r: r.accuracy)
        yield _tile(f"{best.accuracy:.2f} %", best.label, "the highest accuracy, after all its steps")
        first = max(decided, key=lambda r: r.running[0])
        yield _tile(f"{first.running[0]:.2f} %", first.label, "the highest after one step")
    elif learned := [r for r in results if r.validation]:
        best = max(learned, key=lambda r: max(r.validation))
        yield _tile(f"{max(best.validation):.4g}", best.label, "the highest score on validation")
    yield _tile(
        f"{sum(r.seconds for r in results) / 60:.1f} min",
        "training",
        f"of {sum(bool(r.validation) for r in results)} networks",
    )


def _numbers(results: Sequence[Scored]) -> str:
    headings, rows = study_rows(results, 2)
    lines = []
    for i, (r, row) in enumerate(zip(results, rows, strict=True)):
        name = f'<td><i class="dot" style="--dot:{COLOURS[i % len(COLOURS)]}"></i>{escape(r.label)}</td>'
        lines.append(f"<tr>{''.join([name, *map(_td, [*row, f'{r.seconds:.0f}'])])}</tr>")
    return _table(["network", *headings, "seconds"], lines)
