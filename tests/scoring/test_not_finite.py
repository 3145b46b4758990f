"""What is not finite is wrong and never the best: predictions, losses and scores with nan and infinity anywhere."""

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.facts import CPU, NUM_CLASSES, tasks
from helpers.tiny_split import tiny_split
from torch import Tensor, nn

from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.records.results import SweepRecord
from mtl_seg_depth.report.comparison import best
from mtl_seg_depth.scoring import AveragedViews, ReportViews, headline
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.scoring.scores import Scores, score
from mtl_seg_depth.sweeping.standing import best_rows
from mtl_seg_depth.system.precision import Precision
from mtl_seg_depth.tasks.depth.codec import DepthRules
from mtl_seg_depth.tasks.depth.meter import DepthMeter
from mtl_seg_depth.tasks.task import Measured
from mtl_seg_depth.training.keeper import Keeper
from mtl_seg_depth.training.loop import Plan, Training

NOT_FINITE = (math.nan, math.inf, -math.inf)
SPLIT = tiny_split(count=2, height=32, width=32)
VIEWS = {
    "one": AveragedViews(semseg="probabilities"),
    "flip": AveragedViews(flip=True, semseg="probabilities"),
    "votes": AveragedViews(scales=(1.0, 1.5), flip=True, semseg="votes"),
    "scales": AveragedViews(scales=(0.75, 1.0, 1.5), semseg="probabilities"),
    "report": ReportViews(scales=(2.0,)),
}


class Says(nn.Module):
    """A network that answers with functions of a pixel, and in one place of one view with what is not finite."""

    tasks = ("semseg", "depth")

    def __init__(self, task: str | None = None, value: float = 0.0, view: int = 0, at: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.task, self.value, self.view, self.at = task, value, view, at
        weight = torch.randn(NUM_CLASSES, 3, generator=torch.Generator().manual_seed(0))
        self.register_buffer("weight", weight)
        self.seen = 0

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        raw = {"semseg": torch.einsum("cr,brhw->bchw", self.weight, image), "depth": image.mean(1, keepdim=True)}
        if self.task is not None and self.seen == self.view:
            image_index, channel, row, column = self.at
            said = raw[self.task]
            said[image_index, channel % said.shape[1], row, column] = self.value
        self.seen += 1
        return {task: [said] for task, said in raw.items()}


def scored(network: Says, views: Any) -> tuple[Scores, dict[str, Tensor]]:
    seen: list[dict[str, Tensor]] = []
    predict = views.around(Predictor(network, tasks(), Precision("fp32")))  # type: ignore[arg-type]

    def kept(image: Tensor) -> dict[str, Tensor]:
        seen.append(predict(image))
        return seen[-1]

    found = score(kept, ScoringBatches(SPLIT, batch_size=2, tasks=tasks(), device=CPU), tasks(), detailed=True)
    return found, seen[0]


def test_a_prediction_that_is_not_finite_is_wrong_and_makes_no_validation_the_best(
    extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    chance = random.Random(0)
    healthy = {name: scored(Says(), views) for name, views in VIEWS.items()}
    targets = next(iter(ScoringBatches(SPLIT, batch_size=2, tasks=tasks(), device=CPU))).targets
    cases, wrong = extent(200, 4000), 0
    for case in range(cases):
        name, task, value = chance.choice(list(VIEWS)), chance.choice(Says.tasks), chance.choice(NOT_FINITE)
        views = 1 if name in ("one", "report") else 2
        at = (chance.randrange(2), chance.randrange(NUM_CLASSES), chance.randrange(32), chance.randrange(32))
        found, predicted = scored(Says(task, value, chance.randrange(views), at), VIEWS[name])
        sound, expected = healthy[name]
        other = "depth" if task == "semseg" else "semseg"
        assert torch.equal(predicted[other], expected[other])
        assert not any(math.isnan(found.headlines[each]) for each in Says.tasks)
        lost = predicted["semseg"] == 255 if task == "semseg" else predicted["depth"].isnan()
        counted = targets["semseg"] != 255 if task == "semseg" else ~targets["depth"].isnan()
        if task == "semseg" or name != "report":
            assert lost.sum() > 0, (case, name, task, value, at)
        if name in ("one", "flip"):
            assert torch.equal(predicted[task][~lost], expected[task][~lost])
        if not (lost & counted).any():
            assert found.rank == sound.rank
            continue
        wrong += 1
        assert found.rank == headline.WORST
        if task == "depth":
            assert found.headlines["depth"] == math.inf
            assert found.headlines["multitask"] == -math.inf
            details = found.measured["depth"].details
            assert details["depth_errors/delta1"] <= sound.measured["depth"].details["depth_errors/delta1"]
            assert all(
                value == math.inf
                for key, value in details.items()
                if key.startswith("depth_errors/") and "delta" not in key
            )
            bands = [key for key in details if key.endswith("/mae") and details[key] == math.inf]
            assert bands
            assert {key for key in details if not math.isnan(details[key])} == {
                key for key, each in sound.measured["depth"].details.items() if not math.isnan(each)
            }
        elif name == "one":
            assert found.confusion is not None and sound.confusion is not None
            gone = (sound.confusion.matrix - found.confusion.matrix).sum(dim=1)
            labels = targets["semseg"][lost & counted]
            assert torch.equal(gone, torch.bincount(labels, minlength=NUM_CLASSES))
            right = expected["semseg"][lost & counted] == labels
            assert (found.headlines["semseg"] < sound.headlines["semseg"]) or not right.any()
    assert wrong > 0.5 * cases
    observed("a prediction that is not finite is wrong, and its validation never the best", cases=cases, wrong=wrong)


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("mean_over", ["images", "pixels"])
def test_depths_that_are_not_finite_are_the_worst_by_either_rule_and_those_that_are_not_scored_change_nothing(
    value: float, mean_over: Any
) -> None:
    depth = torch.tensor([[[4.0, 8.0], [math.nan, 16.0]], [[5.0, 5.0], [5.0, 5.0]]])
    measured = []
    for at in ((0, 1, 0), (0, 0, 1)):
        prediction = depth.nan_to_num(1.0) * 1.1
        prediction[at] = value
        meter = DepthMeter(CPU, DepthRules(mean_over=mean_over))
        meter.update(prediction, depth)
        measured.append(meter.compute())
    unscored, wrong = measured
    assert unscored.headline == pytest.approx(0, abs=1e-3)
    assert not unscored.broken
    assert wrong.headline == math.inf
    assert wrong.broken
    assert wrong.details["depth_errors/delta1"] == pytest.approx(5 / 6 if mean_over == "images" else 6 / 7)


class Losses:
    """A step whose losses and validations are given; validations of nan are broken."""

    def __init__(self, losses: list[dict[str, float]], depths: list[float]) -> None:
        self.losses, self.depths = iter(losses), iter(depths)
        self.network = self.scored_network = nn.Linear(1, 1)
        self.optimizer = self.weighting = SimpleNamespace(state_dict=dict, logged=dict, param_groups=[])
        self.average = None

    def advance(self, *_: Any) -> dict[str, Tensor]:
        return {task: torch.tensor(value) for task, value in next(self.losses).items()}

    def validate(self) -> Scores:
        depth = next(self.depths)
        broken = not math.isfinite(depth)
        return Scores({"semseg": Measured(60.0, broken=broken), "depth": Measured(math.inf if broken else depth)})


def test_a_loss_that_is_not_finite_ends_a_training_and_a_broken_validation_is_never_its_best(
    tmp_path: Path,
    extent: Callable[[int, int], int],
    observed: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "save", lambda *_, **__: None)
    chance = random.Random(0)
    cases, diverged = extent(200, 4000), 0
    for _ in range(cases):
        steps, log_every, validate_every = chance.randint(1, 12), chance.randint(1, 5), chance.randint(1, 4)
        losses = [{"semseg": 1.0, "depth": -0.5} for _ in range(steps)]
        bad = [
            (chance.randrange(steps), chance.choice(["semseg", "depth"])) for _ in range(chance.choice([0, 0, 1, 2]))
        ]
        for step, task in bad:
            losses[step][task] = chance.choice(NOT_FINITE)
        depths = [chance.choice([*NOT_FINITE, chance.uniform(0, 99)]) for _ in range(steps)]
        fake = Losses(losses, list(depths))
        record: Any = SimpleNamespace(log=lambda *_: None, sync=lambda: None)
        plan = Plan(steps=steps, validate_every=validate_every, log_every=log_every, save_every_seconds=1e9)
        training = Training(
            fake,  # type: ignore[arg-type]
            fake.advance,
            Batches(),  # type: ignore[arg-type]
            lambda _: 1e-3,  # type: ignore[arg-type]
            fake.validate,
            plan,
            record,
            Keeper(tmp_path, {}, {}),
        )
        status = training.run()
        validated = [step for step in range(1, steps + 1) if step % validate_every == 0 or step == steps]
        first_bad = min((step for step, _ in bad), default=steps)
        sound = [
            (depth, step)
            for step, depth in zip(validated, depths, strict=False)
            if math.isfinite(depth) and step <= first_bad
        ]
        assert (training.state.best_step, status) == (
            min(sound)[1] if sound else 0,
            "diverged" if bad or not sound else "finished",
        )
        diverged += status == "diverged"
    observed("a loss that is not finite ends a training as diverged", cases=cases, diverged=diverged)


class Batches:
    steps_per_epoch = 3
    batch_size = 1

    def __getitem__(self, step: int) -> Any:
        return SimpleNamespace(ids=[step])


def anything(chance: random.Random) -> float | None:
    return chance.choice([None, *NOT_FINITE, *(chance.uniform(0, 100) for _ in range(4))])


def some_scores(chance: random.Random) -> Iterator[dict[str, float | None]]:
    for _ in range(chance.randint(2, 5)):
        both = {"semseg": anything(chance), "depth": anything(chance)}
        yield {"multitask": headline.multitask(both), **both}


def test_a_score_that_is_not_finite_or_missing_is_worse_than_any(
    extent: Callable[[int, int], int], observed: Callable[..., None]
) -> None:
    chance = random.Random(0)
    cases = extent(1000, 20_000)
    for _ in range(cases):
        rows = list(some_scores(chance))
        complete = [i for i, row in enumerate(rows) if all(v is not None and math.isfinite(v) for v in row.values())]
        ranks = [headline.rank(row) for row in rows]
        gains = [[headline.gain(key, headline.value(key, row)) for key in headline.objectives()] for row in rows]
        for i, row in enumerate(rows):
            assert (ranks[i] > headline.WORST) == (i in complete)
            for key, gain in zip(headline.objectives(), gains[i], strict=True):
                value = headline.margin(row) if key == "margin" else row[key]
                assert (gain == -math.inf) == (value is None or not math.isfinite(value))
        front = headline.pareto_front([[headline.gain(key, row[key]) for key in ("semseg", "depth")] for row in rows])
        assert set(front) <= set(complete)
        assert bool(front) == bool(complete)
        for key in ("multitask", "semseg", "depth"):
            known = [{k: v for k, v in row.items() if v is not None and math.isfinite(v)} for row in rows]
            assert all(key in known[i] for i in best(key, known))  # type: ignore[arg-type]
            described = SweepRecord.model_validate(
                {
                    "study": "one", "kind": "grid", "started": 0, "updated": 0, "objective": [key],
                    "directions": [headline.direction(key)],
                    "rows": [
                        {
                            "number": i, "label": str(i), "state": "complete", "values": [row[key]],
                            "runs": [{"seed": 0, "status": "finished", "scores": row}],
                        }
                        for i, row in enumerate(rows)
                    ],
                }
            )  # fmt: skip
            chosen = [row.number for row in best_rows(described)]
            values = {i: headline.gain(key, row[key]) for i, row in enumerate(rows)}
            assert bool(chosen) == (max(values.values()) > -math.inf)
            assert all(values[i] == max(values.values()) for i in chosen)
    observed("a score that is missing or not finite is worse than any", cases=cases)
