"""The repository's own conf/, composed in a test, on tiny data."""

import copy
import functools
import os
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from mtl_seg_depth.config import Settings, parse
from mtl_seg_depth.system.installation import ROOT_VARIABLE

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
HELPERS = ROOT / "tests" / "helpers"
"""Scripts that tests run lie there too."""

SOMEWHERE = "/the/folder/of/a/test"
"""Stands for it while a config is composed."""

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
    "checkpoint.keep=all",
)
"""A training of seconds; `tiny` adds where its data lies."""


def compose(*overrides: str, config: str = "train") -> dict[str, Any]:
    """A composed config as the plain dictionary that entry points get; composed once, and the caller's own."""
    os.environ.setdefault(ROOT_VARIABLE, str(ROOT))
    return copy.deepcopy(_composed(config, overrides, os.environ[ROOT_VARIABLE]))


@functools.cache
def _composed(config: str, overrides: tuple[str, ...], root: str) -> dict[str, Any]:
    """What Hydra makes of it, in a tenth of a second; `root` is what the config takes from the environment."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF)):
        tree = OmegaConf.to_container(
            hydra.compose(config, overrides=list(overrides)), resolve=True, throw_on_missing=True
        )
    assert isinstance(tree, dict)
    return tree


def tiny(folder: Path, *overrides: str) -> Settings:
    """Settings of a tiny training on the data in `folder`/data, with its runs in `folder`/outputs."""
    return parse(compose_in(folder, *TINY, *places(folder), *overrides))


def compose_in(folder: Path, *overrides: str, config: str = "train") -> dict[str, Any]:
    """As `compose`, where all that is new in the overrides is a test's own folder: composed once for all of those."""
    general = [override.replace(str(folder), SOMEWHERE) for override in overrides]
    tree: dict[str, Any] = _replaced(compose(*general, config=config), SOMEWHERE, str(folder))
    return tree


def _replaced(value: Any, old: str, new: str) -> Any:
    """Nested plain values, with one part of their texts replaced."""
    if isinstance(value, dict):
        return {key: _replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, old, new) for inner in value]
    return value.replace(old, new) if isinstance(value, str) else value


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
