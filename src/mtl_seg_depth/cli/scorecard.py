"""An evaluation in the terminal, as short tables."""

import math
from collections.abc import Mapping

from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mtl_seg_depth.cli.console import show_classes
from mtl_seg_depth.data.spec import in_words
from mtl_seg_depth.records.results import Evaluation
from mtl_seg_depth.scoring.headline import shown
from mtl_seg_depth.tasks.depth.meter import distance_names

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
}


def show_evaluation(console: Console, result: Evaluation) -> None:
    """Print what `evaluate` returned."""
    scores = result.scores
    tiles = f" in tiles of {result.tile[1]} x {result.tile[0]}" if result.tile else ""
    console.print(
        f"[bold]{escape(result.name)}[/] ({result.fingerprint}), step {result.step}, "
        f"on {result.pictures} images of {result.split}{tiles}; views: {result.tta_name}; {result.precision}",
        highlight=False,
        soft_wrap=True,
    )
    if result.image_size and result.scored_size:
        stored, scored = (f"{width} x {height}" for height, width in (result.image_size, result.scored_size))
        part = "" if stored == scored else f", of which the upper left {scored} are scored"
        told = f"{result.spec.get('name', 'unknown')}: {in_words(result.spec)}; images of {stored}{part}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    console.print(_headlines(scores, result.plain if result.tta_name != "none" else None))
    if "depth_errors/mae" in scores:
        console.print(_depth_errors(scores))
        console.print(_distances(scores))
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


def _depth_errors(scores: Mapping[str, float]) -> RenderableType:
    known = {title: scores.get(f"depth_errors/{key}") for key, title in ERRORS.items()}
    cells = [Text(f"{title} {value:.4g}") for title, value in known.items() if value is not None]
    title = Text("Depth errors, image by image, then averaged", style="bold")
    return Group(title, Columns(cells, padding=(0, 3)), Text())


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
