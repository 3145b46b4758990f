"""What does a sweep cost beside its trainings? Tiny trainings in a sweep, and the same ones by themselves, in turns.

Composing, planning, the study, the tables and the tracking server's parent run are what is measured; both sides are
tracked by MLflow. What a process needs once (imports, the first migration of its databases) happens before.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import main, pictures, settings_of, spread
from rich.console import Console
from sweeping import sweep

from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.runs.run import run


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    trials, rounds = (2, 1) if arguments.smoke else (arguments.trials, arguments.rounds)
    rates = [f"{1e-4 * (1 + number):.1e}" for number in range(trials)]
    seconds: dict[str, list[float]] = {"sweep": [], "trainings alone": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = [
            *pictures(32), "data.train=4", "data.val=2", "data.test=1", f"paths.datasets={folder}", "device=cpu",
            "encoder=resnet18", "dilation=os32", "model.aspp=false", "model.skip=false", "precision=fp32",
            "schedule.max_steps=2", "tracking.panels=0", f"tracking.uri=sqlite:///{folder}/mlflow.db",
        ]  # fmt: skip
        assemble(settings_of(*base), torch.device("cpu")).source.prepare()
        sweep(folder / "first", *base, f"lr.value={rates[0]},{rates[1]}")
        for seed in range(rounds):
            began = time.perf_counter()
            sweep(folder / f"sweep{seed}", *base, f"seed={seed}", f"lr.value={','.join(rates)}")
            seconds["sweep"].append(time.perf_counter() - began)
            began = time.perf_counter()
            for rate in rates:
                settings = settings_of(*base, f"seed={seed}", f"lr.value={rate}", f"paths.outputs={folder}/alone{seed}")
                run(settings, Console(file=io.StringIO()))
            seconds["trainings alone"].append(time.perf_counter() - began)
    pairs = zip(seconds["sweep"], seconds["trainings alone"], strict=True)
    return {
        "trials": trials,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "overhead_seconds_a_trial": spread([(whole - alone) / trials for whole, alone in pairs]),
    }


if __name__ == "__main__":
    main("sweep_overhead", measure, trials=10, rounds=5)
