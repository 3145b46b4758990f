"""Long runs: what grows with the steps is the record alone, and with the trials nothing that stays in the process."""

import gc
import shutil
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import psutil
import torch
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet
from torch import Tensor, nn

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.records.record import Record
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.scoring.scores import Scores
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.task import Measured
from mtl_seg_depth.training.keeper import Keeper
from mtl_seg_depth.training.loop import Plan, Training
from mtl_seg_depth.training.step import Step
from mtl_seg_depth.weighting.fixed import Fixed

CPU = torch.device("cpu")


class Usage:
    """What this process holds at a moment."""

    def __init__(self) -> None:
        gc.collect()
        process = psutil.Process()
        self.mebibytes = process.memory_info().rss / 2**20
        self.files = process.num_fds()
        self.threads = threading.active_count()


class OneConvolution(nn.Module):
    """As small as a network gets."""

    tasks = ("depth",)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        return {"depth": [self.layer(image)]}


class Batches:
    steps_per_epoch = 100
    batch_size = 2

    def __getitem__(self, step: int) -> Batch:
        image = torch.full((2, 3, 8, 8), step % 7 / 7)
        return Batch(image, {"depth": image[:, :1] * 3}, [0, 1])


def test_a_training_of_many_steps_holds_no_more_in_the_end_than_in_the_beginning(
    tmp_path: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    steps, parts = extent(400, 20_000), 10
    network = OneConvolution()
    step = Step(
        network,  # type: ignore[arg-type]
        {"depth": nn.MSELoss()},
        Fixed(semseg=0.0, depth=1.0, tasks=("depth",), steps_per_epoch=Batches.steps_per_epoch),
        torch.optim.Adam(network.parameters()),
        Precision("fp32"),
    )
    usages: list[Usage] = []
    moments: list[float] = []
    sizes: list[int] = []
    validations: list[int] = []

    def on_validation(number: int, scores: Scores, is_best: bool) -> None:
        validations.append(number)
        if number % (steps // parts) == 0:
            usages.append(Usage())
            sizes.append((tmp_path / "metrics.jsonl").stat().st_size)
            moments.append(time.process_time())

    training = Training(
        step,
        step,
        Batches(),  # type: ignore[arg-type]
        lambda _: 1e-3,  # type: ignore[arg-type]
        lambda: Scores({"depth": Measured(50.0)}),
        Plan(steps=steps, validate_every=steps // 200 or 1, log_every=20, save_every_seconds=1.0),
        Record(tmp_path),
        Keeper(tmp_path, {"fingerprint": "soak"}, {}),
        (SimpleNamespace(on_losses=lambda *_: None, on_validation=on_validation),),  # type: ignore[arg-type]
    )
    moments.append(time.process_time())
    assert training.run() == "finished"
    assert len(usages) == parts
    second, last = usages[1], usages[-1]
    assert last.mebibytes - second.mebibytes < 30
    assert (last.files, last.threads) == (second.files, second.threads)
    grown = [after - before for before, after in pairwise([0, *sizes])]
    assert max(grown) < 1.2 * min(grown)
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "last.pt", "last.previous.pt", "best.pt"}
    seconds = [after - before for before, after in pairwise(moments)]
    observed(
        "in a long training memory, handles, threads and the record's growth are flat",
        steps=steps,
        validations=len(validations),
        mebibytes_grown=round(last.mebibytes - second.mebibytes, 1),
        handles_grown=last.files - second.files,
        threads_grown=last.threads - second.threads,
        record_bytes_per_step=round(sizes[-1] / steps, 1),
        cpu_milliseconds_per_step_first_tenth=round(1000 * seconds[0] * parts / steps, 3),
        cpu_milliseconds_per_step_last_tenth=round(1000 * seconds[-1] * parts / steps, 3),
    )


def test_many_trials_in_one_process_leave_nothing_in_it(
    tmp_path: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    trials = extent(3, 100)
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    database = tmp_path / "mlflow.db"
    overrides = ["schedule.max_steps=1", f"tracking.uri=sqlite:///{database}", "tracking.panels=1"]
    usages, sizes, seconds = [], [], []
    settings = tiny(tmp_path, *overrides, "tracking.checkpoint=false", "tracking.system_metrics=false")
    for seed in range(trials):
        began = time.monotonic()
        result = run(settings.model_copy(update={"seed": seed}), quiet())
        assert result.status == "finished"
        shutil.rmtree(result.folder)
        usages.append(Usage())
        sizes.append(database.stat().st_size)
        seconds.append(time.monotonic() - began)
    warm, last = usages[trials // 5], usages[-1]
    assert last.files <= warm.files
    assert last.threads <= warm.threads
    assert last.mebibytes - warm.mebibytes < 100
    assert (sizes[-1] - sizes[0]) / (trials - 1) < 200_000
    tenth = max(1, trials // 10)
    observed(
        "many trials in one process leave no memory, handle or thread behind",
        trials=trials,
        mebibytes_grown=round(last.mebibytes - warm.mebibytes, 1),
        handles_grown=last.files - warm.files,
        threads_grown=last.threads - warm.threads,
        database_bytes_per_trial=round((sizes[-1] - sizes[0]) / (trials - 1)),
        seconds_per_trial_first_tenth=round(sum(seconds[1 : tenth + 1]) / tenth, 2),
        seconds_per_trial_last_tenth=round(sum(seconds[-tenth:]) / tenth, 2),
    )
