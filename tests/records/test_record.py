import json
import math
import os
import random
import tracemalloc
from pathlib import Path

import pytest

from mtl_seg_depth.records.record import Record
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError

CARD = {"name": "joint 0", "fingerprint": "ab12", "experiment": "baseline"}


def steps(record: Record) -> list[tuple[int, dict[str, float]]]:
    return [(point.step, point.metrics) for point in record.points()]


def test_points_come_back_in_order_with_every_value(tmp_path):
    record = Record(tmp_path / "new" / "run")
    record.log(2, {"train/loss": 0.1 + 0.2})
    record.log(1, {"val/miou": math.inf, "val/rmse": -math.inf})
    record.log(3, {"train/loss": math.nan})
    first, second, third = record.points()
    assert (first.step, first.metrics) == (2, {"train/loss": 0.1 + 0.2})
    assert (second.step, second.metrics) == (1, {"val/miou": math.inf, "val/rmse": -math.inf})
    assert third.step == 3
    assert math.isnan(third.metrics["train/loss"])
    assert 1.7e12 < first.time <= second.time <= third.time < 1e13


def test_a_torn_last_line_is_cut_off_and_logged_again(tmp_path):
    record = Record(tmp_path)
    record.log(1, {"loss": 1.0})
    record.log(2, {"loss": 2.0})
    record.close()
    path = tmp_path / "metrics.jsonl"
    for kept in range(len(path.read_bytes().splitlines(keepends=True)[1])):
        whole = path.read_bytes()
        first = whole.index(b"\n") + 1
        path.write_bytes(whole[: first + kept])
        record = Record(tmp_path)
        assert steps(record) == [(1, {"loss": 1.0})]
        record.log(2, {"loss": 2.0})
        assert steps(record) == [(1, {"loss": 1.0}), (2, {"loss": 2.0})]
        record.close()


def test_what_is_logged_again_after_a_resume_stays_as_it_was_first(tmp_path):
    record = Record(tmp_path)
    record.log(1, {"loss": 1.0})
    record.log(1, {"loss": 8.0})
    record.log(1, {"val/miou": 0.5})
    record.close()
    before = (tmp_path / "metrics.jsonl").read_bytes()
    record = Record(tmp_path)
    record.log(1, {"loss": 9.0})
    record.log(1, {"val/miou": 0.6})
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    record.log(2, {"loss": 3.0})
    assert steps(record) == [(1, {"loss": 1.0}), (1, {"val/miou": 0.5}), (2, {"loss": 3.0})]


def test_no_point_is_kept_twice_in_whatever_order_and_however_often_a_record_is_opened(tmp_path, extent, observed):
    chance = random.Random(0)
    cases, points = extent(60, 2000), 0
    for case in range(cases):
        folder = tmp_path / str(case)
        record, expected, step = Record(folder), {}, 0
        for _ in range(chance.randint(5, 40)):
            if chance.random() < 0.2:
                record.close()
                record = Record(folder)
            if chance.random() < 0.2:  # an older checkpoint, an evaluation of the best step, a row that ends late
                step = chance.randint(0, step)
            names = chance.choice([("loss",), ("loss", "val"), ("val",)])
            values = dict.fromkeys(names, chance.random())
            record.log(step, values)
            expected.setdefault((step, names), values)
            step += chance.choice([0, 1, 3])
        assert {(at, tuple(metrics)): metrics for at, metrics in steps(record)} == expected
        assert len(steps(record)) == len(expected)
        points += len(expected)
        record.close()
    observed("a record holds no point twice, in whatever order it is written", cases=cases, points=points, twice=0)


def test_a_record_takes_no_more_memory_the_longer_it_is(tmp_path, extent):
    record, count = Record(tmp_path), extent(4000, 50_000)

    def log(first: int) -> None:
        for step in range(first, first + count):
            record.log(step, {"train/loss/semseg": 1.0, "train/loss/depth": 2.0, "train/epoch": 3.0})

    log(0)
    tracemalloc.start()
    log(count)
    reopened = Record(tmp_path)
    reopened.log(2 * count, {"train/loss/depth": 1.0})
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000
    assert peak < 1_000_000
    assert sum(1 for _ in reopened.points()) == 2 * count + 1


def test_a_torn_line_is_cut_off_however_long_the_lines_are(tmp_path):
    record = Record(tmp_path)
    values = {f"{'x' * 200}/{i}": 1.0 for i in range(400)}
    record.log(1, values)
    record.log(2, values)
    record.close()
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    for kept in (whole.index(b"\n") + 1 + (1 << 16), len(whole) - 1, whole.index(b"\n") + 1, 1 << 16):
        path.write_bytes(whole[:kept])
        assert len(steps(Record(tmp_path))) == (kept > whole.index(b"\n"))


@pytest.mark.parametrize(
    "name", ["a[0]", "a(b)", "a+b", "a@b", "50%", "a<b", "/a", "a//b", "a/", "../a", "", "x" * 251]
)
def test_names_that_mlflow_refuses_are_refused_at_once(tmp_path, name):
    record = Record(tmp_path)
    with pytest.raises(ValueError, match="cannot name a metric"):
        record.log(1, {"loss": 1.0, name: 1.0})
    with pytest.raises(ValueError, match="cannot name a metric"):
        record.start(**CARD, params={name: "1"}, tags={})
    assert steps(record) == []
    assert not (tmp_path / "run.json").exists()


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "time": 1, "metrics": {}}\n{"step": \n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2"):
        Record(tmp_path)


def test_a_full_disk_is_not_silent(tmp_path, monkeypatch):
    record = Record(tmp_path)
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(OSError, match="no room"):
        record.log(1, {"loss": 1.0})


def test_the_identity_card_keeps_the_first_start(tmp_path):
    record = Record(tmp_path)
    record.start(**CARD, params={"lr": "0.1"}, tags={"git": "aaa"})
    card = json.loads((tmp_path / "run.json").read_text())
    rest = {"parent": None, "data": {}, "params": {"lr": "0.1"}, "tags": {"git": "aaa"}, "command": "", "user": ""}
    assert card == {**CARD, "started": card["started"], **rest}
    atomic.write_json(tmp_path / "run.json", {**card, "started": 5})
    record.start(**CARD, params={"lr": "0.1"}, tags={"git": "bbb"})
    assert json.loads((tmp_path / "run.json").read_text()) == {**card, "started": 5, "tags": {"git": "bbb"}}


def test_the_identity_card_keeps_the_sweep_that_the_run_began_in(tmp_path):
    record = Record(tmp_path / "run")
    for parent in (tmp_path / "sweeps" / "first", tmp_path / "sweeps" / "second", None):
        record.start(**CARD, params={}, tags={}, parent=parent)
        assert json.loads((tmp_path / "run" / "run.json").read_text())["parent"] == "../sweeps/first"


def test_artifact_path_creates_the_folders_above(tmp_path):
    path = Record(tmp_path).artifact_path("panels/epoch_003.png")
    path.write_bytes(b"png")
    assert path == tmp_path / "artifacts" / "panels" / "epoch_003.png"


def test_after_close_nothing_is_logged(tmp_path):
    record = Record(tmp_path)
    record.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        record.log(1, {"loss": 1.0})


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "best.pt"
    atomic.write_bytes(path, b"old")

    def interrupted(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic.replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".pt"
        interrupted(temporary)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_replacement_is_seen_only_when_whole(tmp_path):
    path = tmp_path / "result.json"
    with atomic.replacing(path) as temporary:
        temporary.write_text("{}")
        assert not path.exists()
    assert path.read_text() == "{}"
    atomic.write_json(path, {"miou": 0.5})
    assert json.loads(path.read_text()) == {"miou": 0.5}
    atomic.write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    assert list(tmp_path.iterdir()) == [path]
