"""The package outside of a checkout: built from its source archive, installed, and used from an empty folder."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from helpers.composing import ROOT, TINY
from helpers.photographs import picture, save
from helpers.tiny_data import write_tiny_miniscapes
from nbclient import NotebookClient

SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
COMMANDS = [f"mtl-{path.stem.replace('_', '-')}" for path in ROOT.glob("*.py")]
DRAWN = ("data.train=4", "data.val=1", "data.test=1", "data.height=32", "data.width=64", "data.workers=1")
WORDS = (*DRAWN, *(word for word in TINY if not word.startswith("data=")), "schedule.epochs=1")


@dataclass(frozen=True)
class Installed:
    """A package that lies in `site`; the rest of the environment is that of the tests."""

    site: Path

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("MTL_SEG_DEPTH_", "MLFLOW_"))}
        for name, place in (("PYTHONPATH", self.site), ("PATH", self.site / "bin")):
            ours[name] = os.pathsep.join([str(place), ours.get(name, "")])
        return ours

    def __call__(self, *words: str, cwd: Path, **more: str) -> str:
        """What a command prints, as it is started at a keyboard."""
        done = subprocess.run(
            [str(self.site / "bin" / words[0]), *words[1:]],
            **{"capture_output": True, "text": True, "cwd": cwd, "check": False},
            env={**self.environment, **more},
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Built from the source archive, so that both hold what is needed, and without fetching anything."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    without = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "conf", "sweeps"):
        shutil.copytree(ROOT / name, source / name, ignore=without)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    archive = "from setuptools import build_meta; build_meta.build_sdist('..')"
    subprocess.run([sys.executable, "-c", archive], cwd=source, check=True, capture_output=True)
    shutil.rmtree(source)
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--target", "site"]
    command = [sys.executable, "-m", "pip", *words, str(next(folder.glob("*.tar.gz")))]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    yield Installed(folder / "site")
    shutil.rmtree(folder)


def test_every_config_is_in_the_package_once(installed: Installed) -> None:
    package = installed.site / "mtl_seg_depth"
    for name in ("conf", "sweeps"):
        ours = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / name).rglob("*.yaml")}
        theirs = {
            path.relative_to(package): path.read_bytes() for path in (package / name).rglob("*") if path.is_file()
        }
        assert ours == theirs
    assert not any(path.is_symlink() for path in package.rglob("*"))
    assert {path.name for path in installed.site.iterdir() if path.suffix != ".dist-info"} == {
        *("bin", "hydra_plugins", "mtl_seg_depth")
    }


def test_every_script_of_a_checkout_is_a_command() -> None:
    assert set(SCRIPTS) == {*COMMANDS, "mtl-ui"}
    for name, where in SCRIPTS.items():
        assert callable(importlib.metadata.EntryPoint(name, where, "console_scripts").load())


def test_help_names_the_command_as_it_is_typed(installed: Installed, tmp_path: Path) -> None:
    said = installed("mtl-predict", "--help", cwd=tmp_path)
    assert "  mtl-predict run=<id> input=photos/" in said
    assert "python" not in said


def test_a_training_and_the_command_that_it_prints_work_in_an_empty_folder(
    installed: Installed, tmp_path: Path
) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    save(tmp_path / "photo.png", picture(33, 51))
    places = ("data.root=data", "data.cache=packed", "schedule.epochs=1")
    said = installed("mtl-train", *TINY, *places, cwd=tmp_path)
    card = json.loads(next((tmp_path / "outputs").glob("*/run.json")).read_text())
    assert "git_commit" not in json.dumps(card)
    assert card["command"].startswith("mtl-train data=miniscapes ")
    line = next(line for line in said.splitlines() if line.startswith("predict "))
    words = shlex.split(line.removeprefix("predict").replace("<photos>", "photo.png"))
    assert words[0] == "mtl-predict"
    installed(*words, "device=cpu", cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "packed", "outputs", "predictions", "photo.png"}
    asked = "mtl-predict tta=flip run="
    told = installed("mtl-predict", "-sc", "query=bash", cwd=tmp_path, COMP_LINE=asked, COMP_POINT=str(len(asked)))
    ours = next((tmp_path / "outputs").iterdir()).name
    assert told.split() == ["run=best", "run=demo", "run=latest", f"run={ours}"]


def test_the_notebook_runs(installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(ROOT / "docs" / "first_training.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    choices = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(choices) == 1
    choices[0].source += f"\nwords += {list(WORDS)}"
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    place = tmp_path / "notebook"
    place.mkdir()
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(place)}})
    client.execute(env=installed.environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(shown) == 4  # curves, the first and the last panels, the prediction
    text = "".join(output.get("text", "") for output in outputs)
    assert re.search(r"of the image, +\d+\.\d m away", text)
    assert "\x1b" not in text, "a notebook does not move its cursor: a live line would be thousands"
    assert {path.name for path in place.iterdir()} == {"datasets", "outputs"}
