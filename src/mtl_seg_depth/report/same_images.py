"""The same validation images as several rows of a sweep see them, cut out of the panels that trainings leave."""

import io
from collections.abc import Iterable, Mapping, Sequence

from PIL import Image as Pillow
from PIL import ImageDraw

from mtl_seg_depth.drawing.legend import font
from mtl_seg_depth.drawing.sheet import cells
from mtl_seg_depth.report.comparison import Row
from mtl_seg_depth.report.contest import Contest
from mtl_seg_depth.report.drawing import Drawing
from mtl_seg_depth.report.glance_figures import ALONE, ranked, short
from mtl_seg_depth.tasks import Headline

SCENES = 2
"""Of the validation images that panels show, so many."""

CELL, GAP, NAMES = 168, 4, 176
"""Pixels in width of an image, between images, and of the rows' names."""

Scene = Mapping[str, Pillow.Image]
"""By caption."""


def side_by_side(name: str, contest: Contest, measure: Headline, of_row: Mapping[int, Row]) -> list[Drawing]:
    """A figure for each of two scenes: the tasks alone, the baseline, the first two rows and the last.

    Empty without panels of two rows. UserError for a panel that cannot be read.
    """
    order = ranked([each for each in contest.methods if not each.is_reference], measure)
    base = [each for each in order if each.name == contest.baseline]
    wanted = [*base, *order[:2], *order[-1:]]
    shown = {short(each.name): found for each in wanted if (found := _scenes(of_row.get(each.row)))}
    if len(shown) < 2:
        return []
    truth = next(iter(shown.values()))
    alone = [found for each in contest.methods if each.is_reference and (found := _scenes(of_row.get(each.row)))]
    if alone:
        shown = {ALONE: [_merged(scenes) for scenes in zip(*alone, strict=False)], **shown}
    told = (
        f"Each training's best validation, seed {min(contest.seeds)}: image or error of depth (red: too far, blue: too "
        "near), labels, depth (near is bright)."
    )
    return [
        Drawing(
            f"{name}_images_{number}",
            f"Validation image {number + 1}",
            told,
            image=_grid(
                truth[number], {method: scenes[number] for method, scenes in shown.items() if number < len(scenes)}
            ),
            suffix=".jpg",
        )
        for number in range(min(SCENES, len(truth)))
    ]


def _merged(scenes: Iterable[Scene]) -> Scene:
    """What each task's own training shows of one scene, as if one training had shown it."""
    return {caption: image for scene in scenes for caption, image in scene.items()}


def _scenes(row: Row | None) -> Sequence[Scene]:
    """The images of the first seed's panel; empty if there is none, or none that says where they are."""
    panels = () if row is None else (seed.store.panel() for seed in row.seeds)
    panel = next((each for each in panels if each is not None), None)
    return [] if panel is None else cells(panel)


def _predicted(caption: str, scene: Scene) -> str | None:
    """The caption of what was predicted where this one is the truth."""
    name = f"predicted {caption.partition(' (')[0]}"
    return name if name in scene else None


def _error(scene: Scene) -> Pillow.Image | None:
    return next((image for caption, image in scene.items() if caption.startswith("error")), None)


def _grid(truth: Scene, shown: Mapping[str, Scene]) -> bytes:
    """A row for the ground truth and one for each method under it, their names at the left. A JPEG."""
    captions = [each for each in truth if _predicted(each, truth)]
    lines: dict[str, list[Pillow.Image | None]] = {
        "ground truth": [truth["image"], *(truth[each] for each in captions)]
    }
    for method, scene in shown.items():
        lines[method] = [_error(scene), *(scene.get(_predicted(each, truth) or "") for each in captions)]
    height = round(CELL * truth["image"].height / truth["image"].width)
    canvas = Pillow.new(
        "RGB", (NAMES + len(captions) * (CELL + GAP) + CELL, len(lines) * (height + GAP) - GAP), "white"
    )
    draw = ImageDraw.Draw(canvas)
    for index, (name, images) in enumerate(lines.items()):
        top = index * (height + GAP)
        draw.text((8, top + height / 2), name, "black", font(16), anchor="lm")
        for column, image in enumerate(images):
            if image is not None:
                small = image.resize((CELL, height), Pillow.Resampling.LANCZOS)
                canvas.paste(small, (NAMES + column * (CELL + GAP), top))
    file = io.BytesIO()
    canvas.save(file, format="JPEG", quality=82, optimize=True)
    return file.getvalue()
