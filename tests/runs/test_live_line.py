"""What a training shows in a terminal while it runs, and leaves there."""

import io
import re
import sys
from pathlib import Path

import pytest
from helpers.composing import HELPERS, TINY, places
from helpers.terminal import on_a_terminal
from helpers.tiny_data import write_tiny_miniscapes
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


def test_on_80_columns_no_line_of_a_training_wraps_and_what_is_to_be_copied_stays_in_one_piece(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 16, "val": 4, "test": 1})
    words = [sys.executable, str(HELPERS / "small_train.py"), *TINY, *places(tmp_path), "schedule.epochs=3"]
    terminal = on_a_terminal(words, tmp_path)
    assert terminal.code == 0
    ended = terminal.text(columns=400)
    assert terminal.text()[0] == "Composing the config and loading libraries ..."
    copied = ("best weights", "run folder", "curves", "predict", "evaluate", "export")
    for line in ended:
        assert len(line) <= 80 or line.startswith(copied), line
    assert {line[:13].strip() for line in ended} >= {*copied, "data", "time", "memory"}
    assert any("mean IoU, % ↑" in line for line in ended)
    told = [line for line in ended if line.startswith("epoch")]
    assert [line.split("  ")[1].strip() for line in told] == ["1/3", "2/3", "3/3"]
    assert all("mIoU" in line and "SI-log" in line for line in told)
    assert "  best" in told[0]

    # What was to be seen at any time: the bar in one line, losses and the best score below it.
    seen = ["\n".join(lines) for _, lines in terminal.screens()]
    bars = [re.search(r"^epoch +\d/3 [╸━╺]+ step (\d+)/24  \d+ images/s .+ left$", shown, re.M) for shown in seen]
    assert {int(bar[1]) for bar in bars if bar} >= {8, 16}
    below = r"left\nloss semseg \d\.\d+ depth \d\.\d+  best (margin -)?\d+\.\d+ at step \d+$"
    assert any(re.search(below, shown, re.M) for shown in seen)
    assert not any("images/s" in line and "left" in line for line in ended)
