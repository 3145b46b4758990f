"""Labels and depths of one's own images and videos: python predict.py run=<id> input=photos/."""

from pathlib import Path
from typing import Any

from mtl_seg_depth import cli


def predict(config: dict[str, Any]) -> int:
    """Predict what the config says; 0 where all went well, 1 where files could not be read."""
    from rich.console import Console

    from mtl_seg_depth.config import parse_as
    from mtl_seg_depth.inference import photos, prediction, products
    from mtl_seg_depth.scoring.headline import in_words

    console = Console(highlight=False, soft_wrap=True, markup=False)
    settings = parse_as(prediction.PredictionSettings, config)
    summary = prediction.predict(settings, console)
    each = "" if summary.done + summary.frames == 1 else " each"
    console.print(f"{summary.what} predicted, {summary.seconds:.2g} s{each}, by")
    console.print(f"  {summary.run} ({summary.fingerprint})")
    if scores := in_words(summary.scores):
        console.print(f"  validation {scores}")
    if summary.first is not None:
        console.print(f"Look at\n  {summary.first}")  # alone on its line, to be copied in one piece
    if summary.beyond:
        limit = products.LARGEST_VALUE / products.PER_METRE[settings.depth]
        console.print(
            f"In {summary.beyond} of them depths beyond {limit:g} m stand as {limit:g} m, the most that depth="
            f"{settings.depth} holds; depth=npy keeps them."
        )
    if summary.left_out:
        console.print(f"left out: {photos.counted(summary.left_out)}, which are not read")
    for error in summary.failed:
        console.print(f"failed: {error}")
    return 1 if summary.failed else 0


def main(root: Path | None = None) -> None:
    """Start the command, with its files in `root`; see `cli.start`."""
    cli.start(predict, config="predict", root=root)
