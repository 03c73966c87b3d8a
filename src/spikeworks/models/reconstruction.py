"""Networks that make pictures from the spikes of a camera, with the weights that come with the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from .reconstruct import five_convolutions
from .spiking_reconstruct import spiking_reconstruction

WEIGHTS = Path(__file__).parent / "weights"
"""What ``spikeworks train camera_pictures`` left, as 16-bit floats."""

RECONSTRUCTIONS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": five_convolutions,
    "spiking": spiking_reconstruction,
}
"""The networks by name."""


def reconstruction(name: str = "convolutions") -> nn.Module:
    """A trained network, in eval mode: bits ``[B, frames, H, W]`` → light of the middle frame ``[B, H, W]``.

    It was trained on simulated clips of moving dead leaves, by the recipe ``camera_pictures``.

    :param name: ``"convolutions"``: :class:`.FiveConvolutions`; ``"spiking"``: :class:`.SpikingReconstruction`.
    :raises ValueError: for another name.
    """
    if name not in RECONSTRUCTIONS:
        raise ValueError(f"reconstruction got {name!r}, expected one of {', '.join(RECONSTRUCTIONS)}.")
    from safetensors.torch import load_file

    network = RECONSTRUCTIONS[name]()
    weights = load_file(WEIGHTS / f"{name}.safetensors")
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    return network.eval()
