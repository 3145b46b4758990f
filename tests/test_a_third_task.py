"""Proof that tasks are objects: surface normals, defined in this file alone, from their files to the report."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from helpers import sweeps_in
from helpers.composing import tiny
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import quiet
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mtl_seg_depth import data
from mtl_seg_depth.config import Settings, parse_as
from mtl_seg_depth.data.files import Reader
from mtl_seg_depth.data.miniscapes import READERS, Miniscapes
from mtl_seg_depth.data.spec import DataSpec
from mtl_seg_depth.inference import prediction
from mtl_seg_depth.inference.evaluation import EvaluationSettings, evaluate
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.report.page import ReportSettings, write_report
from mtl_seg_depth.runs import run as running
from mtl_seg_depth.tasks import HEADLINES
from mtl_seg_depth.tasks.headline import Headline
from mtl_seg_depth.tasks.resize import Size, resize
from mtl_seg_depth.tasks.task import TASKS, Measured, Task, ViewGeometry

SIZES = {"train": 6, "val": 3, "test": 2}
HEIGHT, WIDTH = 40, 72


@dataclass(frozen=True)
class NormalsSpec:
    """Normals are stored as three 8-bit numbers, -1..1 as 1..255; all 0 is no normal."""

    bits: int = 8


class Angle:
    """The mean angle between predicted and true normals."""

    def __init__(self, device: torch.device) -> None:
        self.sum = torch.zeros((), dtype=torch.float64, device=device)
        self.count = torch.zeros((), dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        valid = target.square().sum(-1) > 0.5
        cosine = (prediction.double() * target.double()).sum(-1).clamp(-1, 1)
        self.sum += torch.where(valid, cosine.acos().rad2deg(), 0).sum()
        self.count += valid.sum()

    @property
    def sums(self) -> list[Tensor]:
        return [self.sum, self.count]

    def compute(self) -> Measured:
        return Measured((self.sum / self.count).item(), {"angles/pixels": float(self.count)})


class MeanNormal:
    """The views' normals summed, those of a mirror image turned back."""

    def __init__(self, task: "Normals", size: Size) -> None:
        self.task, self.size = task, size
        self.total: Tensor | float = 0.0

    def add(self, raw: Tensor, zoom: float, mirrored: bool) -> None:
        turned = raw * torch.tensor([-1.0 if mirrored else 1.0, 1, 1]).view(1, 3, 1, 1)
        self.total = self.total + F.normalize(resize(turned, self.size), dim=1)

    def result(self) -> Tensor:
        assert isinstance(self.total, Tensor)
        return self.task.decode(self.total)


class Normals(Task):
    """The direction that a surface faces: x to the right, y down, z away from the camera; unit vectors [B, H, W, 3]."""

    headline = Headline("normals", "mean angle", "angle", "°", higher_is_better=False, pivot=60.0)
    spec_type = NormalsSpec
    channels = 3

    def __init__(self, spec: NormalsSpec) -> None:
        self.spec = spec

    def target(self, codes: Tensor) -> Tensor:
        vectors = (codes.float() - 128) / 127
        return torch.where((codes > 0).any(-1, keepdim=True), F.normalize(vectors, dim=-1), 0)

    def seen(self, target: Tensor, view: ViewGeometry) -> Tensor:
        x, y, z = target.unbind(-1)
        x = torch.where(view.flip.view(-1, 1, 1) > 0, -x, x)
        if view.tilt is not None:
            cos, sin = (f(view.tilt).float().view(-1, 1, 1) for f in (torch.cos, torch.sin))
            x, y = cos * x + sin * y, cos * y - sin * x
        return torch.stack([x, y, z], dim=-1)

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        valid = target.square().sum(-1) > 0.5
        off = 1 - (F.normalize(raw.float(), dim=1).permute(0, 2, 3, 1) * target).sum(-1)
        return torch.where(valid, off, 0).sum() / valid.sum().clamp(min=1)

    def decode(self, raw: Tensor) -> Tensor:
        return F.normalize(raw.float(), dim=1).permute(0, 2, 3, 1)

    def meter(self, device: torch.device, detailed: bool = False) -> Angle:
        return Angle(device)

    def pool(self, size: Size, how: str | None = None) -> MeanNormal:
        return MeanNormal(self, size)

    def constant(self, codes: NDArray[Any]) -> Tensor:
        vectors = self.target(torch.from_numpy(codes.astype(np.int32))).reshape(-1, 3)
        return F.normalize(vectors.mean(0), dim=0)

    def paint(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        return ((values + 1) * 127.5).round().astype(np.uint8)


TASKS.pop("normals"), HEADLINES.pop("normals")  # one of the suite's only while the tests below run


class MiniscapesWithNormals(Miniscapes):
    """Miniscapes with a folder normals/ beside the others."""

    readers: ClassVar = {**READERS, "normals": Reader("PNG", channels=(3,))}

    def __init__(self, **miniscapes: Any) -> None:
        super().__init__(**miniscapes)
        self.spec = DataSpec("with normals", {**self.spec.targets, "normals": NormalsSpec()})


def write_normals(root: Path) -> None:
    """The normal that an image's colours name: something that a network can learn."""
    for split in SIZES:
        (root / split / "normals").mkdir()
        for path in (root / split / "rgb").iterdir():
            pixels = np.array(Image.open(path).convert("RGB"))
            pixels[:3] = 0
            Image.fromarray(pixels).save(root / split / "normals" / f"{path.stem}.png")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Data, and a YAML of one line more than Miniscapes': all that is needed beside the classes above."""
    monkeypatch.setitem(TASKS, "normals", Normals)
    monkeypatch.setitem(HEADLINES, "normals", Normals.headline)
    monkeypatch.setattr(data, "MiniscapesWithNormals", MiniscapesWithNormals, raising=False)
    monkeypatch.setattr(data, "__all__", [*data.__all__, "MiniscapesWithNormals"])
    write_tiny_miniscapes(tmp_path / "data", SIZES, height=HEIGHT, width=WIDTH)
    write_normals(tmp_path / "data")
    return tmp_path


def settings(folder: Path, *overrides: str) -> Settings:
    composed = tiny(folder, "+task_weights.normals=0.5", *overrides)
    node = {**composed.data, "_target_": "mtl_seg_depth.data.MiniscapesWithNormals"}
    return composed.model_copy(update={"data": node})


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model=branched", "~task_weights.normals", "task_weights=uncertainty", "augment=full"),
        ("model=distilled", "~task_weights.normals", "task_weights=pcgrad"),
    ],
    ids=["joint, fixed", "branched, uncertainty", "distilled, pcgrad"],
)
def test_a_third_task_trains_is_scored_and_drawn(folder: Path, overrides: tuple[str, ...]) -> None:
    overrides = tuple(each for each in overrides if not each.startswith("~"))
    chosen = settings(folder, *overrides) if not overrides else with_node(folder, *overrides)
    result = running.run(chosen, quiet())
    folder_of_run = next(path.parent for path in (folder / "outputs").glob("*/result.json"))
    assert {"val/semseg", "val/depth", "val/normals", "val/angles/pixels"} <= set(result.best)
    assert 0 < result.best["val/normals"] < 180
    assert math.isfinite(result.baseline["val/normals"])
    points = [json.loads(line)["metrics"] for line in (folder_of_run / "metrics.jsonl").read_text().splitlines()]
    assert any("train/loss/normals" in point and "train/weight/normals" in point for point in points)
    panel = Image.open(next((folder_of_run / "artifacts" / "panels").iterdir()))
    assert panel.width == 8 * 256 + 7 * 4, "image, labels twice, depth thrice, normals twice"


def with_node(folder: Path, *overrides: str) -> Settings:
    composed = tiny(folder, *overrides)
    node = {**composed.data, "_target_": "mtl_seg_depth.data.MiniscapesWithNormals"}
    return composed.model_copy(update={"data": node})


def test_an_interrupted_training_of_three_tasks_continues_to_the_same_weights(folder: Path) -> None:
    whole = running.run(settings(folder, "name=whole"), quiet())
    first = settings(folder, f"paths.outputs={folder}/again", "schedule.epochs=2", "validation.every_epochs=1")
    stop_after(first, 3)
    resumed = running.run(first, quiet())
    assert resumed.steps == whole.steps
    ours, theirs = (
        checkpoint.load(next(place.glob("*/best.pt")), torch.device("cpu"))["network"]
        for place in (folder / "outputs", folder / "again")
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert resumed.best == whole.best


def stop_after(chosen: Settings, steps: int) -> None:
    """Train until a stop is asked for at a step."""
    import os
    import signal

    from mtl_seg_depth.system.interruption import Interrupted
    from mtl_seg_depth.training.step import Step

    original, taken = Step.__call__, []

    def stopping(self: Step, *arguments: Any) -> Any:
        taken.append(1)
        if len(taken) == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "__call__", stopping)
        with pytest.raises(Interrupted):
            running.run(chosen, quiet())


def test_it_is_evaluated_with_test_time_augmentation_and_predicted(folder: Path) -> None:
    running.run(settings(folder, "name=three"), quiet())
    from helpers.trained_runs import settings_of

    asked: EvaluationSettings = settings_of(folder, "run=three", "tta=multiscale_flip", "split=test")
    result = evaluate(asked, quiet())
    assert result is not None
    assert 0 < result.scores["normals"] < 180
    from helpers.composing import compose

    tree = compose(
        "run=three",
        f"input={folder}/data/test/rgb",
        f"output={folder}/predicted",
        "write=[labels,depth,sheet]",
        f"paths.outputs={folder}/outputs",
        "device=cpu",
        config="predict",
    )
    assert prediction.predict(parse_as(prediction.PredictionSettings, tree), quiet()).done == 2
    assert len(list((folder / "predicted").glob("*_sheet.png"))) == 2


def test_a_sweep_of_three_tasks_is_compared_and_reported(folder: Path) -> None:
    options = folder / "conf" / "data"
    options.mkdir(parents=True)
    miniscapes = (sweeps_in.ROOT / "conf" / "data" / "miniscapes.yaml").read_text()
    (options / "with_normals.yaml").write_text(miniscapes.replace("data.Miniscapes", "data.MiniscapesWithNormals"))
    kept = [each for each in sweeps_in.places(folder) if not each.startswith(("data=", "pretrained="))]
    code = sweeps_in.sweep(
        "-m",
        f"hydra.searchpath=[file://{folder}/conf]",
        "data=with_normals",
        "model=joint,branched",
        "task_weights=uncertainty",
        "hydra.sweeper.objective=normals",
        *kept,
        *sweeps_in.tiny(),
    )
    assert code == 0
    described = sweeps_in.described(folder)
    assert described["directions"] == ["minimize"]
    angles = [run["scores"]["normals"] for row in described["rows"] for run in row["runs"]]
    assert len(angles) == 2
    assert "mean angle" in (folder / "outputs" / "sweeps" / described["study"] / "artifacts" / "table.md").read_text()
    asked = {
        "out": f"{folder}/page",
        "studies": [],
        "paths": dict.fromkeys(("root", "datasets", "outputs"), str(folder)),
    }
    asked["paths"]["outputs"] = f"{folder}/outputs"
    written = write_report(parse_as(ReportSettings, asked))
    page = written.markdown.read_text()
    assert "mean angle" in page or "angle" in page
    assert all(f"{angle:.2f}" in page for angle in angles)
