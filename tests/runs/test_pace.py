"""How long a training takes is guessed from the runs that can be read; one that cannot stops nothing."""

from pathlib import Path

import pytest
from helpers.composing import tiny
from helpers.report_store import write, write_result

from mtl_seg_depth.config import as_texts
from mtl_seg_depth.runs.pace import Pace

DAMAGED = ("", "null", "[1]", "{" * 200_000, '{"name": "a", "params": {"schedule.batch_size": ' + "9" * 400 + "}}")


def finished(folder: Path, params: dict[str, str], seconds: float) -> None:
    folder.mkdir(parents=True)
    write(folder / "run.json", {"name": folder.name, "params": params})
    write_result(folder, steps=10, seconds=seconds)


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_damaged_runs_say_nothing_of_the_pace_and_the_others_do(tmp_path: Path, name: str, content: str) -> None:
    settings = tiny(tmp_path)
    outputs = tmp_path / "outputs"
    finished(outputs / "good", {**as_texts(settings), "model": "joint", "encoder": "resnet18"}, 20.0)
    finished(outputs / "another network", {**as_texts(settings), "model": "branched"}, 500.0)
    finished(outputs / "odd", {**as_texts(settings), "schedule.batch_size": "²"}, 7.0)
    finished(outputs / "damaged", as_texts(settings), 9000.0)
    (outputs / "damaged" / name).write_text(content)
    assert Pace(outputs).seconds(settings, 100) == pytest.approx(200.0)
