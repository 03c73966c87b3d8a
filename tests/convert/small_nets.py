"""Small networks for the proofs of conversion, and weights in which every sum is exact."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeworks.measure import FitCurve


class Residual(nn.Module):
    """One activation module used three times, a functional one, a residual sum, a flatten by the batch size."""

    def __init__(self, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.conv3 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.act = activation or nn.ReLU()
        self.fc1 = nn.Linear(8 * 4, 12)
        self.fc2 = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.conv1(x))
        y = self.act(self.conv2(y) + y)
        y = F.avg_pool2d(F.relu(self.conv3(y)), 2)
        return self.fc2(self.act(self.fc1(y.view(x.size(0), -1))))


class Branches(nn.Module):
    """Concatenation, a split, a raw shortcut around the first neuron, and a layer fed by analog currents."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 3, 1)
        self.right = nn.Conv2d(4, 5, 3, padding=1, groups=1)
        self.squeeze = nn.Conv2d(8, 2, 1)
        self.expand = nn.Conv2d(2, 4, 1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor, scale: float | None = None) -> Tensor:
        raw = self.stem(x)
        y = torch.relu(raw)
        y = torch.cat([self.left(y).relu(), F.relu6(self.right(y))], dim=1)
        y = F.relu(self.expand(self.squeeze(y)) + raw)  # squeeze → expand without a neuron between
        first, second = torch.chunk(y, 2, dim=1)
        y = torch.cat((second, first), 1).mean((2, 3))
        return self.head(y if scale is None else y * scale)


class PreActivation(nn.Module):
    """Normalisation before the convolution it cannot be folded into."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv3 = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        y = F.relu(self.bn1(x))
        y = self.conv3(F.relu(self.bn2(self.conv2(y)))) + y
        return self.head(F.dropout(y.mean([2, 3]), 0.3, self.training))


def exact(network: nn.Module, seed: int = 0) -> nn.Module:
    """Parameters become multiples of 1/8: sums of them with inputs of that kind are exact in any order."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim():
                parameter.copy_(torch.randint(-4, 7, parameter.shape, generator=generator) / 8)
    return network.eval()


def exact_images(count: int, seed: int = 1) -> Tensor:
    """``[count, 1, 8, 8]``, multiples of 1/8 from 0 to 1."""
    return torch.randint(0, 9, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed)) / 8


@functools.cache
def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """1,797 handwritten digits ``[N, 1, 8, 8]`` in [0, 1] and their classes: train (1,400) and test."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    images, classes = torch.tensor(x / 16, dtype=torch.float32).view(-1, 1, 8, 8)[order], torch.tensor(y)[order]
    return (images[:1400], classes[:1400]), (images[1400:], classes[1400:])


def trained(make: Callable[[], nn.Module], epochs: int = 15) -> nn.Module:
    """Made and trained on the digits, in evaluation mode; about half a second."""
    (x, y), _ = digits()
    torch.manual_seed(0)
    network = make().train()
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.02, total_steps=epochs * len(x) // 50)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(50):
            loss = F.cross_entropy(network(x[part]), y[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def fit_curve(name: str, y_T: Tensor, rate: Tensor) -> FitCurve:
    """K(t) and Ω by their formulas, of spikes of 1 ``[T, B, ...]`` against rates ``[B, ...]``."""
    y_T, rate = y_T.detach().double(), rate.detach().double()
    power = float(rate.square().sum())
    values = [float((y_T[:t].mean(0) - rate).square().sum()) / power for t in range(1, len(y_T) + 1)]
    return FitCurve(name, values, float(rate.sum()) / power)
