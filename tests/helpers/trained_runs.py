"""Two tiny runs, trained for tests that need something trained; see the fixture `trained_folder`."""

import io
import json
from pathlib import Path

from rich.console import Console

from helpers.composing import compose, tiny
from helpers.tiny_data import write_tiny_miniscapes
from mtl_seg_depth.config import parse_as
from mtl_seg_depth.inference import evaluation
from mtl_seg_depth.inference.evaluation import EvaluationSettings
from mtl_seg_depth.records.results import Evaluation
from mtl_seg_depth.runs.run import run

HEIGHT, WIDTH = 40, 72  # no multiples of 32


def quiet() -> Console:
    """A console that nobody sees."""
    return Console(file=io.StringIO(), width=200)


def train_two(folder: Path) -> Path:
    """Data in data/, the runs "first" and "second" of two steps each in outputs/, the first one tracked by MLflow."""
    write_tiny_miniscapes(folder / "data", {"train": 4, "val": 3, "test": 2}, height=HEIGHT, width=WIDTH)
    for seed, name in ((0, "first"), (1, "second")):
        uri = [f"tracking.uri=sqlite:///{folder}/mlflow.db", "tracking.system_metrics=false"] if seed == 0 else []
        run(tiny(folder, "schedule.epochs=1", f"seed={seed}", f"name={name}", *uri), quiet())
    return folder


def settings_of(folder: Path, *overrides: str) -> EvaluationSettings:
    places = [f"paths.outputs={folder}/outputs", f"paths.datasets={folder}", "run=first", "device=cpu"]
    places.append(f"tracking_uri=sqlite:///{folder}/mlflow.db")
    last = {override.split("=")[0]: override for override in (*places, *overrides)}
    return parse_as(EvaluationSettings, compose(*last.values(), config="evaluate"))


def evaluate(folder: Path, *overrides: str) -> Evaluation:
    result = evaluation.evaluate(settings_of(folder, *overrides), quiet())
    assert result is not None
    return result


def only_run(folder: Path, name: str) -> Path:
    cards = (folder / "outputs").glob("*/run.json")
    return next(card.parent for card in cards if json.loads(card.read_text())["name"] == name)
