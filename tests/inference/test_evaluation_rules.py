"""Evaluating by other rules than the run's own: of depth, and on data with other classes."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import miniatures
from helpers.commands import Commands
from helpers.composing import tiny
from helpers.facts import CLASS_NAMES, CPU
from helpers.trained_runs import evaluate, only_run, quiet

from mtl_seg_depth.cli.scorecard import show_evaluation
from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.records.record import read_points
from mtl_seg_depth.records.results import Evaluation
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.precision import Precision


def shown(result: Evaluation, width: int = 80) -> str:
    console = quiet()
    console.width = width
    show_evaluation(console, result)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_run_is_scored_by_rules_that_are_asked_for(folder: Path) -> None:
    """Against the files' own depths and the network's predictions, in NumPy."""
    trained = load_trained("first", folder / "outputs", CPU)
    split = trained.source.open("val")
    batch = next(iter(ScoringBatches(split, batch_size=9, tasks=trained.tasks, device=CPU)))
    predicted = Predictor(trained.network, trained.tasks, Precision("fp32"))(batch.image)["depth"].double().numpy()
    height, width = split.images.shape[1:3]
    images = []
    for prediction, codes in zip(predicted, split.targets["depth"], strict=True):
        depth = trained.tasks["depth"].spec.table().astype(np.float64)[codes]  # type: ignore[attr-defined]
        counts = (depth >= 6) & (depth <= 50)
        counts[: int(0.25 * height)] = counts[:, int(0.5 * width) :] = False
        counts = counts[: prediction.shape[0], : prediction.shape[1]]
        p, t = prediction[counts], depth[: prediction.shape[0], : prediction.shape[1]][counts]
        p = np.clip(p * np.median(t) / np.median(p), 6, 50)
        images.append((np.mean(np.abs(p - t) / t), np.mean((p - t) ** 2)))
    rules = ("depth.min=6", "depth.cap=50", "depth.crop=[0.25,1,0,0.5]", "depth.clamp=true")
    result = evaluate(folder, *rules, "depth.median_scaling=true")
    assert result.scores["depth_errors/abs_rel"] == pytest.approx(np.mean([each[0] for each in images]), rel=1e-5)
    rmse = np.mean([np.sqrt(each[1]) for each in images])
    assert result.scores["depth_errors/rmse"] == pytest.approx(rmse, rel=1e-5)


def test_what_differs_from_the_runs_own_rules_is_in_name_file_and_record(folder: Path) -> None:
    own = evaluate(folder)
    capped = evaluate(folder, "depth.cap=50")
    scaled = evaluate(folder, "depth.cap=50", "depth.median_scaling=true")
    protocol = evaluate(folder, "depth.protocol=kitti_garg")
    assert [each.key for each in (own, capped, scaled, protocol)] == [
        "val", "val_cap_50", "val_cap_50_median_scaled", "val_min_0.001_cap_80_crop_garg_clamped",
    ]  # fmt: skip
    assert len({each.file for each in (own, capped, scaled, protocol)}) == 4
    assert len({each.scores["depth_errors/rmse"] for each in (own, capped, scaled, protocol)}) == 4
    assert own.scores["semseg"] == capped.scores["semseg"]
    kept = json.loads((only_run(folder, "first") / str(scaled.file)).read_text())
    assert (kept["depth_rules"]["cap"], kept["depth_rules"]["median_scaling"]) == (50, True)
    points = list(read_points(only_run(folder, "first") / "metrics.jsonl"))
    logged = {name: value for point in points for name, value in point.metrics.items()}
    assert logged["val_cap_50/depth_errors/rmse"] == capped.scores["depth_errors/rmse"]
    asked_again = evaluate(folder, "depth.cap=50", "depth.clamp=false", "depth.mean_over=images")
    assert asked_again == capped, "what is as it was is no other rule"


def test_rules_are_told_and_median_scaling_is_loud(folder: Path) -> None:
    plain, capped = (shown(evaluate(folder, *rules)) for rules in ((), ("depth.cap=50", "depth.mean_over=pixels")))
    assert "Scored by" not in plain
    assert "image by image, then averaged" in plain
    assert "Scored by: 0 m to 50 m; over all pixels" in capped
    assert "Depth errors, over all pixels" in capped
    assert "MEDIAN SCALING" not in capped
    scaled = shown(evaluate(folder, "depth.median_scaling=true"))
    assert "MEDIAN SCALING" in scaled
    assert "median_scaled/..." in scaled


def test_a_run_that_was_chosen_by_rules_has_them_as_its_own(folder: Path) -> None:
    run(tiny(folder, "schedule.epochs=1", "name=ruled", "data.depth_rules={cap: 50, crop: garg}"), quiet())
    result = evaluate(folder, "run=ruled")
    own = json.loads((only_run(folder, "ruled") / "result.json").read_text())
    assert result.key == "val"
    assert result.scores["depth"] == pytest.approx(own["best"]["val/depth"], rel=1e-6)
    assert own["spec"]["targets"]["depth"]["rules"]["cap"] == 50
    assert evaluate(folder, "run=ruled", "depth.cap=none", "depth.crop=none").key == "val_cap_none_crop_none"


def test_a_network_of_19_classes_is_scored_in_7(folder: Path) -> None:
    result = evaluate(folder, "map=categories")
    assert result.key == "val_map_categories"
    names = {name.removeprefix("iou/") for name in result.scores if name.startswith("iou/")}
    assert names <= {"flat", "construction", "object", "nature", "sky", "human", "vehicle"}
    assert result.class_map is not None
    assert set(result.class_map["labels"]) == set(CLASS_NAMES)
    fine = np.array(evaluate(folder).confusion)
    table = list(result.class_map["predictions"].values())
    scored = list(dict.fromkeys(["flat", "construction", "object", "nature", "sky", "human", "vehicle"]))
    groups = [[i for i, each in enumerate(table) if each == name] for name in scored]
    expected = [[int(fine[np.ix_(rows, columns)].sum()) for columns in groups] for rows in groups]
    assert result.confusion == expected


def test_data_with_other_classes_are_scored_by_a_map_and_only_by_one_that_fits(folder: Path, tmp_path: Path) -> None:
    miniatures.write("vkitti2", tmp_path / "other")
    other = ("data=vkitti2", f"data.root={tmp_path}/other", f"data.cache={tmp_path}/packed", "data.size=[32,64]")
    with pytest.raises(
        UserError, match="unless in classes that both have: map=camvid or map=categories or map=vkitti2"
    ):
        evaluate(folder, *other)
    result = evaluate(folder, *other, "map=vkitti2")
    assert result.key == f"val_on_vkitti2_{result.data[:6]}_map_vkitti2"
    assert result.confusion is not None
    assert len(result.confusion) == 10
    text = shown(result)
    assert "Classes mapped by vkitti2: 19 of the network and 14 of the data in 10 that both have" in " ".join(
        text.split()
    )
    assert "Ignored where labelled: guard rail, misc." in text
    assert "Wrong where predicted: sidewalk, wall, fence" in text
    assert evaluate(folder, *other, "map=categories").file != result.file
    miniatures.write("nyuv2", tmp_path / "rooms")
    rooms = ("data=nyuv2", f"data.root={tmp_path}/rooms", f"data.cache={tmp_path}/packed")
    with pytest.raises(UserError, match=r"bed, books.*; map=<file>\.yaml says what both have in common"):
        evaluate(folder, *rooms)
    with pytest.raises(UserError, match="map=vkitti2: it has no table of the data's classes"):
        evaluate(folder, *rooms, "map=vkitti2")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("depth.protocol=kiti", "depth.protocol=kiti: should be 'kitti_garg'"),
        ("depth.crop=grag", "depth.crop=grag: should be garg, eigen, nyuv2, none, or the shares"),
        ("depth.cap=-1", "depth.cap=-1: should be metres above 0, or none"),
        ("depth.clamp=true", "depth: clamp=true moves predictions to min and cap, and there is neither"),
        ("+depth.capp=1", "depth.capp: there is no such option; did you mean cap or clamp?"),
        ("map=vkiti2", "map=vkiti2: no map is called so; did you mean vkitti2?"),
    ],
)
def test_a_mistake_in_rules_is_a_message(folder: Path, override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        evaluate(folder, override)
    assert message in str(error.value)


def test_rules_of_a_task_that_the_network_has_not_are_refused(folder: Path) -> None:
    run(tiny(folder, "schedule.epochs=1", "model=single", "model.task=depth", "name=depth"), quiet())
    with pytest.raises(UserError, match="map=categories: this network predicts depth alone"):
        evaluate(folder, "run=depth", "map=categories")
    run(tiny(folder, "schedule.epochs=1", "model=single", "model.task=semseg", "name=semseg"), quiet())
    with pytest.raises(UserError, match=r"depth\.cap: this network predicts semseg alone"):
        evaluate(folder, "run=semseg", "depth.cap=50")


def test_rules_and_maps_are_asked_for_on_the_command_line(folder: Path, command: Commands) -> None:
    line = ["evaluate.py", f"paths.outputs={folder}/outputs", "run=first", "device=cpu", "map=categories"]
    done = command(*line, "depth.crop=garg", "depth.median_scaling=true")
    assert done.returncode == 0, done.stderr
    assert "In the record as val_crop_garg_median_scaled_map_categories/..." in done.stdout
    assert "MEDIAN SCALING" in done.stdout
    assert "depth.protocol=null" in command("evaluate.py", "--help").stdout
