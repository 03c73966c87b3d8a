"""A trained network of the user's: converted and measured, or looked into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .shared import command_line, console_here, dashed, numbers_typed, own_the_process, steps_typed, writable


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
    from ..measure.result import Report
    from ..recipes import run, sources
    from ..view import terminal

    own_the_process()
    console = console_here()
    read_at = steps_typed(steps) or list(run.STEPS)
    if method is None and field:
        raise ValueError(f"convert got {dashed(field)} and no --method that has it, expected both; name the method.")
    if method is not None and compare:
        raise ValueError("convert got --compare, which means every method, and --method; choose one.")
    methods = run.choose(method, base, steps=max(read_at), **field)
    network = sources.open_network(model, weights)
    split = sources.open_data(data, numbers_typed(mean, "--mean"), numbers_typed(std, "--std"))
    sources.check_fit(network, split)
    with writable(out), terminal.watching(console) as watch:
        results, left_out = run.convert_all(
            {"network": network}, split, methods, read_at, watch, method is None, out / "results", fresh
        )
    about = run.provenance(command_line(), network=model, data=f"{split.name}, {len(split.test.y)} test samples",
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
    from ..convert import analyse as look_into
    from ..convert import convert as make
    from ..recipes import run, sources
    from ..view import terminal

    own_the_process()
    console = console_here()
    (chosen,) = run.choose([method], base, steps=steps, **field).values()
    network = sources.open_network(model, weights)
    split = sources.open_data(data, numbers_typed(mean, "--mean"), numbers_typed(std, "--std"))
    sources.check_fit(network, split)
    with writable(out), console.status("analysing"):
        calibration = split.train.take(slice(0, run.CALIBRATION)).batches(128)
        snn, _ = make(network, chosen, [x for x, _ in calibration])  # without labels: nothing is measured here
        found = look_into(snn, network, split.test.batches(32), steps, look)
    about = run.provenance(command_line(), network=model, data=split.name)
    terminal.deliver_analysis(console, replace(found, meta={**found.meta, **about}), out)
