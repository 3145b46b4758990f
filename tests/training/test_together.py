"""Several processes train the network that one alone would: the same batches, losses, weights and scores."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.comparing import scores
from helpers.composing import HELPERS, TINY, options, places
from helpers.lengths import LONG, quick_or_long
from helpers.tiny_data import write_tiny_miniscapes

FINE = "precision=float64"
"""See helpers/together.py."""

MIXED = (
    ("loss=berhu", "model=distilled", "semseg_loss=hard_pixels"),
    ("loss=gradient_matching", "model=branched", "task_weights=uncertainty", "ema=0.9"),
    ("loss=huber", "model=cross_stitch", "task_weights=famo"),
    ("loss=l1", "semseg_loss=class_balanced", "task_weights=graddrop", "clip_norm=1"),
    ("task_weights=gradnorm", "schedule.batch_size=12", "schedule.accumulate=2"),
)
"""Every way of theirs to need something of the whole batch."""


def every_choice() -> Iterator[tuple[str, ...]]:
    """Every weighting and every loss of the suite, and every architecture."""
    for group in ("task_weights", "loss", "semseg_loss", "model"):
        yield from ((f"{group}={option}",) for option in options(group))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    write_tiny_miniscapes(folder / "data", {"train": 12, "val": 5})
    return folder


def together(folder: Path, steps: int, *cases: tuple[str, ...]) -> None:
    """Train each case by 1, 2 and 3 processes."""
    lines = [json.dumps(["schedule.batch_size=6", *case]) for case in cases]
    command = [sys.executable, str(HELPERS / "together.py"), str(folder), "1,2,3", str(steps)]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def numbers(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of nested state dictionaries, with its name."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{before}{name}/")
        else:
            yield before + name, value


def test_in_double_precision_they_agree_to_rounding(folder: Path, observed: Callable[..., None]) -> None:
    """Ignored pixels, invalid depths and images without any are spread unevenly; BatchNorm is over the whole batch."""
    steps, cases = (30, [*MIXED, *every_choice()]) if LONG else (4, list(MIXED))
    together(folder, steps, *((FINE, *case) for case in cases))
    largest = 0.0
    for number, case in enumerate(cases):
        alone, *others = (torch.load(folder / str(count) / f"{number}.pt") for count in (1, 2, 3))
        for other in others:
            for (name, one), (_, two) in zip(numbers(alone["weights"]), numbers(other["weights"]), strict=True):
                if one.is_floating_point():
                    apart = ((one - two).norm() / one.norm().clamp(min=1e-12)).item()
                    assert apart < 1e-9, f"{case}: {name} is {apart:.1e} apart"
                    largest = max(largest, apart)
                else:
                    assert one.equal(two), f"{case}: {name}"
            assert other["losses"] == [pytest.approx(losses, rel=1e-9) for losses in alone["losses"]], case
            assert other["scores"] == pytest.approx(alone["scores"], rel=1e-9), case
    observed(
        "1, 2 and 3 processes train the same network in float64: every weighting, loss and architecture",
        trainings=3 * len(cases),
        steps=steps,
        largest_relative_difference=float(f"{largest:.0e}"),
    )


def test_in_single_precision_losses_and_scores_agree(folder: Path) -> None:
    """With two pixels in the deepest maps: in single precision, BatchNorm over one value an image makes ten times as
    much of a rounding with every few steps. In float64, above, that is no matter."""
    case = ("data.crop_size=[32,64]", "loss=berhu", "task_weights=dwa", "optimizer=sgd")
    together(folder, 30 if LONG else 6, case)
    alone, *others = (torch.load(folder / str(count) / "0.pt") for count in (1, 2, 3))
    for other in others:
        assert other["losses"] == [pytest.approx(losses, rel=1e-4) for losses in alone["losses"]]
        assert other["scores"] == pytest.approx(alone["scores"], rel=1e-4)


@pytest.mark.parametrize("kills", quick_or_long(3, long=(20,)))
def test_a_group_of_which_one_is_killed_ends_and_goes_on_as_another(
    folder: Path, tmp_path: Path, kills: int, observed: Callable[..., None]
) -> None:
    """2 processes, 3, 2 ...: what they train is what one process does, batch by batch, and nothing is logged twice."""
    training = ["schedule.batch_size=6", "schedule.epochs=8", "tracking.log_every=1", "checkpoint.every_minutes=0.001"]
    command = [sys.executable, str(HELPERS / "killing_together.py"), str(kills), str(tmp_path / "outputs")]
    overrides = [*TINY, *places(folder), *training]
    done = subprocess.run([*command, *overrides], capture_output=True, text=True, timeout=60 + 60 * kills, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    for killed in report["killed"]:
        one, other = scores(report["whole"]), scores(killed)
        assert [step for step, _ in one] == [step for step, _ in other]
        for (step, whole), (_, values) in zip(one, other, strict=True):
            losses = {name: value for name, value in whole.items() if "train/loss" in name}
            assert {name: values[name] for name in losses} == pytest.approx(losses, rel=2e-3), step
    observed(
        "a training by 2 or 3 processes, of which a random one is killed, ends everywhere, and 3 or 2 go on with it",
        kills=kills,
        of_the_first=report["hits"].count(0),
        longest_wait_s=round(report["longest_wait"], 1),
        lost=0,
    )
