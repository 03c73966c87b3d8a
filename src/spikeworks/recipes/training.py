"""What every training recipe is: settings, and a function that trains and measures on a bench."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from ..disk import whole
from ..measure.trained import Study, load_study
from .bench import Bench
from .options import read_word
from .run import Watch, provenance

RUN = "run.json"
"""Which run a folder holds."""

STUDY = "study.json"
"""What was measured, in the folder of a run."""


@dataclass(frozen=True)
class Training:
    """A data set, networks and how they are trained: run it, or measure again what a run has left.

    :param name: the recipe's. :param title: for people.
    :param settings: a frozen dataclass, of frozen dataclasses where that helps; every number in it can be overridden.
    :param work: ``work(bench, settings)``: trains, and measures on test.
    :param about: what a reader must know, for the report.
    """

    name: str
    title: str
    settings: Any
    work: Callable[[Bench, Any], None]
    about: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self, seed: int = 0, quick: bool = False, watch: Watch = Watch(), command: str = "",
        folder: str | Path | None = None, override: Mapping[str, str] | None = None,
    ) -> Study:  # fmt: skip
        """Train and measure.

        :param seed: of weights, order, augmentation and scenes to learn from; what is tested on is fixed.
        :param quick: only to see whether it runs.
        :param watch: who is told what happens. :param command: what was typed, for the report.
        :param folder: where weights, checkpoints, logs and the study are left; the same run goes on from there.
        :param override: settings by name, ``{"epochs": "3"}``; ``plan.epochs`` where several have one of that name.
        :raises ValueError: if the data are not there, a setting is unknown, or the folder holds another run.
        """
        settings = overridden(self.settings, override or {})
        place = None if folder is None else Path(folder)
        run = {"recipe": self.name, "override": dict(override or {}), "quick": quick, "settings": repr(settings)}
        if place is not None:
            _claim(place / RUN, {**run, "seed": seed})
        bench = Bench(seed, place, quick, watch=watch)
        self.work(bench, settings)
        command = command or f"spikeworks train {self.name} --seed {seed}"
        study = Study(self.title, bench.results, provenance(command, seed, **self.about, **run))
        if place is not None:
            study.save(place / STUDY)
        return study

    def again(self, folder: str | Path, study: Study, watch: Watch = Watch()) -> Study:
        """Measure the weights that a run has left, without training; numbers of its training are taken from it."""
        settings = overridden(self.settings, study.meta["override"])
        then, now = (_anywhere(words) for words in (study.meta["settings"], repr(settings)))
        if then != now:
            raise ValueError(
                f"{folder} holds a run of {self.name} with the settings {then}, expected {now}, those of this version; "
                "train anew, or evaluate with the version that made it."
            )
        bench = Bench(study.meta["seed"], Path(folder), study.meta["quick"], learning=False, watch=watch)
        self.work(bench, settings)
        before = {r.name: r for r in study.results}
        results = [
            replace(r, validation=before[r.name].validation, seconds=before[r.name].seconds) if r.name in before else r
            for r in bench.results  # a library that was not there then adds some
        ]
        return replace(study, results=results)


def evaluate(folder: str | Path, recipes: Mapping[str, Training], watch: Watch = Watch()) -> Study:
    """Measure again what a training recipe has left in a folder.

    :raises ValueError: if it is no such folder, or of a recipe that is not among these.
    """
    study = load_study(Path(folder) / STUDY)
    name = str(study.meta.get("recipe"))
    if missing := [k for k in ("recipe", "override", "quick", "settings", "seed") if k not in study.meta]:
        raise ValueError(f"{folder} holds a study without {', '.join(missing)}, expected one that a recipe wrote.")
    if name not in recipes:
        raise ValueError(f"{folder} holds a run of {name!r}, expected one of {', '.join(recipes)}.")
    return recipes[name].again(folder, study, watch)


def _claim(file: Path, run: dict[str, Any]) -> None:
    """Say in a folder which run it holds, before anything is written there.

    :raises ValueError: if it holds another.
    """
    if file.exists():
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
            differs = [f"{k}={there.get(k)}" for k, v in run.items() if there.get(k) != v and k != "override"]
        except (ValueError, AttributeError) as error:
            raise ValueError(
                f"{file} cannot be read ({error}), expected what a run left; name another --out."
            ) from error
        if differs:
            raise ValueError(f"{file.parent} holds another run ({', '.join(differs)}), expected the same or none; name "
                             "another --out, or delete it.")  # fmt: skip
        return
    with whole(file) as temporary:
        temporary.write_text(json.dumps(run), encoding="utf-8")


def _anywhere(settings: str) -> str:
    """Settings without what depends on the machine: how training multiplies."""
    return re.sub(r"precision='\w+', ", "", settings)


def overridden(settings: Any, words: Mapping[str, str]) -> Any:
    """Settings with other values, read from words as the annotations say.

    :param settings: a frozen dataclass, possibly of others. :param words: name, or path with dots, → word.
    :raises ValueError: for a name that is unknown or not the only one, or a word that cannot be read.
    """
    leaves = _leaves(settings)
    chosen: dict[str, str] = {}
    for said, word in words.items():
        paths = [path for path in leaves if path == said or path.endswith(f".{said}")]
        paths = [said] if said in paths else paths
        if len(paths) != 1:
            found = f"{len(paths)} settings are called so: {', '.join(paths)}" if paths else "there is none"
            raise ValueError(
                f"--override got {said}={word}, but {found}, expected one of {', '.join(leaves)}; name it in full."
            )
        chosen[paths[0]] = word
    return _put(settings, chosen)


def _leaves(settings: Any, before: str = "") -> list[str]:
    found: list[str] = []
    for f in fields(settings):
        value, path = getattr(settings, f.name), f"{before}{f.name}"
        found += _leaves(value, f"{path}.") if is_dataclass(value) else [path]
    return found


def _put(settings: Any, words: Mapping[str, str]) -> Any:
    """All of them at once: what they say together is checked, not what each says with what was there."""
    hints, values, inside = get_type_hints(type(settings)), dict[str, Any](), dict[str, dict[str, str]]()
    for path, word in words.items():
        name, _, rest = path.partition(".")
        if rest:
            inside.setdefault(name, {})[rest] = word
        else:
            values[name] = read_word(f"--override got {name}={word}", word, hints[name])
    values |= {name: _put(getattr(settings, name), more) for name, more in inside.items()}
    return replace(settings, **values)
