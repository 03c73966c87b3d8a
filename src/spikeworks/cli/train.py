"""Training recipes: run one, with settings of one's own, and measure again what a run has left."""

from __future__ import annotations

from pathlib import Path

from .shared import command_line, console_here, own_the_process, writable


def train(
    recipe: str, /, *, out: Path | None = None, seed: int = 0, override: list[str] | None = None, quick: bool = False,
) -> None:  # fmt: skip
    """Train networks by a recipe and measure them on test; without a right name it lists them.

    Stopped at any moment, the same command goes on where it was (a quick one begins anew).

    Parameters
    ----------
    recipe
        its name
    out
        folder for the study, the trained weights, logs, and the checkpoints that a stopped run goes on from
    seed
        of the weights, the order of training, the augmentation, and of scenes to learn from
    override
        settings of the recipe: epochs=3 frames=4, or plan.epochs=3 where several have one of that name
    quick
        a few samples: does it run?
    """
    from ..recipes import TRAINING
    from ..view import study as view
    from ..view import terminal

    if recipe not in TRAINING:
        raise ValueError(f"train got {recipe!r}, expected one of {', '.join(TRAINING)}.")
    own_the_process()
    console = console_here()
    out = out or Path(f"spikeworks-{recipe}-{seed}{'-quick' * quick}")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"--seed got {seed}, expected a whole number of at most 63 bits; 0 will do.")
    words = pairs_typed(override)
    with writable(out), terminal.watching(console) as watch:
        study = TRAINING[recipe](seed, quick, watch, command_line(), out, words)
    view.deliver(console, study, out)


def evaluate(run: Path, /) -> None:
    """Measure again, on test, the networks that a training recipe has left in a folder.

    Parameters
    ----------
    run
        the folder
    """
    from ..recipes import TRAINING
    from ..recipes.training import evaluate as again
    from ..view import study as view
    from ..view import terminal

    own_the_process()
    console = console_here()
    with terminal.watching(console) as watch:
        study = again(run, TRAINING, watch)
    view.show(console, study)


def pairs_typed(words: list[str] | None) -> dict[str, str]:
    """``key=value`` as typed.

    :raises ValueError: for a word without ``=``.
    """
    for word in words or ():
        if "=" not in word:
            raise ValueError(f"--override got {word!r}, expected key=value, e.g. epochs=3.")
    return {key.strip(): value.strip() for key, _, value in (word.partition("=") for word in words or ())}
