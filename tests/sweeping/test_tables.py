"""The report's tables: each sweep has the rows of its table, in order, and runs from end to end."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from helpers import sweeps_in
from helpers.composing import CONF, ROOT, compose, options
from helpers.lengths import only_long, quick_or_long
from hydra.core.global_hydra import GlobalHydra
from test_experiments import ROWS, settings_of
from test_experiments import TABLES as SECTIONS

from mtl_seg_depth.config import fingerprint, parse
from mtl_seg_depth.report.published import published
from mtl_seg_depth.runs import assembly
from mtl_seg_depth.sweeping import sweep as sweeping
from mtl_seg_depth.sweeping.plan import Sweep

TABLES = [section["id"] for section in SECTIONS["sections"]]
FILES = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))
PUBLISHED = sorted(table.ours.sweep for table in published().values() if table.ours)
RECIPES = [name for name in FILES if name.startswith("recipe_small")]
HERE = [name for name in FILES if name not in (*PUBLISHED, *RECIPES, "methods_small")]
"""Those that run on any data; the published recipes run on their own, in tests/report/test_published_recipes.py."""
LESS = {
    "tuned_weights": ["task_weights.semseg=0.2,0.5"],
    "methods": ["task_weights=equal,rlw", "seeds=[0]"],
    "search_tta": ["tta.scales=[1],[0.75,1]"],
    "recipe_search": ["schedule.minutes=null", "validation.times=null"],  # no measuring how many steps fit
}
"""Of sweeps that have more rows, or longer trainings, than there is anything to learn from here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("sweeps")
    yield sweeps_in.prepare(path)
    shutil.rmtree(path)


def complete(folder: Path, name: str, *more: str) -> int:
    code = sweeps_in.sweep(f"sweeps={name}", *sweeps_in.places(folder), *sweeps_in.tiny(), *more)
    for path in folder.glob("outputs/*/last.pt"):  # never read again, and gigabytes in all
        path.unlink()
    return code


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> list[Sweep]:
    """What a dry run would have shown."""
    seen: list[Sweep] = []

    def keep(sweep: Sweep, *_: Any) -> None:
        seen.append(sweep)

    monkeypatch.setattr(sweeping, "show_plan", keep)
    return seen


def test_every_table_of_the_report_has_a_sweep() -> None:
    ours = {"tuned_weights", "methods", "methods_small", *RECIPES}
    assert {*TABLES, *PUBLISHED, *ours} == {name for name in FILES if "search" not in name}


@pytest.mark.parametrize("name", FILES)
def test_a_sweep_begins_with_its_command_and_what_to_expect(name: str) -> None:
    lines = (ROOT / "sweeps" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith(f"# python train.py sweeps={name}")
    assert any("Expect" in line for line in lines if line.startswith("#"))


def test_tuned_weights_are_ratios_half_a_power_of_two_apart_one_for_each_method(
    folder: Path, plan: list[Sweep]
) -> None:
    assert sweeps_in.sweep("sweeps=tuned_weights", "dry_run=true", *sweeps_in.places(folder), *sweeps_in.tiny()) == 0
    weights = [row.settings.task_weights for row in plan[0].rows or () if row.settings]
    ratios = [each["semseg"] / each["depth"] for each in weights]
    assert ratios == pytest.approx([2 ** (half / 2) for half in range(-9, 10)], rel=2e-3)
    methods = {compose(f"task_weights={option}")["task_weights"]["_target_"] for option in options("task_weights")}
    assert len(ratios) == len(methods) - 1, "all but fixed weights"


@pytest.mark.parametrize("table", TABLES)
def test_the_trials_of_a_sweep_are_the_rows_of_its_table(table: str, folder: Path, plan: list[Sweep]) -> None:
    shared = ("data.crop_size=[32,32]", "pretrained=none")
    assert sweeps_in.sweep(f"sweeps={table}", "dry_run=true", *sweeps_in.places(folder), *shared) == 0
    rows = plan[0].rows
    assert rows is not None
    presets = [name for name, (section, _) in ROWS.items() if section["id"] == table]
    assert [fingerprint(row.settings) for row in rows if row.settings] == [
        fingerprint(settings_of(preset, *shared)) for preset in presets
    ]
    if table == "tta":
        scored = [row.settings for row in rows if row.settings]
        assert [settings.score for settings in scored] == ["test", "test"]
        assert [settings.tta["_target_"].rpartition(".")[2] for settings in scored] == ["AveragedViews", "ReportViews"]


def test_the_sweep_of_methods_has_every_way_to_balance_the_tasks_and_each_task_alone(
    folder: Path, plan: list[Sweep]
) -> None:
    shared = ("data.crop_size=[32,32]", "precision=fp32", "dry_run=true")
    assert sweeps_in.sweep("sweeps=methods", *sweeps_in.places(folder), *shared) == 0
    planned = plan[0]
    assert planned.rows is not None
    ways = {path.stem for path in (CONF / "task_weights").glob("*.yaml")}
    assert [row.reference for row in planned.rows[:2]] == ["semseg", "depth"]
    assert {row.values["task_weights"] for row in planned.rows[2:]} == {way for way in ways if way[:2] != "w0"}
    assert all(row.references == {"semseg": 0, "depth": 1} and row.problem is None for row in planned.rows[2:])
    assert planned.baseline is not None
    assert planned.rows[planned.baseline].values == {"task_weights": "equal"}
    assert {row.seeds for row in planned.rows} == {(0, 1, 2)}


def test_the_small_sweep_of_methods_is_a_part_of_it_and_a_row_alone_is_the_same_training(
    tmp_path: Path, plan: list[Sweep]
) -> None:
    places = (f"paths.outputs={tmp_path}/outputs", f"paths.datasets={tmp_path}/datasets", "tracking=folder")
    shared = ("precision=fp32", "dry_run=true")
    assert sweeps_in.sweep("sweeps=methods_small", *places, *shared) == 0
    planned = plan[0]
    assert planned.rows is not None
    assert len(planned.rows) == 16
    ways = {path.stem for path in (CONF / "task_weights").glob("*.yaml")}
    assert {row.values["task_weights"] for row in planned.rows[2:]} < ways
    for row in planned.rows[2:4]:
        said = shlex.split(planned.command(row.values))
        assert row.settings is not None
        assert fingerprint(parse(compose(*said[2:]))) == fingerprint(row.settings)


QUICK = HERE[::3]


def test_the_recipe_is_one_training_in_all_sweeps_that_take_it_apart(
    tmp_path: Path, plan: list[Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "native", lambda device: "bf16")  # where it is fp32, a faster precision is no other
    places = (f"paths.outputs={tmp_path}/outputs", f"paths.datasets={tmp_path}/datasets", "tracking=folder")
    for name in ("recipe_small", "recipe_small_without", "recipe_small_with", "recipe_small_pretrained"):
        assert sweeps_in.sweep(f"sweeps={name}", *places, "dry_run=true") == 0
    assert [row.problem for each in plan for row in each.rows or () if row.problem] == []
    fingerprints = ([fingerprint(row.settings) for row in each.rows or () if row.settings] for each in plan)
    whole, without, build_up, pretrained = fingerprints
    assert whole[0] == without[0] == build_up[-1]
    assert whole[1] == build_up[0]
    for rows in (whole, without, build_up, pretrained):
        assert len(set(rows)) == len(rows)
    assert {row.seeds for each in plan for row in each.rows or ()} == {(0, 1, 2)}


@pytest.mark.parametrize("name", quick_or_long(*QUICK, long=tuple(name for name in HERE if name not in QUICK)))
def test_a_sweep_runs_from_end_to_end(name: str, folder: Path) -> None:
    trials = ["hydra.sweeper.n_trials=2"] if "search" in name else []
    assert complete(folder, name, *trials, *LESS.get(name, [])) == 0
    described = sweeps_in.described(folder)
    assert described["sweep"] == name
    assert {row["state"] for row in described["rows"]} <= {"complete", "pruned"}
    if name in TABLES:
        section = next(section for section in SECTIONS["sections"] if section["id"] == name)
        assert len(described["rows"]) == len(section["rows"])
    for row in described["rows"]:
        for run in row["runs"]:
            assert (folder / "outputs" / run["folder"] / "best.pt").exists()
            tasks = {row["reference"]} if row["reference"] else {"semseg", "depth"}
            assert run["scores"].keys() == {"multitask", *tasks}


@only_long
def test_the_tables_share_their_trainings(folder: Path) -> None:
    """39 rows are 28 trainings, whichever table asks for them first."""
    sweeps = folder / "outputs" / "sweeps"
    for table in TABLES:  # run above, or now: the order of the tests is of no importance
        if not list(sweeps.glob(f"{table}-*/sweep.json")):
            assert complete(folder, table) == 0
    tables = [sweeps_in.load(path) for table in TABLES for path in sweeps.glob(f"{table}-*/sweep.json")]
    rows = [row for table in tables for row in table["rows"]]
    assert len(rows) == 39
    assert len({run["folder"] for row in rows for run in row["runs"]}) == 28


@pytest.mark.parametrize("checkout", ["plain", "with a space", "it's $HOME, [é] = #1% ${x}"])
def test_the_sweeps_are_those_beside_the_conf_in_use(tmp_path: Path, checkout: str) -> None:
    """Wherever a checkout lies, and whatever else lies there; the environment of another one does not matter."""
    conf = tmp_path / checkout / "conf"
    shutil.copytree(CONF, conf)
    shutil.copytree(ROOT / "sweeps", conf.parent / "sweeps")
    (conf.parent / "sweeps" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    (conf.parent / "outputs" / "run").mkdir(parents=True)
    (conf.parent / "outputs" / "run" / "config.yaml").write_text("seed: 1\n")
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf)):
        loader = GlobalHydra.instance().config_loader()
        assert loader.get_group_options("sweeps") == sorted([*FILES, "mine"])
        assert set(loader.list_groups("")) - {"hydra"} == {path.name for path in conf.iterdir() if path.is_dir()} | {
            "sweeps"
        }
        assert hydra.compose("train", overrides=["sweeps=mine"]).seed == 7
        composed = hydra.compose("train", overrides=["sweeps=adam_lr"], return_hydra_config=True)
        assert composed.hydra.sweeper.params["lr.value"].split(",")[0] == "1.0"
        assert composed.hydra.runtime.choices["sweeps"] == "adam_lr"


def test_a_conf_without_sweeps_beside_it_composes(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(tmp_path / "conf")):
        assert hydra.compose("train").seed == 0
        assert GlobalHydra.instance().config_loader().get_group_options("sweeps") == []
