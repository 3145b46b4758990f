"""What comes from others runs nothing, what is served is served to this machine, and secrets stay where they were."""

import importlib
import inspect
import json
import os
import pkgutil
import random
import re
import subprocess
import sys
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

import mtl_seg_depth
from mtl_seg_depth import nodes
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


def names_of_everything() -> list[str]:
    """Every function and class of every module of this package, private ones too, and of what could do harm."""
    for module in pkgutil.walk_packages(mtl_seg_depth.__path__, "mtl_seg_depth."):
        if not module.name.endswith(("__main__", "served")):  # a program, and what MLflow alone may run
            importlib.import_module(module.name)
    harmful = ("builtins", "os", "shutil", "subprocess", "pathlib", "torch", "torch.hub", "importlib")
    modules = [name for name in sys.modules if name.split(".")[0] == "mtl_seg_depth"]
    found = []
    for module in (*modules, *harmful):
        for name, what in vars(importlib.import_module(module)).items():
            if callable(what):
                found.append(f"{module}.{name}")
                inner = vars(what) if inspect.isclass(what) else {}
                found += [f"{module}.{name}.{each}" for each in list(inner)[:20]]
    return sorted(found)


def test_no_node_anywhere_calls_anything_but_what_its_group_is_for(
    folder: Path, extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    """On the command line, in a run, an export and a checkpoint alike: all of them build by `nodes.build`."""
    saved = checkpoint.load(only_run(folder, "first") / "best.pt", CPU)
    chance, names, harm = random.Random(0), names_of_everything(), folder / "harm"
    harm.mkdir()
    (harm / "kept").touch()
    executed, cases, files = 0, extent(3000, 60_000), extent(30, 1000)
    words = ("path", "folder", "root", "file", "name", "cmd", "command", "source", "self", "args")
    groups = [group for group in nodes.KINDS if group != "tta"]  # evaluation's own
    for case in range(cases + files):
        group, target = chance.choice(groups), chance.choice(names)
        node = {"_target_": target, **{word: str(harm) for word in chance.sample(words, chance.randrange(3))}}
        allowed = target in {f"mtl_seg_depth.{nodes.KINDS[group].room}.{name}" for name in nodes.public_names(group)}
        try:
            if case < cases:
                nodes.build(group, node)
            else:
                checkpoint.save(folder / "received.pt", saved | {"config": saved["config"] | {group: node}})
                load_trained(str(folder / "received.pt"), folder / "outputs", CPU)
        except UserError as error:
            assert allowed or "_target_" in str(error)
        else:
            # Of the other groups a checkpoint's network is not built.
            executed += not allowed and (case < cases or group in ("data", "encoder", "model", "depth_norm"))
    assert executed == 0
    assert [path.name for path in harm.iterdir()] == ["kept"]
    observed("a config from anywhere calls nothing but what a group is for", cases=cases + files, executed=executed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hydra: {callbacks: {a: {_target_: os.mkdir, path: HARM}}}", "'os.mkdir' is not in the Hydra execution"),
        (
            "hydra: {callbacks: {a: {_target_: mtl_seg_depth.system.atomic.write_text, path: HARM, text: a}}}",
            "whitelist",
        ),
        (
            "hydra: {hydra_logging: {version: 1, root: {handlers: [a]}, handlers: {a: {(): os.mkdir, path: HARM}}}}",
            "execution_whitelist",
        ),
        (
            "hydra: {job_logging: {version: 1, root: {handlers: [a]}, handlers: {a: {(): os.mkdir, path: HARM}}}}",
            "execution_whitelist",
        ),
        ("hydra: {sweeper: {_target_: os.mkdir}}", "Unknown plugin class : 'os.mkdir'"),
        ("name: ${oc.env:A_SECRET}", "a config reads MTL_SEG_DEPTH_... alone"),
        ("name: ${oc.env:A_SECRET,x}", "a config reads MTL_SEG_DEPTH_... alone"),
        ("name: ${oc.env:MTL_SEG_DEPTH_ROOT}", None),
    ],
)
def test_a_config_file_of_somebody_else_runs_nothing_and_takes_nothing_from_the_environment(
    tmp_path: Path, command: Commands, content: str, message: str | None
) -> None:
    harm = tmp_path / "harm"
    option = tmp_path / "theirs" / "experiment" / "shared.yaml"
    option.parent.mkdir(parents=True)
    option.write_text(f"# @package _global_\n{content.replace('HARM', str(harm))}\n")
    words = ["--config-dir", str(tmp_path / "theirs"), "experiment=shared", "dry_run=true", "precision=fp32"]
    done = command("train.py", *words, *(["-m"] if "sweeper" in content else []))
    assert not harm.exists()
    assert (done.returncode, "Traceback" in done.stderr) == (0 if message is None else 2, False)
    assert (message or "") in done.stderr


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
    stored = tmp_path / "outputs" / "sweeps" / "multirun.yaml"
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
