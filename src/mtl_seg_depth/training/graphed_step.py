"""The optimiser step as one CUDA graph: what the host does for a step is to copy the batch in and to start it."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn, optim

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.models.recomputing import restores_random_numbers
from mtl_seg_depth.system.processes import several
from mtl_seg_depth.training.parameter_groups import set_rate
from mtl_seg_depth.training.step import Step
from mtl_seg_depth.weighting.weighting import Weighting


class Backend(Protocol):
    """What turns a function of no arguments, that only touches tensors, into one that repeats it cheaply."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function until libraries have started and chosen their algorithms."""

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record what the function does to its tensors, without doing it; the callable does it."""


class CudaGraphs:
    """The real backend, on a stream of its own: a graph records what is done on its device and stream, and no more."""

    WARM_UP_STEPS = 3
    """As torch's notes on CUDA graphs have it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function on the stream that it will be captured on."""
        current = torch.cuda.current_stream(self.device)
        self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            for _ in range(self.WARM_UP_STEPS):
                function()
        current.wait_stream(self.stream)

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record the function's kernels."""
        gc.collect()  # what is freed while it is captured stays the graph's
        graph = torch.cuda.CUDAGraph()
        # Only this thread is watched: another one may be copying the next batch meanwhile.
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            function()
        return graph.replay


def obstacle(
    device: torch.device, optimizer: optim.Optimizer, weighting: Weighting, network: nn.Module | None = None
) -> str | None:
    """Why a step of these parts cannot be captured as a CUDA graph; None if it can."""
    if device.type != "cuda":
        return f"CUDA graphs need a CUDA device, and this is {device}"
    if several():
        return "several processes train together"
    if not all(group.get("fused") for group in optimizer.param_groups):
        return f"{type(optimizer).__name__} reads its learning rate on the host unless it is fused"
    if not weighting.capturable:
        return f"what {type(weighting).__name__} does depends on the values of the losses"
    if network is not None and restores_random_numbers(network):
        return "encoder.recompute=true restores random numbers on the host, which encoder.drop_path draws"
    return None


class GraphedStep:
    """A `Step` that is captured at its first batch, and replayed from then on: the same arithmetic, no launches.

    Every batch has the shapes of the first. The losses that a call returns stay valid until the next call.

    Capturing takes a few steps to warm up on. Everything they change is put back: the first step trained is the first
    of the run. What is put back lies on the host meanwhile, so that capturing takes no more memory than training.

    Args:
        step: what is captured.
        backend: captures; tests have one of their own.
    """

    def __init__(self, step: Step, backend: Backend | None = None) -> None:
        self.step = step
        self.backend = backend or CudaGraphs(next(step.network.parameters()).device)
        self._replay: Callable[[], None] | None = None

    def __call__(self, batch: Batch, learning_rate: float | Tensor) -> dict[str, Tensor]:
        """Update the parameters once, as `Step` does."""
        first = self._replay is None
        if first:
            self._capture(batch)
        assert self._replay is not None
        if any(new.shape != static.shape for new, static in zip(batch.tensors, self._inputs, strict=True)):
            raise ValueError(
                f"the step was captured for images of {tuple(self._inputs[0].shape)}, not {tuple(batch.image.shape)}"
            )
        torch._foreach_copy_(self._inputs, batch.tensors)
        self._rate.fill_(learning_rate)
        self._replay()
        if first and self._replays.item() != 1:
            raise RuntimeError("nothing was captured: the graph left no trace in memory")
        set_rate(self.step.optimizer, learning_rate)  # as a checkpoint of an eager training has it
        return self._losses_out

    def _capture(self, batch: Batch) -> None:
        """Set up what the graph reads and writes, warm up, put everything back, and capture."""
        device = batch.image.device
        self._inputs = [tensor.clone() for tensor in batch.tensors]
        self._rate = torch.zeros((), device=device)
        self._losses_out = {task: torch.zeros((), device=device) for task in self.step.losses}
        self._replays = torch.zeros((), dtype=torch.int64, device=device)
        image, *targets = self._inputs
        static = Batch(image, dict(zip(batch.targets, targets, strict=True)), batch.ids)

        def update() -> None:
            for task, loss in self.step(static, self._rate).items():
                self._losses_out[task].copy_(loss)
            self._replays.add_(1)

        with _capturable(self.step.optimizer):
            with _put_back(self.step, device):
                self.backend.warm_up(update)
            self.step.optimizer.zero_grad(set_to_none=True)  # the graph makes gradients of its own
            self._replay = self.backend.capture(update)
            self._replays.zero_()  # here: what is not recorded is done, and would count as a replay


@contextmanager
def _capturable(optimizer: optim.Optimizer) -> Iterator[None]:
    """Tell the optimiser that it is being captured; its settings are as before when a checkpoint asks for them."""
    before = [(group["lr"], group.get("capturable")) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    yield
    for group, (rate, capturable) in zip(optimizer.param_groups, before, strict=True):
        group["lr"] = rate
        if "capturable" in group:
            group["capturable"] = capturable


@contextmanager
def _put_back(step: Step, device: torch.device) -> Iterator[None]:
    """Leave the values of all parameters, buffers, optimiser state and random numbers as they were, in place."""
    parts = [part for part in (step.network, step.weighting, step.average) if part is not None]
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    values = [tensor.detach().to("cpu", copy=True) for tensor in tensors]
    states = {
        parameter: {name: value.to("cpu", copy=True) for name, value in state.items() if isinstance(value, Tensor)}
        for parameter, state in step.optimizer.state.items()
    }
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    with torch.no_grad():
        _refill(tensors, values)
        for parameter, state in step.optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    # State that the warm-up made begins at zero: so do Adam's moments and steps; and a momentum of
                    # zero gives SGD the first update that no momentum would.
                    before = states.get(parameter, {}).get(name)
                    _refill([value], [torch.zeros(value.shape) if before is None else before])


def _refill(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
