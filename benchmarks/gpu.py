"""Everything that takes a GPU, in one command and without a network: tests, benchmarks, extrapolation, busy share.

A bare machine has a Python, such as 3.12, with torch, torchvision, numpy, pandas, matplotlib, rich and pytest, and no
network. The rest is what `make wheels` puts into `wheels/<version>/` elsewhere; git ignores that folder, so take it
along. There, from the repository's root:

    python3 -m pip install --no-index --no-deps wheels/3.12/*.whl && python3 benchmarks/gpu.py

Or `--target <folder>` with PYTHONPATH=<folder>, where nothing may be installed. If there is not the time for all of it
at once, `--parts tests,updates` and then `--parts profile,step_time,...` write into the same file; each part is
written as soon as it is known. DataLoader workers, in data_path and whole_run, take room in /dev/shm.
`gpu_first_run.py` comes first: it sees whether everything works.

Results go to `benchmarks/results/<GPU>/`: `gpu.json` from here, the others from the benchmarks that this runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import ROOT, main, pictures, settings_of, synchronize
from torch.profiler import ProfilerActivity, profile

from mtl_seg_depth.data.batches import TrainingBatches
from mtl_seg_depth.runs.assembly import Parts, assemble, training_batches
from mtl_seg_depth.training.loop import LossWindow

BENCHMARKS = ("step_time", "data_path", "whole_run")
PARTS = ("tests", "updates", "profile", *BENCHMARKS)
REPORT_UPDATES = 80_000
"""Of one run of the report: 20 000 images, batches of 4, 16 epochs."""


def cuda_tests() -> dict[str, Any]:
    # Only the files that have such tests: others want what a bare machine lacks.
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.cuda" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-q", "--no-header", "-p", "no:cacheprovider", *files]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    print(done.stdout[-6000:], done.stderr[-2000:], sep="\n")
    return {"exit_code": done.returncode, "summary": done.stdout.strip().splitlines()[-1:]}


def benchmark(name: str, arguments: argparse.Namespace) -> int:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--device", str(arguments.device)]
    command += ["--out", str(arguments.out), *(["--smoke"] if arguments.smoke else [])]
    # More updates than on a CPU: otherwise a GPU's run is mostly start-up.
    command += ["--train=512", "--epochs=8"] if name == "whole_run" else []
    return subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode


def training(batch: int, size: int, folder: Path, device: torch.device, *more: str) -> tuple[Parts, TrainingBatches]:
    # Epochs of 64 updates at 256 x 256: each begins with a wait for its plan, which would show in short ones.
    settings = settings_of(
        *pictures(size), f"data.train={size // 4 * batch}", "data.val=1", "data.test=1", f"paths.datasets={folder}",
        "encoder=resnet34", f"schedule.batch_size={batch}", "schedule.epochs=100000", "tracking=folder", *more,
    )  # fmt: skip
    parts = assemble(settings, device)
    return parts, training_batches(settings, parts, parts.source.open("train", progress=False), device)


def updates(parts: Parts, batches: TrainingBatches, first: int, count: int, log_every: int = 20) -> None:
    """What the loop does for `count` updates, but saving and validating."""
    window = LossWindow()
    for number in range(first, first + count):
        batch = batches[number]
        window.add(parts.advance(batch, parts.learning_rate(number)), images=len(batch.ids))
        if (number + 1) % log_every == 0:
            window.read()


def sustained(batch: int, size: int, count: int, folder: Path, device: torch.device, *more: str) -> dict[str, float]:
    """Seconds to the first update, seconds of an update over many, and the peak of the memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    parts, batches = training(batch, size, folder, device, *more)
    updates(parts, batches, 0, 1)
    synchronize(device)
    first = time.perf_counter() - began
    updates(parts, batches, 1, min(50, count))
    synchronize(device)
    began = time.perf_counter()
    updates(parts, batches, 51, count)
    synchronize(device)
    seconds = (time.perf_counter() - began) / count
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    reserved = torch.cuda.max_memory_reserved() if device.type == "cuda" else 0
    return {
        "seconds_to_first_update": first,
        "seconds_an_update": seconds,
        "updates": count,
        "images_per_second": batch / seconds,
        "hours_of_80000_updates": REPORT_UPDATES * seconds / 3600,
        "peak_bytes": peak,
        "reserved_bytes": reserved,
    }


def busy_share(batch: int, size: int, count: int, folder: Path, device: torch.device) -> dict[str, Any]:
    """Share of the time in which the device works, and where most of its time goes."""
    parts, batches = training(batch, size, folder, device)
    before = min(30, count)
    updates(parts, batches, 0, before)
    synchronize(device)
    activities = [ProfilerActivity.CUDA] if device.type == "cuda" else [ProfilerActivity.CPU]
    with profile(activities=activities) as trace:
        began = time.perf_counter()
        updates(parts, batches, before, count)
        synchronize(device)
        wall = time.perf_counter() - began
    kind = torch.autograd.DeviceType.CUDA if device.type == "cuda" else torch.autograd.DeviceType.CPU
    kernels = [event for event in trace.events() if event.device_type == kind]
    spans = sorted((event.time_range.start, event.time_range.end) for event in kernels)
    busy, until = 0.0, float("-inf")
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    span = (until - spans[0][0]) if spans else 0.0
    totals: dict[str, float] = {}
    for event in kernels:
        totals[event.name[:80]] = totals.get(event.name[:80], 0.0) + (event.time_range.end - event.time_range.start)
    most = sorted(totals.items(), key=lambda item: -item[1])[:15]
    return {
        "updates": count,
        "wall_seconds": wall,
        "busy_seconds": busy / 1e6,
        "share_of_wall": busy / 1e6 / wall,
        "share_between_first_and_last_kernel": busy / span if span else 0.0,
        "kernels_an_update": len(kernels) / count,
        "milliseconds_an_update_by_kernel": {name: total / 1e3 / count for name, total in most},
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    size, count = (64, 3) if smoke else (256, arguments.updates)
    batches = (2,) if smoke else (4, 16)
    modes = {"auto": ()} if device.type != "cuda" else {"graph": ("step=graph",), "eager": ("step=eager",)}
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"--parts: there are {', '.join(PARTS)}, and no {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {} if parts == list(PARTS) else arguments.known

    def note(name: str, value: Any) -> None:
        found[name] = value
        print(name, value, flush=True)
        arguments.write(found)

    if "tests" in parts and not smoke:
        note("tests", cuda_tests())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for batch in batches if "updates" in parts else ():
            for model in ("joint",) if smoke or batch == 16 else ("joint", "branched", "distilled"):
                for mode, more in modes.items():
                    one = sustained(batch, size, count, folder, device, f"model={model}", *more)
                    note(f"{model} resnet34, batch {batch}, {mode}", one)
        if "profile" in parts:
            note("profile", busy_share(batches[0], size, 2 if smoke else 200, folder, device))
    for name in BENCHMARKS:
        if name in parts:
            note(f"exit code of {name}", benchmark(name, arguments))
    return found


if __name__ == "__main__":
    main("gpu", measure, updates=3000, parts=",".join(PARTS))
