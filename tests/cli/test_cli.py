"""What the person at the keyboard sees: help, messages, exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import Commands
from helpers.composing import CONF, ROOT, TINY, compose, options, places
from helpers.tiny_data import write_tiny_miniscapes

from mtl_seg_depth.config import Settings
from mtl_seg_depth.system.interruption import AGAIN

ENTRY_POINTS = sorted(path.name for path in ROOT.glob("*.py"))
SCREENFUL = 66


def process(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A command as it is started at a keyboard; the fixture `command` runs one without waiting for imports."""
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def help_text() -> str:
    return process("--help").stdout


def test_help_names_every_group_and_every_option_in_a_screenful(help_text: str) -> None:
    assert len(help_text.splitlines()) <= SCREENFUL
    # Hydra puts a group's options into one line, and there are many sweeps.
    assert max(len(line) for line in help_text.splitlines() if not line.startswith("sweeps: ")) <= 130
    for folder in sorted(path for path in CONF.rglob("*/") if path.is_dir() and list(path.glob("*.yaml"))):
        group = str(folder.relative_to(CONF))
        listed = re.search(rf"^{re.escape(group)}: (.*)$", help_text, re.MULTILINE)
        assert listed, f"{group} is not in the help"
        assert listed[1].split(", ") == options(group)


def test_help_names_every_key_outside_the_groups(help_text: str) -> None:
    nodes = {name for name in Settings.model_fields if (CONF / name).is_dir()}
    tree = compose()
    for key in set(Settings.model_fields) - nodes:
        assert re.search(rf"\b{key}\b", help_text), f"{key} is not in the help"
        if isinstance(tree[key], dict) and key != "paths":
            for inner in tree[key]:
                assert re.search(rf"\.{inner}\b", help_text), f"{key}.{inner} is not in the help"


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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimzer=sgd", "optimzer: there is no such option; did you mean optimizer"),
        ("optimizer=sdg", "optimizer=sdg: there is no such option; did you mean sgd? There are adam, adamw, sgd."),
        ("epochs=3", "epochs: there is no such option; did you mean schedule.epochs?"),
        ("gate=shared", "gate: there is no such option; did you mean model.gate (with model=distilled)?"),
        ("lr.valu=3", "lr.valu: there is no such option; did you mean lr.value"),
        ("schedule.epochs=abc", "schedule.epochs=abc: should be a valid integer"),
        ("+model.branch_at=5", "model.branch_at: there is no such option; there are aspp"),
        ("foo", "Error parsing override 'foo'"),
        ("+model=5", "must be a string"),
        ("data=miniscapes", "is not a folder; expected"),
        ("zzzz=1", "zzzz: there is no such option; --help lists what there is."),
    ],
)
def test_a_mistake_is_one_message_without_a_trace_and_leaves_nothing_behind(
    command: Commands, tmp_path: Path, override: str, message: str
) -> None:
    done = command("train.py", override, f"paths.outputs={tmp_path}/outputs", f"paths.datasets={tmp_path}/datasets")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


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
