"""What every test runs under: checked annotations, poisoned memory, one thread, one seed, no display."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

import annotated

if "spikeworks" in sys.modules:
    raise RuntimeError("spikeworks was imported before its annotations could be checked; import it in tests only.")
annotated.check("spikeworks")

os.environ["MPLBACKEND"] = "Agg"  # subprocesses too
torch.set_num_threads(1)  # xdist has a process per core

hypothesis.settings.register_profile("house", derandomize=True, deadline=None)
hypothesis.settings.load_profile("house")


def _poisoned(make: Any) -> Any:
    """``make``, with NaN in the floating-point memory it hands out: what reads it before writing shows up."""

    def poisoned(*args: Any, **kwargs: Any) -> torch.Tensor:
        tensor = make(*args, **kwargs)
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.device.type != "meta":
            tensor.detach().fill_(float("nan"))
        return tensor

    return poisoned


for _owner, _name in (
    (torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (torch, "empty_permuted"),
    (torch.Tensor, "new_empty"), (torch.Tensor, "new_empty_strided"),
):  # fmt: skip
    setattr(_owner, _name, _poisoned(getattr(_owner, _name)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same random numbers in every test, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
