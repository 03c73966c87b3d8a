"""One network trained by several processes: what they tell one another. Lightning Fabric sets them up, here alone."""

from __future__ import annotations

import atexit
import copy
import gc
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
from torch import Tensor, nn


class Team:
    """One process that does everything, and what several must be able to do.

    :param network: with parameters, all on one device.
    :raises ValueError: if it has none.
    """

    rank: int = 0
    """Which of the processes this one is; 0 writes and tells."""
    size: int = 1
    """How many there are."""
    agreed: bool = False
    """Set before raising what every process raises: nobody waits for another then."""

    def __init__(self, network: nn.Module) -> None:
        first = next(network.parameters(), None)
        if first is None:
            raise ValueError(
                f"{type(network).__name__} has no parameters, expected some to train; pass a network with weights."
            )
        self.network, self.module, self.device = network, network, first.device
        """Whose weights are trained, what is called in training, and where."""

    def share(self, index: Tensor) -> tuple[Tensor, int]:
        """Which samples of a batch this process takes, and how many of these count (the first)."""
        return index, len(index)

    def gathering(self, now: bool) -> AbstractContextManager[Any]:
        """Around forward and backward pass: whether this backward pass ends with the exchange of gradients."""
        return nullcontext()

    def clip(self, limit: float) -> None:
        """Shorten the gradient of all weights to that norm, if it is longer."""
        nn.utils.clip_grad_norm_(self.network.parameters(), limit)

    def sums(self, *values: float) -> list[float]:
        """Each value, summed over processes."""
        return list(values)

    def level(self) -> None:
        """After a step: buffers that went apart (running statistics) become their mean over processes."""

    def finite(self) -> bool:
        """Whether every weight is a finite number, and no buffer holds NaN, in any process."""
        bad = [not bool(self._local(p).isfinite().all()) for p in self.network.parameters() if p.requires_grad]
        bad += [bool(b.isnan().any()) for b in self.network.buffers() if b.is_floating_point()]
        return self.sums(float(any(bad)))[0] == 0

    def whole(self, tensor: Tensor) -> Tensor:
        """A tensor that may be spread over processes, in one piece; all processes have to ask."""
        return tensor

    def like(self, value: Tensor, own: Tensor) -> Tensor:
        """A whole tensor, spread over processes as ``own`` is."""
        return value

    def alike(self, what: str, value: str) -> None:
        """Nothing, if all processes have the same value.

        :raises ValueError: in all of them, if not.
        """

    def lead(self, value: Tensor) -> Tensor:
        """The value that process 0 has, on the CPU."""
        return value

    def leave(self) -> None:
        """This process has failed: unless all have, the others, which may wait for it, get an error instead."""

    def _local(self, tensor: Tensor) -> Tensor:
        return tensor


@dataclass(frozen=True)
class Parallel:
    """Train with all processes that ``torchrun`` started; in a process that it did not start, with this one.

    :param strategy: ``"ddp"``: every process holds the whole network. ``"fsdp"``: weights, gradients and the
        optimiser's state are spread over the processes, by entries of ``nn.Sequential`` and ``nn.ModuleList``.
    :param device: ``"cpu"``, ``"cuda"`` (a GPU each), or ``"auto"``: GPUs if the machine has any. The network moves.
    :param timeout: seconds that a process waits for another before it gives up; longer than writing a checkpoint takes.
    :raises ValueError: for other values.
    """

    strategy: Literal["ddp", "fsdp"] = "ddp"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    timeout: float = 600.0

    def __post_init__(self) -> None:
        known = self.strategy in ("ddp", "fsdp") and self.device in ("auto", "cpu", "cuda")
        if not known or not 0 < self.timeout < math.inf:
            raise ValueError(
                f"Parallel got strategy={self.strategy!r}, device={self.device!r}, timeout={self.timeout!r}, expected "
                "'ddp' or 'fsdp', 'auto', 'cpu' or 'cuda', and seconds above 0; choose such."
            )

    def team(self, network: nn.Module) -> Team:
        """This process's place among those that train ``network``; all have to call this.

        :raises ValueError: for a network without parameters, or fewer GPUs than processes.
        """
        Team(network)  # refuses a network without parameters
        launched = torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()
        here, size = (int(os.environ[name]) if launched else 1 for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        device = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        if device == "cuda" and torch.cuda.device_count() < here:
            raise ValueError(
                f"Parallel got {here} processes for {torch.cuda.device_count()} GPUs, expected one for each GPU at "
                "most; start fewer, or choose device='cpu'."
            )
        if size == 1:
            return Team(network.to(device))
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
        from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

        wait = timedelta(seconds=self.timeout)
        strategy = (
            DDPStrategy(timeout=wait) if self.strategy == "ddp"
            else ModelParallelStrategy(_spread, size, 1, timeout=wait)
        )  # fmt: skip
        fabric = Fabric(accelerator=device, strategy=strategy, devices=here, num_nodes=size // here)
        fabric.launch()
        atexit.unregister(_end)
        atexit.register(_end)  # after Fabric has registered its own, so before that
        return _Processes(network, self.strategy, fabric)


class _Processes(Team):
    def __init__(self, network: nn.Module, strategy: str, fabric: Any) -> None:
        self.rank, self.size, self.device = fabric.global_rank, fabric.world_size, fabric.device
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        self.alike("network", f"{network!r}{shapes}")
        network.to(self.device)
        self.network = network if strategy == "ddp" else copy.deepcopy(network)  # what is spread stays so
        with torch.no_grad():
            for value in (*self.network.parameters(), *self.network.buffers()):
                sent = value.contiguous()  # for a moment: images are laid out otherwise
                torch.distributed.broadcast(sent, 0)
                value.copy_(sent)
        self.module = fabric.strategy.setup_module(self.network)

    def share(self, index: Tensor) -> tuple[Tensor, int]:
        mine = index[self.rank :: self.size]
        if len(mine) > 1:
            return mine, len(mine)
        # everybody takes part in every pass, and batch normalisation has no variance over one sample
        return (mine if len(mine) else index[:1]).repeat(2), len(mine)

    @contextmanager
    def gathering(self, now: bool) -> Iterator[None]:
        if isinstance(self.module, nn.parallel.DistributedDataParallel):
            with nullcontext() if now else self.module.no_sync():
                yield
            return
        self.module.set_requires_gradient_sync(now)  # type: ignore[operator]
        yield
        for parameter in _single(self.network) if now else ():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self.size

    def clip(self, limit: float) -> None:
        if isinstance(self.module, nn.parallel.DistributedDataParallel):
            return super().clip(limit)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        groups = [[g for g in gradients if _spread_out(g) is spread] for spread in (True, False)]  # torch mixes none
        norm = math.hypot(*(float(self.whole(nn.utils.get_total_norm(group))) for group in groups if group))
        for gradient in gradients if norm > limit else ():
            gradient.mul_(limit / (norm + 1e-6))  # as torch has it
        return None

    def sums(self, *values: float) -> list[float]:
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(summed)
        return summed.tolist()

    @torch.no_grad()
    def level(self) -> None:
        buffers = [b for b in self.network.buffers() if b.is_floating_point()]
        if not buffers:
            return
        own = torch.cat([b.flatten().double() for b in buffers])
        first = own.clone()
        torch.distributed.broadcast(first, 0)
        apart = torch.where(own == first, 0.0, own - first)  # so that constants stay as they are, to the bit
        torch.distributed.all_reduce(apart)
        mean = first + apart / self.size
        for buffer, values in zip(buffers, mean.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(values.view(buffer.shape))

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor.full_tensor() if _spread_out(tensor) else tensor  # type: ignore[attr-defined]

    def like(self, value: Tensor, own: Tensor) -> Tensor:
        if not _spread_out(own) or value.shape != own.shape:
            return value
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(value.to(self.device), own.device_mesh, own.placements)  # type: ignore[attr-defined]

    def alike(self, what: str, value: str) -> None:
        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        if other := [rank for rank, found in enumerate(values) if found != values[0]]:
            self.agreed = True
            raise ValueError(
                f"fit got another {what} in process {other[0]} than in process 0, expected the same in all "
                f"{self.size}; let every process run the same script on the same files."
            )

    def lead(self, value: Tensor) -> Tensor:
        sent = [value.cpu()]
        torch.distributed.broadcast_object_list(sent, 0)
        return sent[0]

    def leave(self) -> None:
        if torch.distributed.is_initialized() and not self.agreed:
            torch.distributed.destroy_process_group()

    def _local(self, tensor: Tensor) -> Tensor:
        return tensor.to_local() if _spread_out(tensor) else tensor  # type: ignore[attr-defined]


def _end() -> None:
    """Join the threads that exchange tensors: one that is at work while Python ends aborts the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    gc.collect()  # what wrapped a network refers to itself


def _spread_out(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")


def _single(network: nn.Module) -> list[nn.Parameter]:
    """Parameters without an axis, such as a neuron's time constant: these cannot be spread."""
    return [p for p in network.parameters() if p.dim() == 0]


def _spread(network: nn.Module, mesh: Any) -> nn.Module:
    """Entries of lists first, outermost lists alone, then the whole with what is left."""
    from torch.distributed.fsdp import fully_shard

    def shard(module: nn.Module) -> None:
        # a view that somebody wrote into would lose what FSDP hangs on it
        module.register_forward_hook(lambda _, __, y: y.clone() if isinstance(y, Tensor) and y._is_view() else y)
        fully_shard(module, mesh=mesh["data_parallel"], ignored_params=set(_single(module)))

    def inside(module: nn.Module) -> None:
        for child in module.children():
            if not isinstance(module, nn.Sequential | nn.ModuleList):
                inside(child)
            elif next(child.parameters(), None) is not None:
                shard(child)

    inside(network)
    shard(network)
    return network


def copied(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights and buffers, which no longer change."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def put(team: Team, weights: Mapping[str, Tensor], network: nn.Module) -> None:
    """Give ``network`` whole copies of a team's weights; all processes have to."""
    network.load_state_dict({name: team.whole(value) for name, value in weights.items()})
