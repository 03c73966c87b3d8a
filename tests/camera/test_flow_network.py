"""Flow as a network tells it, on recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from camera.test_flow import moving
from spikeworks.camera import flow_by
from spikeworks.models import spike_flow_small


def test_a_network_on_a_recording() -> None:
    network = spike_flow_small(torch.Generator().manual_seed(0), frames=7)
    stream = moving(0.1, 0.0, frames=30, height=17, width=23)
    flow = flow_by(network, stream, 5, 15, passes=1, most=np.inf)
    clips = [torch.from_numpy(stream[t - 3 : t + 4].dense(np.float32))[:, None] for t in (5, 15)]
    with torch.no_grad():
        assert np.allclose(flow.uv * flow.valid, network(*clips)[-1][0].numpy() / 10 * flow.valid, atol=1e-6)
        again = network(*clips, network(*clips)[-1] / 10)[-1][0].numpy() / 10
    flow = flow_by(network, stream, 5, 15, most=np.inf)
    assert np.allclose(flow.uv, again * flow.valid, atol=1e-6)


def test_clips_must_be_in_the_recording() -> None:
    network = spike_flow_small(torch.Generator().manual_seed(0), frames=7)
    stream = moving(0.1, 0.0, frames=30, height=17, width=23)
    for t0, t1, passes in ((2, 15, 1), (5, 27, 1), (5, 15, 0)):
        with pytest.raises(ValueError, match="flow_by got frames"):
            flow_by(network, stream, t0, t1, passes)
    flow_by(network, stream, 3, 26)
