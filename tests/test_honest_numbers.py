"""What a published table rests on: which weights are scored, on what, how often, and from which chance."""

import ast
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.composing import ROOT, compose, tiny
from helpers.lengths import quick_or_long
from helpers.tiny_data import write_tiny_miniscapes
from helpers.trained_runs import evaluate, only_run, quiet

from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.data.miniscapes import Miniscapes
from mtl_seg_depth.data.streets.dataset import Streets
from mtl_seg_depth.nodes import build
from mtl_seg_depth.runs.run import run
from mtl_seg_depth.tasks.depth.meter import DepthErrors

CPU = torch.device("cpu")


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of every image that was scored."""
    seen: list[int] = []
    original = ScoringBatches.__iter__

    def watched(batches: ScoringBatches) -> Any:
        for batch in original(batches):
            seen.extend(batch.ids)
            yield batch

    monkeypatch.setattr(ScoringBatches, "__iter__", watched)
    return seen


@pytest.mark.parametrize("batch_size", quick_or_long(2, long=(1, 3, 16)))
def test_every_picture_of_a_split_is_scored_once(
    folder: Path, scored: list[int], batch_size: int, observed: Callable[..., None]
) -> None:
    """Three images: a last batch that is partial, full, and the only one."""
    evaluate(folder, "split=val", f"batch_size={batch_size}", "rerun=true")
    assert Counter(scored) == {0: 1, 1: 1, 2: 1}
    observed("every image of a split is scored exactly once", pictures=len(scored))


def test_scores_are_the_same_twice_and_in_batches_of_1_or_16(folder: Path, observed: Callable[..., None]) -> None:
    first, again, many = (
        evaluate(folder, "split=val", f"batch_size={size}", "precision=fp32", "rerun=true").scores
        for size in (1, 1, 16)
    )
    assert first == again
    assert first.keys() == many.keys()
    for name in ("multitask", "semseg", "depth"):
        assert first[name] == pytest.approx(many[name], rel=1e-6)
    # The network's own fp32 sums differ with the batch: an error over few pixels shows more of that.
    np.testing.assert_allclose(list(first.values()), list(many.values()), rtol=5e-6)
    both = np.array([list(first.values()), list(many.values())])
    finite = both[:, np.isfinite(both).all(axis=0) & (both[0] != 0)]
    observed(
        "scores are the same in batches of 1 and 16: the three headlines to 1e-6, every number to 5e-6",
        numbers=len(first),
        largest_relative_difference=float(np.abs(finite[0] / finite[1] - 1).max()),
    )


def test_the_test_split_is_not_read_in_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, observed: Callable[..., None]
) -> None:
    """Let alone chosen on: without it the same epoch is the best."""
    write_tiny_miniscapes(tmp_path / "data", {"train": 4, "val": 2})
    opened: list[str] = []
    original = Miniscapes.open

    def watched(source: Miniscapes, split: str, progress: bool = True) -> Any:
        opened.append(split)
        return original(source, split, progress)

    monkeypatch.setattr(Miniscapes, "open", watched)
    run(tiny(tmp_path), quiet())
    assert sorted(opened) == ["train", "val"]
    assert not (tmp_path / "data" / "test").exists()
    observed("the best epoch is chosen on validation; the test split is not even opened", splits_opened=len(opened))


def test_the_best_weights_are_scored_and_not_the_last(folder: Path, observed: Callable[..., None]) -> None:
    before = evaluate(folder, "split=val", "rerun=true").scores
    (only_run(folder, "first") / "last.pt").unlink()
    assert evaluate(folder, "split=val", "rerun=true").scores == before
    result = json.loads((only_run(folder, "first") / "result.json").read_text())
    assert before["multitask"] == result["best"]["val/multitask"]
    observed("the best weights are scored, and score what they did when they were chosen", scores=len(before))


def test_the_embedded_splits_share_no_picture(tmp_path: Path, observed: Callable[..., None]) -> None:
    overrides = ["data.train=6", "data.val=6", "data.test=6", "data.height=32", "data.width=64"]
    source: Streets = build("data", compose(*overrides, f"paths.datasets={tmp_path}")["data"])
    contents: dict[bytes, list[str]] = {}
    for split in ("train", "val", "test"):
        opened = source.open(split, progress=False)
        for picture in opened.images:
            contents.setdefault(picture.tobytes(), []).append(split)
    assert len(contents) == 18
    shared = sum(len(splits) - 1 for splits in contents.values())
    observed("the embedded splits are of different scenes", pictures=len(contents), shared=shared)


def test_depth_errors_are_summed_in_float64(observed: Callable[..., None]) -> None:
    errors = DepthErrors(CPU)
    assert all(value.dtype == torch.float64 for value in vars(errors).values() if _is_sum(value))
    observed("errors are summed in float64", sums=sum(_is_sum(value) for value in vars(errors).values()))


def _is_sum(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def test_the_seed_of_every_source_of_chance_is_logged(folder: Path, observed: Callable[..., None]) -> None:
    """Initial weights, order and views come from `seed`, the streets from `data.seed`; there is no other source."""
    params = json.loads((only_run(folder, "first") / "run.json").read_text())["params"]
    assert params["seed"] == "0"
    assert "deterministic" in params
    sources = 0
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if re.fullmatch(r"torch\.(rand\w*|normal|bernoulli|multinomial)", name):
                    sources += 1
                    assert "generator" in {keyword.arg for keyword in node.keywords}, f"{path}: {name}"
                if re.fullmatch(r"(np\.)?random\.\w+", name):
                    sources += 1
                    assert name.endswith(("default_rng", "SeedSequence")), f"{path}: {name}"
                    assert node.args, f"{path}: {name} without a seed"
    observed("the seed of every source of chance is logged", seeded_sources=sources)
