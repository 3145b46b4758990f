"""The report's own tables, as read."""

import pytest

from mtl_seg_depth.report.tables import in_words, report_figures, report_tables


def test_every_table_and_row_is_there() -> None:
    tables = report_tables()
    assert len(tables) == 12
    assert sum(len(table.rows) for table in tables) == 39
    assert [table.id for table in tables if table.split == "test"] == ["tta"]


def test_a_row_knows_its_whole_configuration() -> None:
    row = {table.id: table for table in report_tables()}["adam_lr"].rows[4]
    assert row.says["encoder"] == "resnet34"
    assert row.says["lr"] == 1e-4
    assert row.scores == {"multitask": 43.171, "semseg": 69.803, "depth": 26.632}
    assert row.steps == 80_000


def test_the_pairs_of_epochs_and_batch_take_the_same_steps() -> None:
    table = {table.id: table for table in report_tables()}["epochs_batch"]
    assert {row.steps for row in table.rows} == {80_000}


def test_every_figure_says_all_that_it_shows() -> None:
    shows = report_figures()
    assert list(shows) == [1, 2, 3, 4, 5, 6, 9, 10, 11]
    assert shows[1] == "training loss against step, Adam lr 1e-4"
    assert shows[9] == "total validation loss, pretrained against not pretrained"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1e-4, "1e-4"),
        (1.0, "1e0"),
        (2.5e-3, "2.5e-3"),
        (True, "yes"),
        (16, "16"),
        ([False, False, True], "F, F, T"),
        ([0.2, 0.8], "0.2 – 0.8"),
        ({"scales": [0.5, 2, 3], "aggregate": "depth_only"}, "scales 0.5, 2, 3 (depth only)"),
        ("none", "none"),
    ],
)
def test_values_are_written_as_people_write_them(value: object, words: str) -> None:
    assert in_words(value) == words
