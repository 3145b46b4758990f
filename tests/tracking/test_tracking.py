import base64
import http.server
import json
import math
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from filelock import FileLock
from mlflow import MlflowClient
from PIL import Image

from mtl_seg_depth.records.record import Record, read_points
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking import Mirror, absolute_uri, mirror_once, mirror_rest, prepare_store
from mtl_seg_depth.tracking import mirror as mirror_module
from mtl_seg_depth.tracking.__main__ import main
from mtl_seg_depth.tracking.sender import Sender
from mtl_seg_depth.tracking.system import SystemSampler

NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once


@pytest.fixture
def uri(tmp_path, fresh_database):
    path = tmp_path / "store" / "mlflow.db"
    path.parent.mkdir()
    path.write_bytes(fresh_database.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def record(tmp_path):
    return started(tmp_path / "run")


def started(folder: Path) -> Record:
    record = Record(folder)
    params = {"model": "joint", "lr": "0.1", "long": "x" * 7000}
    record.start(
        name="joint 0", fingerprint="ab12", experiment="base/line", params=params, tags={"git": "abc", "data": "tiny"}
    )
    return record


def finish(record: Record, status: str = "finished") -> None:
    atomic.write_json(record.folder / "result.json", {"status": status})


def runs(uri: str, experiment: str = "base/line"):
    client = MlflowClient(uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def runs_exist(uri: str) -> bool:
    return MlflowClient(uri).get_experiment_by_name("base/line") is not None and bool(runs(uri))


def the_run(uri: str):
    (run,) = runs(uri)
    return run


def history(uri: str, name: str) -> list[tuple[int, float, int]]:
    points = MlflowClient(uri).get_metric_history(the_run(uri).info.run_id, name)
    return sorted((point.step, point.value, point.timestamp) for point in points)


def recorded(record: Record, name: str) -> list[tuple[int, float, int]]:
    return [(point.step, point.metrics[name], point.time) for point in record.points() if name in point.metrics]


def rows(uri: str) -> int:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        return database.execute("select count(*) from metrics").fetchone()[0]


def wait_until(condition, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_everything_in_the_folder_arrives(record, uri, tmp_path):
    with Mirror(record.folder, uri, interval_s=0.05, system_metrics=False):
        for step in range(300):
            record.log(step, {f"train/{name}": step + 0.1 for name in "abcde"})
        record.log(300, {"val/multitask": 0.25})
        record.artifact_path("panels/epoch_003.png").write_bytes(b"png")
        record.artifact_path(".half.tmp").write_bytes(b"half")
        (record.folder / "best.pt").write_bytes(b"weights")
        finish(record)
    run = the_run(uri)
    assert (run.info.status, run.info.run_name, run.data.tags["status"]) == ("FINISHED", "joint 0", "finished")
    assert run.info.start_time == json.loads((record.folder / "run.json").read_text())["started"]
    assert run.info.end_time == (record.folder / "result.json").stat().st_mtime_ns // 1_000_000
    assert run.data.params == {"model": "joint", "lr": "0.1", "long": "x" * 5999 + "…"}
    assert run.data.tags["git"] == "abc"
    assert run.data.tags["data"] == "tiny"
    assert run.data.metrics["val/multitask"] == 0.25
    for name in "abcde":
        assert history(uri, f"train/{name}") == recorded(record, f"train/{name}")
    stored = Path(run.info.artifact_uri.removeprefix("file://"))
    assert stored.is_relative_to(tmp_path / "store" / "mlartifacts")
    files = {str(path.relative_to(stored)): path.read_bytes() for path in stored.rglob("*") if path.is_file()}
    assert files == {"panels/epoch_003.png": b"png", "best.pt": b"weights"}
    state = json.loads((record.folder / "mlflow.json").read_text())
    assert state["run_id"] == run.info.run_id
    assert state["experiment_id"] == run.info.experiment_id
    assert state["tracking_uri"] == uri
    assert state["finished"] is True
    assert state["sent"] == {"metrics.jsonl": (record.folder / "metrics.jsonl").stat().st_size}


def test_points_arrive_while_the_training_runs(record, uri):
    record.log(1, {"loss": 1.0})
    with Mirror(record.folder, uri, interval_s=0.05, system_metrics=False):
        wait_until(lambda: rows(uri) == 1)
        assert the_run(uri).info.status == "RUNNING"
        with (record.folder / "metrics.jsonl").open("ab") as file:  # a line on its way is left alone
            file.write(b'{"step": 2, "time": 7, ')
            file.flush()
            time.sleep(0.3)
            file.write(b'"metrics": {"loss": 2.0}}\n')
        wait_until(lambda: rows(uri) == 2)
        assert history(uri, "loss")[1] == (2, 2.0, 7)


def test_values_that_are_not_finite_arrive_once(record, uri):
    record.log(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.1})
    mirror_once(record.folder, uri)
    forget(record)
    mirror_once(record.folder, uri)
    assert rows(uri) == 4
    assert math.isnan(history(uri, "a")[0][1])
    assert history(uri, "b")[0][1] == sys.float_info.max
    assert history(uri, "c")[0][1] == -sys.float_info.max
    assert history(uri, "d")[0][1] == 0.1


def test_points_are_there_when_they_are_noted_as_sent_whatever_the_environment_says(record, uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    asked = []
    log_batch = MlflowClient.log_batch

    def watched(*args, **kwargs):
        asked.append(kwargs.get("synchronous"))
        return log_batch(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", watched)
    record.log(1, {"a": 0.5})
    mirror_once(record.folder, uri)
    assert rows(uri) == 1
    assert asked
    assert all(asked)


def forget(record: Record) -> None:
    """As after a kill between sending and noting it."""
    path = record.folder / "mlflow.json"
    atomic.write_json(path, {**json.loads(path.read_text()), "sent": {}, "artifacts": {}})


def test_a_kill_between_sending_and_noting_it_duplicates_nothing(record, uri):
    for step in range(1200):
        record.log(step, {"loss": 1 / (step + 1), "lr": 0.1})
    mirror_once(record.folder, uri)
    assert rows(uri) == 2400
    forget(record)
    record.log(1200, {"loss": 0.5, "lr": 0.1})
    mirror_once(record.folder, uri)
    assert rows(uri) == 2402
    assert history(uri, "loss") == recorded(record, "loss")


def test_a_kill_after_creating_the_run_creates_no_second(record, uri):
    mirror_once(record.folder, uri)
    path = record.folder / "mlflow.json"
    atomic.write_json(path, {**json.loads(path.read_text()), "run_id": "", "experiment_id": ""})
    mirror_once(record.folder, uri)
    assert len(runs(uri)) == 1


def test_a_resumed_training_continues_its_run(record, uri):
    record.log(1, {"loss": 1.0})
    record.artifact_path("a.txt").write_text("first")
    finish(record, "interrupted")
    with Mirror(record.folder, uri, interval_s=0.05, system_metrics=False):
        pass
    first = the_run(uri)
    assert (first.info.status, first.data.tags["status"]) == ("KILLED", "interrupted")
    record.close()
    (record.folder / "result.json").unlink()

    record = Record(record.folder)
    params = {"model": "joint", "lr": "0.2", "workers": "8"}
    record.start(name="joint 0", fingerprint="ab12", experiment="base/line", params=params, tags={"git": "def"})
    record.log(1, {"loss": 1.5})
    with Mirror(record.folder, uri, interval_s=0.05, system_metrics=False):
        wait_until(lambda: the_run(uri).info.status == "RUNNING")
        record.log(2, {"loss": 2.0})
        record.artifact_path("a.txt").write_text("second")
        finish(record)
    second = the_run(uri)
    assert second.info.run_id == first.info.run_id
    assert second.info.status == "FINISHED"
    assert second.data.tags["git"] == "def"
    assert second.data.params == {**first.data.params, "workers": "8"}  # what was sent first stands
    assert [(step, value) for step, value, _ in history(uri, "loss")] == [(1, 1.0), (2, 2.0)]
    assert Path(second.info.artifact_uri.removeprefix("file://"), "a.txt").read_text() == "second"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("finished", "FINISHED"),
        ("diverged", "FINISHED"),
        ("pruned", "KILLED"),
        ("failed", "FAILED"),
        ("interrupted", "KILLED"),
        (None, "KILLED"),
    ],
)
def test_the_final_status(record, uri, status, expected):
    (record.folder / "best.pt").write_bytes(b"weights")
    if status:
        finish(record, status)
    mirror_once(record.folder, uri)
    run = the_run(uri)
    assert run.info.status == expected
    assert run.data.tags["status"] == (status or "interrupted")
    sent = [file.path for file in MlflowClient(uri).list_artifacts(run.info.run_id)]
    assert sent == (["best.pt"] if expected == "FINISHED" else [])


SCORES = {
    "val/semseg": 31.0,
    "val/depth": 30.0,
    "val/multitask": 20.0,
    "val/iou/road": 80.0,
    "val/depth_errors/mae": 2.0,
}


def test_metrics_have_the_names_that_people_search_for_and_no_curve_has_a_twin(record, uri):
    record.log(4, {**SCORES, "train/loss/depth": 0.5, "best/multitask": 20.0, "best/step": 4})  # as once recorded
    record.log(
        8, {"val/semseg": 29.0, "val/depth": 33.0, "val/multitask": 17.0, "best/multitask": 20.0, "best/step": 4}
    )
    record.log(8, {"test_flip/semseg": 28.0})
    atomic.write_json(record.folder / "result.json", {"status": "finished", "best": SCORES, "best_step": 4})
    mirror_once(record.folder, uri)
    forget(record)
    mirror_once(record.folder, uri)
    assert the_run(uri).data.metrics == {
        **{"val/mIoU": 29.0, "val/SI-log": 33.0, "val/multitask": 17.0, "val/iou/road": 80.0},
        **{"val/depth_errors/mae": 2.0, "train/loss/depth": 0.5, "test_flip/mIoU": 28.0},
        **{"best/mIoU": 31.0, "best/SI-log": 30.0, "best/multitask": 20.0, "best/margin": 1.0, "best/step": 4.0},
        "best/depth_errors/mae": 2.0,
    }
    assert [step for step, _, _ in history(uri, "best/mIoU")] == [4]


def test_what_a_server_has_under_older_names_is_sent_again(record, uri):
    record.log(1, {"val/semseg": 30.0})
    mirror_once(record.folder, uri)
    path = record.folder / "mlflow.json"
    state = json.loads(path.read_text())
    del state["layout"]  # as files from before there were others
    atomic.write_json(path, state)
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        database.execute("delete from metrics")
    mirror_once(record.folder, uri)
    assert [value for _, value, _ in history(uri, "val/mIoU")] == [30.0]


def test_a_sweeps_own_metrics_stand_apart_from_its_runs(tmp_path, uri):
    record = Record(tmp_path / "sweep")
    record.start(name="s", fingerprint="", experiment="base/line", params={}, tags={"study": "s"})
    record.log(0, {"trial/multitask": 3.0, "trial/depth": 40.0})
    record.log(1, {"best/trial": 0, "best/multitask": 3.0})
    finish(record)
    mirror_once(record.folder, uri)
    names = {"sweep/trial/multitask", "sweep/trial/SI-log", "sweep/best/trial", "sweep/best/multitask"}
    assert set(the_run(uri).data.metrics) == names


def test_a_run_says_where_it_comes_from(tmp_path, uri):
    record = Record(tmp_path / "joint-ab12")
    record.start(
        name="n",
        fingerprint="ab12",
        experiment="base/line",
        params={"data": "streets"},
        tags={"git_commit": "c0ffee"},
        data={"train": "1" * 64, "val": "2" * 64},
        command="python train.py model=joint",
        user="anna",
    )
    mirror_once(record.folder, uri)
    run = the_run(uri)
    tags = run.data.tags
    assert tags["mlflow.source.name"] == "python train.py model=joint"
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert (tags["mlflow.user"], tags["folder"]) == ("anna", "joint-ab12")
    assert "python train.py model=joint" in tags["mlflow.note.content"]
    used = {each.tags[0].value: each.dataset for each in run.inputs.dataset_inputs}
    assert {context: (each.name, each.digest) for context, each in used.items()} == {
        "training": ("streets, train", "1" * 36),
        "validation": ("streets, val", "2" * 36),
    }
    MlflowClient(uri).set_tag(run.info.run_id, "mlflow.note.content", "mine")
    mirror_once(record.folder, uri)
    assert the_run(uri).data.tags["mlflow.note.content"] == "mine"
    assert len(the_run(uri).inputs.dataset_inputs) == 2


def test_panels_are_images_of_their_steps_and_what_is_no_image_a_file(record, uri):
    for step in (3, 6):
        Image.new("RGB", (4, 2)).save(record.artifact_path(f"panels/step_{step:06}.png"))
    record.artifact_path("panels/step_000009.png").write_bytes(b"no image")
    mirror_once(record.folder, uri)
    mirror_once(record.folder, uri)
    client, run = MlflowClient(uri), the_run(uri)
    images = [file.path for file in client.list_artifacts(run.info.run_id, "images") if file.path.endswith(".png")]
    assert sorted(int(path.split("+step+")[1].split("+")[0]) for path in images) == [3, 6]
    assert "mlflow.loggedImages" in run.data.tags
    assert [file.path for file in client.list_artifacts(run.info.run_id, "panels")] == ["panels/step_000009.png"]


def views(uri: str) -> dict[str, dict[str, Any]]:
    tags = MlflowClient(uri).get_experiment_by_name("base/line").tags
    prefix = "mlflow.sharedViewState."
    found = {key.removeprefix(prefix): json.loads(tags[key])["state"] for key in tags if key.startswith(prefix)}
    return {key: json.loads(zlib.decompress(base64.b64decode(state.split(";")[1]))) for key, state in found.items()}


def test_an_experiment_has_views_that_name_what_runs_have(record, uri):
    record.log(4, SCORES)
    atomic.write_json(record.folder / "result.json", {"status": "finished", "best": SCORES, "best_step": 4})
    mirror_once(record.folder, uri)
    metrics = the_run(uri).data.metrics
    assert set(views(uri)) == {"scores", "curves"}
    for view in views(uri).values():
        columns = [column.split("`")[1] for column in view["selectedColumns"] if column.startswith("metrics.`best")]
        assert set(columns) == {"best/mIoU", "best/SI-log", "best/multitask", "best/margin"} <= set(metrics)
        charts = [chart["metricKey"] for chart in view["compareRunCharts"]]
        assert charts == ["val/mIoU", "val/SI-log", "val/multitask"]
        assert set(charts) <= set(metrics)
    client = MlflowClient(uri)
    client.set_experiment_tag(the_run(uri).info.experiment_id, "mlflow.sharedViewState.scores", "of an older version")
    mirror_once(record.folder, uri)
    assert set(views(uri)) == {"scores", "curves"}


def test_best_pt_stays_at_home_when_told(record, uri):
    (record.folder / "best.pt").write_bytes(b"weights")
    finish(record)
    mirror_once(record.folder, uri, checkpoint=False)
    assert MlflowClient(uri).list_artifacts(the_run(uri).info.run_id) == []


def test_an_unknown_status_is_refused(record, uri):
    finish(record, "tired")
    with pytest.raises(UserError, match="tired"):
        mirror_once(record.folder, uri)


def test_an_unchanged_artifact_is_sent_once(record, uri, monkeypatch):
    sent = []
    log_artifact = MlflowClient.log_artifact
    monkeypatch.setattr(MlflowClient, "log_artifact", lambda *args: (sent.append(args[2]), log_artifact(*args)))
    path = record.artifact_path("a.txt")
    path.write_text("a")
    sender = Sender(record.folder, uri, checkpoint=True)
    sender.send()
    sender.send()
    assert sent == [str(path)]
    path.write_text("changed")
    sender.send()
    assert sent == [str(path)] * 2


class Broken(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500)

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *args):
        pass


@pytest.fixture
def broken_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_that_is_away_is_reported_once_and_costs_nothing(record, uri, caplog, capfd, monkeypatch):
    attempts = []
    send = Sender.send
    monkeypatch.setattr(Sender, "send", lambda sender: (attempts.append(1), send(sender))[1])
    mirror = Mirror(record.folder, NOWHERE, interval_s=0.02)
    mirror.start()
    record.log(1, {"loss": 1.0})
    wait_until(lambda: len(attempts) >= 4)
    finish(record)
    begin = time.monotonic()
    mirror.close()
    assert time.monotonic() - begin < 5
    messages = [entry.getMessage() for entry in caplog.records]
    assert len(messages) == 2
    refused = "[Errno 111] Connection refused"
    assert messages[0] == f"Tracking server {NOWHERE} is away ({refused}); the run goes on without."
    command = messages[1].partition("with: ")[2].split()
    assert command == ["python", "-m", "mtl_seg_depth.tracking", str(record.folder), "--tracking-uri", NOWHERE]
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""

    assert main([str(record.folder), "--tracking-uri", uri]) == 0
    assert history(uri, "loss") == recorded(record, "loss")
    assert any(name.startswith("system/") for name in the_run(uri).data.metrics)


def test_an_outage_between_batches_loses_only_the_batch(record, uri, monkeypatch):
    for step in range(800):
        record.log(step, {"loss": 1.0, "lr": 0.1, "grad": 2.0})
    log_batch = MlflowClient.log_batch
    sizes = []

    def failing_at_the_second(*args, metrics=(), **kwargs):
        sizes.append(len(metrics))
        if metrics and sum(size > 0 for size in sizes) == 2:
            raise ConnectionError("refused")
        log_batch(*args, metrics=metrics, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", failing_at_the_second)
    with pytest.raises(UserError, match="refused"):
        mirror_once(record.folder, uri)
    mirror_once(record.folder, uri)
    assert [size for size in sizes if size] == [999, 999, 999, 402]
    assert rows(uri) == 2400


def test_an_outage_in_the_middle_leaves_no_gap(record, uri, caplog, monkeypatch):
    log_batch = MlflowClient.log_batch
    away = threading.Event()

    def unreliable(*args, **kwargs):
        if away.is_set():
            raise ConnectionError("refused")
        log_batch(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", unreliable)
    with Mirror(record.folder, uri, interval_s=0.02, system_metrics=False):
        record.log(1, {"loss": 1.0})
        wait_until(lambda: rows(uri) == 1)
        away.set()
        record.log(2, {"loss": 2.0})
        wait_until(lambda: "is away" in caplog.text)
        record.log(3, {"loss": 3.0})
        away.clear()
        wait_until(lambda: rows(uri) == 3)
        finish(record)
    assert (caplog.text.count("is away"), caplog.text.count("is back")) == (1, 1)
    assert history(uri, "loss") == recorded(record, "loss")
    assert the_run(uri).info.status == "FINISHED"


def test_a_server_that_answers_500_is_away(record, broken_server, caplog):
    with pytest.raises(UserError, match=r"did not take it: .*500"):
        mirror_once(record.folder, broken_server)
    begin = time.monotonic()
    with Mirror(record.folder, broken_server, interval_s=0.02, system_metrics=False):
        wait_until(lambda: "is away" in caplog.text)
    assert time.monotonic() - begin < 5


def test_closing_has_less_patience_with_a_server_known_to_be_away(record, uri, monkeypatch):
    calls = []
    released = threading.Event()

    def hanging_from_the_second_time(sender):
        calls.append(1)
        if len(calls) > 1:
            released.wait(20)
        raise ConnectionError("refused")

    monkeypatch.setattr(mirror_module, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(Sender, "send", hanging_from_the_second_time)
    mirror = Mirror(record.folder, uri, interval_s=0.02, system_metrics=False)
    mirror.start()
    wait_until(lambda: len(calls) == 2)
    begin = time.monotonic()
    mirror.close()
    assert time.monotonic() - begin < 5
    released.set()
    mirror._thread.join()


def test_a_locked_database_is_away(record, uri, caplog):
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        database.execute("begin exclusive")
        mirror = Mirror(record.folder, uri, interval_s=0.02, system_metrics=False)
        mirror.start()
        record.log(1, {"loss": 1.0})
        mirror.close(timeout=0.5)
        assert "Nothing is lost" in caplog.text
        database.rollback()
    mirror._thread.join()
    mirror_once(record.folder, uri)
    assert history(uri, "loss") == recorded(record, "loss")


def test_closing_does_not_wait_for_a_server_that_never_answers(record, caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = Mirror(record.folder, f"http://127.0.0.1:{silent.getsockname()[1]}", system_metrics=False)
        mirror.start()
        wait_until(lambda: (record.folder / "mlflow.json").exists())
        begin = time.monotonic()
        mirror.close(timeout=0.5)
        assert time.monotonic() - begin < 1.5
        assert "Nothing is lost" in caplog.text
    mirror._thread.join()


def test_system_metrics_are_recorded_and_go_on_counting(record, uri, monkeypatch):
    monkeypatch.setattr(mirror_module, "_SAMPLE_EVERY_S", 0.05)
    name = "system/system_memory_usage_percentage"
    for expected in (2, 5):
        with Mirror(record.folder, uri, interval_s=0.02):
            wait_until(lambda enough=expected: runs_exist(uri) and len(history(uri, name)) >= enough)
        memory = history(uri, name)
        assert [step for step, _, _ in memory] == list(range(len(memory)))
        assert all(0 < value <= 100 for _, value, _ in memory)
        assert sorted(time for _, _, time in memory) == [time for _, _, time in memory]
    assert list(record.points()) == []


def test_samples_go_on_counting(tmp_path):
    for expected in ([0, 1], [0, 1, 2, 3]):
        sampler = SystemSampler(tmp_path)
        sampler.sample()
        sampler.sample()
        sampler.close()
        assert [point.step for point in read_points(tmp_path / "system.jsonl")] == expected
    with pytest.raises(OSError, match="Bad file descriptor"):
        sampler.sample()


class LostError(Exception):
    """As NVML's errors are: of a class of their own."""


@pytest.fixture
def nvml(monkeypatch):
    """NVML on a machine with two GPUs, as MLflow's monitor asks for them."""
    memory = SimpleNamespace(used=2e9, total=8e9)
    answers = {
        "NVMLError": LostError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}{handle}",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=memory.used * (1 + handle), total=memory.total),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=50),
        "nvmlDeviceGetPowerUsage": lambda handle: 100_000,
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 400_000,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    return monkeypatch


def sampled(folder: Path, **arguments) -> dict[str, float]:
    sampler = SystemSampler(folder, **arguments)
    sampler.sample()
    sampler.sample()
    sampler.close()
    return list(read_points(folder / "system.jsonl"))[-1].metrics


@pytest.mark.parametrize(
    ("gpu", "memory"), [("00", [25.0]), ("11", [50.0]), ("", []), (None, [25.0, 50.0]), ("22", [])]
)
def test_the_gpu_that_is_trained_on_is_sampled_and_no_other(tmp_path, nvml, gpu, memory):
    found = sampled(tmp_path, gpu=gpu)
    kept = [value for key, value in sorted(found.items()) if "gpu_" in key and key.endswith("memory_usage_percentage")]
    assert kept == memory
    assert "system/system_memory_usage_percentage" in found


@pytest.mark.parametrize(
    "refusing", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID"]
)
def test_a_driver_that_refuses_costs_its_own_metrics_and_nothing_else(tmp_path, nvml, refusing):
    def refuse(*_):
        raise LostError("GPU is lost")

    nvml.setattr(pynvml, refusing, refuse)
    found = sampled(tmp_path, gpu="00")
    assert "system/system_memory_usage_percentage" in found
    assert not any("gpu" in name for name in found)


@pytest.mark.parametrize("error", [ZeroDivisionError("limit"), OSError("no such disk"), LostError("GPU is lost")])
def test_metrics_that_fail_on_the_way_do_not_end_the_mirroring(record, uri, nvml, error, caplog):
    def refuse(*_):
        raise error

    nvml.setattr("mlflow.system_metrics.metrics.gpu_monitor.GPUMonitor.aggregate_metrics", refuse)
    with Mirror(record.folder, uri, interval_s=0.02):
        record.log(1, {"loss": 1.0})
        finish(record)
    assert history(uri, "loss") == recorded(record, "loss")
    assert caplog.text.count("no more system metrics of GPUMonitor") == 1


def test_another_database_gets_everything(record, uri, tmp_path, fresh_database):
    record.log(1, {"loss": 1.0})
    finish(record)
    mirror_once(record.folder, uri)
    Path(uri.removeprefix("sqlite:///")).rename(tmp_path / "store" / "first.db")
    moved = f"sqlite:///{tmp_path / 'store' / 'first.db'}"
    mirror_once(record.folder, moved)
    assert (len(runs(moved)), rows(moved)) == (1, 1)
    # This process still has the first file open: another name.
    shutil.copy(fresh_database, tmp_path / "other.db")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    mirror_rest(record.folder, other, checkpoint=False)
    assert history(other, "loss") == recorded(record, "loss")


def test_what_a_database_that_is_gone_had_is_sent_again(record, uri, tmp_path, fresh_database):
    shutil.copy(fresh_database, tmp_path / "gone.db")
    record.log(1, {"loss": 1.0})
    finish(record)
    mirror_once(record.folder, f"sqlite:///{tmp_path / 'gone.db'}")
    path = record.folder / "mlflow.json"
    path.write_text(path.read_text().replace(f"sqlite:///{tmp_path / 'gone.db'}", uri))  # as if it had stood there
    mirror_rest(record.folder, uri, checkpoint=False)
    assert history(uri, "loss") == recorded(record, "loss")


def test_a_database_that_was_moved_with_its_artifacts_writes_nothing_into_its_old_place(tmp_path, fresh_database):
    one, two = tmp_path / "one checkout", tmp_path / "two"
    one.mkdir()
    shutil.copy(fresh_database, one / "mlflow.db")
    first = started(one / "run")
    first.artifact_path("a.txt").write_text("a")
    mirror_once(first.folder, f"sqlite:///{one}/mlflow.db")
    one.rename(two)
    uri = f"sqlite:///{two}/mlflow.db"
    second = started(two / "second")
    second.artifact_path("b.txt").write_text("b")
    mirror_once(second.folder, uri)
    assert not one.exists()
    assert sorted(path.name for path in (two / "mlartifacts").rglob("*.txt")) == ["a.txt", "b.txt"]
    names = {file.path for run in runs(uri) for file in MlflowClient(uri).list_artifacts(run.info.run_id)}
    assert names == {"a.txt", "b.txt"}


def test_a_deleted_experiment_is_named(record, uri):
    mirror_once(record.folder, uri)
    MlflowClient(uri).delete_experiment(the_run(uri).info.experiment_id)
    with pytest.raises(UserError, match="'base/line' was deleted"):
        mirror_once(record.folder, uri)


def test_a_live_training_is_left_alone(record, uri, capsys):
    with FileLock(record.folder / "lock"):
        assert main([str(record.folder), "--tracking-uri", uri]) == 2
    assert "its training is alive" in capsys.readouterr().err
    assert not (record.folder / "mlflow.json").exists()


def test_command_line(tmp_path, uri, capsys, monkeypatch):
    first, second = started(tmp_path / "first"), started(tmp_path / "second")
    finish(first)
    (tmp_path / "empty").mkdir()
    folders = [str(tmp_path / name) for name in ("first", "empty", "second")]
    assert main([*folders, "--tracking-uri", uri]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"{tmp_path / 'empty'} is no run folder: it has no run.json.\n"
    assert [line.partition(":")[0] for line in printed.out.splitlines()] == [folders[0], folders[2]]
    assert sorted(run.info.status for run in runs(uri)) == ["FINISHED", "KILLED"]

    second.log(1, {"loss": 1.0})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main([folders[2]]) == 0
    assert rows(uri) == 1
    assert len(runs(uri)) == 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(SystemExit):
        main([folders[2]])  # where it went before is no reason to send it there
    assert "give --tracking-uri" in capsys.readouterr().err


def test_passwords_are_kept_out_of_files_and_messages(record, caplog, capfd):
    server = "http://anna:s3cret@127.0.0.1:9"
    with Mirror(record.folder, server, interval_s=0.02, system_metrics=False):
        wait_until(lambda: "is away" in caplog.text)
    with pytest.raises(UserError) as raised:
        mirror_once(record.folder, server)
    written = "".join(path.read_text() for path in record.folder.iterdir())
    printed = capfd.readouterr()
    everything = written + caplog.text + str(raised.value) + printed.out + printed.err
    assert "***@127.0.0.1:9" in everything
    assert "s3cret" not in everything
    assert "anna" not in everything


def test_uris(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///runs/mlflow.db") == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert absolute_uri(f"sqlite:///{tmp_path}/a.db") == f"sqlite:///{tmp_path}/a.db"
    assert absolute_uri("http://host:5000") == "http://host:5000"
    for wrong in ("file:///tmp/mlruns", "mlruns", "", "sqlite://", "sqlite:///:memory:", "ftp://u:p@host"):
        with pytest.raises(UserError, match="sqlite:///") as raised:
            absolute_uri(wrong)
        assert "u:p" not in str(raised.value)


def test_no_database_can_be_where_a_file_is(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="No tracking database can be kept at"):
        prepare_store(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_many_processes_prepare_one_fresh_database(tmp_path):
    fork = multiprocessing.get_context("fork")  # MLflow is imported already, so all of them arrive at once
    arguments = (f"sqlite:///{tmp_path}/new/mlflow.db",)
    processes = [fork.Process(target=prepare_store, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8


def test_a_mirror_leaves_nothing_behind(tmp_path):
    """In a process of its own: no thread, no environment, no print; MLflow is imported only in the thread."""
    code = """
import os, sys, threading
from mtl_seg_depth.records.record import Record, read_points
from mtl_seg_depth.tracking import Mirror
record = Record(sys.argv[1])
record.start(name="n", fingerprint="f", experiment="e", params={}, tags={})
environment = dict(os.environ)
assert not {"mlflow", "sqlalchemy", "alembic"} & set(sys.modules)
mirror = Mirror(sys.argv[1], sys.argv[2], interval_s=0.05)
mirror.start()
record.log(1, {"loss": 1.0})
mirror.close()
assert "mlflow" in sys.modules
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert dict(os.environ) == environment
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "CI", "MLFLOW"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run"), f"sqlite:///{tmp_path}/mlflow.db"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert history_of_one(tmp_path) == [1.0]


def history_of_one(tmp_path: Path) -> list[float]:
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        return [value for (value,) in database.execute("select value from metrics where key = 'loss'")]
