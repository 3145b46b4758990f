"""What does a photo of today's size take, and what is seen in it? `predict.py` by default against full size.

The same streets are drawn twice, at the size of the training and in 6 megapixels, and predicted by whole commands: at
full size in tiles, as `max_side=null` does, and in one piece too, as networks are run when nobody takes care.
`--run` names a trained network's best.pt; without it one is trained first.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, main, pictures
from PIL import Image

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.streets.render import render_scene
from mtl_seg_depth.tasks.semseg.confusion_matrix import ConfusionMatrix

PREDICT = [str(ROOT / "predict.py")]
ONE_PIECE = f"""
import runpy, sys
from mtl_seg_depth.inference import looking
looking.TILE = 10**6
sys.argv[0] = {PREDICT[0]!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
WAYS = {
    "training size": ("small", "auto", PREDICT),
    "default": ("large", "auto", PREDICT),
    "full size in tiles": ("large", "null", PREDICT),
    "full size in one piece": ("large", "null", ["-c", ONE_PIECE]),
}
"""What is predicted, at which max_side, and by what."""


def draw(folder: Path, height: int, width: int, images: int) -> list[np.ndarray]:
    """Scenes of the test split as PNGs; their labels.

    In a process of its own: a child's largest memory is counted from that of its parent.
    """
    folder.mkdir()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.starmap(draw_one, [(folder, index, height, width) for index in range(images)], chunksize=1)


def draw_one(folder: Path, index: int, height: int, width: int) -> np.ndarray:
    scene = render_scene(0, "test", index, height, width)
    Image.fromarray(scene.rgb).save(folder / f"{index:03}.png")
    return scene.semseg


def command(*arguments: str) -> dict[str, float]:
    """Seconds, seconds of computing and GiB of memory at most that a whole command takes."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_gib": used.ru_maxrss / 2**20,
    }


def trained(folder: Path, smoke: bool, device: str) -> Path:
    """The best weights of a new training on street scenes."""
    arguments = [
        *pictures(32), "data.train=4", "data.val=2", "data.test=1", "schedule.max_steps=1", "precision=fp32",
        "encoder.name=resnet18", "tracking.panels=0",
    ] if smoke else []  # fmt: skip
    places = [f"paths.datasets={folder}", f"paths.outputs={folder}/outputs", "tracking=folder", f"device={device}"]
    command(str(ROOT / "train.py"), *places, *arguments)
    return next((folder / "outputs").glob("*/best.pt"))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    smoke, device = arguments.smoke, str(arguments.device)
    large, images = ((64, 128), 1) if smoke else ((arguments.height, 2 * arguments.height), arguments.images)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        best = Path(arguments.run) if arguments.run else trained(folder, smoke, device)
        size = tuple(
            torch.load(best, mmap=True, weights_only=True)["config"]["data"][side] for side in ("height", "width")
        )
        labels = {"small": draw(folder / "small", *size, images), "large": draw(folder / "large", *large, images)}
        found: dict[str, Any] = {}
        for way, (drawn, max_side, words) in WAYS.items():
            output = folder / way.replace(" ", "_")
            asked = [f"run={best}", f"input={folder / drawn}", f"output={output}", f"max_side={max_side}"]
            found[way] = command(*words, *asked, f"device={device}")
            matrix = ConfusionMatrix(CITYSCAPES, torch.device("cpu"))
            for index, truth in enumerate(labels[drawn]):
                predicted = np.array(Image.open(output / f"{index:03}_labels.png"))
                matrix.update(torch.from_numpy(predicted).long(), torch.from_numpy(truth).long())
            found[way]["mean_iou"] = matrix.compute().headline
    reached = found["training size"]["mean_iou"]
    return {
        "images": images,
        "training_size": size,
        "large_size": large,
        "nice": os.nice(0),
        "ways": found,
        "score_kept": {way: one["mean_iou"] / reached if reached else None for way, one in found.items()},
        "default_over_full_size": {
            way: {name: found["default"][name] / found[way][name] for name in ("seconds", "cpu_seconds", "peak_gib")}
            for way in ("full size in tiles", "full size in one piece")
        },
    }


if __name__ == "__main__":
    main("predict_large", measure, run="", images=4, height=1744)
