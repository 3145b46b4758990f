"""Two tiny runs, trained for tests that need something trained; see the fixture `trained_folder`."""

import io
from pathlib import Path

from composing import tiny
from rich.console import Console
from tiny_data import write_tiny_miniscapes

from mtl_seg_depth.run import run

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
