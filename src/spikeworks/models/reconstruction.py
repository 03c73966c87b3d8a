"""Networks that make pictures from the spikes of a camera, with the weights that come with the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..disk import whole
from .reconstruct import FiveConvolutions, five_convolutions
from .spiking_reconstruct import SpikingReconstruction, spiking_reconstruction

WEIGHTS = Path(__file__).parent / "weights"
"""What ``spikeworks train camera_pictures`` and ``camera_pictures_spiking`` left as ``weights.NAME.safetensors``, with
seed 0, as 16-bit floats: see :func:`shortened`."""

RECONSTRUCTIONS: dict[str, Callable[[torch.Generator | None], FiveConvolutions | SpikingReconstruction]] = {
    "convolutions": five_convolutions,
    "spiking": spiking_reconstruction,
}
"""What makes a fresh one of the networks, by name; the argument is where its weights are drawn from."""


def reconstruction(name: str = "convolutions") -> nn.Module:
    """A trained network, in eval mode: bits ``[B, frames, H, W]`` → light of the middle frame ``[B, H, W]``.

    It was trained on simulated clips of moving dead leaves, by the recipe of its name, see :data:`WEIGHTS`.

    :param name: ``"convolutions"``: :class:`.FiveConvolutions`; ``"spiking"``: :class:`.SpikingReconstruction`.
    :raises ValueError: for another name.
    """
    if name not in RECONSTRUCTIONS:
        raise ValueError(f"reconstruction got {name!r}, expected one of {', '.join(RECONSTRUCTIONS)}.")
    from safetensors.torch import load_file

    network = RECONSTRUCTIONS[name](None)
    weights = load_file(WEIGHTS / f"{name}.safetensors")
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    return network.eval()


def shortened(source: str | Path, target: str | Path) -> None:
    """Write weights as 16-bit floats, half as long: how those that come with the package were made from a run's."""
    from safetensors.torch import load_file, save_file

    weights = load_file(source)
    short = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    with whole(target) as temporary:
        save_file(short, temporary)
