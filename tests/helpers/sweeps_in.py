"""Sweeps on tiny data, run as the command line runs them but in this process."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import torch
from hydra.core.global_hydra import GlobalHydra
from torchvision.models import resnet

from helpers.composing import ROOT
from helpers.tiny_data import write_tiny_miniscapes
from mtl_seg_depth import cli
from mtl_seg_depth.commands.train import train
from mtl_seg_depth.system.interruption import Interruption

SIZES = {"train": 16, "val": 1, "test": 1}


def prepare(folder: Path) -> Path:
    """Tiny data, and a file of encoder weights."""
    write_tiny_miniscapes(folder / "data", SIZES, height=32, width=64)
    torch.save(resnet.resnet18().state_dict(), folder / "resnet18.pth")
    return folder


def places(folder: Path, *, tracked: bool = False) -> list[str]:
    """Overrides: everything a sweep reads or writes lies in `folder`."""
    return [
        "data=miniscapes",
        f"data.root={folder}/data",
        f"data.cache={folder}/packed",
        f"paths.outputs={folder}/outputs",
        f"pretrained={folder}/resnet18.pth",
        f"hydra.sweeper.storage=sqlite:///{folder}/studies.db",
        f"tracking.uri=sqlite:///{folder}/mlflow.db" if tracked else "tracking=folder",
    ]


def tiny(*more: str, steps: int = 2) -> list[str]:
    """Overrides: every training is as small as it gets."""
    return [
        "data.crop_size=[32,32]",
        "encoder.name=resnet18",
        f"schedule.max_steps={steps}",
        "tracking.panels=0",
        "precision=fp32",
        "device=cpu",
        "checkpoint.keep=all",
        *more,
    ]


def sweep(*arguments: str) -> int:
    """Run a command line of train.py; returns its exit code."""
    GlobalHydra.instance().clear()
    Interruption.in_this_process = False
    before = sys.argv
    sys.argv = ["train.py", *arguments]
    try:
        cli.start(train, config="train", root=ROOT)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
        os.environ.pop("HYDRA_FULL_ERROR", None)  # set for Hydra's sake: another command would show its traces
    raise AssertionError("start never returns")


def described(folder: Path) -> dict[str, Any]:
    """The sweep.json of the newest sweep."""
    paths = (folder / "outputs" / "sweeps").glob("*/sweep.json")
    return load(max(paths, key=lambda path: path.stat().st_mtime_ns))


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def states(folder: Path) -> list[str]:
    return [row["state"] for row in described(folder)["rows"]]


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """Every attempt in the newest sweep's study."""
    study = optuna.load_study(study_name=described(folder)["study"], storage=f"sqlite:///{folder}/studies.db")
    return study.get_trials(deepcopy=False)


def results(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every finished run."""
    for path in sorted((folder / "outputs").glob("*/result.json")):
        yield path.parent, json.loads(path.read_text())
