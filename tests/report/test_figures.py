"""Figures from runs: drawn where there is something to draw, and otherwise saying why not."""

import io
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from helpers.report_store import MINISCAPES, TABLES, Row, Store, picture_size, report_rows, write_panel, write_points
from PIL import Image

from mtl_seg_depth.report.comparison import compare
from mtl_seg_depth.report.drawing import INK, MOST_POINTS, Drawing, Line, Panel, draw, thinned
from mtl_seg_depth.report.figures import FIGURES, Traced, report_drawings, search_drawings, trace
from mtl_seg_depth.report.store import choose, read_studies


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


def drawings(store: Store) -> dict[int, Drawing]:
    studies = {study.sweep: study for study in choose(read_studies(store.outputs)[0], ())}
    comparisons = {name: compare(table, studies.get(name), store.outputs, []) for name, table in TABLES.items()}
    found = [drawing for drawn in report_drawings(comparisons).values() for drawing in drawn]
    return {int(drawing.name.removeprefix("figure_")): drawing for drawing in found}


def text_of(drawing: Drawing) -> str:
    assert drawing.svg is not None, drawing.missing
    return " ".join(ET.fromstring(drawing.svg).itertext())


def first_seed(store: Store, table: str, index: int) -> Traced:
    studies = {study.sweep: study for study in read_studies(store.outputs)[0]}
    return trace(compare(TABLES[table], studies[table], store.outputs, []), index)


def test_without_runs_every_figure_says_what_it_waits_for(store: Store) -> None:
    found = drawings(store)
    assert list(found) == list(FIGURES)
    for drawing in found.values():
        assert drawing.svg is None
        assert drawing.image is None
        assert drawing.missing is not None
        assert (
            "not been run yet" in drawing.missing
            or "has been run yet" in drawing.missing
            or "no panel" in drawing.missing
        )


def test_with_runs_every_figure_is_drawn_and_says_on_which_data(store: Store) -> None:
    for table in ("adam_lr", "epochs_batch", "pretrained", "dilation", "aspp_skip"):
        store.study(table, report_rows(table))
    for number, folder in enumerate(sorted(store.outputs.glob("run-*"))):
        write_panel(folder / "artifacts" / "panels" / "step_000128.png", seed=number)
        write_points(folder / "system.jsonl", [(k, {"system/gpu_0_memory_usage_percentage": 20.0}) for k in range(3)])
    for number, drawing in drawings(store).items():
        assert drawing.missing is None, f"figure {number}: {drawing.missing}"
        assert drawing.image is not None
        assert picture_size(drawing.image)[0] > 300
        assert "not Miniscapes" in drawing.caption


def test_the_training_loss_is_the_weighted_sum(store: Store) -> None:
    store.study("adam_lr", report_rows("adam_lr"))
    steps, totals = first_seed(store, "adam_lr", 4).weighted_sum()
    assert steps[:2] == [4, 8]
    share = 1 - 4 / store.steps
    assert totals[0] == pytest.approx(0.5 * (0.5 + 2 * share) + 0.5 * (0.2 + share))


def test_a_loss_that_is_no_number_is_left_out_and_the_end_told(store: Store) -> None:
    rows = report_rows("adam_lr")
    rows[1] = Row([None], state="failed", statuses=["diverged"], reason="diverged at step 8")
    store.study("adam_lr", rows)
    folder = sorted(store.outputs.glob("run-*"))[1]
    losses = [
        {"train/loss/semseg": 3.0, "train/loss/depth": 1.0},
        {"train/loss/semseg": math.nan, "train/loss/depth": 1},
    ]
    write_points(folder / "metrics.jsonl", [(4, losses[0]), (8, losses[1])])
    assert first_seed(store, "adam_lr", 1).weighted_sum() == ([4], [4.0])
    assert "1e-1 diverged" in drawings(store)[2].caption


def test_figures_by_step_and_by_epoch_have_the_same_scores_on_other_axes(store: Store) -> None:
    store.study("epochs_batch", report_rows("epochs_batch"))
    found = drawings(store)
    by_step, by_epoch = text_of(found[4]), text_of(found[5])
    assert "step" in by_step
    assert "epoch" in by_epoch
    for text in (by_step, by_epoch):
        for part in ("multitask", "mIoU", "SI-log", "8, 2", "64, 16"):
            assert part in text
    assert " 100 " in by_step  # of 128 steps
    assert " 100 " not in by_epoch  # of 8 epochs


def test_memory_is_that_of_the_busiest_gpu_and_else_of_the_machine(store: Store) -> None:
    store.study("epochs_batch", report_rows("epochs_batch"))
    assert "not recorded" in (drawings(store)[6].missing or "")
    machine = {"system/system_memory_usage_percentage": 55.0}
    for folder in store.outputs.glob("run-*"):
        write_points(folder / "system.jsonl", [(k, machine) for k in range(4)])
    on_cpu = drawings(store)[6]
    assert "memory of the machine" in text_of(on_cpu)
    assert "had no GPU" in on_cpu.caption
    for folder in store.outputs.glob("run-*"):
        gpus = [
            {f"system/gpu_{g}_memory_usage_percentage": start + 5.0 * k for g, start in ((0, 0), (1, 60))}
            for k in range(5)
        ]
        write_points(folder / "system.jsonl", [(k, {**machine, **now}) for k, now in enumerate(gpus)])
    on_gpu = text_of(drawings(store)[6])
    assert "GPU memory in use" in on_gpu
    assert " 70 " in on_gpu
    assert " 10 " not in on_gpu


def test_the_validation_scores_stand_for_a_loss_that_nobody_records(store: Store) -> None:
    store.study("pretrained", report_rows("pretrained"))
    drawing = drawings(store)[9]
    assert (
        "No validation loss is recorded: the scores instead. Lines are labelled by ImageNet weights." in drawing.caption
    )
    for part in ("mIoU", "SI-log", "yes", "no"):
        assert part in text_of(drawing)


def test_a_damaged_record_is_told_in_its_figure_alone(store: Store) -> None:
    store.study("adam_lr", report_rows("adam_lr"))
    folder = sorted(store.outputs.glob("run-*"))[5]
    (folder / "metrics.jsonl").write_text('{"step": 1, "time": 1, "metrics": {"train/loss/semseg": 1.0}}\nrubbish\n')
    found = drawings(store)
    assert found[1].missing is None
    assert "metrics.jsonl, line 2 is damaged" in (found[3].missing or "")


def test_rows_that_cannot_be_matched_draw_nothing(store: Store) -> None:
    store.study("adam_lr", report_rows("adam_lr")[:5])
    assert "cannot be told" in (drawings(store)[1].missing or "")


def test_panels_before_and_after_stand_one_above_the_other(store: Store) -> None:
    store.study("dilation", report_rows("dilation"))
    folders = sorted(store.outputs.glob("run-*"))
    before, after = (folder / "artifacts" / "panels" / "step_000128.png" for folder in folders)
    write_panel(before, seed=1)
    assert drawings(store)[10].missing == "Not drawn: F, F, T has no panel of validation images yet."
    write_panel(after, seed=2, rows=2)
    drawing = drawings(store)[10]
    assert "Above: before (F, F, F); below: after (F, F, T)." in drawing.caption
    assert drawing.image is not None
    (width, height), (_, below) = (Image.open(path).size for path in (before, after))
    assert picture_size(drawing.image) == (width, height + 16 + below)
    pixels = np.asarray(Image.open(io.BytesIO(drawing.image))).astype(float)
    for part, path in ((pixels[:height], before), (pixels[-below:], after)):
        assert np.abs(part - np.asarray(Image.open(path))).mean() < 12  # of 255: it is a JPEG of noise


def test_a_panel_that_cannot_be_read_is_told_and_a_large_one_made_smaller(store: Store) -> None:
    store.study("dilation", report_rows("dilation"))
    paths = [folder / "artifacts" / "panels" / "step_000128.png" for folder in sorted(store.outputs.glob("run-*"))]
    for path in paths:
        write_panel(path, seed=1, rows=16)
    image = drawings(store)[10].image
    assert image is not None
    assert picture_size(image)[1] <= 2 * 1200 + 16
    paths[0].write_text("no image")
    assert "a panel cannot be read" in (drawings(store)[10].missing or "")


def test_a_drawing_takes_the_colour_of_its_page_and_holds_text_as_text() -> None:
    name = "<script>alert(1)</script> & 'more'"
    lines = [Line(name, [1, 2], [3, 4], 0), Line("other", [1, 2], [4, 3], 1)]
    drawing = draw("a", name, "caption", [Panel("x", "y", lines)])
    assert drawing.svg is not None
    assert INK not in drawing.svg
    assert "currentColor" in drawing.svg
    assert "<script" not in drawing.svg
    assert name in text_of(drawing)
    assert "http" not in drawing.svg.replace("http://www.w3.org/", "")


def test_the_same_numbers_give_the_same_bytes() -> None:
    panel = Panel("x", "y", [Line("a", [1, 2], [3, 4], 0)])
    assert draw("a", "t", "c", [panel]) == draw("a", "t", "c", [panel])


@pytest.mark.parametrize("count", [1, MOST_POINTS, MOST_POINTS + 1, 10 * MOST_POINTS])
def test_long_lines_are_averaged_in_blocks(count: int) -> None:
    values = [float(value) for value in range(count)]
    short = thinned(values)
    assert len(short) <= MOST_POINTS
    assert short == sorted(short)
    if count % MOST_POINTS == 0:
        assert sum(short) / len(short) == pytest.approx(sum(values) / count)


def test_a_search_is_drawn_by_trial_and_with_two_objectives_its_front(store: Store) -> None:
    rows = [Row(label=str(k), values=[float(k), 10.0 - k]) for k in range(5)]
    path = store.study("search_x", rows, kind="search", objective=["gain", "cost"], directions=["maximize", "minimize"])
    trials, front = search_drawings(read_studies(store.outputs)[0][0])
    assert "trial" in text_of(trials)
    assert "Pareto front" in text_of(front)
    account = json.loads(path.read_text())
    account |= {
        "objective": ["gain"],
        "directions": ["maximize"],
        "rows": [{**r, "values": [1.0]} for r in account["rows"]],
    }
    path.write_text(json.dumps(account))
    (alone,) = search_drawings(read_studies(store.outputs)[0][0])
    assert "best so far" in text_of(alone)
    store.study("search_x", [], kind="search")
    assert search_drawings(read_studies(store.outputs)[0][0]) == []


def test_miniscapes_figures_say_miniscapes(store: Store) -> None:
    store.steps_per_epoch = 5000
    store.study("adam_lr", report_rows("adam_lr"), data=MINISCAPES)
    assert drawings(store)[1].caption.endswith("Our runs with seed 0: Miniscapes, crops of 256 x 256.")
