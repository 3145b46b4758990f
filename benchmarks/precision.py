"""Does bf16 change the scores? Both formats on the embedded street scenes, several seeds each.

With --keep=<folder> a benchmark that was stopped goes on.
"""

import argparse
import io
import statistics
import tempfile
from pathlib import Path
from typing import Any

from common import main, pictures, settings_of
from rich.console import Console

from mtl_seg_depth.runs.run import run

NAMES = ("multitask", "semseg", "depth")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    smoke = arguments.smoke
    seeds = range(1 if smoke else arguments.seeds)
    small = [*pictures(64), "data.train=4", "data.val=2", "data.test=1"] if smoke else []
    scores: dict[str, list[dict[str, float]]] = {"fp32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep or temporary).resolve()
        for seed in seeds:
            for precision, found in scores.items():
                settings = settings_of(
                    *small, f"paths.datasets={folder}", f"paths.outputs={folder}/outputs", "tracking=folder",
                    f"schedule.epochs={1 if smoke else arguments.epochs}", f"lr.value={arguments.rate}",
                    f"seed={seed}", f"precision={precision}", f"device={arguments.device}",
                )  # fmt: skip
                last = run(settings, Console(file=io.StringIO())).last
                found.append({name: last[f"val/{name}"] for name in NAMES})
    summary = {
        precision: {
            name: {
                "mean": statistics.mean(one[name] for one in found),
                "deviation": statistics.stdev(one[name] for one in found) if len(found) > 1 else 0.0,
            }
            for name in NAMES
        }
        for precision, found in scores.items()
    }
    return {"network": "joint resnet18", "scores": scores, "summary": summary}


if __name__ == "__main__":
    main("precision", measure, seeds=3, epochs=16, rate=3e-4, keep="")
