"""The files of a run as typed models: what is written is read back, and what is wrong is named."""

import json
from pathlib import Path

import pytest

from mtl_seg_depth.records import results
from mtl_seg_depth.records.results import Card, Cost, RunResult, other_data, read, write
from mtl_seg_depth.system.errors import UserError

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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "result.json is damaged: Expecting value"),
        ("{" * 100_000, "result.json is damaged: "),
        ("[1]", "result.json is damaged, or not ours: Input should be a valid dictionary"),
        ('{"status": "diverged"}', "result.json is damaged, or not ours: fingerprint: Field required"),
        ('{"status": "over"}', "result.json is damaged, or not ours: status: Input should be 'finished'"),
        (b"\xff\xfe", "result.json is damaged: 'utf-8'"),
    ],
)
def test_a_file_of_a_wrong_shape_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=f"{tmp_path}/{message}"):
        read(path, RunResult)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"name": "x" * 100}))
    monkeypatch.setattr(results, "LARGEST", 50)
    with pytest.raises(UserError, match=r"run\.json: \d+ bytes are more than any Card of ours has"):
        read(tmp_path / "run.json", Card)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "nothing.json", Card)


def test_a_digest_that_is_not_known_counts_as_equal() -> None:
    assert other_data({"train": "a", "val": "b"}, {"train": "a", "val": "c"})
    assert not other_data({"train": "a"}, {"train": "a", "val": "c"})
    assert not other_data({}, {"train": "a"})
