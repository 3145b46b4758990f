"""What does pruning save, and what does it lose? One random search, run to its end and cut short by Hyperband.

All searches draw the same candidates in the same order: optimiser and learning rate of a small network on the embedded
street scenes. The winner of the whole search is trained with further seeds: by how much chance alone moves its score.
With --keep=<folder> a benchmark that was stopped goes on.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from common import main, pictures
from sweeping import sweep

PRUNERS = {"Hyperband, one of 3 goes on": 3, "Hyperband, one of 4 goes on": 4}
"""Reduction factors; Optuna's own is 3."""
WHOLE = "every trial to its end"
SEARCH = ("optimizer=sgd,adam,adamw", "lr.value=tag(log,interval(1e-5,1.0))", "hydra/sweeper/sampler=random")


def steps_of(described: dict[str, Any], outputs: Path) -> int:
    """Optimiser steps trained in all."""
    folders = {run["folder"] for row in described["rows"] for run in row["runs"]}
    return sum(json.loads((outputs / folder / "result.json").read_text())["steps"] for folder in folders)


def winner(described: dict[str, Any]) -> dict[str, Any]:
    complete = [row for row in described["rows"] if row["state"] == "complete"]
    best: dict[str, Any] = max(complete, key=lambda row: row["values"][0])
    return {"params": best["params"], "margin": best["values"][0]}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    trials, epochs, train = (2, 2, 4) if arguments.smoke else (arguments.trials, arguments.epochs, arguments.train)
    size = [*pictures(32), "precision=fp32"] if arguments.smoke else pictures(arguments.size)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep or temporary).resolve()
        base = [
            *size, f"data.train={train}", f"data.val={max(2, train // 2)}", "data.test=1", f"paths.datasets={folder}",
            f"device={arguments.device}", "encoder=resnet18", "dilation=os32", "model.aspp=false", "model.skip=false",
            f"schedule.epochs={epochs}", "tracking=folder", "tracking.panels=0", "hydra.sweeper.objective=margin",
        ]  # fmt: skip
        search = [*base, *SEARCH, f"hydra.sweeper.sampler.seed={arguments.seed}", f"hydra.sweeper.n_trials={trials}"]
        # Each in outputs of its own: a search takes what another one has trained.
        searches = {WHOLE: sweep(folder / "whole", *search)}
        steps = {WHOLE: steps_of(searches[WHOLE], folder / "whole")}
        for name, factor in PRUNERS.items():
            outputs = folder / f"hyperband{factor}"
            pruner = ("hydra/sweeper/pruner=hyperband", f"hydra.sweeper.pruner.max_resource={epochs}")
            searches[name] = sweep(outputs, *search, *pruner, f"hydra.sweeper.pruner.reduction_factor={factor}")
            steps[name] = steps_of(searches[name], outputs)
        winners = {name: winner(described) for name, described in searches.items()}
        best = winners[WHOLE]
        chosen = [f"{name}={value}" for name, value in best["params"].items()]
        again = sweep(folder / "again", *base, *chosen, "seed=1,2,3")
        margins = [row["values"][0] for row in again["rows"]]
    return {
        "trials": trials,
        "epochs": epochs,
        "steps": steps,
        "share_of_steps": {name: count / steps[WHOLE] for name, count in steps.items()},
        "winners": winners,
        "lost": {name: best["margin"] - one["margin"] for name, one in winners.items()},
        "margins_of_other_seeds": margins,
        "seed_deviation": statistics.stdev([best["margin"], *margins]),
        "states": {name: [row["state"] for row in each["rows"]] for name, each in searches.items()},
    }


if __name__ == "__main__":
    main("pruning", measure, trials=27, epochs=20, train=96, size=64, seed=0, keep="")
