"""The front door of ``spikeworks``, one function per command. They import what they need when they run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from . import (
    camera_files,
    camera_flow,
    camera_images,
    camera_live,
    camera_simulate,
    camera_track,
    convert,
    events,
    machine,
    recipe,
    train,
    view,
)

EXTRAS = {
    "cyclopts": "cli",
    "rich": "cli",
    "safetensors": "cli",
    "matplotlib": "view",
    "sklearn": "demo",
    "PIL": "data",
    "av": "events",
    "h5py": "events",
    "cv2": "camera",
    "scipy": "camera",
    "joblib": "events",
    "lz4": "events",
    "zstandard": "events",
    "lightning_fabric": "train",
    "tensorboard": "train",
    "mlflow": "mlflow",
    "sqlalchemy": "mlflow",
    "alembic": "mlflow",
}
"""Optional library → the extra that brings it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line. Exit status 0: done; 2: bad input, said in one sentence; 130: interrupted."""
    try:
        import cyclopts

        several = cyclopts.Parameter(consume_multiple=True)  # --steps 1 2 4
        app = cyclopts.App(
            "spikeworks", help=HELP, version=_version, help_format="plaintext", default_parameter=several,
            suppress_keyboard_interrupt=False,
        )  # fmt: skip
        for command in COMMANDS:
            app.command(command)
        for group, (words, modules) in GROUPS.items():
            inside = cyclopts.App(group, help=words, help_format="plaintext")
            for module in modules:
                for command in module.COMMANDS:
                    inside.command(command)
            app.command(inside)
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        typed = list(sys.argv[1:] if arguments is None else arguments)
        goes_on = typed[:1] in (["convert"], ["recipe"], ["train"])
        _leave(130, "interrupted" + "; the same command goes on where it was" * goes_on)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _leave(2, f"this needs {error.name}, which is not installed: pip install 'spikeworks[{extra}]'")
    except (ValueError, OSError) as error:
        _leave(2, str(error))
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "cyclopts":
            raise
        _leave(2, " ".join(str(error).split()) or "the command line cannot be read; see spikeworks --help")


HELP = """\
Spiking neural networks, whole: convert a trained network, measure what it costs and gives, and look at it.

Start with: spikeworks demo
"""


COMMANDS = (
    recipe.demo, convert.convert, convert.analyse, recipe.recipe, train.train, train.evaluate, recipe.spread,
    view.view, machine.bench, machine.info,
)  # fmt: skip

GROUPS = {
    "camera": (
        "Spike cameras: look into recordings, reconstruct, simulate, track, measure motion, live.",
        (camera_files, camera_images, camera_flow, camera_track, camera_simulate, camera_live),
    ),
    "events": (events.HELP, (events,)),
}
"""Commands of commands: name → help, and the modules whose commands they are."""


def _version() -> str:
    from .. import __version__

    return __version__


def _leave(status: int, sentence: str) -> Any:
    sys.stderr.write(f"spikeworks: {sentence}\n")
    raise SystemExit(status)
