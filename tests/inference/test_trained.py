"""Every way in which people name a trained run."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.trained_runs import only_run

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
    with pytest.raises(UserError, match=r"run=both fits several runs; there are miniscapes-.*, miniscapes-"):
        find_checkpoint("both", folder / "outputs")


def test_a_run_without_best_weights_says_so(folder: Path) -> None:
    wanted = only_run(folder, "first")
    (wanted / "best.pt").unlink()
    for reference in (str(wanted), wanted.name):
        with pytest.raises(UserError, match="it has no best weights"):
            find_checkpoint(reference, folder / "outputs")
