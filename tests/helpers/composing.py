"""The repository's own conf/, composed in a test, on tiny data."""

import os
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from mtl_seg_depth.cli.start import ROOT_VARIABLE
from mtl_seg_depth.config import Settings, parse

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
HELPERS = ROOT / "tests" / "helpers"
"""Scripts that tests run lie there too."""

TINY = (
    "data=miniscapes",
    "data.crop_size=[32,32]",
    "dilation=os32",
    "model.aspp=false",
    "model.skip=false",
    "schedule.batch_size=2",
    "schedule.epochs=2",
    "precision=fp32",
    "device=cpu",
    "tracking=folder",
    "tracking.panels=1",
)
"""A training of seconds; `tiny` adds where its data lies."""


def compose(*overrides: str, config: str = "train") -> dict[str, Any]:
    """A composed config as the plain dictionary that entry points get."""
    os.environ.setdefault(ROOT_VARIABLE, str(ROOT))
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF)):
        tree = OmegaConf.to_container(
            hydra.compose(config, overrides=list(overrides)), resolve=True, throw_on_missing=True
        )
    assert isinstance(tree, dict)
    return tree


def tiny(folder: Path, *overrides: str) -> Settings:
    """Settings of a tiny training on the data in `folder`/data, with its runs in `folder`/outputs."""
    return parse(compose(*TINY, *places(folder), *overrides))


def places(folder: Path) -> list[str]:
    return [f"data.root={folder}/data", f"data.cache={folder}/packed", f"paths.outputs={folder}/outputs"]


def options(group: str) -> list[str]:
    """The options of a config group."""
    folder = ROOT / "sweeps" if group == "sweeps" else CONF / group
    return sorted(path.stem for path in folder.glob("*.yaml"))


def groups() -> list[str]:
    """The groups of one choice each in a training: neither whole setups nor evaluation's `tta`."""
    return sorted(
        path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("experiment", "sweeps", "tta")
    )
