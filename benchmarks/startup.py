"""How long until something happens? `--help`, composing, and the first step of a training on a warm cache."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, main, pictures, spread


def seconds_of(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "train.py"), *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def first_step(folder: Path, seed: int, size: int, device: str) -> tuple[float, float]:
    """Seconds until the first step is logged, and until a training of one step and one validation is over."""
    outputs = folder / f"outputs{seed}"
    arguments = [
        *pictures(size), "data.train=4", "data.val=2", "data.test=1", f"paths.datasets={folder}",
        f"paths.outputs={outputs}", "tracking=folder", "tracking.log_every=1", "tracking.panels=0",
        "schedule.max_steps=1", f"seed={seed}", f"device={device}",
        *(["precision=fp32"] if size < 64 else []),
    ]  # fmt: skip
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, str(ROOT / "train.py"), *arguments], stdout=subprocess.DEVNULL) as process:
        logged = 0.0
        while process.poll() is None:
            if not logged and any(path.stat().st_size for path in outputs.glob("*/metrics.jsonl")):
                logged = time.perf_counter() - began
            time.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"the training ended with {process.returncode}")
    return logged or time.perf_counter() - began, time.perf_counter() - began


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    rounds = 1 if arguments.smoke else arguments.rounds
    size = 32 if arguments.smoke else 128
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not arguments.smoke:
            first_step(folder, rounds, size, str(arguments.device))  # draws and packs the data, fills the page cache
        shown, composed, first, whole = [], [], [], []
        for seed in range(rounds):
            shown.append(seconds_of("--help"))
            composed.append(seconds_of("--cfg", "job"))
            logged, over = first_step(folder, seed, size, str(arguments.device))
            first.append(logged)
            whole.append(over)
    times = {"--help": shown, "--cfg job": composed, "first step logged": first, "one step and its validation": whole}
    return {"seconds": {name: spread(values) for name, values in times.items()}}


if __name__ == "__main__":
    main("startup", measure, rounds=5)
