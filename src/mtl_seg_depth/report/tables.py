"""The published report's tables, as `tables.yaml` holds them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mtl_seg_depth.scoring.headline import picked

TRAINING_PICTURES = 20_000
"""In the report's data set, Miniscapes."""

TITLES = {
    "lr": "learning rate",
    "batch_size": "batch",
    "task_weights": "semseg – depth",
    "pretrained": "ImageNet weights",
    "dilation": "dilated stages",
    "aspp": "ASPP",
    "skip": "skip",
    "squeeze_excitation": "SE",
    "depth_norm": "normalisation",
    "tta": "extra views",
}
"""What people call the keys that rows vary, if it is not the key itself."""

PARAMETERS = {
    "lr": ("lr.value",),
    "epochs": ("schedule.epochs",),
    "batch_size": ("schedule.batch_size",),
    "task_weights": ("task_weights.semseg", "task_weights.depth"),
    "pretrained": ("encoder.weights",),
    "dilation": ("dilation.replace_stride_with_dilation",),
    "aspp": ("model.aspp",),
    "skip": ("model.skip",),
    "architecture": ("model",),
    "encoder": ("encoder.name",),
    "squeeze_excitation": ("encoder.se", "model.aspp_se", "model.decoder_se"),
    "depth_norm": ("depth_norm",),
    "loss": ("loss",),
    "tta": ("tta",),
}
"""What the keys that rows vary are called among our parameters."""


@dataclass(frozen=True)
class ReportRow:
    """One row: the values it varies, its scores, and its cost."""

    says: dict[str, Any]
    """The whole configuration: what the table's rows share, and this row's own."""
    values: tuple[str, ...]
    """The varied values in words, in the order of the table's `vary`."""
    scores: dict[str, float]
    costs: dict[str, float]

    @property
    def label(self) -> str:
        """The varied values in a line."""
        return ", ".join(self.values)

    precision: str = "fp32"

    @property
    def encoder(self) -> str:
        """By its name."""
        return str(self.says["encoder"])

    @property
    def weights(self) -> str:
        """What the encoder's weights begin as."""
        return "imagenet" if self.says["pretrained"] else "none"

    @property
    def steps(self) -> int:
        """Optimiser steps, from epochs and batch size."""
        steps: int = self.says["epochs"] * (TRAINING_PICTURES // self.says["batch_size"])
        return steps


@dataclass(frozen=True)
class ReportTable:
    """One table of the report; `id` is also the name of the sweep that runs it."""

    id: str
    title: str
    number: str
    split: str
    vary: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    note: str | None

    @property
    def headings(self) -> list[str]:
        """What the rows vary, as people call it."""
        return [TITLES.get(key, key) for key in self.vary]


def report_tables() -> list[ReportTable]:
    """Every table, in the report's order."""
    return [_table(section) for section in _document()["sections"]]


def report_figures() -> dict[int, str]:
    """What every figure shows that has numbers behind it, by its number."""
    return {figure["id"]: figure["shows"] for figure in _document()["figures"]}


def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("tables.yaml").read_text())
    return document


def _table(section: dict[str, Any]) -> ReportTable:
    vary, rows = tuple(section["vary"]), []
    for row in section["rows"]:
        says, scores = {key: row[key] for key in vary}, picked(row)
        costs = {key: row[key] for key in row if key not in says and key not in scores}
        rows.append(ReportRow(section["baseline"] | says, tuple(map(in_words, says.values())), scores, costs))
    split = section.get("split", "val")
    return ReportTable(
        section["id"], section["title"], section["section"], split, vary, tuple(rows), section.get("note")
    )


def in_words(value: Any) -> str:
    """A varied value as people write it: 1e-4, yes, "F, F, T", 0.2 – 0.8."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            mantissa, _, exponent = f"{value:e}".partition("e")
            return f"{float(mantissa):g}e{int(exponent)}" if value else "0"
        case [bool(), *_]:
            return ", ".join("T" if flag else "F" for flag in value)
        case [float(), *_]:
            return " – ".join(f"{part:g}" for part in value)
        case {"scales": scales, "aggregate": aggregate}:
            return f"scales {', '.join(f'{scale:g}' for scale in scales)} ({aggregate.replace('_', ' ')})"
    return str(value)
