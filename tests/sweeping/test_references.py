"""Single-task references: a sweep trains what it needs of them, finds what is there, and lets none of them win."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import sweeps_in
from helpers.sweeps_in import described, sweep, tiny
from helpers.tiny_data import write_tiny_miniscapes

WAYS = ("-m", "task_weights=rlw,equal", "model=joint,branched", "dilation=os32", "seeds=[0,1]")
OTHERWISE = ("dilation=os32", "model.aspp=false", "model.skip=false")
REFERENCES = ("hydra.sweeper.references=single", "hydra.sweeper.objective=margin")


def test_rows_share_their_references_which_are_found_or_trained_and_never_win(
    tmp_path: Path, trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweeps_in.prepare(tmp_path)
    usual = (*sweeps_in.places(folder), *tiny(*OTHERWISE[1:]))
    assert sweep("model=single", "model.task=depth", *OTHERWISE[:1], *usual) == 0
    assert len(trained) == 1
    assert sweep(*WAYS, *usual, *REFERENCES) == 0
    assert len(set(trained)) == len(trained) == 1 + 3 + 8, "one reference is there, and four rows share both"
    account = described(folder)
    alone, ways = account["rows"][:2], account["rows"][2:]
    assert [row["reference"] for row in account["rows"]] == ["semseg", "depth", None, None, None, None]
    assert all(row["references"] == {"semseg": 0, "depth": 1} for row in ways)
    assert {row["state"] for row in account["rows"]} == {"complete"}
    assert alone[1]["runs"][0]["folder"] == trained[0]
    config = json.loads((folder / "outputs" / alone[0]["runs"][0]["folder"] / "run.json").read_text())["params"]
    assert (config["model.task"], config["model.aspp"]) == ("semseg", "False")
    best = (folder / "outputs" / "sweeps" / account["study"] / "artifacts" / "best.yaml").read_text()
    assert "alone" not in best
    printed = capsys.readouterr().out
    assert "no difference can be shown" in printed
    check_deltas(folder, account)
    assert sweep(*WAYS, *usual, *REFERENCES) == 0
    assert len(trained) == 12


def check_deltas(folder: Path, account: dict[str, Any]) -> None:
    """delta_m over metrics of every row, from the records of its runs and of the references of the same seeds."""
    path = folder / "outputs" / "sweeps" / account["study"] / "artifacts" / "comparison.csv"
    lines = list(csv.DictReader(path.read_text().splitlines()))
    for row in account["rows"][2:]:
        deltas = []
        for seed, run in enumerate(row["runs"]):
            ours = last_scores(folder / "outputs" / run["folder"])
            losses = []
            for number, sign, names in ((0, -1, ("semseg", "pixel_accuracy")), (1, 1, ("mae", "abs_rel"))):
                theirs = last_scores(folder / "outputs" / account["rows"][number]["runs"][seed]["folder"])
                for name in names:
                    key = f"val/{name}" if number == 0 else f"val/depth_errors/{name}"
                    losses.append(sign * 100 * (ours[key] - theirs[key]) / theirs[key] if theirs[key] else None)
            if None not in losses:
                deltas.append(sum(losses) / 4)
        found = [
            line for line in lines
            if (line["selection"], line["method"], line["measure"]) == ("last", row["label"], "delta_m/over_metrics")
        ]  # fmt: skip
        assert len(found) == bool(deltas)
        if deltas:
            assert float(found[0]["mean"]) == pytest.approx(sum(deltas) / len(deltas))


def last_scores(folder: Path) -> dict[str, float]:
    points = [json.loads(line)["metrics"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return next(point for point in reversed(points) if "val/multitask" in point)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("hydra.sweeper.baseline=dwa",), "hydra.sweeper.baseline=dwa: no rows are called so"),
        (("hydra.sweeper.references=both",), "hydra.sweeper.references"),
        (("hydra/sweeper/sampler=random", "hydra.sweeper.references=single"), "only a grid can have them"),
        (("score=val", "hydra.sweeper.selection=last"), "hydra.sweeper.selection=last is of validations"),
    ],
)
def test_what_cannot_be_compared_is_one_message(
    tmp_path: Path, overrides: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_miniscapes(tmp_path / "data", sweeps_in.SIZES, height=32, width=64)
    places = sweeps_in.places(tmp_path)
    assert sweep("-m", "task_weights=rlw,equal", *places, *tiny("dry_run=true"), *overrides) == 2
    assert message in " ".join(capsys.readouterr().err.split())
