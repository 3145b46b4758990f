"""The processes that train one network together, each on its share of every batch; one alone is a group of one.

torchrun starts them and says in the environment who each of them is. What they compute together goes through the
default group of torch.distributed: NCCL between GPUs, Gloo between CPUs. What they tell each other goes through Gloo.
"""

import logging
import os
import socket
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mtl_seg_depth.system import torchrun
from mtl_seg_depth.system.errors import UserError

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""How long processes wait for what the first is to tell them: it may pack data, or wait for another training."""

LOST_CONTACT = ("gloo", "Gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")


@dataclass(frozen=True)
class Processes:
    """Those that train together, as one of them sees it."""

    rank: int = 0
    count: int = 1
    control: dist.ProcessGroup | None = None
    """The group that tells and asks."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes, tracks and prints."""
        return self.rank == 0

    def from_first(self, value: T | None = None) -> T:
        """What the first process gives, in every process."""
        given = [value]
        if self.count > 1:
            dist.broadcast_object_list(given, src=0, group=self.control)
        return given[0]  # type: ignore[return-value]

    def first_before(self, action: Callable[[], T]) -> T:
        """What `action` returns in each, done by the first process before the others begin."""
        if not self.is_first:
            self.from_first()
        result = action()
        if self.is_first:
            self.from_first()
        return result

    def require_same(self, known: Mapping[str, Hashable]) -> None:
        """Raise UserError, in all of them, if a process knows something else than the first: by what it is called."""
        every: list[Any] = [None] * self.count
        if self.count > 1:
            dist.all_gather_object(every, (socket.gethostname(), dict(known)), group=self.control)
            for rank, (host, theirs) in enumerate(every):
                names = [name for name, value in theirs.items() if value != every[0][1].get(name)]
                if names:
                    raise UserError(
                        f"process {rank} of {self.count}, on {host}, has another {' and another '.join(names)} than "
                        f"process 0, on {every[0][0]}: they cannot train one network"
                    )


ALONE = Processes()


@contextmanager
def together(device: torch.device) -> Iterator[Processes]:
    """Join the other processes that torchrun started, until all are done; `ALONE` without any.

    What only warns is left to the first one.

    Raises:
        UserError: this torch cannot connect GPUs, or another process ended while this one waited for it.
    """
    if torchrun.count() == 1:
        yield ALONE
        return
    if device.type == "cuda" and not dist.is_nccl_available():
        raise UserError("several processes on GPUs need NCCL, which this torch is built without; device=cpu does not")
    rank, count = torchrun.rank(), torchrun.count()
    level = logging.root.manager.disable
    _meet(device)
    try:
        control: Any = dist.new_group(backend="gloo", timeout=PATIENCE)
        logging.disable(level if rank == 0 else logging.WARNING)
        yield Processes(rank, count, control)
        dist.barrier(control)  # who leaves first takes the meeting place along
        dist.destroy_process_group()
    except RuntimeError as error:
        if not _is_lost_contact(error):
            raise
        raise UserError(
            f"process {rank} of {count} has lost the others: one of them ended, or the network between them failed. "
            "The same command goes on from what was saved last"
        ) from error
    finally:
        logging.disable(level)


def _meet(device: torch.device) -> None:
    """Set up the group; UserError if the others cannot be reached where torchrun says."""
    place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    try:
        if device.type == "cuda":
            dist.init_process_group("nccl", device_id=device)
        else:
            dist.init_process_group("gloo")
    except (dist.DistError, ValueError) as error:
        raise UserError(
            f"process {torchrun.rank()} of {torchrun.count()} does not meet the others at {place} "
            f"({str(error).splitlines()[0][:200]}); --master-port=<port> is for a port that another program has"
        ) from error


def _is_lost_contact(error: RuntimeError) -> bool:
    """Whether it says that others cannot be reached: Gloo's errors have no class of their own."""
    return isinstance(error, dist.DistError) or any(words in str(error) for words in LOST_CONTACT)


class Agreement:
    """What the processes decide together in every step, without waiting for each other.

    Each says what it knows, and reads in the next step what all said in this one: all of them act in the same step.
    Alone, a process reads at once what it says.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._said: tuple[Tensor, Any] | None = None

    def __call__(self, stop: bool, seconds: float) -> tuple[bool, float]:
        """Whether any process wants to stop, and the first one's clock."""
        if self._processes.count == 1:
            return stop, seconds
        before = self._said
        mine = torch.tensor([float(stop), seconds if self._processes.is_first else 0.0], dtype=torch.float64)
        self._said = mine, dist.all_reduce(mine, dist.ReduceOp.MAX, self._processes.control, async_op=True)
        if before is None:
            return False, 0.0
        said, work = before
        work.wait()
        return bool(said[0]), said[1].item()


def several() -> bool:
    """Whether this process trains together with others: then what follows waits for all of them."""
    return dist.is_initialized() and dist.get_world_size() > 1


def total(value: Tensor) -> Tensor:
    """The sum over all processes, without gradient; alone, the value itself."""
    return _reduced(value, dist.ReduceOp.SUM)


def largest(value: Tensor) -> Tensor:
    """The largest of all processes, without gradient; alone, the value itself."""
    return _reduced(value, dist.ReduceOp.MAX)


def batch_mean(summed: Tensor, count: Tensor) -> Tensor:
    """The mean of a batch's terms, from the sum and the count of those in this process's share; 0 without any term.

    Terms may be spread unevenly: what each process gets is its part of the mean, times their number, so that the mean
    over the processes is the mean over the batch.
    """
    return part(summed) / total(count).clamp(min=1)


def part(summed: Tensor) -> Tensor:
    """A process's part of a sum, times the number of processes: the mean of all parts is the sum."""
    return summed * dist.get_world_size() if several() else summed


def gathered(values: Tensor) -> Tensor:
    """The values of all processes, each of the same number, one after another and without gradient; [N] from any shape.

    Alone, they are the process's own.
    """
    flat = values.detach().flatten()
    if not several():
        return flat
    every = flat.new_empty(dist.get_world_size() * len(flat))
    dist.all_gather_into_tensor(every, flat)
    return every


def whole(loss: Tensor) -> Tensor:
    """The mean of every process's loss, in each of them; the gradient is that of its own.

    A function of whole losses, such as a product of them, has a gradient which, averaged over the processes, is that
    for the whole batch.
    """
    return _Whole.apply(loss) if several() else loss


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        return total(values) / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


class Summed(torch.autograd.Function):
    """The sum of every process's values, of which all their gradients are the gradient: for statistics of a batch."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        """Sum."""
        return total(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """Sum too."""
        return total(gradient)


def averaged(tensors: Sequence[Tensor]) -> Callable[[], None]:
    """Begin to average tensors over all processes, in place; what is returned waits until they are."""
    if not several() or not tensors:
        return _nothing
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    work = dist.all_reduce(flat, async_op=True)

    def finish() -> None:
        work.wait()
        flat.div_(dist.get_world_size())
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)])

    return finish


def _nothing() -> None:
    """Alone, everything is averaged already."""


def _reduced(value: Tensor, operation: Any) -> Tensor:
    if not several():
        return value
    value = value.detach().clone()
    dist.all_reduce(value, operation)
    return value
