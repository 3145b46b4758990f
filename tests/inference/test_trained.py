"""Every way in which people name a trained run."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.commands import Commands
from helpers.trained_runs import only_run

from mtl_seg_depth.inference.listing import differences, list_runs
from mtl_seg_depth.inference.trained import find_checkpoint
from mtl_seg_depth.system.errors import UserError


@pytest.mark.parametrize("form", ["name", "folder name", "folder", "file", "fingerprint", "mlflow id", "of the newest"])
def test_every_way_to_name_a_run(folder: Path, form: str) -> None:
    wanted = only_run(folder, "first")
    fingerprint = json.loads((wanted / "run.json").read_text())["fingerprint"]
    references = {
        "name": "first",
        "folder name": wanted.name,
        "folder": str(wanted),
        "file": str(wanted / "best.pt"),
        "fingerprint": fingerprint[:6],
        "mlflow id": json.loads((wanted / "mlflow.json").read_text())["run_id"],
        "of the newest": fingerprint,
    }
    expected = wanted
    if form == "of the newest":
        expected = wanted.with_name(wanted.name + ".2")
        shutil.copytree(wanted, expected)
        card = json.loads((expected / "run.json").read_text())
        (expected / "run.json").write_text(json.dumps(card | {"started": card["started"] + 1}))
        assert find_checkpoint(wanted.name, folder / "outputs") == wanted / "best.pt"
    assert find_checkpoint(references[form], folder / "outputs") == expected / "best.pt"


def test_a_name_that_fits_two_configs_is_refused(folder: Path) -> None:
    for name in ("first", "second"):
        path = only_run(folder, name) / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "both"}))
    with pytest.raises(UserError, match=r"run=both fits several runs; newest first there are\n  \w{6}  both  mIoU"):
        find_checkpoint("both", folder / "outputs")


def test_a_run_without_best_weights_says_so(folder: Path) -> None:
    wanted = only_run(folder, "first")
    (wanted / "best.pt").unlink()
    for reference in (str(wanted), wanted.name):
        with pytest.raises(UserError, match="it has no best weights"):
            find_checkpoint(reference, folder / "outputs")


def test_the_latest_and_the_best_run_need_no_name(folder: Path) -> None:
    scores = {}
    for name in ("first", "second"):
        path = only_run(folder, name) / "result.json"
        result = json.loads(path.read_text())
        scores[name] = result["best"]["val/semseg"] - result["best"]["val/depth"]
    best = max(scores, key=lambda name: scores[name])
    assert find_checkpoint("best", folder / "outputs") == only_run(folder, best) / "best.pt"
    assert find_checkpoint("latest", folder / "outputs") == only_run(folder, "second") / "best.pt"
    (only_run(folder, "second") / "best.pt").unlink()
    assert find_checkpoint("latest", folder / "outputs") == only_run(folder, "first") / "best.pt"


def test_a_run_that_is_called_latest_is_meant_by_its_name(folder: Path) -> None:
    wanted = only_run(folder, "first")
    card = json.loads((wanted / "run.json").read_text())
    (wanted / "run.json").write_text(json.dumps(card | {"name": "latest"}))
    assert find_checkpoint("latest", folder / "outputs") == wanted / "best.pt"


def test_a_name_that_no_run_has_is_answered_by_the_newest_runs_with_their_scores(folder: Path) -> None:
    with pytest.raises(UserError) as raised:
        find_checkpoint("zzz", folder / "outputs")
    first, *rows = str(raised.value).splitlines()
    assert first.endswith("no run in " + str(folder / "outputs") + " is called so; newest first there are")
    assert [row.split()[1] for row in rows] == ["second", "first"]
    assert all("mIoU" in row and "SI-log" in row for row in rows)
    for row in rows:
        assert find_checkpoint(row.split()[0], folder / "outputs").is_file()


def test_runs_that_are_damaged_or_in_training_do_not_stop_the_list(folder: Path, command: Commands) -> None:
    outputs = folder / "outputs"
    first, second = only_run(folder, "first"), only_run(folder, "second")
    (first / "result.json").unlink()  # as while it trains
    (outputs / "damaged").mkdir()
    (outputs / "damaged" / "run.json").write_text("{")
    (outputs / "elsewhere").symlink_to(folder)
    shutil.copytree(second, outputs / "broken")
    for name in ("result.json", "best.pt"):
        (outputs / "broken" / name).write_text("nonsense")
    runs = {run.folder.name: run for run in list_runs(outputs)}
    assert set(runs) == {first.name, second.name, "broken"}
    assert (runs[first.name].status, runs[second.name].status) == ("unfinished", "finished")
    assert runs[first.name].scores.keys() == runs[second.name].scores.keys()
    assert not runs["broken"].scores
    assert differences(list(runs.values()))[first] == "seed 0"
    done = command("runs.py", f"paths.outputs={outputs}", "sort=best", "most=2")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "first: seed 0 (unfinished)" in " ".join(done.stdout.split())
    assert "and 1 more: most=null shows them all" in done.stdout
