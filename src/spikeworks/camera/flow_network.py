"""Motion as a network tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .flow import Flow, consistent, per_frame, two_frames
from .stream import SpikeStream

if TYPE_CHECKING:
    import torch

    import spikeworks.models


def flow_by(
    network: spikeworks.models.SpikeFlow, stream: SpikeStream, t0: int, t1: int, passes: int = 2, most: float = 1.0
) -> Flow:
    """The flow that a network tells from the clips around two frames.

    Valid where going there and back again ends within ``most`` pixels of the beginning, as with :func:`.dis`.

    :param network: see :class:`spikeworks.models.SpikeFlow`; clips are as long as it was made for. The frames should be
        about as far apart as those it was trained on.
    :param passes: how often; from the second on, slices are shifted by the flow told before. At least 1.
    :raises ValueError: for frames that are not two of the recording, or whose clips are not in it, or no pass.
    """
    import torch

    two_frames("flow_by", stream, t0, t1)
    count = network.config.frames
    begins = [t - count // 2 for t in (t0, t1)]
    if min(begins) < 0 or max(begins) + count > len(stream) or passes < 1:
        raise ValueError(
            f"flow_by got frames {t0} and {t1}, passes={passes}, expected frames with {count} around them in {stream}, "
            "and at least 1."
        )
    device = next(network.parameters()).device
    first, second = (
        torch.from_numpy(stream[begin : begin + count].dense(np.float32))[:, None].to(device) for begin in begins
    )
    with torch.no_grad():
        there = told(network, first, second, t1 - t0, passes)[-1][0].cpu().numpy()
        back = told(network, second, first, t0 - t1, passes)[-1][0].cpu().numpy()
    return per_frame(there, consistent(there, back, most), t1 - t0)


def told(
    network: spikeworks.models.SpikeFlow, first: torch.Tensor, second: torch.Tensor, frames: int, passes: int
) -> list[torch.Tensor]:
    """What the network tells in the last of several passes; gradients flow through that one only.

    :param frames: from the middle of the first clip to that of the second.
    """
    import torch

    flow = None
    with torch.no_grad():
        for _ in range(passes - 1):
            flow = network(first, second, flow)[-1] / frames
    return network(first, second, flow)
