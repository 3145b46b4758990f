"""An evaluation in the terminal, as short tables."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.cli.console import show_classes
from mtl_seg_depth.data.spec import in_words
from mtl_seg_depth.records.results import Evaluation
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.tasks.depth.codec import DepthRules
from mtl_seg_depth.tasks.depth.meter import distance_names
from mtl_seg_depth.tasks.depth.rules import described

ERRORS = {
    "mae": "MAE, m",
    "rmse": "RMSE, m",
    "abs_rel": "abs rel",
    "sq_rel": "sq rel, m",
    "log_mae": "log MAE",
    "log_rmse": "log RMSE",
    "inverse_mae": "inverse MAE, 1/m",
    "inverse_rmse": "inverse RMSE, 1/m",
    "inverse_abs_rel": "inverse abs rel",
    "delta1": "within x 1.25",
    "delta2": "within x 1.25²",
    "delta3": "within x 1.25³",
    "sq_rel_kitti": "sq rel (KITTI)",
}
ACCURACIES = {"pixel_accuracy": "pixel accuracy", "mean_class_accuracy": "mean class accuracy"}


SCALED = Text.assemble(
    (" MEDIAN SCALING ", "bold white on red"),
    " each image's prediction was multiplied so that its median is that of the true depths. These are errors of depth "
    "without a scale: compare them with none of metric depth.",
    style="bold red",
)


def show_evaluation(console: Console, result: Evaluation) -> None:
    """Print what `evaluate` returned."""
    scores = result.scores
    tiles = f" in tiles of {result.tile[1]} x {result.tile[0]}" if result.tile else ""
    told = (
        f" ({result.fingerprint}), step {result.step}, on {result.pictures} images of {result.split}{tiles}; "
        f"views: {result.tta_name}; {result.precision}"
    )
    in_one = not console.is_terminal  # what is no terminal has lines of any length
    console.print(Text.assemble((result.name, "bold"), told), soft_wrap=in_one)
    if result.image_size and result.scored_size:
        stored, scored = (f"{width} x {height}" for height, width in (result.image_size, result.scored_size))
        part = "" if stored == scored else f", of which the upper left {scored} are scored"
        told = f"{result.spec.get('name', 'unknown')}: {in_words(_as_scored(result))}; images of {stored}{part}"
        console.print(Text(told), soft_wrap=in_one)
    if result.class_map is not None:
        console.print(_mapping(result.class_map), highlight=False)
    console.print(_headlines(scores, result.plain if result.tta_name != "none" else None))
    if "depth_errors/mae" in scores:
        rules = None if result.depth_rules is None else TypeAdapter(DepthRules).validate_python(result.depth_rules)
        if rules is not None and rules.median_scaling:
            console.print(SCALED, highlight=False)
        console.print(_depth_errors(scores, rules))
        console.print(_distances(scores))
    accuracies = [f"{title} {scores[key]:.2f} %" for key, title in ACCURACIES.items() if key in scores]
    if accuracies:
        console.print(", ".join(accuracies).capitalize(), highlight=False)
    show_classes(console, scores, "iou/")
    console.print(f"In the record as {result.key}/...", highlight=False)


def _headlines(scores: Mapping[str, float], plain: Mapping[str, float] | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("score")
    table.add_column("value", justify="right", style="bold")
    if plain is not None:
        table.add_column("one view", justify="right")
        table.add_column("gain", justify="right")
    for each in shown():
        if each.key in scores:
            cells = [f"{scores[each.key]:.2f}"]
            if plain is not None:
                one = plain.get(each.key, math.nan)
                cells += [f"{one:.2f}", f"{scores[each.key] - one:+.2f}"]
            table.add_row(each.heading, *cells)
    return table


def _as_scored(result: Evaluation) -> dict[str, Any]:
    """The data's account of themselves, with the rules of depth that were asked for in place of its own."""
    targets = result.spec.get("targets", {})
    if result.depth_rules is None or "depth" not in targets:
        return result.spec
    return {**result.spec, "targets": {**targets, "depth": {**targets["depth"], "rules": result.depth_rules}}}


def _mapping(class_map: Mapping[str, Any]) -> Text:
    """Which classes were scored, and what became of the others."""
    predictions, labels = class_map["predictions"], class_map["labels"]
    common = len(set(labels.values()) - {None})
    text = Text.assemble(
        (f"Classes mapped by {class_map['name']}", "bold yellow"),
        f": {len(predictions)} of the network and {len(labels)} of the data in {common} that both have. ",
        "Scores are of these, and compare with none of other classes.",
    )
    for told, table in (("Ignored where labelled", labels), ("Wrong where predicted", predictions)):
        if lost := [name for name, common_name in table.items() if common_name is None]:
            text.append(f"\n{told}: {', '.join(lost)}.")
    return text


def _depth_errors(scores: Mapping[str, float], rules: DepthRules | None) -> RenderableType:
    known = {title: scores.get(f"depth_errors/{key}") for key, title in ERRORS.items()}
    cells = [Text(f"{title} {value:.4g}") for title, value in known.items() if value is not None]
    over_pixels = rules is not None and rules.mean_over == "pixels"
    how = "over all pixels" if over_pixels else "image by image, then averaged"
    title = Text(f"Depth errors, {how}", style="bold")
    told = [] if rules is None or rules == DepthRules() else [Text(f"Scored by: {described(rules)}")]
    return Group(title, *told, Columns(cells, padding=(0, 3)), Text())


def _distances(scores: Mapping[str, float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Depth errors by distance", title_justify="left")
    for heading in ("metres", "MAE, m", "RMSE, m", "abs rel", "within x 1.25", "% of pixels"):
        table.add_column(heading, justify="left" if heading == "metres" else "right")
    for band in distance_names():
        values = (scores.get(f"by_distance/{band}/{key}") for key in ("mae", "rmse", "abs_rel", "delta1"))
        cells = ["-" if value is None else f"{value:.3g}" for value in values]
        name = band.replace("-up", " and more").replace("-", " to ")
        table.add_row(name, *cells, f"{scores.get(f'by_distance/{band}/pixels', 0.0):.1f}")
    return table
