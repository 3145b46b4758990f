"""What a sweep says of itself: how far it is, and which row is best."""

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.scoring import headline
from mtl_seg_depth.sweeping.plot import comparable, draw, importances
from mtl_seg_depth.sweeping.standing import best_rows, columns, compared, ranked
from mtl_seg_depth.sweeping.summary import as_markdown, progress


def row(number: int, state: str = "complete", scores: tuple[float, float] | None = None, **more: Any) -> dict[str, Any]:
    """A row with mean IoU and SI-log, as in sweep.json."""
    if scores is not None:
        semseg, depth = scores
        multitask = max(semseg - 50, 0) + max(50 - depth, 0)
        found = {"multitask": multitask, "semseg": semseg, "depth": depth}
        more = {
            "runs": [{"seed": 0, "status": "finished", "scores": found, "fingerprint": "00000abc"}],
            "values": [multitask],
            **more,
        }
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
    assert said == "2 complete, 2 running, 2 left, best x=1: multitask 21.00, about 2 min 00 s to go"
    assert progress(sweep(row(0, "failed", started=0, ended=5))) == "1 failed, 0 left"


def test_progress_counts_the_trials_that_a_search_has_not_begun() -> None:
    one = sweep(row(0, scores=(60, 40), started=1, ended=60_001)).model_copy(update={"trials": 6})
    assert progress(one) == "1 complete, 5 left, best x=0: multitask 20.00, about 5 min 00 s to go"


def test_the_best_by_margin_is_said_to_be_so() -> None:
    floored = sweep(row(0, scores=(10, 50)), row(1, scores=(5, 60)))
    assert "best by margin x=0: multitask 0.00, margin -40.00" in progress(floored)
    assert "ranked by margin" in as_markdown(floored)
    above = sweep(row(0, scores=(60, 50)), row(1, scores=(5, 60)))
    assert "margin -" not in progress(above)
    assert "ranked by margin" not in as_markdown(above)


def test_the_table_has_the_best_row_first_the_best_of_each_score_bold_and_what_became_of_the_others() -> None:
    failed, better_depth = row(0, "failed", reason="a | b\nc"), row(1, scores=(60, 40), seconds=3.0)
    pruned = row(2, "pruned", scores=(90, 10), reason="pruned after step 4")
    text = as_markdown(sweep(failed, better_depth, row(3, scores=(80, 45)), pruned))
    assert text.splitlines()[2:] == [
        "| trial | state | multitask ↑ | mean IoU, % ↑ | SI-log RMSE x 100 ↓ | time | runs |",
        "|---|---|---|---|---|---|---|",
        "| **x=3** | complete | **35.00** | **80.00** | 45.00 |  | 00000a |",
        "| x=1 | complete | 20.00 | 60.00 | **40.00** | 3.0 s | 00000a |",
        "| x=2 | pruned after step 4 | 80.00 | 90.00 | 10.00 |  | 00000a |",
        "| x=0 | failed: a \\| b c |  |  |  |  |  |",
    ]


def test_rows_stand_by_rank_and_those_that_are_compared_with_behind_them() -> None:
    rows = [
        row(0, "failed"),
        row(1, "pruned", scores=(30, 40), values=None),
        row(2, scores=(10, 50)),
        row(3, scores=(20, 50)),
    ]
    alone = {"runs": [{"seed": 0, "status": "finished", "scores": {"multitask": 20.0, "semseg": 70.0}}]}
    reference = row(4, values=[None], reference="semseg", **alone)
    better = row(6, "pruned", scores=(35, 40), values=None)
    assert [each.number for each in ranked(sweep(*rows, reference, row(5, "waiting"), better))] == [3, 2, 4, 6, 1, 5, 0]


@pytest.mark.parametrize(
    ("scores", "objective", "drawn", "tabled"),
    [
        ([(10, 50), (20, 55)], "multitask", "margin semseg depth", "margin semseg depth"),
        ([(60, 50), (20, 55)], "multitask", "multitask semseg depth", "multitask margin semseg depth"),
        ([(60, 50), (70, 55)], "multitask", "multitask semseg depth", "multitask semseg depth"),
        ([(60, 50), (70, 55)], "margin", "margin semseg depth", "margin multitask semseg depth"),
        ([(10, 50), (20, 55)], "depth", "depth semseg", "depth semseg"),
    ],
)
def test_what_is_shown_tells_the_rows_apart(
    scores: list[tuple[float, float]], objective: str, drawn: str, tabled: str
) -> None:
    described = sweep(*(row(i, scores=each) for i, each in enumerate(scores)), objective=(objective,))
    assert [each.key for each in compared(described)] == drawn.split()
    assert [each.key for each in columns(described)] == tabled.split()


def test_networks_of_one_task_have_no_margin_to_show() -> None:
    alone = [{"seed": 0, "status": "finished", "scores": {"multitask": 0.0, "semseg": value}} for value in (10.0, 20.0)]
    described = sweep(*(row(i, values=[0.0], runs=[run]) for i, run in enumerate(alone)))
    assert [each.key for each in compared(described)] == ["multitask", "semseg"]


def draw_search(grid: SweepRecord, trials: list[FrozenTrial], folder: Path) -> None:
    found = grid.model_copy(update={"kind": "search"})
    searched = comparable(found, trials)
    draw(found.model_copy(update={"importance": importances(searched)}), searched, folder)


def test_a_search_is_drawn_by_what_its_parameters_had_to_do_with_it(tmp_path: Path) -> None:
    space = {"lr.value": FloatDistribution(1e-5, 1e-1, log=True), "loss": CategoricalDistribution(("l1", "l2"))}
    chosen = [{"lr.value": 10.0**-number, "loss": loss} for number in range(1, 5) for loss in ("l1", "l2")]
    trials = [
        create_trial(params=each, distributions=space, value=0.0, system_attrs={"row": number})
        for number, each in enumerate(chosen)
    ]
    # All multitask scores are 0: it is the margins that parameters are compared by.
    rows = [row(number, scores=(number, 60)) for number in range(8)]
    draw_search(sweep(*rows[:3]), trials, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
    draw_search(sweep(*rows), trials, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["importance.png", "parallel.png", "plot.png"]
