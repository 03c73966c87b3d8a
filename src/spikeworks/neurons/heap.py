"""An opt-in for training on the CPU: keep freed memory instead of handing it back to the system at every step."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_heap() -> bool:
    """Tell glibc to serve large tensors from its heap and to keep what is freed.

    By default a tensor of 32 MB or more is mapped afresh at each step and every page of it faulted in, which costs more
    than the neuron itself. Call once, at the start. What it costs: the process keeps its largest footprint.

    :returns: whether it could be done (Linux with glibc only).
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
    return all([mallopt(name, value) == 1 for name, value in settings])
