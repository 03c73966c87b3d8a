"""The front door of ``spikeworks``, one function per command. They import what they need when they run."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import rich.console


EXTRAS = {
    "cyclopts": "cli",
    "rich": "cli",
    "safetensors": "cli",
    "matplotlib": "view",
    "sklearn": "demo",
    "PIL": "data",
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
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        typed = list(sys.argv[1:] if arguments is None else arguments)
        goes_on = typed[:1] in (["convert"], ["recipe"])
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


def demo(*, out: Path = Path("spikeworks-report"), seed: int = 0, quick: bool = False) -> None:
    """Train a small network on real digits, convert it by every method, write a report. About a minute.

    Parameters
    ----------
    out
        folder for report.html, report.json and conversion.png
    seed
        of the weights and the order of training; the split of the data is fixed
    quick
        a few epochs and few time steps: a look, not a result
    """
    from .recipes import digits
    from .view import terminal

    _own_the_process()
    console = _console()
    console.print(
        "\n  [bold]spikeworks demo[/]  1,197 handwritten digits to learn from, 300 to choose on, 300 to test\n",
        highlight=False,
    )
    with _writable(out), terminal.watching(console) as watch:
        report = digits.run(seed, quick=quick, watch=watch, command=_command())
    terminal.deliver(console, report, out)


def convert(
    model: str, /, *, data: str, weights: Path | None = None, method: list[str] | None = None, base: str | None = None,
    compare: bool = False, steps: list[str] | None = None, mean: str = "", std: str = "",
    out: Path = Path("spikeworks-report"), fresh: bool = False, **field: str,
) -> None:  # fmt: skip
    """Convert a trained network of your own and measure it. Stopped, the same command goes on where it was.

    Parameters
    ----------
    model
        package.module:factory or path/to/file.py:factory, a function without arguments that returns the network; or
        recipe:activation, e.g. convert_cifar10_vgg:QCFS, with weights that the recipe has left in its folder
    data
        a folder with one folder of images per class (or train/ and test/ of them), an .npz file with x and y (or
        x_train, y_train, x_test, y_test), or fashion_mnist, cifar10 (under $SPIKEWORKS_DATA), digits
    weights
        a .safetensors file for the network
    method
        conversion methods; default: every method that takes this network; `spikeworks info` names them
    base
        the method that srp, cos, opi, rts, parallel or group are put upon; without --method: it and all of these
    compare
        every method that takes this network: one table, one figure, one page; the default, said aloud
    steps
        the T to read accuracy at, default 1 2 4 8 16 32; the largest is the T that methods are tuned for
    mean
        of each channel for images scaled to 0..1, e.g. 0.49,0.48,0.45
    std
        of each channel, e.g. 0.25,0.24,0.26
    out
        folder for report.html, report.json and conversion.png, and results/, one file per method as soon as it is done
    fresh
        measure again what is in results/ already
    field
        any field of the method or its base: --pre 4, --levels 8, --scope channel, --iterations 2, --q 0.99, --fold yes;
        `spikeworks info` names them
    """
    from .measure.result import Report
    from .recipes import run, sources
    from .view import terminal

    _own_the_process()
    console = _console()
    read_at = _steps(steps) or list(run.STEPS)
    if method is None and field:
        raise ValueError(f"convert got {_dashed(field)} and no --method that has it, expected both; name the method.")
    if method is not None and compare:
        raise ValueError("convert got --compare, which means every method, and --method; choose one.")
    methods = run.choose(method, base, steps=max(read_at), **field)
    network = sources.open_network(model, weights)
    split = sources.open_data(data, _numbers(mean, "--mean"), _numbers(std, "--std"))
    sources.check_fit(network, split)
    with _writable(out), terminal.watching(console) as watch:
        results, left_out = run.convert_all(
            {"network": network}, split, methods, read_at, watch, method is None, out / "results", fresh
        )
    about = run.provenance(_command(), network=model, data=f"{split.name}, {len(split.test.y)} test samples",
                           **run.omitted(left_out))  # fmt: skip
    terminal.deliver(console, Report(f"{model} on {split.name}", results, about), out)


def analyse(
    model: str, /, *, data: str, method: str, base: str | None = None, weights: Path | None = None, steps: int = 8,
    look: int = 256, mean: str = "", std: str = "", out: Path = Path("spikeworks-analysis"), **field: str,
) -> None:  # fmt: skip
    """Look for where a conversion loses accuracy: layer by layer, before and after each correction.

    Parameters
    ----------
    model
        as for convert
    data
        as for convert; the test part is run
    method
        a conversion method
    base
        the method that srp, cos, opi, rts, parallel or group are put upon
    weights
        a .safetensors file for the network
    steps
        T
    look
        how many samples to run
    mean
        as for convert
    std
        as for convert
    out
        folder for analysis.html, analysis.json and analysis.png
    field
        any field of the method or its base, as for convert, e.g. --pre 4
    """
    from .convert import analyse as look_into
    from .convert import convert as make
    from .recipes import run, sources
    from .view import terminal

    _own_the_process()
    console = _console()
    (chosen,) = run.choose([method], base, steps=steps, **field).values()
    network = sources.open_network(model, weights)
    split = sources.open_data(data, _numbers(mean, "--mean"), _numbers(std, "--std"))
    sources.check_fit(network, split)
    with _writable(out), console.status("analysing"):
        calibration = split.train.take(slice(0, run.CALIBRATION)).batches(128)
        snn, _ = make(network, chosen, [x for x, _ in calibration])  # without labels: nothing is measured here
        found = look_into(snn, network, split.test.batches(32), steps, look)
    about = run.provenance(_command(), network=model, data=split.name)
    terminal.deliver_analysis(console, replace(found, meta={**found.meta, **about}), out)


def recipe(
    name: str, /, *, out: Path | None = None, seed: int = 0, method: list[str] | None = None,
    steps: list[str] | None = None, quick: bool = False,
) -> None:  # fmt: skip
    """Train, convert and measure as a published result is; without a right name it lists them.

    Parameters
    ----------
    name
        of the recipe
    out
        folder for the report, the trained weights, and the checkpoint and results that a stopped run goes on from
    seed
        of the weights, the order of training and the augmentation
    method
        the methods to compare; only the networks that these take are trained; default: all
    steps
        the T to read accuracy at; default: the recipe's
    quick
        a few batches: does it run?
    """
    from .recipes import ALL
    from .view import terminal

    if name not in ALL:
        raise ValueError(f"recipe got {name!r}, expected one of {', '.join(ALL)}.")
    _own_the_process()
    console = _console()
    out = out or Path(f"spikeworks-{name}-{seed}")
    chosen = replace(ALL[name], steps=tuple(_steps(steps) or ALL[name].steps))
    with _writable(out), terminal.watching(console) as watch:
        kept = None if quick else out / "training.safetensors"
        report = chosen(seed, quick=quick, watch=watch, command=_command(), checkpoint=kept, only=method)
    terminal.deliver(console, report, out)


def spread(*reports: Path) -> None:
    """Mean and standard deviation of accuracy over several runs of one recipe; prints Markdown.

    Parameters
    ----------
    reports
        the report.json of each run
    """
    from .measure import load_report
    from .measure import spread as over
    from .view.terminal import spread_table

    read = [load_report(path) for path in reports]
    table = spread_table(over(read))
    title = f"{read[0].title}: top-1 in %, mean ± standard deviation of {len(read)} runs"
    _console().print(f"{title}\n\n{table}", markup=False, highlight=False, soft_wrap=True)


def bench(*, seed: int = 0) -> None:
    """Time the neuron core on this machine: fused against eager, forward and backward, after both agreed.

    Parameters
    ----------
    seed
        of the input
    """
    from .view import machine

    console = _console()
    with console.status("timing"):
        measured = machine.speeds(seed)
    console.print(measured, highlight=False)


def info() -> None:
    """What is installed and what can run here: versions, backends and why not, neurons, methods and their fields."""
    from .view import machine

    _console().print(machine.abilities(), highlight=False)


COMMANDS = (demo, convert, analyse, recipe, spread, bench, info)


# ---- shared pieces ----


def _own_the_process() -> None:
    """Nothing but this command runs here: keep its memory, so that no large tensor is mapped and faulted in anew."""
    from .neurons import keep_heap

    keep_heap()


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    """Make ``--out`` and write into it before any work, lest that be lost; work that fails takes an empty one away."""
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ValueError(
            f"--out got {str(out)!r} ({error.strerror}), expected a folder that can be written into; name another."
        ) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):  # where it holds a checkpoint
            if made:
                out.rmdir()
        raise


def _console() -> rich.console.Console:
    from rich.console import Console

    return Console()


def _command() -> str:
    return shlex.join(["spikeworks", *sys.argv[1:]])


def _steps(words: list[str] | None) -> list[int]:
    """Time steps as typed, in order: ``1 2 4``, ``1,2,4``; none if none were."""
    asked = ",".join(words or ())
    found = _numbers(asked, "--steps")
    if not all(t.is_integer() and t >= 1 for t in found):
        raise ValueError(f"--steps got {asked!r}, expected whole numbers from 1, e.g. 1 2 4 8.")
    return sorted({int(t) for t in found})


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise ValueError(f"{option} got {text!r}, expected numbers with commas between, e.g. 1,2,4.") from None


def _dashed(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _version() -> str:
    from . import __version__

    return __version__


def _leave(status: int, sentence: str) -> Any:
    sys.stderr.write(f"spikeworks: {sentence}\n")
    raise SystemExit(status)
