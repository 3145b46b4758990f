"""A run folder or a checkpoint of somebody else is data: it reaches nothing outside itself, and its faults are told."""

import copy
import json
import random
import shutil
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.composing import compose, places, tiny
from helpers.trained_runs import evaluate, only_run, quiet, settings_of

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.inference import evaluation
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.folder import check_links, inside
from mtl_seg_depth.report.page import ReportSettings, read_report
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system import tensors
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking import find_run, mirror_once

CPU = torch.device("cpu")


def own(path: Path) -> Path:
    """A file of its own in the place of one that all tests share."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    return path


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """An address of this machine, and all that was ever said to it."""
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        said.append(connection.recv(65536))

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", said
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", ["server", "database"])
def test_scores_and_models_go_to_no_address_that_the_folder_names(
    folder: Path, listening: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret")
    address, said = listening
    theirs = address if kind == "server" else f"sqlite:///{folder}/theirs/mlflow.db"
    left = only_run(folder, "first")
    change(left / "mlflow.json", tracking_uri=theirs)
    console = quiet()
    asked = settings_of(folder, "split=test", f"tracking_uri=sqlite:///{folder}/ours/mlflow.db")
    assert evaluation.evaluate(asked, console) is not None
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "not on the tracking server: the run is not in sqlite:" in printed
    with pytest.raises(UserError, match="has no MLflow run in sqlite:"):
        find_run(left, f"sqlite:///{folder}/ours/mlflow.db")
    assert said == []
    assert not (folder / "theirs").exists()
    assert not (folder / "ours").exists(), "a database is made for what is trained here alone"


@pytest.mark.parametrize("uri", ["null", "sqlite"])
def test_scores_go_where_this_machine_says_if_the_run_is_there(folder: Path, trained_folder: Path, uri: str) -> None:
    change(only_run(folder, "first") / "mlflow.json", tracking_uri="http://127.0.0.1:9")
    address = f"sqlite:///{trained_folder}/mlflow.db" if uri == "sqlite" else "null"
    console = quiet()
    asked = settings_of(folder, "split=test", "tta=flip", f"tracking_uri={address}")
    assert evaluation.evaluate(asked, console) is not None
    assert "not on the tracking server" not in console.file.getvalue()  # type: ignore[attr-defined]


LINKED = ("run.json", "result.json", "metrics.jsonl", "mlflow.json", "lock", "best.pt", "last.pt", "config.yaml",
          "artifacts", "evaluations", "artifacts/more.txt", "evaluations/val-none-0.json", "mlflow.lock",
          ".x.tmp")  # fmt: skip


@pytest.mark.parametrize("name", LINKED)
def test_a_link_that_leads_out_of_a_run_folder_is_refused_by_whoever_works_in_it(
    folder: Path, tmp_path: Path, name: str, observed: Callable[..., None]
) -> None:
    left = only_run(folder, "first")
    outside = tmp_path / "outside"
    outside.mkdir()
    path = left / name
    target = outside / Path(name).name
    if path.exists():
        shutil.move(path, target)
    elif name in ("artifacts", "evaluations"):
        target.mkdir()
    else:
        path.parent.mkdir(exist_ok=True)
        target.write_text("untouched")
    path.symlink_to(Path("..") / ".." / "outside" / target.name)
    before = listing(outside)
    uri = f"sqlite:///{folder}/new.db"
    commands: list[Callable[[], object]] = [
        lambda: evaluate(folder, f"run={left}", "rerun=true"),
        lambda: load_trained(str(left), folder / "outputs", CPU),
        lambda: run(tiny(folder, "schedule.epochs=1", "seed=0", "rerun=false"), quiet()),
        lambda: run(tiny(folder, "schedule.epochs=1", "seed=0", "rerun=true"), quiet()),
        lambda: mirror_once(left, uri),
    ]
    refused = 0
    for command in commands:
        try:
            command()
        except UserError as error:
            refused += 1
            assert "leads out of" in str(error) or "is a link" in str(error)
    assert listing(outside) == before
    assert refused >= 2
    observed("a link in a run's folder is not followed out of it", cases=len(commands), refused=refused, reached=0)


def test_what_is_no_file_in_a_run_folder_is_refused_and_not_waited_for(folder: Path) -> None:
    import os

    left = only_run(folder, "first")
    os.mkfifo(left / "artifacts" / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png: a run's folder holds files and folders, and nothing else"):
        mirror_once(left, f"sqlite:///{folder}/new.db")


def test_a_file_that_a_training_renames_meanwhile_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = only_run(folder, "first")
    monkeypatch.setattr("os.walk", lambda top: [(str(top), [], ["run.json", "last.pt.tmp"])])
    check_links(left)


def test_links_within_a_run_folder_and_to_one_are_followed(folder: Path, tmp_path: Path) -> None:
    left = only_run(folder, "first")
    shutil.move(left, tmp_path / "large disk")
    left.symlink_to(tmp_path / "large disk")
    (left / "best.pt").rename(left / "weights.pt")
    (left / "best.pt").symlink_to("weights.pt")
    assert evaluate(folder, f"run={left}").scores


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "loop", "nul\0", "x" * 5000])
def test_one_function_says_what_lies_in_a_folder(tmp_path: Path, name: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="leads out of"):
        inside(base, name)
    assert inside(base, "a/../b") == base / "a/../b"


@pytest.mark.parametrize("parent", ["..", "../../elsewhere", "/", "../sweeps/../../elsewhere", "../sweeps/link"])
def test_a_parent_that_is_no_sweep_beside_the_run_is_not_touched(
    folder: Path, fresh_database: Path, parent: str
) -> None:
    shutil.copy(fresh_database, folder / "new.db")
    left = only_run(folder, "first")
    for name in ("elsewhere", "outputs"):
        (folder / name).mkdir(exist_ok=True)
        shutil.copy(left / "run.json", folder / name / "run.json")
    (folder / "outputs" / "sweeps").mkdir()
    (folder / "outputs" / "sweeps" / "link").symlink_to(folder / "elsewhere")
    change(left / "run.json", parent=str(folder / "elsewhere") if parent == "/" else parent)
    mirror_once(left, f"sqlite:///{folder}/new.db")
    assert [path.name for path in (folder / "elsewhere").iterdir()] == ["run.json"]
    assert not (folder / "outputs" / "mlflow.json").exists()


def test_data_are_packed_where_this_machine_says_and_nowhere_else(folder: Path, tmp_path: Path) -> None:
    path = own(only_run(folder, "first") / "best.pt")
    saved = checkpoint.load(path, CPU)
    home = tmp_path / "home"
    home.mkdir()
    for cache in (home, home / "new", tmp_path / "x" / ".." / "home"):
        saved["config"]["data"]["cache"] = str(cache)
        checkpoint.save(path, saved)
        result = evaluate(folder, "split=test", "rerun=true", f"paths.datasets={tmp_path}/datasets")
        assert result.key == "test"
        assert list(home.iterdir()) == []
    packs = (tmp_path / "datasets" / "packed").glob("*/index.json")
    assert len(list(packs)) == 2  # the validation split tells whose data they are


def test_streets_are_drawn_where_this_machine_says_and_nowhere_else(tmp_path: Path) -> None:
    own_config = parse_as(evaluation.Settings, compose("data=streets", "paths.datasets=/of/somebody/datasets"))
    here = parse_as(evaluation.Paths, {"root": "/r", "datasets": str(tmp_path), "outputs": "/o"})
    name = "streets_256x128_256-64-64_seed0"
    for root in (f"/of/somebody/datasets/{name}", f"/somewhere/else/{name}", f"/of/somebody/datasets/../../{name}"):
        moved = own_config.model_copy(update={"data": {**own_config.data, "root": root}})
        expected = {"root": str(tmp_path / name), "cache": str(tmp_path / "packed")}
        assert evaluation.places_here(moved, here) == expected
    elsewhere = own_config.model_copy(update={"data": compose("data=miniscapes", "data.root=/data/mini")["data"]})
    assert evaluation.places_here(elsewhere, here)["root"] == "/data/mini"


def test_a_run_in_a_folder_that_cannot_be_written_to_is_scored_and_that_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def read_only(*_: object, **__: object) -> object:
        raise OSError(errno.EROFS, "Read-only file system", "lock")

    monkeypatch.setattr(evaluation, "FileLock", read_only)
    console = quiet()
    result = evaluation.evaluate(settings_of(folder, "split=test", "rerun=true"), console)
    assert result is not None
    assert (result.scores.keys() > {"multitask"}, result.file) == (True, None)
    assert "The scores are not stored: lock: Read-only file system" in console.file.getvalue()  # type: ignore[attr-defined]


def mutilated(saved: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A checkpoint's content with one of its values replaced, renamed or lost, wherever in it."""
    wrong: list[Any] = [
        None,
        -1,
        1e30,
        float("nan"),
        "text",
        "a/../b",
        [],
        {},
        [[1]],
        {"a": {"b": 1}},
        10**30,
        True,
        (1, 2),
    ]
    wrong += [list(range(20_000)), torch.zeros(3), torch.zeros(0, dtype=torch.int64), {1: 2}, b"bytes"]
    saved = copy.deepcopy(saved)
    place: Any = saved
    while True:
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.8:
            place = inner
            continue
        if isinstance(place, dict) and chance.random() < 0.3:
            value = place.pop(key)
            if chance.random() < 0.5:
                place[f"{key}x"] = value
        else:
            place[key] = chance.choice(wrong)
        return saved


def test_a_checkpoint_with_a_right_checksum_and_any_content_is_used_or_one_message(
    folder: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    saved = checkpoint.load(only_run(folder, "first") / "best.pt", CPU)
    chance = random.Random(0)
    path, used, refused = folder / "received.pt", 0, 0
    cases = extent(40, 1500)
    for _ in range(cases):
        checkpoint.save(path, mutilated(saved, chance))
        try:
            load_trained(str(path), folder / "outputs", CPU)
            used += 1
        except UserError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > cases / 4
    observed(
        "best weights with a right checksum and any content are used, or one message",
        cases=cases, used=used, refused=refused, traces=0,
    )  # fmt: skip


def test_a_training_goes_on_from_any_last_checkpoint_or_is_one_message(
    folder: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    left = only_run(folder, "first")
    (left / "result.json").unlink()
    for name in ("best.pt", "last.pt"):
        own(left / name)
    saved = checkpoint.load(left / "last.pt", CPU)
    chance = random.Random(1)
    cases, refused = extent(15, 300), 0
    for _ in range(cases):
        checkpoint.save(left / "last.pt", mutilated(saved, chance))
        (left / "result.json").unlink(missing_ok=True)
        try:
            run(tiny(folder, "schedule.epochs=1", "seed=0"), quiet())
        except UserError as error:
            refused += 1
            assert "last.pt" in str(error) or "best.pt" in str(error)
    assert refused
    observed("a last checkpoint of any content is continued, or one message", cases=cases, refused=refused, traces=0)


@pytest.mark.parametrize("kind", ["of another run", "of other data", "to continue from", "without an identity"])
def test_a_checkpoint_that_is_not_of_its_folders_run_is_refused(folder: Path, kind: str) -> None:
    left, other = only_run(folder, "first"), only_run(folder, "second")
    path = own(left / "best.pt")
    saved = checkpoint.load((other if kind == "of another run" else left) / "best.pt", CPU)
    message = {
        "of another run": r"best\.pt was made with another fingerprint: it is not of this run",
        "of other data": r"best\.pt was made with another validation data",
        "to continue from": r"best\.pt is a checkpoint to continue from",
        "without an identity": r"best\.pt is no checkpoint of ours: identity: Field required",
    }[kind]
    if kind == "of other data":
        saved["identity"]["validation data"] = "0" * 64
    elif kind == "to continue from":
        saved = checkpoint.load(left / "last.pt", CPU)
    elif kind == "without an identity":
        del saved["identity"]
    checkpoint.save(path, saved)
    with pytest.raises(UserError, match=message):
        load_trained(str(left), folder / "outputs", CPU)


def test_a_network_larger_than_its_weights_is_refused_before_it_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = checkpoint.load(only_run(folder, "first") / "best.pt", CPU)
    saved["config"]["model"] |= {"aspp": True, "atrous_rates": [3, 6, 9]}
    checkpoint.save(folder / "received.pt", saved)
    from mtl_seg_depth.inference import trained

    original, made = trained.build_network, []

    def build(*arguments: Any) -> Any:
        network = original(*arguments)
        made.append(next(network.parameters()).device.type)
        return network

    monkeypatch.setattr(trained, "build_network", build)
    with pytest.raises(UserError, match="its weights are not of the network that its config describes"):
        load_trained(str(folder / "received.pt"), folder / "outputs", CPU)
    assert made == ["meta"]
    saved["config"]["model"]["atrous_rates"] = list(range(1, 20_001))
    checkpoint.save(folder / "received.pt", saved)
    with pytest.raises(UserError, match=r"atrous_rates takes whole numbers from 1, one to \d+ of them") as raised:
        load_trained(str(folder / "received.pt"), folder / "outputs", CPU)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("stored", [True, False])
def test_a_small_file_that_would_inflate_to_a_large_one_is_refused_before_it_is(
    tmp_path: Path, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": torch.zeros(1 << 22)}, tmp_path / "a.pt")
    assert isinstance(tensors.read(tmp_path / "a.pt"), Mapping)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(tmp_path / "a.pt") as source, zipfile.ZipFile(packed, "w") as target:
        for part in source.infolist():
            kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            target.writestr(part.filename, source.read(part), kind)
    if stored:
        assert isinstance(tensors.read(packed), Mapping)
        return
    assert packed.stat().st_size < 1 << 16
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(UserError, match=r"packed\.pt is damaged or no file of tensors \(it is compressed"):
        tensors.read(packed)


def test_the_report_reads_nothing_outside_the_outputs_folder(folder: Path) -> None:
    left = only_run(folder, "first")
    row = {"number": 0, "label": "a", "state": "complete", "runs": []}
    account = {"study": "s", "kind": "grid", "started": 1, "updated": 1, "objective": ["val/multitask"],
               "directions": ["maximize"]}  # fmt: skip
    shutil.move(left, folder / "elsewhere")
    left.symlink_to(folder / "elsewhere")
    names = (left.name, "../elsewhere", str(folder / "elsewhere"))
    rows = [
        row | {"number": n, "runs": [{"seed": 0, "folder": name, "status": "finished"}]} for n, name in enumerate(names)
    ]
    (folder / "outputs" / "sweeps" / "s").mkdir(parents=True)
    (folder / "outputs" / "sweeps" / "s" / "sweep.json").write_text(json.dumps(account | {"rows": rows}))
    paths = {"root": str(folder), "datasets": str(folder), "outputs": str(folder / "outputs")}
    settings = ReportSettings.model_validate({"out": str(folder / "report"), "studies": [], "paths": paths})
    document = read_report(settings)
    told = [problem for problem in document.problems if "leads out of" in problem]
    assert [problem.split()[0] for problem in told] == list(names)


def test_a_run_whose_folder_is_deleted_meanwhile_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl_seg_depth.records.record import Points

    original = Points.log

    def log(self: Points, step: int, metrics: Mapping[str, float]) -> None:
        if step == 2:
            shutil.rmtree(self._path.parent, ignore_errors=True)
        original(self, step, metrics)

    monkeypatch.setattr(Points, "log", log)
    with pytest.raises(UserError, match=r"somebody deleted it while it was written to|No such file"):
        run(tiny(folder, *places(folder), "schedule.epochs=1", "seed=3"), quiet())
