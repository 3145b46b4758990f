"""The field's tables: whole, sourced, and the deltas printed in them computed again from the printed scores."""

import pytest
from pydantic import ValidationError

from mtl_seg_depth.report.published import Published, published

TABLES = published()
ROWS = {
    "cityscapes7_deeplab_r50": 25,
    "cityscapes7_segnet_mtan": 22,
    "nyu13_autolambda_r50_scratch": 9,
    "nyu13_deeplab_r50": 12,
    "nyu13_segnet_mtan": 20,
}


def test_every_row_is_there() -> None:
    assert {name: len(table.rows) for name, table in TABLES.items()} == ROWS


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.complete])
def test_every_printed_delta_is_computed_from_the_printed_scores(name: str) -> None:
    """Within the rounding of the cells: a third digit of an absolute error is worth 0.2."""
    table = TABLES[name]
    far = {
        row.method: (row.delta, round(table.computed(row), 2))
        for row in table.rows
        if row.delta is not None and abs(table.computed(row) - row.delta) > 0.25
    }
    assert not far
    assert table.computed(table.rows[0]) == 0


def test_the_two_conventions_are_not_taken_for_each_other() -> None:
    """With two metrics in either task the sign alone tells them apart."""
    down, up = TABLES["cityscapes7_segnet_mtan"], TABLES["cityscapes7_deeplab_r50"]
    equal, best = (next(row for row in down.rows if row.method == name) for name in ("LS (equal)", "SAMO-FairGrad"))
    assert down.computed(equal) > 20 > 0 > down.computed(best)
    equal, best = (next(row for row in up.rows if row.method == name) for name in ("EW", "Rep-MTL"))
    assert up.computed(equal) < -2 < 0 < up.computed(best)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [{"method": "STL", "scores": {"iou": 1.0}, "source": "x"}] * 2}, "two rows"),
        ({"rows": [{"method": name, "scores": {"miou": 1.0}, "source": "x"} for name in "ab"]}, "scores of a and b"),
        ({"rows": [{"method": name, "scores": {"iou": 1.0}, "source": ""} for name in "ab"]}, "source"),
        ({"rows": [{"method": name, "scores": {"iou": float("nan")}, "source": "x"} for name in "ab"]}, "finite"),
        ({"delta": "down"}, "'metrics' or 'tasks'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(change: dict[str, object], message: str) -> None:
    rows = [{"method": name, "scores": {"iou": 1.0}, "source": "a paper"} for name in "ab"]
    table = {"title": "a table", "recipe": {}, "delta": "tasks", "complete": True, "tasks": {"t": {"iou": "higher"}}}
    Published.model_validate(table | {"rows": rows})
    with pytest.raises(ValidationError, match=message):
        Published.model_validate(table | {"rows": rows} | change)
