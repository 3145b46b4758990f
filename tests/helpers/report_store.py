"""A store as sweeps leave it, made up: sweep.json and the run folders that it names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from helpers.facts import tasks
from mtl_seg_depth.config import flatten
from mtl_seg_depth.drawing.sheet import save, sheet
from mtl_seg_depth.report.page import ReportSettings
from mtl_seg_depth.report.tables import PARAMETERS, report_tables

STREETS = {
    "_target_": "mtl_seg_depth.data.Streets",
    "train": 64, "val": 16, "test": 16, "width": 256, "height": 128, "crop_size": [128, 128],
}  # fmt: skip
MINISCAPES = {"_target_": "mtl_seg_depth.data.Miniscapes", "crop_size": [256, 256]}

TABLES = {table.id: table for table in report_tables()}


@dataclass
class Row:
    """What a row of a sweep.json is made of: the scores of every seed, None for one without any."""

    scores: Sequence[tuple[float, float] | None] = ()
    label: str = "row"
    state: str = "complete"
    statuses: Sequence[str] = ()
    reason: str | None = None
    values: list[float | None] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Parameters of its trainings that are others than the report's row says."""
    folder: str | None = None


@dataclass
class Store:
    """Writes studies and runs under `outputs`."""

    outputs: Path
    steps: int = 128
    steps_per_epoch: int = 16
    made: int = 0

    def study(
        self,
        sweep: str | None,
        rows: Sequence[Row],
        *,
        name: str | None = None,
        data: Mapping[str, Any] = STREETS,
        encoder: str = "resnet34",
        score: str | None = None,
        kind: str = "grid",
        updated: int = 1_790_000_000_000,
        **others: Any,
    ) -> Path:
        """Write a sweep's account and its run folders; returns the path of the account."""
        name = name or f"{sweep}-1a2b3c4d"
        config = {
            "data": dict(data),
            "encoder": {"name": encoder, "weights": "none"},
            "schedule": {"epochs": 8, "batch_size": 4, "max_steps": None},
            "precision": "fp32",
            "score": score,
        }
        account = {
            "version": 1, "study": name, "sweep": sweep, "kind": kind, "started": updated, "updated": updated,
            "objective": ["val/multitask"], "directions": ["maximize"], "overrides": [],
            "seeds": list(range(max((len(row.scores) for row in rows), default=1))), "config": config,
            "rows": [self._row(number, row, config, sweep) for number, row in enumerate(rows)],
        }  # fmt: skip
        path = self.outputs / "sweeps" / name.replace("/", "_") / "sweep.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**account, **others}))
        return path

    def _row(self, number: int, row: Row, config: Mapping[str, Any], sweep: str | None) -> dict[str, Any]:
        reported = TABLES[sweep].rows[number:] if sweep in TABLES else ()
        says = {key: reported[0].says[key] for key in TABLES[sweep].vary} if reported else {}
        own = {name: str(value) for key, value in says.items() for name in PARAMETERS[key]} | dict(row.chosen)
        runs = [
            self._run(seed, scores, row.statuses[seed] if row.statuses else "finished", config, own)
            for seed, scores in enumerate(row.scores)
        ]
        return {
            "number": number, "label": row.label, "params": dict(row.params), "state": row.state, "reason": row.reason,
            "values": row.values, "attempt": 1, "started": 1, "ended": 2, "folder": row.folder, "runs": runs,
        }  # fmt: skip

    def _run(
        self, seed: int, scores: tuple[float, float] | None, status: str, config: Mapping[str, Any], own: dict[str, str]
    ) -> dict[str, Any]:
        self.made += 1
        name = f"run-{self.made:016x}"
        self.folder(self.outputs / name, scores, status, config, own)
        if (views := own.pop("evaluated", None)) is not None:
            write_evaluation(self.outputs / name / "evaluations" / "views.json", 1.0, tta={"views": views})
        told = None if scores is None else scores_of(*scores)
        return {
            "seed": seed, "fingerprint": f"{self.made:016x}", "folder": name, "status": status, "scores": told,
            "evaluation": None if views is None else "evaluations/views.json",
        }  # fmt: skip

    def folder(
        self,
        folder: Path,
        scores: tuple[float, float] | None,
        status: str,
        config: Mapping[str, Any],
        own: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """One run folder as a training leaves it; `own` is what its row varies."""
        folder.mkdir(parents=True)
        params = {key.removesuffix("._target_"): str(value) for key, value in flatten(config)}
        # As in a real card: the options chosen stand under the names of their groups.
        choices = {"data": config["data"]["_target_"].rpartition(".")[2].lower(), "steps": str(self.steps)}
        write(folder / "run.json", {"name": folder.name, "params": {**params, **choices, **own}})
        if status != "running":
            write_result(folder, status=status, steps=self.steps, best_step=self.steps)
        semseg, depth = scores or (10.0, 90.0)
        lines = []
        for step in range(4, self.steps + 1, 4):
            share = 1 - step / self.steps
            losses = {"train/loss/semseg": 0.5 + 2 * share, "train/loss/depth": 0.2 + share}
            lines.append((step, {**losses, "train/weight/semseg": 0.5, "train/weight/depth": 0.5,
                                 "train/epoch": step / self.steps_per_epoch}))  # fmt: skip
            if step % self.steps_per_epoch == 0:
                now = scores_of(semseg * (1 - share / 2), depth * (1 + share / 2))
                lines.append((step, {f"val/{key}": value for key, value in now.items()}))
        write_points(folder / "metrics.jsonl", lines)


def scores_of(semseg: float, depth: float) -> dict[str, float]:
    return {"multitask": max(semseg - 50, 0) + max(50 - depth, 0), "semseg": semseg, "depth": depth}


def write_result(folder: Path, *, status: str = "finished", steps: int = 1, best_step: int = 1, **cost: Any) -> None:
    """A run's result.json, with these of its costs."""
    usual = {
        "seconds": 3725.0, "data_share": 0.01, "images_per_second": 123.4, "parameters": 21_421_396,
        "peak_memory_bytes": 20 << 30, "peak_memory_share": 0.25, "memory": "20.00 GiB at most",
        "device": "NVIDIA Test GPU",
    }  # fmt: skip
    content = {"status": status, "fingerprint": "", "steps": steps, "best_step": best_step, "best": {}, "last": {}}
    write(folder / "result.json", {**content, "cost": {**usual, **cost}})


def write_evaluation(
    path: Path, seconds: float, pictures: int = 16, tta: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """A stored evaluation that took so long."""
    path.parent.mkdir(exist_ok=True)
    write(path, {
        "name": "a", "fingerprint": "", "step": 1, "split": "test", "data": "", "other_data": None, "tta": dict(tta),
        "precision": "fp32", "absent_classes": "exclude", "tta_name": "none", "key": "test", "file": None,
        "pictures": pictures, "seconds": seconds, "device": "cpu", "scores": {}, "confusion": None,
    })  # fmt: skip


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def write_points(path: Path, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    path.write_text(
        "".join(json.dumps({"step": s, "time": 1_790_000_000_000 + 10_000 * s, "metrics": m}) + "\n" for s, m in points)
    )


def report_rows(table: str, shift: float = 0.0, seeds: int = 1) -> list[Row]:
    """The rows of a report's table as if trained with the report's own scores, `shift` better in mean IoU."""
    rows = []
    for row in TABLES[table].rows:
        semseg, depth = row.scores.get("semseg"), row.scores.get("depth")
        if semseg is None or depth is None:
            semseg, depth = 50 + row.scores["multitask"] / 2, 50 - row.scores["multitask"] / 2
        spread = [0.02 * (seed - (seeds - 1) / 2) for seed in range(seeds)]
        rows.append(Row([(semseg + shift + off, depth + off) for off in spread], ", ".join(row.values)))
    return rows


def write_panel(path: Path, seed: int, rows: int = 4, height: int = 128) -> None:
    """A panel as a training draws it; equal seeds share their images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shared, own = np.random.default_rng(0), np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        rgb = shared.random((height // 8, 32, 3), np.float32).repeat(8, 0).repeat(8, 1)
        labels = own.integers(0, 19, (height // 8, 32)).repeat(8, 0).repeat(8, 1)
        depth = own.uniform(4, 300, (height // 8, 32)).astype(np.float32).repeat(8, 0).repeat(8, 1)
        both = tasks()
        row = {"image": (rgb * 255).round().astype(np.uint8)} | both["semseg"].panels(labels, labels)
        found.append(row | both["depth"].panels(depth, depth * np.float32(1.1)))
    save(sheet(found), path)


def settings(tmp_path: Path, *studies: str) -> ReportSettings:
    places = {"root": str(tmp_path), "datasets": str(tmp_path / "datasets"), "outputs": str(tmp_path / "outputs")}
    return ReportSettings.model_validate({"out": str(tmp_path / "report"), "studies": list(studies), "paths": places})


def picture_size(data: bytes) -> tuple[int, int]:
    import io

    return Image.open(io.BytesIO(data)).size
