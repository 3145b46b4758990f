"""Every benchmark in its smoke mode: it runs, says what it measured on, and the page can be made of it."""

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.commands import Commands
from helpers.composing import ROOT
from helpers.lengths import LONG, only_long

Run = Callable[[str], "subprocess.CompletedProcess[str]"]
BENCHMARKS = ROOT / "benchmarks"
HELPERS = {"common", "classic", "page", "sweeping"}
RUN_BY_GPU = ("step_time", "data_path", "whole_run")
QUESTIONS = sorted({path.stem for path in BENCHMARKS.glob("*.py")} - HELPERS - set(RUN_BY_GPU))
HEAVY = (
    "claims",
    "gpu",
    "gpu_first_run",
    "openmp_wait",
    "predict_large",
    "processes",
    "pruning",
    "startup",
    "sweep_overhead",
)
IN_LONG = () if LONG else HEAVY
"""Whole commands, one after the other."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def run(command: Commands, results: Path) -> Run:
    """Runs a benchmark in its smoke mode, once."""

    @functools.cache
    def run(question: str) -> "subprocess.CompletedProcess[str]":
        return command(f"benchmarks/{question}.py", "--smoke", "--device", "cpu", "--out", str(results))

    return run


@pytest.mark.parametrize("question", [each for each in QUESTIONS if each not in IN_LONG])
def test_a_benchmark_works(question: str, results: Path, run: Run) -> None:
    done = run(question)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in (question, *(RUN_BY_GPU if question == "gpu" else ())):
        report = json.loads(next(results.glob(f"*/{name}.json")).read_text())
        assert report["smoke"] is True
        assert set(report["machine"]) == {"cpu", "cores", "threads", "bf16", "gpu", "torch", "python", "date"}
        assert report["results"]
        assert str(Path.home()) not in json.dumps(report)


@only_long
def test_a_part_of_the_gpus_questions_joins_what_is_known(results: Path, command: Commands, run: Run) -> None:
    run("gpu")
    path = next(results.glob("*/gpu.json"))
    before = json.loads(path.read_text())["results"]
    ask = functools.partial(
        command, "benchmarks/gpu.py", "--smoke", "--device", "cpu", "--out", str(results), "--parts"
    )
    done = ask("profile")
    assert done.returncode == 0, done.stderr[-3000:]
    after = json.loads(path.read_text())["results"]
    assert before.keys() == after.keys()
    assert before["profile"] != after["profile"]
    assert before | {"profile": 0} == after | {"profile": 0}
    assert ask("profil").returncode == 1, "there is no such part"


@only_long
def test_a_first_run_on_a_gpu_has_a_verdict_on_everything_it_asks(results: Path, run: Run) -> None:
    run("gpu_first_run")
    verdicts = json.loads(next(results.glob("*/gpu_first_run.json")).read_text())["results"]
    assert all(one["held"] for one in verdicts.values())
    assert len(verdicts) == 3
    (message,) = (value for key, value in verdicts["a message without memory"].items() if key.endswith(".py"))
    assert "batch_size=8 with tta.scales=[60] of whole images: cpu is out of memory" in message


def test_the_page_is_made_of_the_files_alone(results: Path, tmp_path: Path, command: Commands, run: Run) -> None:
    for question in QUESTIONS:
        if question not in IN_LONG:
            run(question)
    page = tmp_path / "docs" / "benchmarks.md"
    page.parent.mkdir()
    done = command("benchmarks/page.py", "--results", str(results), "--page", str(page))
    assert done.returncode == 0, done.stderr[-3000:]
    text = page.read_text()
    asked = {path.stem for path in results.glob("*/*.json")}
    assert all(f"benchmarks/{question}.py" in text for question in asked)
    for line in text.splitlines():
        if line.startswith("!["):
            assert (page.parent / line.rpartition("(")[2].rstrip(")")).stat().st_size > 1000


def test_committed_results_are_no_smoke_runs() -> None:
    reports = list((BENCHMARKS / "results").glob("*/*.json"))
    assert all(json.loads(path.read_text())["smoke"] is False for path in reports)
