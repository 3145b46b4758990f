"""What the person at the keyboard sees: help, messages, exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Literal, get_args, get_origin

import pytest
from helpers.commands import Commands
from helpers.composing import CONF, ROOT, TINY, compose, options, places
from helpers.tiny_data import write_tiny_miniscapes

from mtl_seg_depth.cli.help_text import WIDTH, groups_of, keys_of
from mtl_seg_depth.config import Settings, flatten
from mtl_seg_depth.demo.show import DemoSettings
from mtl_seg_depth.inference.evaluation import EvaluationSettings
from mtl_seg_depth.inference.prediction import PredictionSettings
from mtl_seg_depth.system.interruption import AGAIN

ENTRY_POINTS = sorted(path.name for path in ROOT.glob("*.py"))
COMMANDS = [path.removesuffix(".py") for path in ENTRY_POINTS]
SCREENFUL = 80


def process(*arguments: str, script: str = "train.py", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A command as it is started at a keyboard; the fixture `command` runs one without waiting for imports."""
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module", params=COMMANDS)
def helped(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A command, and what it answers to --help."""
    return request.param, process("--help", script=f"{request.param}.py").stdout


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_help_describes_each_key_once_with_the_comment_beside_it(helped: tuple[str, str]) -> None:
    config, text = helped
    for key in keys_of(CONF, config):
        assert key.comment, f"{key.name} has no comment in conf/{config}.yaml or base.yaml"
        comment = one_line(" ".join(key.comment))
        described = rf"^  {re.escape(f'{key.name}={key.default}')}\s+{re.escape(comment[:20])}"
        assert len(re.findall(described, text, re.MULTILINE)) == 1
        assert one_line(text).count(f"{key.name}={key.default} {comment}") == 1


def test_help_describes_each_group_once_with_its_options(helped: tuple[str, str]) -> None:
    config, text = helped
    for group in groups_of(CONF, config):
        assert group.comment, f"{group.name} has no comment in the defaults of conf/{config}.yaml"
        comment = one_line(" ".join(group.comment))
        row = f"{group.name}={group.default} {comment}: {', '.join(options(group.name))}"
        assert one_line(text).count(row) == 1
        for folder in (CONF / group.name).glob("*/"):
            rows = f"{folder.name}/ {' '.join(sorted(options(f'{group.name}/{folder.name}')))}"
            assert one_line(text).count(rows) == 1


@pytest.mark.parametrize("config", COMMANDS)
def test_every_key_of_a_command_is_in_its_help(config: str) -> None:
    """Beside those of its groups, which the options' files describe."""
    keys = [key.name for key in keys_of(CONF, config)]
    chosen = tuple(f"{group.name}." for group in groups_of(CONF, config) if group.default != "null")
    assert len(set(keys)) == len(keys)
    assert set(keys) == {key for key, _ in flatten(compose(config=config)) if not key.startswith(chosen)}


def test_help_names_every_group_there_is() -> None:
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} | {"sweeps"}
    assert {group.name for group in groups_of(CONF, "train")} == groups


def test_help_is_a_page_wide_and_a_screenful_long(helped: tuple[str, str]) -> None:
    lines = helped[1].splitlines()
    assert len(lines) <= SCREENFUL
    assert max(map(len, lines)) <= WIDTH


def test_help_shows_what_may_be_chosen(helped: tuple[str, str]) -> None:
    config, text = helped
    model = {
        "train": Settings,
        "evaluate": EvaluationSettings,
        "predict": PredictionSettings,
        "demo": DemoSettings,
    }.get(config, Settings)
    for key in keys_of(CONF, config):
        kind = model.model_fields[key.name].annotation if key.name in model.model_fields else None
        for each in get_args(kind) if get_origin(kind) is UnionType else [kind]:
            if get_origin(each) is Literal:
                assert f"{key.name}={key.default} {'|'.join(get_args(each))}" in one_line(text)


def test_help_does_not_import_what_takes_seconds() -> None:
    probe = (
        "import runpy, sys; sys.argv = ['train.py', '--help']\n"
        f"try: runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'mlflow', 'optuna', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("script", ENTRY_POINTS)
def test_every_entry_point_has_help_and_is_short(command: Commands, script: str) -> None:
    done = command(script, "--help")
    assert done.returncode == 0
    assert f"python {script}" in done.stdout
    assert len((ROOT / script).read_text().splitlines()) < 60


def test_a_trace_is_there_for_who_asks() -> None:
    environment = {**os.environ, "HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "optimzer=sgd"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert "Traceback" in done.stderr


def test_a_training_from_any_folder_shows_its_scores_and_the_way_on(command: Commands, tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    arguments = [*TINY, *places(tmp_path)]
    done = process(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in ("mean IoU", "SI-log", "multitask", "from worst to best", "best.pt", "fingerprint", "images/s"):
        assert text in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"data", "packed", "outputs"}
    again = command("train.py", *arguments, cwd=tmp_path)
    assert "was trained before; rerun=true trains it again" in again.stdout
    assert done.stdout[done.stdout.index("validation split") :] in again.stdout


def test_a_diverged_training_alone_exits_with_1(command: Commands, tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    done = command("train.py", *TINY, *places(tmp_path), "optimizer=sgd", "lr.value=1e12", "tracking.log_every=1")
    assert done.returncode == 1
    assert "Diverged" in done.stdout


def test_multirun_trains_every_combination_once(command: Commands, tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    arguments = ["-m", *TINY, *places(tmp_path), "seed=0,1"]
    assert command("train.py", *arguments, cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "outputs").glob("*/result.json"))) == 2


def test_check_data_says_what_is_there_and_names_what_is_damaged(command: Commands, tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 3, "val": 1, "test": 1})
    arguments = ["data=miniscapes", *places(tmp_path)[:2], f"picture={tmp_path}/sheet.png"]
    done = command("check_data.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    os.truncate(tmp_path / "data" / "train" / "rgb" / "1.jpg", 400)
    done = command("check_data.py", *arguments)
    assert done.returncode == 1
    assert f"damaged: {tmp_path}/data/train/rgb/1.jpg" in done.stdout


def test_asked_to_stop_it_exits_with_a_code_that_means_again(tmp_path: Path) -> None:
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 1})
    arguments = [sys.executable, str(ROOT / "train.py"), *TINY, *places(tmp_path), "schedule.epochs=5000"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.terminate()
        rest = process.stdout.read()
        assert process.wait(timeout=60) == AGAIN
    assert "the same command continues it" in rest


def test_a_command_works_through_a_link_to_it(tmp_path: Path) -> None:
    link = tmp_path / "train.py"
    link.symlink_to(ROOT / "train.py")
    done = subprocess.run([sys.executable, str(link), "--cfg", "job"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "task_weights:" in done.stdout


def test_a_root_that_is_not_there_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_SEG_DEPTH_ROOT", "/nowhere")
    done = process("dry_run=true")
    assert done.returncode == 2
    assert done.stderr.startswith("error: MTL_SEG_DEPTH_ROOT=/nowhere: there is no such folder")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command_line", [(), ("tracking.uri=sqlite:///own.db",)], ids=["by itself", "overridden"])
def test_mlflows_own_variable_says_where_runs_are_tracked(
    monkeypatch: pytest.MonkeyPatch, command_line: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    composed = process("--cfg", "job", "--resolve", *command_line).stdout
    assert f"uri: {'sqlite:///own.db' if command_line else 'http://127.0.0.1:5999'}\n" in composed


@pytest.mark.parametrize("dry", ["true", "false"])
def test_an_impossible_tracking_address_is_told_before_anything_is_made(
    command: Commands, tmp_path: Path, dry: str
) -> None:
    data = [word for word in TINY if word.startswith("data.")]
    done = command("train.py", *data, *places(tmp_path), "tracking.uri=mlruns", f"dry_run={dry}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: tracking.uri=mlruns: MLflow no longer tracks to folders")
    assert not list(tmp_path.iterdir())
