"""Light as a trained network tells it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .estimate import Estimator, Image
from .stream import SpikeStream

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, repr=False)
class Learned(Estimator):
    """Five convolutions over 41 frames, or a spiking network, trained on pictures of dead leaves that moved.

    What the eye sees of a picture a network has learned to see: neighbours and edges tell more than a pixel's own
    spikes. It may err where the world is not like what it was trained on. Weights come with the package; which frames
    are looked at is the network's. Valid where all of these are in the recording. Needs no GPU: a picture of 400×250
    takes some tenths of a second on one core.

    :param network: ``"convolutions"``, ``"spiking"``, see :func:`spikeworks.models.reconstruction`; or one of your own
        in eval mode, with a ``config.frames``: floats 0 and 1 ``[1, frames, H, W]`` → light of frame ``frames // 2``,
        ``[1, H, W]``.
    :raises ValueError: for a name that is not known, or a network in training mode or without ``config.frames``.
    """

    network: str | torch.nn.Module = "convolutions"

    def __post_init__(self) -> None:
        made = self._made()
        frames = getattr(getattr(made, "config", None), "frames", None)
        if not isinstance(frames, int) or made.training:
            raise ValueError(
                f"Learned got a {type(made).__name__} with config.frames {frames}, training: {made.training}, expected "
                "a number of frames, and eval mode, in which nothing is learned; call network.eval()."
            )

    def __repr__(self) -> str:
        return f"Learned({self.network if isinstance(self.network, str) else type(self.network).__name__})"

    def _made(self) -> Any:
        return _trained(self.network) if isinstance(self.network, str) else self.network

    @property
    def before(self) -> int:
        """Frames in front of t."""
        return self._made().config.frames // 2

    @property
    def after(self) -> int:
        """Frames behind t."""
        return self._made().config.frames - 1 - self.before

    @property
    def around(self) -> int:
        """Pixels on each side, as the network says; of one that does not, 16 are taken for enough."""
        return getattr(self._made(), "around", 16)

    def picture(self, stream: SpikeStream, at: int) -> Image:
        """What the network tells; nothing where a frame is missing."""
        import torch

        network, begin = self._made(), at - self.before
        if begin < 0 or at + self.after >= len(stream):
            shape = stream.height, stream.width
            return Image(np.zeros(shape, np.float32), np.zeros(shape, bool))
        device = next((p.device for p in network.parameters()), None)
        bits = torch.from_numpy(stream[begin : at + self.after + 1].dense(np.float32))
        with torch.no_grad():
            light = network(bits[None].to(device))[0].clamp(0, 1).float().cpu().numpy()
        return Image(light, np.ones(light.shape, bool))


@cache
def _trained(name: str) -> torch.nn.Module:
    from ..models import reconstruction

    return reconstruction(name)
