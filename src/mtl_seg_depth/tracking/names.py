"""What a tracking server calls the numbers of a record: as people search for them there.

val/semseg      val/mIoU            a task's own score has the score's name; the record has the task's
best/...        best/mIoU, ...      once, when the run is over: a curve would be a twin of val's
trial/depth     sweep/trial/SI-log  a sweep's own, which has trials for steps
"""

from collections.abc import Mapping

from mtl_seg_depth.records.record import check_name
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.tasks import HEADLINES

LAYOUT = 2
"""Of the names here; what a server got under older ones is sent again."""


def metric_name(name: str, *, of_sweep: bool) -> str | None:
    """A recorded metric's name on the server; None for one that is not sent."""
    split, _, score = name.rpartition("/")
    if split == "best" and not of_sweep:
        return None
    if "/" in split or score not in HEADLINES:
        return f"sweep/{name}" if of_sweep else name
    shown = f"{'sweep/' * of_sweep}{split}/{HEADLINES[score].short}"
    try:
        check_name(shown)
    except ValueError:  # a title is for people, and may have any letter
        return f"{'sweep/' * of_sweep}{name}"
    return shown


def best_metrics(best: Mapping[str, float], step: int) -> dict[str, float]:
    """What is sent of a run's best validation, given its scores as the record has them; nothing if there was none."""
    if not best:
        return {}
    scores = headline.picked(best, "val/")
    named = {**best, "val/margin": headline.margin(scores, scores.keys() & HEADLINES.keys())}
    renamed = {str(metric_name(name, of_sweep=False)): value for name, value in named.items() if "/iou/" not in name}
    return {**{f"best/{name.removeprefix('val/')}": value for name, value in renamed.items()}, "best/step": step}
