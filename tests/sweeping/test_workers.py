"""What every worker gets of the machine, and what is seen of them all while they work."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from mtl_seg_depth.records.record import Record
from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.sweeping.workers import gpu_of, view


@pytest.mark.parametrize(
    ("visible", "there", "expected"),
    [
        (None, 0, [None, None, None]),
        (None, 1, [None, None, None]),
        (None, 2, ["0", "1", "0"]),
        ("", 0, [None, None, None]),
        ("3", 1, [None, None, None]),
        ("3,1", 2, ["3", "1", "3"]),
        ("GPU-8f,GPU-2a,GPU-00", 3, ["GPU-8f", "GPU-2a", "GPU-00"]),
    ],
)
def test_each_worker_has_a_gpu_of_its_own_of_those_that_may_be_used(
    visible: str | None, there: int, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu_of(worker).get("CUDA_VISIBLE_DEVICES") for worker in range(3)] == expected


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
