"""The files of a run as typed models: what is written is read back, and what is wrong is named."""

import json
from pathlib import Path

from mtl_seg_depth.records.results import Cost, RunResult, other_data
from mtl_seg_depth.system.stored import read, write

RESULT = RunResult(
    status="diverged",
    fingerprint="0123456789abcdef",
    checkpoint=None,
    steps=3,
    best_step=0,
    best={},
    last={"val/depth": float("inf")},
    cost=Cost(
        seconds=1.5, data_share=0.5, images_per_second=2.0, parameters=7, peak_memory_bytes=8, peak_memory_share=0.25,
        memory="0.00 GiB at most, 25.0% of the machine's memory", device="CPU",
    ),
    data={"train": "aa", "val": "bb"},
)  # fmt: skip


def test_what_is_written_is_read_back_and_a_newer_key_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write(path, RESULT)
    content = json.loads(path.read_text())
    assert "folder" not in content
    assert content["cost"]["device"] == "CPU"
    assert read(path, RunResult) == RESULT
    path.write_text(json.dumps({**content, "newer": 1, "cost": {**content["cost"], "newer": 1}}))
    assert read(path, RunResult) == RESULT


def test_a_digest_that_is_not_known_counts_as_equal() -> None:
    assert other_data({"train": "a", "val": "b"}, {"train": "a", "val": "c"})
    assert not other_data({"train": "a"}, {"train": "a", "val": "c"})
    assert not other_data({}, {"train": "a"})
