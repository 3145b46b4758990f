"""The same trainings by one process and by several: `together.py FOLDER COUNTS STEPS < cases`.

A case is a JSON list of overrides, one a line; each is trained for STEPS steps by every number of processes in COUNTS,
in the format of its `precision`, or in float64 if it has `precision=float64`. Some images have no label and no depth at
all, so that what counts is spread unevenly over the processes. Leaves FOLDER/<count>/<number of the case>.pt with
weights, losses and scores.

Processes are forked from this one, which has imported everything and run nothing.
"""

import functools
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers import small_resnets
from helpers.composing import TINY, compose, places
from mtl_seg_depth.config import parse
from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.runs.assembly import assemble, scoring_batches, training_batches
from mtl_seg_depth.scoring.scores import score_together
from mtl_seg_depth.system.processes import Processes, together
from mtl_seg_depth.training.sharing import average_gradients

CPU = torch.device("cpu")


def uneven(batch: Batch, *, fine: bool) -> Batch:
    """Every third image of the split without anything that counts, and another one with little."""
    number = torch.tensor(batch.ids)
    targets = {task: target.clone() for task, target in batch.targets.items()}
    for target in targets.values():
        nothing = torch.nan if target.is_floating_point() else 255
        for remainder, rows in ((0, slice(None)), (1, slice(4, None))):
            target[number % 3 == remainder, rows] = nothing
    if fine:
        targets = {task: target.double() if target.is_floating_point() else target for task, target in targets.items()}
    return replace(batch, image=batch.image.double() if fine else batch.image, targets=targets)


def train(folder: Path, overrides: list[str], steps: int, processes: Processes) -> dict[str, Any]:
    fine = "precision=float64" in overrides
    given = [*TINY, "schedule.epochs=40", *places(folder), *(each for each in overrides if each != "precision=float64")]
    settings = parse(compose(*given))
    parts = assemble(settings, CPU)
    step = parts.step
    source = parts.source
    if fine:
        step.network.double()
        step.weighting.double()
        if step.average is not None:
            step.average.double()
    batches = training_batches(settings, parts, source.open("train"), CPU, processes)
    average_gradients(step)
    losses: list[dict[str, float]] = []
    for number in range(steps):
        found = parts.advance(uneven(batches[number], fine=fine), parts.learning_rate(number))
        losses.append({task: loss.item() for task, loss in found.items()})
    val = scoring_batches(settings, parts, source.open("val"), CPU)

    def predict(image: Tensor) -> dict[str, Tensor]:
        return parts.predictor(image.to(next(step.network.parameters()).dtype))

    scores = score_together(predict, val, parts.tasks, processes).flat("val")
    parts_of_it = {"network": step.network, "weighting": step.weighting, "average": step.average}
    weights = {name: part.state_dict() for name, part in parts_of_it.items() if part is not None}
    return {"weights": weights, "losses": losses, "scores": scores}


def as_process(folder: Path, count: int, port: int, cases: list[list[str]], steps: int, rank: int) -> None:
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {name: str(value) for name, value in here.items()}
    torch.set_num_threads(1)
    with together(CPU) as processes:
        for number, overrides in enumerate(cases):
            trained = train(folder, overrides, steps, processes)
            if processes.is_first:
                torch.save(trained, folder / str(count) / f"{number}.pt")
        # What one process alone has is what all have.
        processes.require_same({f"loss {step}": str(each) for step, each in enumerate(trained["losses"])})


def forked(count: int, action: Callable[[int], None]) -> None:
    """Have so many processes act, each with its number; returns when all have ended well."""
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            try:
                action(rank)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(codes), f"of {count} processes {codes}"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def main() -> None:
    small_resnets.install()
    folder, counts, steps = Path(sys.argv[1]), [int(each) for each in sys.argv[2].split(",")], int(sys.argv[3])
    cases = [json.loads(line) for line in sys.stdin]
    for count in counts:
        (folder / str(count)).mkdir(exist_ok=True)
        forked(count, functools.partial(as_process, folder, count, free_port(), cases, steps))


if __name__ == "__main__":
    main()
