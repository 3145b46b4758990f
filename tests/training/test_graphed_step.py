"""All of a captured step but CUDA's own part: a stand-in records nothing and runs the step's function again."""

import copy
import functools
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.composing import compose, options, tiny
from helpers.facts import DEPTH_SPEC, OUTPUTS
from helpers.from_the_host import NothingFromTheHost, OneDevice
from helpers.tiny_data import write_tiny_miniscapes
from helpers.two_tasks import batch, configured, state_of, step_with
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

from mtl_seg_depth.config import parse
from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.models.branched import Branched
from mtl_seg_depth.models.cross_stitch import CrossStitch
from mtl_seg_depth.models.distilled import Distilled
from mtl_seg_depth.models.joint import Joint
from mtl_seg_depth.models.mtan import MTAN
from mtl_seg_depth.models.resnet import ResNetEncoder
from mtl_seg_depth.models.single import Single
from mtl_seg_depth.models.timm_encoder import TimmEncoder
from mtl_seg_depth.nodes import build
from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.configured import configured_tasks
from mtl_seg_depth.training import optimizers
from mtl_seg_depth.training.averaging import MovingAverage
from mtl_seg_depth.training.graphed_step import Backend, CudaGraphs, GraphedStep, obstacle
from mtl_seg_depth.training.step import Step

WEIGHTINGS = options("task_weights")
OPTIMIZERS = options("optimizer")
CUDA = torch.device("cuda")
BF16 = Precision("bf16")
RATE = 2.0**-7
"""Exact in the float32 of a rate on the device."""
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Rerun:
    """A backend whose replay runs the function on the very tensors that a graph would have recorded.

    With `empty`, replaying does nothing; with `done`, capturing does what it should only record.
    """

    def __init__(self, empty: bool = False, done: bool = False) -> None:
        self.empty = empty
        self.done = done
        self.warm_ups = self.replays = 0

    def warm_up(self, function: Callable[[], None]) -> None:
        for _ in range(CudaGraphs.WARM_UP_STEPS):
            self.warm_ups += 1
            function()

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        if self.done:
            function()

        def replay() -> None:
            self.replays += 1
            if not self.empty:
                function()

        return replay


def pair(
    weighting: str, optimizer: str = "adam", backend: Backend | None = None, device: str = "cpu", **arguments: Any
) -> tuple[Step, GraphedStep]:
    """An eager step and a captured one from the same start."""
    steps = []
    for _ in range(2):
        like = step_with(configured(f"task_weights={weighting}"), device)
        parameters = [{"params": list(part.parameters())} for part in (like.network, like.weighting)]
        method = getattr(optimizers, optimizer)(parameters[: 1 + bool(parameters[1]["params"])])
        steps.append(Step(like.network, like.losses, like.weighting, method, Precision("fp32"), **arguments))
    return steps[0], GraphedStep(steps[1], backend)


def tensors(tree: Any) -> Iterator[torch.Tensor]:
    """Every tensor of a state, in order."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from tensors(value)


def assert_same_state(eager: Step, graphed: GraphedStep, **tolerance: float) -> None:
    one, other = eager, graphed.step
    first, second = (list(tensors(state_of(step))) for step in (one, other))
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        torch.testing.assert_close(left, right, **({"rtol": 0, "atol": 0} | tolerance))
    rates = [[group["lr"] for group in step.optimizer.param_groups] for step in (one, other)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("clip_norm", [None, 0.01])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_replaying_is_stepping_eagerly(weighting: str, clip_norm: float | None) -> None:
    """The warm-up leaves no trace: parameters, statistics, moments and weights are equal after every step."""
    eager, graphed = pair(weighting, backend=Rerun(), clip_norm=clip_norm)
    for step in (eager, graphed.step):
        step.average = MovingAverage(step.network, 0.5)
    for number in range(7):
        rate = RATE / 2**number
        expected, replayed = eager(batch(number), rate), graphed(batch(number), rate)
        assert all(expected[task].equal(replayed[task]) for task in expected)
        assert_same_state(eager, graphed)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser_starts_as_if_there_had_been_no_warm_up(optimizer: str) -> None:
    eager, graphed = pair("equal", optimizer, Rerun())
    for number in range(3):
        eager(batch(number), RATE)
        graphed(batch(number), RATE)
    assert_same_state(eager, graphed)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_groups_with_a_share_of_the_rate_are_captured_with_it(optimizer: str) -> None:
    eager, graphed = pair("equal", optimizer, Rerun())
    plain, _ = pair("equal", optimizer)
    for step in (eager, graphed.step):
        step.optimizer.param_groups[0]["lr_scale"] = 0.1
    for number in range(3):
        rate = RATE / 2**number
        eager(batch(number), rate)
        graphed(batch(number), rate)
        plain(batch(number), 0.1 * rate)
    assert_same_state(eager, graphed)
    assert eager.optimizer.param_groups[0]["lr"] == 0.1 * rate
    for ours, other in zip(eager.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(ours, other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_continues_from_eager_steps_into_captured_ones(optimizer: str) -> None:
    eager, graphed = pair("uncertainty", optimizer, Rerun())
    for number in range(4):
        eager(batch(number), RATE)
    state = copy.deepcopy(state_of(eager))
    graphed.step.network.load_state_dict(state["network"])
    graphed.step.weighting.load_state_dict(state["weighting"])
    graphed.step.optimizer.load_state_dict(state["optimizer"])
    for number in range(4, 8):
        eager(batch(number), RATE)
        graphed(batch(number), RATE)
    assert_same_state(eager, graphed)


def test_a_checkpoint_does_not_show_how_steps_were_made() -> None:
    eager, graphed = pair("famo", backend=Rerun())
    eager(batch(0), RATE)
    graphed(batch(0), RATE)
    assert state_of(eager)["optimizer"]["param_groups"] == state_of(graphed.step)["optimizer"]["param_groups"]


def test_every_step_is_one_replay_after_one_warm_up() -> None:
    backend = Rerun()
    _, graphed = pair("equal", backend=backend)
    for number in range(5):
        graphed(batch(number), RATE)
    assert (backend.warm_ups, backend.replays) == (CudaGraphs.WARM_UP_STEPS, 5)


def test_random_numbers_are_put_back() -> None:
    """A captured step has drawn what an eager one has: the warm-up's draws are undone."""

    def draw(*_: Any) -> None:
        torch.rand(3)

    eager, graphed = pair("equal", backend=Rerun())
    states = []
    for step, network in ((eager, eager.network), (graphed, graphed.step.network)):
        network.register_forward_pre_hook(draw)
        data = batch(0)
        torch.manual_seed(5)
        step(data, RATE)
        states.append(torch.get_rng_state())
    assert states[0].equal(states[1])


def test_the_batch_is_read_when_it_is_given_and_left_alone() -> None:
    eager, graphed = pair("equal", backend=Rerun())
    data = batch(0)
    graphed(data, RATE)
    eager(data, RATE)
    kept = data.image.clone()
    graphed(batch(1), RATE)
    eager(batch(1), RATE)
    assert data.image.equal(kept)
    assert_same_state(eager, graphed)


@pytest.mark.parametrize("done", [False, True])
def test_an_empty_capture_is_noticed_at_the_first_step(done: bool) -> None:
    """Also if everything was done instead, as on another device than the one that is recorded."""
    _, graphed = pair("equal", backend=Rerun(empty=True, done=done))
    with pytest.raises(RuntimeError, match="nothing was captured"):
        graphed(batch(0), RATE)


def test_a_batch_of_another_shape_is_refused() -> None:
    _, graphed = pair("equal", backend=Rerun())
    graphed(batch(0), RATE)
    small = batch(1)
    targets = {task: target[:2] for task, target in small.targets.items()}
    with pytest.raises(ValueError, match=r"captured for images of \(4, 3, 6, 6\), not \(2, 3, 6, 6\)"):
        graphed(Batch(small.image[:2], targets, small.ids[:2]), 0.01)


class Stream:
    """In place of a CUDA stream; knows what is done while it is the current one."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.waited_for: list[Any] = []

    def wait_stream(self, other: Any) -> None:
        self.waited_for.append(other)


def test_a_step_is_warmed_up_and_recorded_on_one_stream_of_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    main, on, recorded = Stream("main"), [], []

    @contextmanager
    def stream(entered: Stream) -> Iterator[None]:
        on.append(entered)
        yield
        on.pop()

    @contextmanager
    def graph(_: Any, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        assert waste() is None, "what is freed in a capture is not given back"
        on.append(stream)
        yield
        on.pop()

    replacements: dict[str, Any] = {
        "Stream": Stream, "stream": stream, "graph": graph, "current_stream": lambda _: main,
        "CUDAGraph": lambda: SimpleNamespace(replay=None),
    }  # fmt: skip
    for name, replacement in replacements.items():
        monkeypatch.setattr(torch.cuda, name, replacement)
    second = torch.device("cuda:1")
    graphs = CudaGraphs(second)
    graphs.warm_up(lambda: recorded.append(on[-1]))

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    waste = weakref.ref(Cycle())
    graphs.capture(lambda: recorded.append(on[-1]))
    (used,) = set(recorded)
    assert len(recorded) == CudaGraphs.WARM_UP_STEPS + 1
    assert (used.device, used.waited_for, main.waited_for) == (second, [main], [used])


class TestChoice:
    def test_on_a_cpu_steps_are_eager(self, tmp_path: Path) -> None:
        write_tiny_miniscapes(tmp_path / "data")
        assert type(assemble(tiny(tmp_path), torch.device("cpu")).step) is Step

    def test_a_graph_on_a_cpu_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        write_tiny_miniscapes(tmp_path / "data")
        with pytest.raises(UserError, match="step=graph: CUDA graphs need a CUDA device, and this is cpu; take step="):
            assemble(tiny(tmp_path, "step=graph"), torch.device("cpu"))

    @pytest.mark.parametrize(("weighting", "optimizer"), list(itertools.product(WEIGHTINGS, OPTIMIZERS)))
    def test_every_option_can_be_captured_on_a_gpu(self, weighting: str, optimizer: str) -> None:
        step, _ = pair(weighting, optimizer)
        assert obstacle(CUDA, step.optimizer, step.weighting) is None

    def test_an_optimiser_that_reads_its_rate_on_the_host_is_an_obstacle(self) -> None:
        step, _ = pair("equal")
        plain = torch.optim.SGD(step.network.parameters(), lr=0.1)
        assert "SGD reads its learning rate on the host" in (obstacle(CUDA, plain, step.weighting) or "")

    def test_a_weighting_that_says_so_is_an_obstacle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        step, _ = pair("equal")
        monkeypatch.setattr(type(step.weighting), "capturable", False)
        assert "Fixed does depends on the values" in (obstacle(CUDA, step.optimizer, step.weighting) or "")

    def test_a_compiled_step_is_on_the_same_parameters(self, tmp_path: Path) -> None:
        write_tiny_miniscapes(tmp_path / "data")
        parts = assemble(tiny(tmp_path, "step=compile"), torch.device("cpu"))
        assert parts.step.forward is not parts.network
        compiled: Any = parts.step.forward
        own = {id(parameter) for parameter in parts.network.parameters()}
        assert {id(parameter) for parameter in compiled.parameters()} == own


ARCHITECTURES: dict[str, Callable[[ResNetEncoder], Any]] = {
    "baseline": lambda encoder: Joint(encoder, OUTPUTS, aspp=False, skip=False),
    "joint": lambda encoder: Joint(encoder, OUTPUTS),
    "branched, squeeze-and-excitation": lambda encoder: Branched(encoder, OUTPUTS, aspp_se=True, decoder_se=True),
    "distilled": lambda encoder: Distilled(encoder, OUTPUTS),
    "distilled, two gates": lambda encoder: Distilled(encoder, OUTPUTS, gate="per_task"),
    "mtan": lambda encoder: MTAN(encoder, OUTPUTS),
    "cross-stitch": lambda encoder: CrossStitch(encoder, OUTPUTS),
    "semseg alone": lambda encoder: Single(encoder, OUTPUTS, task="semseg"),
    "depth alone": lambda encoder: Single(encoder, OUTPUTS, task="depth"),
}


def fake_step(
    network: Any,
    *overrides: str,
    clip_norm: float | None = None,
    precision: Precision = BF16,
    watched: type[NothingFromTheHost] = NothingFromTheHost,
) -> None:
    """One step, as it would be captured, on tensors without values: asking for one raises, and so do shapes of them."""
    settings = parse(composed(*overrides))
    tasks = configured_tasks({"semseg": CITYSCAPES, "depth": DEPTH_SPEC}, settings.model_dump())
    given = {"noise_factors": {name: task.noise_factor for name, task in tasks.items()}, "steps_per_epoch": 3}
    weighting = build("task_weights", settings.task_weights, tasks=network.tasks, **given)
    optimizer = build("optimizer", settings.optimizer, parameters=[*network.parameters(), *weighting.parameters()])
    losses = {task: tasks[task].loss for task in network.tasks}
    step = Step(network, losses, weighting, optimizer, precision, clip_norm)
    shape = (2, 64, 64)
    targets = {"semseg": torch.zeros(shape, dtype=torch.int64), "depth": torch.rand(shape)}
    data = Batch(torch.rand(2, 3, 64, 64), targets, [0, 1])
    rate = torch.zeros(())
    if watched is OneDevice:
        step(data, rate)  # makes the matrices that resize, once and for all
    with watched():
        step(data, rate)


class OnMeta(Precision):
    """Autocasting is for devices that compute."""

    def autocast(self, device: torch.device) -> Any:
        return nullcontext()


@functools.cache
def composed(*overrides: str) -> dict[str, Any]:
    return compose(*overrides)


@pytest.fixture
def no_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused optimiser has no form for tensors without values."""
    monkeypatch.setattr(torch.optim.Adam, "step", lambda _: None)


class TestNothingWaitsForTheDevice:
    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    @pytest.mark.parametrize("weighting", ["equal", "famo", "cagrad"])
    def test_with_every_architecture(self, architecture: str, weighting: str) -> None:
        """With one weighting of each kind: of the losses, of the gradients, and with a second forward pass."""
        with FakeTensorMode():
            network = ARCHITECTURES[architecture](ResNetEncoder("resnet18"))
            fake_step(network, f"task_weights={weighting}", clip_norm=1.0)

    @pytest.mark.parametrize(
        "encoder",
        [
            lambda: TimmEncoder("test_vit", drop_path=0.2),
            lambda: TimmEncoder("test_efficientnet", drop_path=0.2),
            lambda: TimmEncoder("test_convnext", freeze=True),
            lambda: ResNetEncoder("resnet18", recompute=True),
        ],
        ids=["vit", "efficientnet", "frozen", "recomputed"],
    )
    def test_with_encoders_of_timm_s_and_every_way_to_train_them(self, encoder: Any) -> None:
        mode = FakeTensorMode()
        real = encoder()  # timm reads values while it builds a network
        with FakeCopyMode(mode):
            without_values = copy.deepcopy(real)
        with mode:
            network = Joint(without_values, OUTPUTS, skip="all")
            fake_step(network, "semseg_loss=hard_pixels", "loss=gradient_matching")

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    @pytest.mark.parametrize("weighting", ["famo"])
    def test_and_nothing_crosses_between_devices(self, architecture: str, weighting: str, no_update: None) -> None:
        """Resizing is done as on a GPU here, by products, which tensors without values above are not."""
        with torch.device("meta"):
            network = ARCHITECTURES[architecture](ResNetEncoder("resnet18"))
            fake_step(network, f"task_weights={weighting}", clip_norm=1.0, precision=OnMeta("fp32"), watched=OneDevice)

    def test_what_crosses_is_noticed(self, no_update: None) -> None:
        with torch.device("meta"):
            network = Shallow()
            network.waits = lambda x: x * torch.zeros((), device="cpu")
            with pytest.raises(AssertionError, match="is on"):
                fake_step(network, precision=OnMeta("fp32"), watched=OneDevice)

    @pytest.mark.parametrize(
        ("weighting", "loss", "clip_norm"),
        [
            *itertools.product(["equal", "famo", "cagrad"], options("loss"), [1.0]),
            *itertools.product(WEIGHTINGS, ["l2"], [1.0, None]),
        ],
    )
    def test_with_every_loss_and_weighting(self, weighting: str, loss: str, clip_norm: float | None) -> None:
        """Every loss with one weighting of each kind, and every weighting with one loss, of which it sees a scalar."""
        with FakeTensorMode():
            network = Shallow()
            fake_step(network, f"task_weights={weighting}", f"loss={loss}", clip_norm=clip_norm)

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize("depth_norm", options("depth_norm"))
    def test_with_every_optimiser_and_depth_normalisation(self, depth_norm: str, optimizer: str) -> None:
        with FakeTensorMode():
            fake_step(Shallow(), f"optimizer={optimizer}", f"depth_norm={depth_norm}", "loss=silog")

    def test_with_an_average_of_the_weights(self) -> None:
        network: Any = Shallow()
        average = MovingAverage(network, 0.9)
        with FakeTensorMode(allow_non_fake_inputs=True), NothingFromTheHost():
            average.update(network)
        with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(Exception, match="_local_scalar_dense"):
            float(average.updates)

    @pytest.mark.parametrize(
        "waits",
        [
            lambda x: x * x.sum().item(),
            lambda x: x[x > 0.5],
            lambda x: x * float(x.mean()),
            lambda x: x * torch.tensor(2.0),
            lambda x: x if x.sum() > 0 else -x,
        ],
        ids=["item", "boolean index", "float", "host value", "decision"],
    )
    def test_what_would_wait_is_noticed(self, waits: Callable[[torch.Tensor], torch.Tensor]) -> None:
        with FakeTensorMode():
            network = Shallow()
            network.waits = waits
            with pytest.raises(Exception, match=r"_local_scalar_dense|nonzero|host values"):
                fake_step(network)


class Shallow(torch.nn.Module):
    """A convolution for both tasks with batch normalisation."""

    tasks = ("semseg", "depth")

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 20, 1), torch.nn.BatchNorm2d(20))
        self.waits: Callable[[torch.Tensor], Any] = lambda _: None

    def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        out = self.layers(image)
        self.waits(out)
        return {"semseg": [out[:, :19]], "depth": [out[:, 19:]]}


@pytest.mark.cuda
@needs_cuda
class TestOnCuda:
    @pytest.fixture(autouse=True)
    def repeatable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Gradients of weights are else added up in any order."""
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)

    @pytest.mark.parametrize("weighting", WEIGHTINGS)
    def test_captured_and_eager_fp32_have_the_same_losses_for_50_steps(self, weighting: str) -> None:
        eager, graphed = pair(weighting, device="cuda", clip_norm=1.0)
        for step in (eager, graphed.step):
            step.average = MovingAverage(step.network, 0.9)
        for number in range(50):
            expected = eager(batch(number, "cuda"), RATE / 8)
            replayed = graphed(batch(number, "cuda"), RATE / 8)
            for task in expected:
                torch.testing.assert_close(replayed[task], expected[task], rtol=1e-4, atol=1e-5)
        assert_same_state(eager, graphed, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_every_optimiser_is_captured(self, optimizer: str) -> None:
        eager, graphed = pair("equal", optimizer, device="cuda")
        for number in range(10):
            expected = eager(batch(number, "cuda"), RATE / 2**number)
            replayed = graphed(batch(number, "cuda"), RATE / 2**number)
        for task in expected:
            torch.testing.assert_close(replayed[task], expected[task], rtol=1e-4, atol=1e-5)

    def test_the_host_never_waits_for_a_replay(self) -> None:
        _, graphed = pair("famo", device="cuda")
        batches = [batch(number, "cuda") for number in range(3)]
        graphed(batches[0], RATE)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for data in batches:
                graphed(data, RATE)
        finally:
            torch.cuda.set_sync_debug_mode("default")
