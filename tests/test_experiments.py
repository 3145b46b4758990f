"""Every row of the report is one preset, exact to what the row varies and holds."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.composing import CONF, compose, places
from helpers.tiny_data import write_tiny_miniscapes

import mtl_seg_depth.report
from mtl_seg_depth.config import fingerprint, parse
from mtl_seg_depth.nodes import build
from mtl_seg_depth.runs.assembly import assemble, build_network, resolve, training_batches
from mtl_seg_depth.tasks.configured import configured_tasks

TABLES = yaml.safe_load((Path(mtl_seg_depth.report.__file__).parent / "tables.yaml").read_text())
TRAININGS = 28
"""Of the report; its 39 rows repeat some."""
RECIPES = ["recipe/demo", "recipe/gpu_day", "recipe/gpu_hour", "recipe/small"]
DILATION = {"os32": [False, False, False], "os16": [False, False, True], "os8": [False, True, True]}


def name_of(section: str, row: dict[str, Any]) -> str:
    """The preset of a row, as a person would look for it."""
    match section:
        case "sgd_lr" | "adam_lr":
            mantissa, exponent = f"{row['lr']:.0e}".split("e")
            return f"{mantissa}e{int(exponent)}"
        case "epochs_batch":
            return f"e{row['epochs']}_b{row['batch_size']}"
        case "task_weights":
            return "w" + "_".join(f"{round(10 * weight):02}" for weight in row["task_weights"])
        case "pretrained":
            return "imagenet" if row["pretrained"] else "none"
        case "dilation":
            return next(name for name, flags in DILATION.items() if flags == row["dilation"])
        case "aspp_skip":
            return "with" if row["aspp"] and row["skip"] else "without"
        case "squeeze_excitation":
            return row["encoder"] + ("_se" if row["squeeze_excitation"] else "")
        case "tta":
            return "none" if row["tta"] == "none" else "report"
    return str(row[section])


ROWS = {
    f"{section['id']}/{name_of(section['id'], row)}": (section, row)
    for section in TABLES["sections"]
    for row in section["rows"]
}


def settings_of(preset: str, *overrides: str) -> Any:
    return parse(compose(f"experiment={preset}", "data=miniscapes", *overrides))


def test_there_is_one_preset_for_every_row_and_one_for_the_other_reading_of_squeeze_excitation() -> None:
    presets = {str(path.relative_to(CONF / "experiment").with_suffix("")) for path in CONF.glob("experiment/*/*.yaml")}
    assert len(ROWS) == 39
    assert presets == {*ROWS, "squeeze_excitation/resnet50_se_heads", *RECIPES}


@pytest.mark.parametrize("preset", ROWS)
def test_a_preset_is_what_its_row_says(preset: str) -> None:
    section, row = ROWS[preset]
    says = section["baseline"] | row
    tree = settings_of(preset).model_dump(mode="json")
    holds = {
        "architecture": tree["model"]["_target_"].rpartition(".")[2].lower(),
        "encoder": tree["encoder"]["name"],
        "pretrained": {"none": False, "imagenet": True}[tree["encoder"]["weights"]],
        "dilation": tree["dilation"]["replace_stride_with_dilation"],
        "aspp": tree["model"]["aspp"],
        "skip": tree["model"]["skip"],
        "epochs": tree["schedule"]["epochs"],
        "batch_size": tree["schedule"]["batch_size"],
        "task_weights": [tree["task_weights"][task] for task in ("semseg", "depth")],
        "loss": tree["loss"]["_target_"].rpartition(".")[2].lower(),
        "depth_norm": tree["depth_norm"]["_target_"].rpartition(".")[2].lower(),
        "optimizer": tree["optimizer"]["_target_"].rpartition(".")[2],
        "lr": tree["lr"]["value"],
        "squeeze_excitation": tree["encoder"]["se"],
    }
    compared = set(says) - {"multitask", "semseg", "depth", "train_time", "max_gpu_memory_percent", "parameters_m"}
    assert compared - set(holds) <= {"tta"}
    assert {key: holds[key] for key in compared - {"tta"}} == {key: says[key] for key in compared - {"tta"}}
    assert tree["encoder"]["se"] == tree["model"]["aspp_se"] == tree["model"]["decoder_se"]
    # What the report's protocol holds in every table.
    assert tree["augment"] == compose("augment=crop")["augment"]
    assert tree["lr"]["_target_"].endswith(".Poly")
    assert (tree["lr"]["power"], tree["lr"]["per_step"], tree["lr"]["warmup_epochs"]) == (0.9, False, 0)
    assert tree["optimizer"]["weight_decay"] == 1e-4
    assert tree["optimizer"].get("momentum", 0.9) == 0.9
    assert tree["optimizer"].get("betas", [0.9, 0.999]) == [0.9, 0.999]
    assert tree["data"]["crop_size"] == [256, 256]
    assert tree["precision"] == "fp32"
    assert tree["clip_norm"] is None
    assert tree["encoder"]["zero_init_residual"] is False
    assert tree["model"]["atrous_rates"] == [3, 6, 9]


@pytest.mark.parametrize("preset", ROWS)
def test_a_preset_begins_with_its_command_and_the_report_s_scores(preset: str) -> None:
    _, row = ROWS[preset]
    comment = "".join(
        line for line in (CONF / "experiment" / f"{preset}.yaml").read_text().splitlines() if line.startswith("#")
    )
    assert f"python train.py experiment={preset} data=miniscapes" in comment
    for score in ("multitask", "semseg", "depth"):
        assert score not in row or str(row[score]) in comment


@pytest.mark.parametrize("preset", ROWS)
def test_a_preset_leads_back_to_the_protocol(preset: str) -> None:
    """Row by row, each named first in the defaults of the next: what all of them share is said once."""
    seen = []
    while preset != "protocol":
        seen.append(preset)
        parent = yaml.safe_load((CONF / "experiment" / f"{preset}.yaml").read_text())["defaults"][0]
        preset = parent.removeprefix("/experiment/")
        assert preset not in seen


def test_the_protocol_alone_is_where_the_tables_start() -> None:
    assert settings_of("protocol") == settings_of("pretrained/none")


def test_the_39_rows_are_28_trainings() -> None:
    """Rows that repeat another table's training have its fingerprint, and so are not trained again."""
    assert len(distinct()) == TRAININGS


def test_the_other_reading_of_squeeze_excitation_has_it_in_the_heads_alone() -> None:
    text, heads = (
        settings_of(f"squeeze_excitation/resnet50_se{end}").model_dump(mode="json") for end in ("", "_heads")
    )
    assert text["encoder"]["se"]
    assert not heads["encoder"]["se"]
    text["encoder"]["se"] = False
    assert text == heads


@functools.cache
def distinct() -> list[str]:
    """One preset for every training: composed when it is asked for, not while tests are collected."""
    return list({fingerprint(settings_of(preset)): preset for preset in reversed(ROWS)}.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("experiments")
    write_tiny_miniscapes(root / "data", {"train": 16, "val": 1}, height=32, width=64)
    return root


@pytest.mark.parametrize("number", range(TRAININGS))
def test_every_training_of_the_report_builds_and_takes_a_step(folder: Path, number: int) -> None:
    preset = distinct()[number]
    overrides = [*places(folder), "data.crop_size=[32,32]", "encoder.weights=none", "device=cpu"]
    settings, device = resolve(settings_of(preset, *overrides))
    parts = assemble(settings, device)
    batches = training_batches(settings, parts, parts.source.open("train", progress=False), device)
    losses = parts.step(batches[0], parts.learning_rate(0))
    assert set(losses) == {"semseg", "depth"}
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_begins_with_its_command_and_builds(recipe: str) -> None:
    first, second = (CONF / "experiment" / f"{recipe}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_"
    assert second.startswith(f"# python train.py experiment={recipe}")
    settings = parse(compose(f"experiment={recipe}", "encoder.weights=none", "precision=fp32"))
    assert settings.schedule.minutes
    tasks = configured_tasks(build("data", settings.data).spec.targets, settings.model_dump())
    with torch.device("meta"):
        assert build_network(settings, tasks).tasks == ("semseg", "depth")
