"""What comes from others runs nothing, what is served is served to this machine, and secrets stay where they were."""

import json
import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.commands import Commands
from helpers.composing import ROOT, TINY, places, tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import evaluate, only_run, quiet

from mtl_seg_depth.data.miniscapes import scan_split
from mtl_seg_depth.data.packed import pack
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError

CPU = torch.device("cpu")


class Malicious:
    """A pickle that creates a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def with_config(folder: Path, change: Callable[[dict], None]) -> Path:
    """A copy of best weights with another config inside, and a checksum that is right."""
    saved = checkpoint.load(only_run(folder, "first") / "best.pt", CPU)
    change(saved["config"])
    path = folder / "received.pt"
    checkpoint.save(path, saved)
    return path


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "subprocess.run",
        "mtl_seg_depth.runs.run.subprocess.run",
        "mtl_seg_depth.runs.run.shutil.rmtree",
        "mtl_seg_depth.runs.run.Path",
        "mtl_seg_depth.../os.system",
        "torch.load",
        ["os.system"],
        None,
    ],
)
@pytest.mark.parametrize("node", ["encoder", "model", "data", "depth_norm"])
def test_a_config_in_a_checkpoint_builds_nothing_but_ours(
    folder: Path, target: object, node: str, observed: Callable[..., None]
) -> None:
    harm = folder / "harm"

    def change(config: dict) -> None:
        config[node] = {"_target_": target, "command": f"mkdir {harm}", "name": "resnet18"}

    path = with_config(folder, change)
    with pytest.raises(UserError, match=r"_target_"):
        load_trained(str(path), folder / "outputs", CPU)
    assert not harm.exists()
    observed("a config from a checkpoint builds only classes of this package", executed=int(harm.exists()))


def test_a_malicious_pickle_in_the_packed_cache_is_not_run(tmp_path: Path, observed: Callable[..., None]) -> None:
    root = write_tiny_miniscapes(tmp_path / "data")
    split = pack(scan_split(root, "train")[0], tmp_path / "cache", progress=False)
    index = json.loads((split.folder / "index.json").read_text())
    whole, path, size = np.array(split.images), split.folder / "rgb.npy", index["file_sizes"]["rgb"]
    np.save(path, np.array([Malicious(tmp_path / "harm")], object), allow_pickle=True)
    os.truncate(path, size)
    again = pack(scan_split(root, "train")[0], tmp_path / "cache", progress=False)
    assert not (tmp_path / "harm").exists()
    np.testing.assert_array_equal(again.images, whole)
    executed = int((tmp_path / "harm").exists())
    observed("a malicious pickle in checkpoint, weights or packed cache is refused", executed=executed)


def test_an_index_that_names_files_elsewhere_is_not_followed(tmp_path: Path) -> None:
    root = write_tiny_miniscapes(tmp_path / "data")
    split = pack(scan_split(root, "train")[0], tmp_path / "cache", progress=False)
    path = split.folder / "index.json"
    index = json.loads(path.read_text())
    for key in ("blocks", "file_sizes"):
        index[key]["../../elsewhere"] = index[key]["rgb"]
    path.write_text(json.dumps(index))
    assert set(json.loads((pack_again(root, tmp_path).folder / "index.json").read_text())["blocks"]) == {
        "rgb",
        "semseg",
        "depth",
    }


def pack_again(root: Path, folder: Path):
    return pack(scan_split(root, "train")[0], folder / "cache", progress=False)


def test_zips_hold_no_path_that_leaves_them(folder: Path, tmp_path: Path) -> None:
    evaluate(folder, "split=test", f"submission={tmp_path}/out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = archive.namelist()
    assert names
    assert all(re.fullmatch(r"test/(semseg|depth)/\d+\.png", name) for name in names)


def test_servers_listen_to_this_machine_alone(observed: Callable[..., None]) -> None:
    """MLflow's own default is 127.0.0.1; nothing of ours tells it another."""
    commands = [ROOT / "Makefile", ROOT / "README.md", *(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    for path in commands:
        for line in path.read_text().splitlines():
            if re.search(r"mlflow (server|ui|models serve)", line) and path.name != "trust.md":
                assert re.findall(r"--host[ =](\S+)", line) in ([], ["127.0.0.1"]), f"{path}: {line}"
    assert "--host 127.0.0.1" in (ROOT / "Makefile").read_text()
    observed("pages are served to this machine alone unless told otherwise", commands=len(commands))


SECRETS = {"user": "anna-the-user", "password": "s3cret-pass'word", "token": "t0ken-in-the-query", "env": "env-s3cret"}


def leaks(folder: Path) -> list[str]:
    """Files below a folder that hold a secret."""
    needles = [secret.encode() for secret in SECRETS.values()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [f"{path}: {n!r}" for path in files for n in needles if n in path.read_bytes()]


def test_no_secret_is_written_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], observed: Callable[..., None]
) -> None:
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRETS["env"])
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    address = f"http://{SECRETS['user']}:{SECRETS['password']}@127.0.0.1:9/x?token={SECRETS['token']}"
    settings = tiny(tmp_path, "schedule.max_steps=1").model_copy()
    tracked = settings.tracking.model_copy(update={"uri": address})
    result = run(settings.model_copy(update={"tracking": tracked}), quiet())
    plain = run(settings, quiet())
    assert plain.folder == result.folder, "the password is no part of the identity"
    assert "***@127.0.0.1:9" in (result.folder / "config.yaml").read_text()
    assert checkpoint.load(result.folder / "best.pt", CPU)["config"]["tracking"]["uri"] == redact(address)
    local = tracked.model_copy(update={"uri": f"sqlite:///{tmp_path}/mlflow.db", "checkpoint": True})
    run(settings.model_copy(update={"tracking": local, "seed": 1}), quiet())
    found = leaks(tmp_path)
    assert found == []
    printed = capfd.readouterr()
    assert not any(secret in printed.out + printed.err for secret in SECRETS.values())
    observed(
        "no secret is written into a file, a database or the log",
        files=len(list(tmp_path.rglob("*"))),
        leaks=len(found),
    )


def test_a_sweep_writes_no_secret(tmp_path: Path, command: Commands, observed: Callable[..., None]) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    words = [word for word in (*TINY, *places(tmp_path)) if not word.startswith("schedule.epochs")]
    address = f"http://{SECRETS['user']}:{SECRETS['password']}@127.0.0.1:9"

    def sweep(uri: str, *more: str) -> "subprocess.CompletedProcess[str]":
        done = command("train.py", "-m", *words, "schedule.max_steps=1", "seed=0,1", f"tracking.uri={uri}", *more)
        assert not any(secret in done.stdout + done.stderr for secret in SECRETS.values())
        return done

    for sweeper in ("mtl", "basic"):
        for uri in (address, f'"{address}"'):
            done = sweep(uri, f"hydra/sweeper={sweeper}")
            assert done.returncode == 0, done.stderr
    # Hydra's own sweeper stores the command line.
    stored = tmp_path / "outputs" / "multirun" / "multirun.yaml"
    assert "***@127.0.0.1:9" in stored.read_text()
    assert (tmp_path / "outputs" / "studies.db").exists()
    found = leaks(tmp_path)
    assert found == []
    observed(
        "no secret is written into a file, a database or the log",
        files=len(list(tmp_path.rglob("*"))),
        leaks=len(found),
    )


def test_every_action_is_pinned() -> None:
    """There are no workflows of others at present; those that come are named by commit."""
    for path in [*ROOT.glob(".github/workflows/*"), *ROOT.glob(".ci/*")]:
        for action in re.findall(r"uses:\s*(\S+)", path.read_text()):
            assert re.search(r"@[0-9a-f]{40}$", action), f"{path}: {action}"


def test_every_dependency_has_an_exact_version() -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    assert all("==" in line for line in lines if line)
