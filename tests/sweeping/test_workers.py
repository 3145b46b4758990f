"""What every worker gets of the machine, and what is seen of them all while they work."""

import signal
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from mtl_seg_depth.records.record import Record
from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.sweeping import local_workers
from mtl_seg_depth.sweeping.gpus import shares
from mtl_seg_depth.sweeping.local_workers import LocalWorkers
from mtl_seg_depth.sweeping.workers import UNSEEN, Ends, deaths, view
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import AGAIN


@pytest.mark.parametrize(
    ("visible", "there", "each", "per_gpu", "expected"),
    [
        (None, 0, 1, 1, [None, None]),
        (None, 2, 1, 1, ["0", "1"]),
        ("", 2, 1, 1, [None, None]),
        ("-1", 2, 1, 1, [None, None]),
        ("3,1", 2, 1, 1, ["3", "1"]),
        ("3,1,-1,0", 3, 1, 1, ["3", "1"]),
        ("GPU-8f,GPU-2a,GPU-00", 3, 1, 1, ["GPU-8f", "GPU-2a"]),
        (None, 4, 2, 1, ["0,1", "2,3"]),
        (None, 1, 1, 2, ["0", "0"]),
        (None, 2, 1, 3, ["0", "1"]),
    ],
)
def test_each_worker_has_gpus_of_its_own_of_those_that_may_be_used(
    visible: str | None,
    there: int,
    each: int,
    per_gpu: int,
    expected: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [one.get("CUDA_VISIBLE_DEVICES") for one in shares(2, each=each, per_gpu=per_gpu)] == expected


@pytest.mark.parametrize(
    ("workers", "each", "per_gpu", "told"),
    [
        (3, 1, 1, "n_jobs=3: there are 2 GPUs here, for a worker each; hydra.sweeper.workers_per_gpu=2"),
        (5, 1, 2, "workers_per_gpu=3 lets 3 of them share one"),
        (2, 2, 1, "n_jobs=2 with hydra.sweeper.gpus_per_trial=2: there are 2 GPUs here"),
        (1, 2, 2, "workers_per_gpu=2: trials of 2 GPUs have those to themselves"),
    ],
)
def test_more_workers_than_gpus_are_refused_unless_they_are_to_share(
    workers: int, each: int, per_gpu: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(UserError, match=r"hydra\.sweeper") as refused:
        shares(workers, each=each, per_gpu=per_gpu)
    assert told in str(refused.value)


SEEN = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])"


def test_two_workers_on_two_gpus_see_one_each_and_half_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPUs are names alone, and the workers say what they see."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8f,GPU-2a")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", SEEN])
    monkeypatch.setattr(local_workers, "usable_cores", lambda: 6)
    workers = LocalWorkers(tmp_path, shares(2))
    assert workers.close() == [0, 0]
    assert (tmp_path / "worker_0.log").read_text() == "GPU-8f 3\n"
    assert (tmp_path / "worker_1.log").read_text() == "GPU-2a 3\n"
    assert not torch.cuda.is_initialized()


def test_a_worker_that_the_memory_limit_ends_is_told_as_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
    workers = LocalWorkers(tmp_path, [{}])
    (told,) = deaths(Ends(workers.close()), tmp_path)
    assert told.startswith("worker 0 was killed (SIGKILL)")
    assert told.endswith(str(tmp_path / "worker_0.log"))


def test_every_death_of_a_worker_is_told_with_its_signal_and_its_log(tmp_path: Path) -> None:
    ends = Ends([0, 1, AGAIN, -signal.SIGTERM, 143, -signal.SIGKILL, 137, -signal.SIGSEGV, 3, UNSEEN, -53])
    told = dict(enumerate(deaths(ends, tmp_path)))
    log = [f"{tmp_path}/worker_{number}.log" for number in range(len(ends.codes))]
    assert list(told.values()) == [
        f"worker 5 was killed (SIGKILL), as systems do for want of memory; how far it came: {log[5]}",
        f"worker 6 was killed (SIGKILL), as systems do for want of memory; how far it came: {log[6]}",
        f"worker 7 was ended by SIGSEGV; {log[7]} may say why",
        f"worker 8 ended with exit code 3; {log[8]} says why",
        f"worker 9 does not see {tmp_path}: workers and outputs need a file system that all nodes share",
        f"worker 10 does not see {tmp_path}: workers and outputs need a file system that all nodes share",
    ]


def test_the_live_view_has_the_trials_that_run_and_keeps_those_that_are_over(tmp_path: Path) -> None:
    with_record = tmp_path / "begun"
    with_record.mkdir()
    record = Record(with_record)
    record.start(name="x", fingerprint="", experiment="", params={"steps": "40"}, tags={})
    record.log(20, {"train/images_per_second": 12.3})
    record.log(20, {"val/multitask": 0.0, "val/semseg": 31.234, "val/depth": 40.5})
    record.close()
    scores = {"multitask": 0.0, "semseg": 20.0, "depth": 50.0}
    rows = [
        {"number": 0, "label": "loss=l1", "state": "running", "folder": "begun"},
        {"number": 1, "label": "loss=l2", "state": "running"},
        {"number": 2, "label": "loss=berhu", "state": "pruned", "runs": [{"seed": 0, "status": "", "scores": scores}]},
        {"number": 3, "label": "loss=huber", "state": "waiting"},
    ]
    times = {"started": 0, "updated": 0, "objective": ["multitask"], "directions": ["maximize"]}
    described = SweepRecord.model_validate({"study": "a-sweep", "kind": "grid", "rows": rows, **times})
    console = Console(width=80)
    with console.capture() as captured:
        console.print(view(described, tmp_path))
    lines = [line.split() for line in captured.get().splitlines()]
    assert lines[0][:5] == ["a-sweep:", "1", "pruned,", "2", "running,"]
    assert [lines[2][0], *lines[2][-4:]] == ["loss=l1", "20/40", "31.23", "40.50", "12"]
    assert lines[3] == ["loss=l2", "starting"]
    assert lines[4] == ["loss=berhu", "pruned", "20.00", "50.00"]
    assert len(lines) == 5
