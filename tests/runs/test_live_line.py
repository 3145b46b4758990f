"""The line that every validation leaves in the terminal."""

import io

import pytest
from rich.console import Console

from mtl_seg_depth.runs.observers import LiveLine
from mtl_seg_depth.scoring.scores import Scores
from mtl_seg_depth.tasks.task import Measured


@pytest.mark.parametrize(
    ("semseg", "depth", "is_best", "end"),
    [
        (1.7, 82.6, True, "multitask 0.00  mIoU 1.70 %  SI-log 82.60  margin -80.90  best so far by margin"),
        (1.7, 82.6, False, "multitask 0.00  mIoU 1.70 %  SI-log 82.60  margin -80.90"),
        (60.0, 30.0, True, "multitask 30.00  mIoU 60.00 %  SI-log 30.00  best so far"),
    ],
)
def test_where_the_multitask_score_is_at_its_floor_the_margin_says_what_is_best(
    semseg: float, depth: float, is_best: bool, end: str
) -> None:
    said = io.StringIO()
    line = LiveLine(Console(file=said, width=80), steps=4, steps_per_epoch=4, done=0)
    line.on_validation(2, Scores({"semseg": Measured(semseg), "depth": Measured(depth)}), is_best)
    assert said.getvalue().rstrip("\n").endswith(end)
