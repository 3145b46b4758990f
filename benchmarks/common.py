"""What the benchmarks share: one way to measure, to name the machine, and to write results down."""

import argparse
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from mtl_seg_depth.system.machine import settle_memory, settle_threads

settle_memory()
settle_threads()

import hydra
import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from mtl_seg_depth.cli.start import ROOT_VARIABLE
from mtl_seg_depth.config import Settings, parse
from mtl_seg_depth.data.batches import Batch

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"

Work = Callable[[], Any]


def main(question: str, measure: Callable[[argparse.Namespace], dict[str, Any]], **options: Any) -> dict[str, Any]:
    """Run a benchmark from the command line, write `results/<machine>/<question>.json`, and return its results.

    Args:
        question: names the file.
        measure: takes the parsed arguments, gives the results. `arguments.write(results)` writes what is known so far,
            and `arguments.known` is what the file had before.
        options: further arguments and their defaults.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--smoke", action="store_true", help="check that it works, on as little as possible")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    for name, default in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    arguments = parser.parse_args()
    arguments.device = torch.device(arguments.device)
    report = {
        "question": question,
        "machine": machine_of(arguments.device),
        "smoke": arguments.smoke,
        "load_before": round(os.getloadavg()[0], 2),
    }
    path = arguments.out / folder_of(report["machine"]) / f"{question}.json"
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(results: Mapping[str, Any]) -> None:
        path.write_text(json.dumps({**report, "results": results}, indent=1) + "\n")

    arguments.write = write
    arguments.known = json.loads(path.read_text())["results"] if path.exists() else {}
    results = measure(arguments)
    write(results)
    print(json.dumps(results, indent=1))
    return results


def machine_of(device: torch.device) -> dict[str, Any]:
    """What was measured on; neither hosts nor paths."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = torch.cpu.get_capabilities()
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "bf16": next((name for name in ("amx_bf16", "avx512_bf16") if flags.get(name)), "none"),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


def folder_of(machine: Mapping[str, Any]) -> str:
    """A machine's folder of results, such as `intel-xeon-processor-2-cores-amx-bf16`."""
    name = machine["gpu"] or f"{machine['cpu']} {machine['cores']} cores {machine['bf16']}"
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((R|TM)\)", "", name).lower()).strip("-")


def alternate(works: Mapping[str, Work], rounds: int, device: torch.device, warm_up: int = 2) -> dict[str, Any]:
    """Seconds of each work, measured in turns: what disturbs the machine disturbs them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(warm_up + rounds):
        for name, work in works.items():
            synchronize(device)
            began = time.perf_counter()
            work()
            synchronize(device)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - began)
    return {name: spread(values) for name, values in seconds.items()}


def synchronize(device: torch.device) -> None:
    """Wait until everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: list[float]) -> dict[str, Any]:
    """Median and the range that holds the middle half."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]
    return {"median": statistics.median(values), "low": low, "high": high, "count": len(values)}


def settings_of(*overrides: str) -> Settings:
    """The repository's own conf/, composed."""
    os.environ.setdefault(ROOT_VARIABLE, str(ROOT))
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(ROOT / "conf")):
        tree = OmegaConf.to_container(hydra.compose("train", overrides=list(overrides)), resolve=True)
    assert isinstance(tree, dict)
    return parse({str(key): value for key, value in tree.items()})


def pictures(size: int, width: int | None = None) -> list[str]:
    """Overrides for street scenes from which crops of `size` x `size` are taken."""
    return [f"data.height={size}", f"data.width={width or 2 * size}", f"data.crop_size=[{size},{size}]"]


def batch_of(count: int, size: int, device: torch.device, channels_last: bool = True) -> Batch:
    """Random pixels; a tenth of the labels ignored, a tenth of the depths missing."""
    random = torch.Generator().manual_seed(0)
    rgb = torch.rand(count, 3, size, size, generator=random)
    semseg = torch.randint(0, 19, (count, size, size), generator=random)
    semseg[torch.rand(semseg.shape, generator=random) < 0.1] = 255
    depth = 4 + 100 * torch.rand(count, size, size, generator=random)
    depth[torch.rand(depth.shape, generator=random) < 0.1] = torch.nan
    layout = torch.channels_last if channels_last else torch.contiguous_format
    rgb = rgb.to(device).contiguous(memory_format=layout)
    return Batch(rgb, {"semseg": semseg.to(device), "depth": depth.to(device)}, list(range(count)))


def floors(device: torch.device, smoke: bool) -> dict[str, float]:
    """The machine's best: matrix products in FLOP/s, by format, and copying in bytes/s (read and written).

    fp32 is what a training takes for it: on a GPU, TF32.
    """
    torch.backends.cuda.matmul.allow_tf32 = True  # as in a training
    side = 256 if smoke else 8192 if device.type == "cuda" else 2048
    best = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
        best[f"{name}_flops"] = 2 * side**3 / _fastest(lambda a=a, b=b: a @ b, device, smoke)
    source = torch.zeros((1 << 22) if smoke else (1 << 28), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best["copy_bytes"] = 2 * source.numel() / _fastest(lambda: target.copy_(source), device, smoke)
    return best


def _fastest(work: Work, device: torch.device, smoke: bool) -> float:
    seconds = []
    for _ in range(2 if smoke else 12):
        synchronize(device)
        began = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
