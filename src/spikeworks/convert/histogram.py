"""Quantiles of data that does not fit into memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BINS = 8192


class Histogram:
    """Counts of non-negative values, per row, in bins that double their width whenever a larger value comes.

    Bin 0 holds zeros; bin i ≥ 1 holds ``(i − 1)·w < x ≤ i·w`` with ``w = 2^e/8192``, ``2^e`` the smallest power of two
    not below the largest value so far. Doubling merges pairs of bins, so what is counted does not depend on the order
    or batching of the values, and ``w < 2⁻¹²`` of the largest.

    :param rows: C, histograms kept side by side with one common w.
    """

    def __init__(self, rows: int) -> None:
        self.exponent: int | None = None
        self.count = torch.zeros(rows, BINS + 1, dtype=torch.int64)

    def add(self, x_CN: Tensor) -> None:
        """Count values ``[C, N]``, finite and ≥ 0."""
        self.count = self.count.to(x_CN.device)
        largest = float(x_CN.max()) if x_CN.numel() else 0.0
        if largest > 0:
            mantissa, exponent = math.frexp(largest)
            self._widen(exponent - (mantissa == 0.5))
        width = 2.0 ** ((self.exponent or 0) - BINS.bit_length() + 1)
        bin_CN = (x_CN.double() / width).ceil().long()
        row_C1 = torch.arange(len(self.count), device=x_CN.device).unsqueeze(1) * (BINS + 1)
        counted = torch.bincount((bin_CN + row_C1).flatten(), minlength=self.count.numel())
        self.count += counted.view_as(self.count)

    def _widen(self, exponent: int) -> None:
        while self.exponent is not None and self.exponent < exponent:
            if exponent - self.exponent > BINS.bit_length():
                self.count[:, 1] = self.count[:, 1:].sum(1)  # all that was positive lies in the first bin now
                self.count[:, 2:] = 0
                self.exponent = exponent
                return
            pairs = self.count[:, 1:].unflatten(1, (-1, 2)).sum(2)
            self.count = torch.cat((self.count[:, :1], pairs, torch.zeros_like(pairs)), 1)
            self.exponent += 1
        self.exponent = exponent if self.exponent is None else self.exponent

    def quantile(self, q: float) -> Tensor:
        """Per row, the upper edge of the first bin up to which at least ``q`` of the values lie; float32 ``[C]``."""
        total_C = self.count.sum(1, keepdim=True).double()
        reached = self.count.cumsum(1).double() >= (q * total_C).ceil().clamp(min=1)
        edge = 2.0 ** ((self.exponent or 0) - BINS.bit_length() + 1)
        return (reached.to(torch.uint8).argmax(1) * edge).float()
