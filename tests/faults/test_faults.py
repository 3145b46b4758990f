"""Small real trainings under injected faults: nothing lost, nothing silently wrong, and a message to act on."""

import http.server
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.commands import Commands
from helpers.comparing import assert_same_run, damage, scores
from helpers.composing import HELPERS, ROOT, TINY, places
from helpers.lengths import only_long, quick_or_long
from helpers.tiny_data import write_tiny_miniscapes
from PIL import Image

from mtl_seg_depth.system.interruption import AGAIN
from mtl_seg_depth.tracking import mirror_once

COUNTS = {"train": 8, "val": 3}


Train = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs `train.py` on the tiny data of a folder, whole or with a fault."""


def arguments(folder: Path, *overrides: str) -> list[str]:
    every = (*TINY, *places(folder), "tracking.log_every=1", *overrides)
    return list({word.split("=")[0]: word for word in every}.values())


@pytest.fixture(scope="module")
def train(command: Commands) -> Train:
    def train(folder: Path, *overrides: str, **how: Any) -> "subprocess.CompletedProcess[str]":
        return command("train.py", *arguments(folder, *overrides), **how)

    return train


def only_run(folder: Path) -> Path:
    (run,) = (path for path in (folder / "outputs").iterdir() if path.is_dir())
    return run


def assert_message(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """A mistake or a fault reached the person as one message."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for part in parts:
        assert part in message


@pytest.fixture(scope="module")
def undisturbed(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny data and one run on it that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_tiny_miniscapes(folder / "data", COUNTS)
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(undisturbed: Path, tmp_path: Path) -> Path:
    """The same data, packed, and no run."""
    for name in ("data", "packed"):
        shutil.copytree(undisturbed / name, tmp_path / name)
    return tmp_path


def assert_same_as_undisturbed(folder: Path, undisturbed: Path) -> int:
    """The run is whole, and what the undisturbed one is; returns how many of its points were lost."""
    assert json.loads((only_run(folder) / "result.json").read_text())["status"] == "finished"
    return assert_same_run(only_run(undisturbed), only_run(folder))


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of that size at `path`; yields what mounts it again with other options."""
    path.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path]).returncode:
        pytest.skip("mounting a file system takes root, in a container that allows it")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)
    finally:
        subprocess.run(["umount", path], check=True)


# In the order of writing: best weights of 1400 kB, a checkpoint of 4150 kB with the optimiser's state.
@pytest.mark.parametrize("limit", quick_or_long(3000, long=(30,)))
def test_a_disk_that_takes_no_more(
    train: Train, folder: Path, undisturbed: Path, limit: int, observed: Callable[..., None]
) -> None:
    """A limit on the size of files: fails where a full disk or a quota would, for everybody."""
    assert_message(train(folder, largest_file=limit * 1000), "File too large; what was saved before is untouch")
    assert train(folder).returncode == 0
    lost = assert_same_as_undisturbed(folder, undisturbed)
    observed("a full disk is one message, and with room the same command completes the run", lost=lost)


def test_a_disk_that_fills_up(
    train: Train, folder: Path, undisturbed: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    kilobytes = [1900, 620, 3100, 4300, 5000, 5600, 6200, 6800, 7700, 8700][: extent(1, 10)]
    with small_disk(folder / "outputs", "1m") as remount:
        for size in sorted(kilobytes):  # it cannot shrink below what is in it
            remount(f"size={size}k")
            assert_message(train(folder, fault="no_space_check"), "No space left on device; what was saved before is")
        remount("size=80m")
        assert train(folder).returncode == 0
        lost = assert_same_as_undisturbed(folder, undisturbed)
    observed(
        "a full disk is one message, and with room the same command completes the run",
        injected=len(kilobytes),
        lost=lost,
    )


def test_a_disk_too_small_is_said_before_the_first_step(train: Train, folder: Path) -> None:
    with small_disk(folder / "outputs", "10m"):
        assert_message(train(folder), "the checkpoints of this run take up to", "paths.outputs=<folder>")


@pytest.mark.parametrize("name", quick_or_long("outputs", long=("packed",)))
def test_a_folder_that_is_read_only(
    train: Train, folder: Path, undisturbed: Path, name: str, observed: Callable[..., None]
) -> None:
    place = folder / name
    if name == "packed":
        shutil.rmtree(place)
    if os.geteuid():
        place.mkdir()
        place.chmod(0o555)
        assert_message(train(folder), "Permission denied")
        place.chmod(0o755)
        assert train(folder).returncode == 0
    else:  # permissions are not for root
        with small_disk(place, "900m") as remount:
            remount("ro")
            assert_message(train(folder), "Read-only file system")
            remount("rw")
            assert train(folder).returncode == 0
            assert_same_as_undisturbed(folder, undisturbed)
    observed("a read-only folder is one message that names it")


def test_a_read_only_cache_that_is_complete_is_used(train: Train, folder: Path, undisturbed: Path) -> None:
    with small_disk(folder / "elsewhere", "50m") as remount:
        shutil.copytree(folder / "packed", folder / "elsewhere" / "packed")
        remount("ro")
        assert train(folder, f"data.cache={folder}/elsewhere/packed").returncode == 0
    assert_same_as_undisturbed(folder, undisturbed)


@pytest.mark.parametrize("kind", quick_or_long("depth", long=("rgb", "semseg")))
def test_a_data_file_that_vanished_is_named(
    train: Train, folder: Path, kind: str, observed: Callable[..., None]
) -> None:
    (path,) = (folder / "data" / "train" / kind).glob("5.*")
    path.unlink()
    assert_message(train(folder), "1 files of the train split in")
    assert f"there is no {kind}/{path.name} beside it" in train(folder).stderr
    observed("a vanished data file is named")


def test_a_data_file_that_vanishes_while_it_is_packed_is_named(
    train: Train, folder: Path, observed: Callable[..., None]
) -> None:
    shutil.rmtree(folder / "packed")
    assert_message(train(folder, fault="file_vanishes_while_packing"), "data/train/semseg/1.png: cannot be opened")
    observed("a vanished data file is named")


def test_data_that_vanish_after_they_were_packed_are_not_missed(
    train: Train, folder: Path, undisturbed: Path, observed: Callable[..., None]
) -> None:
    assert train(folder, fault="data_vanish").returncode == 0
    assert not (folder / "data").exists()
    lost = assert_same_as_undisturbed(folder, undisturbed)
    observed("data that vanish after they were packed are not missed", lost=lost)


def test_flipped_bytes_in_the_packed_cache_are_refused_and_change_nothing(
    train: Train, folder: Path, undisturbed: Path, observed: Callable[..., None]
) -> None:
    arrays = sorted((folder / "packed").rglob("*.npy"))
    for path in arrays:
        damage(path)
    damaged = {path.parent for path in arrays}
    assert (len(damaged), len(arrays)) == (2, 6)
    for _ in range(2):
        named = (".npy is damaged within the images", "The pack was removed; the same command builds it again")
        done = train(folder)
        assert_message(done, *named)
        (removed,) = [pack for pack in damaged if f"{pack}/" in done.stderr]
        assert not removed.exists()
        damaged.remove(removed)
        assert not [path for path in (folder / "packed").glob(".*") if path.name != ".lock"]
    assert train(folder).returncode == 0
    assert {path.parent for path in arrays} == {path.parent for path in (folder / "packed").rglob("*.npy")}
    lost = assert_same_as_undisturbed(folder, undisturbed)
    observed("a flipped byte in the packed cache is refused and changes no result", injected=len(arrays), lost=lost)


@pytest.mark.parametrize("content", quick_or_long("cut", "a folder", long=(b"", b"no database" * 1000, "flipped")))
def test_a_corrupt_tracking_database_costs_no_result(
    train: Train,
    folder: Path,
    undisturbed: Path,
    content: bytes | str,
    fresh_database: Path,
    observed: Callable[..., None],
) -> None:
    database = folder / "mlflow.db"
    if isinstance(content, bytes):
        database.write_bytes(content)
    elif content == "a folder":
        database.mkdir()
    else:
        whole = bytearray(fresh_database.read_bytes())
        if content == "cut":
            del whole[len(whole) // 2 :]
        else:
            for position in range(200, len(whole), 997):
                whole[position] ^= 255
        database.write_bytes(whole)
    done = train(folder, f"tracking.uri=sqlite:///{database}", "tracking.system_metrics=false")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if content:
        assert "is not completely on the tracking server. Nothing is lost; send the rest with" in done.stderr
    lost = assert_same_as_undisturbed(folder, undisturbed)
    observed("a corrupt tracking database costs no result", lost=lost)


class Answer(http.server.BaseHTTPRequestHandler):
    """A tracking server that is not well, in the way that its class says."""

    how = "nonsense"

    def do_GET(self) -> None:
        if self.how == "slow":
            time.sleep(3)
        content = {"nonsense": b"<html>log in first</html>", "wrong": b'{"experiment": 5, "runs": "?"}'}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content.get(self.how, b"{}"))

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("how", quick_or_long("wrong", long=("nonsense", "slow", "empty")))
def test_a_tracking_server_that_answers_nonsense_or_slowly_costs_no_result(
    train: Train, folder: Path, undisturbed: Path, how: str, observed: Callable[..., None]
) -> None:
    handler = type("Handler", (Answer,), {"how": how})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = train(folder, f"tracking.uri=http://127.0.0.1:{server.server_port}", "tracking.system_metrics=false")
    server.shutdown()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "Nothing is lost; send the rest with" in done.stderr
    lost = assert_same_as_undisturbed(folder, undisturbed)
    observed("a tracking server that is slow, away or answers nonsense costs no result", lost=lost)


@only_long
def test_a_tracking_server_that_goes_away_in_the_middle_costs_no_result(
    train: Train, folder: Path, undisturbed: Path, observed: Callable[..., None]
) -> None:
    """A real MLflow server, killed once it has taken the first points; when it is back, it is sent what it lacks."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with mlflow_server(folder, port):
        overrides = ["schedule.epochs=100000", "validation.every_epochs=100000", f"tracking.uri={address}"]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *arguments(folder, *overrides)], stderr=subprocess.PIPE, text=True
        )
        while not list((folder / "outputs").glob("*/mlflow.json")) or not sent(folder):
            assert process.poll() is None
            time.sleep(0.05)
    assert process.stderr is not None
    errors = ""
    while f"Tracking server {address} is away" not in errors:
        line = process.stderr.readline()
        assert line, errors
        errors += line
    process.terminate()
    errors += process.communicate(timeout=120)[1]
    assert process.returncode == AGAIN, errors
    assert "Traceback" not in errors, errors
    run = only_run(folder)
    recorded = sum("train/loss/depth" in values for _, values in raw_points(run))
    with mlflow_server(folder, port):
        mirror_once(run, address)
    with sqlite3.connect(folder / "mlflow.db") as database:
        (points,) = database.execute("select count(*) from metrics where key = 'train/loss/depth'").fetchone()
    assert points == recorded > 0
    observed("a tracking server that is slow, away or answers nonsense costs no result", lost=recorded - points)


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """An MLflow server that is killed in the end."""
    store = f"sqlite:///{folder}/mlflow.db"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder)
    try:
        while not reachable(port):
            assert server.poll() is None
            time.sleep(0.2)
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def reachable(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def sent(folder: Path) -> int:
    (state,) = (folder / "outputs").glob("*/mlflow.json")
    size: int = json.loads(state.read_text())["sent"].get("metrics.jsonl", 0)
    return size


def test_a_clock_that_jumps_back_changes_nothing(
    train: Train, folder: Path, undisturbed: Path, observed: Callable[..., None]
) -> None:
    overrides = [f"tracking.uri=sqlite:///{folder}/mlflow.db", "tracking.system_metrics=false"]
    done = train(folder, *overrides, fault="clock_jumps_back")
    assert done.returncode == 0, done.stderr
    lost = assert_same_as_undisturbed(folder, undisturbed)
    result = json.loads((only_run(folder) / "result.json").read_text())
    assert 0 < result["cost"]["seconds"] < 300
    assert 0 <= result["cost"]["data_share"] <= 1
    speeds = [values for _, values in raw_points(only_run(folder)) if "train/images_per_second" in values]
    assert all(values["train/images_per_second"] > 0 for values in speeds)
    observed("a clock that jumps back changes neither results nor durations", lost=lost)


def raw_points(run: Path) -> list[tuple[int, dict[str, float]]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [(point["step"], point["metrics"]) for point in map(json.loads, lines)]


@pytest.mark.parametrize("fault", quick_or_long("device_out_of_memory", long=("machine_out_of_memory",)))
def test_out_of_memory_is_a_message_that_says_what_to_do(
    train: Train, folder: Path, undisturbed: Path, fault: str, observed: Callable[..., None]
) -> None:
    assert_message(train(folder, fault=fault), "schedule.batch_size=2", "out of memory", "What was saved before")
    assert train(folder).returncode == 0
    lost = assert_same_as_undisturbed(folder, undisturbed)
    observed("out of memory is one message that names schedule.batch_size", lost=lost)


def test_weights_that_become_nan_end_the_run_as_diverged(
    train: Train, folder: Path, observed: Callable[..., None]
) -> None:
    done = train(folder, fault="weights_become_nan")
    assert done.returncode == 1
    assert "Diverged at step 6" in done.stdout
    result = json.loads((only_run(folder) / "result.json").read_text())
    assert (result["status"], result["best_step"]) == ("diverged", 4)
    observed("nan in weights ends the run as diverged; the best before it stays")


def test_pictures_without_any_label_or_depth_train_on(
    train: Train, folder: Path, observed: Callable[..., None]
) -> None:
    """The only way for a label to be no number on disk: ignored, or not valid."""
    emptied = [folder / "data" / "train" / "semseg" / f"{number}.png" for number in range(6)]
    for path in emptied:
        Image.new("L", (64, 32), 255).save(path)
        Image.new("L", (64, 32), 0).save(folder / "data" / "train" / "depth" / path.name)
    done = train(folder)
    assert done.returncode == 0, done.stderr
    losses = [value for _, values in scores(only_run(folder)) for key, value in values.items() if "train/loss" in key]
    assert np.isfinite(losses).all()
    assert 0.0 in losses  # batches in which nothing is known
    observed("batches without a valid label or depth are trained through", pictures=len(emptied))


@only_long  # the quick form is in test_training.py
def test_identical_commands_at_once_train_once(folder: Path, undisturbed: Path, observed: Callable[..., None]) -> None:
    count = 5
    command = [sys.executable, str(HELPERS / "small_train.py"), *arguments(folder)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(count)
    ]
    trained = 0
    for process in processes:
        out, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors
        if process.returncode == 0:
            trained += "was trained before" not in out
        else:
            assert process.returncode == 2
            assert "another process is training this very run" in errors
    assert trained == 1
    assert_same_as_undisturbed(folder, undisturbed)
    observed("identical commands at once train once", commands=count, trained=trained)
