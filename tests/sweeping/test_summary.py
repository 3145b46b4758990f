"""What a sweep says of itself: how far it is, and which row is best."""

from typing import Any

from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.summary import as_markdown, best_rows, progress


def row(number: int, state: str = "complete", scores: tuple[float, float] | None = None, **more: Any) -> dict[str, Any]:
    """A row with mean IoU and SI-log, as in sweep.json."""
    if scores is not None:
        semseg, depth = scores
        multitask = max(semseg - 50, 0) + max(50 - depth, 0)
        found = {"multitask": multitask, "semseg": semseg, "depth": depth}
        more = {"runs": [{"seed": 0, "status": "finished", "scores": found}], "values": [multitask], **more}
    return {"number": number, "label": f"x={number}", "state": state, **more}


def sweep(*rows: dict[str, Any], objective: tuple[str, ...] = ("multitask",)) -> SweepRecord:
    directions = [headline.direction(name) for name in objective]
    times = {"started": 0, "updated": 0, "kind": "grid"}
    return SweepRecord.model_validate(
        {"study": "a-sweep", "objective": list(objective), "directions": directions, "rows": list(rows), **times}
    )


def best_of(*rows: dict[str, Any], objective: tuple[str, ...] = ("multitask",)) -> list[int]:
    return [best.number for best in best_rows(sweep(*rows, objective=objective))]


def test_the_best_row_has_the_best_score_and_of_equal_ones_the_largest_margin() -> None:
    assert best_of(row(0, scores=(60, 40)), row(1, scores=(70, 40))) == [1]
    assert best_of(row(0, scores=(10, 60)), row(1, scores=(20, 60)), row(2, scores=(20, 70))) == [1]
    assert best_of(row(0, "failed"), row(1, "waiting")) == []


def test_a_score_that_is_missing_is_worse_than_any() -> None:
    none: dict[str, Any] = {"runs": [{"seed": 0, "status": "finished", "scores": {"multitask": 0.0}}]}
    for nothing in (None, float("nan"), float("inf")):
        assert best_of(
            row(0, values=[nothing], **none), row(1, scores=(1, 99), values=[99.0]), objective=("depth",)
        ) == [1]
    # Networks of one task alone are told apart by that task.
    alone = [{"seed": 0, "status": "finished", "scores": {"multitask": 0.0, "semseg": value}} for value in (10.0, 20.0)]
    assert best_of(*(row(i, values=[0.0], runs=[run]) for i, run in enumerate(alone))) == [1]


def test_a_pareto_front_holds_what_nothing_beats_in_both() -> None:
    points = [(60.0, 30.0), (70.0, 40.0), (65.0, 40.0), (50.0, 20.0), (60.0, 30.0)]
    rows = [row(i, scores=scores, values=list(scores)) for i, scores in enumerate(points)]
    assert best_of(*rows, objective=("semseg", "depth")) == [0, 1, 3, 4]
    assert headline.pareto_front([(semseg, -depth) for semseg, depth in points]) == [0, 1, 3, 4]


def test_progress_counts_names_the_best_and_guesses_the_rest() -> None:
    done = [row(i, scores=(60 + i, 40), started=1000, ended=61_000) for i in range(2)]
    running = [row(2, "running", started=61_000), row(3, "running", started=61_000)]
    waiting = [row(number, "waiting") for number in (4, 5)]
    said = progress(sweep(*done, *running, *waiting))
    # Four trials of a minute to go, two at a time.
    assert said == "2 complete, 2 running, 2 left, best x=1: 21.00, about 2 min 00 s to go"
    assert progress(sweep(row(0, "failed", started=0, ended=5))) == "1 failed, 0 left"


def test_the_table_marks_the_best_and_says_why_a_row_has_no_score() -> None:
    text = as_markdown(sweep(row(0, scores=(60, 40)), row(1, "failed", reason="a | b\nc")))
    assert "| trial | state | multitask ↑ | mean IoU, % ↑ | SI-log RMSE x 100 ↓ |\n|---|---|---|---|---|\n" in text
    assert "| x=0 | complete | **20.00** | **60.00** | **40.00** |" in text
    assert "| x=1 | failed: a \\| b c |  |  |  |" in text
