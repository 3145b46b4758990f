"""What a sweep says of itself: how far it is, and which row is best."""

from typing import Any

from mtl_seg_depth.sweeping.summary import as_markdown, best_rows, progress


def row(number: int, state: str = "complete", scores: tuple[float, float] | None = None, **more: Any) -> dict[str, Any]:
    """A row with mean IoU and SI-log, as in sweep.json."""
    runs, values = [], None
    if scores is not None:
        semseg, depth = scores
        multitask = max(semseg - 50, 0) + max(50 - depth, 0)
        runs = [{"scores": {"multitask": multitask, "semseg": semseg, "depth": depth}}]
        values = [multitask]
    base = {"number": number, "label": f"x={number}", "state": state, "values": values, "runs": runs, "reason": None}
    return {**base, "started": None, "ended": None, **more}


def sweep(*rows: dict[str, Any], objective: tuple[str, ...] = ("multitask",)) -> dict[str, Any]:
    directions = ["minimize" if name == "depth" else "maximize" for name in objective]
    return {"study": "a-sweep", "objective": list(objective), "directions": directions, "rows": list(rows)}


def test_the_best_row_has_the_best_score_and_of_equal_ones_the_largest_margin() -> None:
    assert [best["number"] for best in best_rows(sweep(row(0, scores=(60, 40)), row(1, scores=(70, 40))))] == [1]
    floor = sweep(row(0, scores=(10, 60)), row(1, scores=(20, 60)), row(2, scores=(20, 70)))
    assert [best["number"] for best in best_rows(floor)] == [1]
    assert best_rows(sweep(row(0, "failed"), row(1, "waiting"))) == []


def test_a_pareto_front_holds_what_nothing_beats_in_both() -> None:
    rows = [row(i, scores=scores) for i, scores in enumerate([(60, 30), (70, 40), (65, 40), (50, 20), (60, 30)])]
    for each in rows:
        scores = each["runs"][0]["scores"]
        each["values"] = [scores["semseg"], scores["depth"]]
    assert [best["number"] for best in best_rows(sweep(*rows, objective=("semseg", "depth")))] == [0, 1, 3, 4]


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
    assert "| x=0 | complete | **20.00** | **60.00** | **40.00** |" in text
    assert "| x=1 | failed: a \\| b c |  |  |  |" in text
