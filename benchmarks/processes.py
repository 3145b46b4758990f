"""What does training by several processes cost? Steps by one process with two threads and by two with one each.

The two are measured in rounds of steps, one after the other. Bytes are those that went over this machine's loopback, by
the system's own count, during the steps of two processes. `parts` is a batch in two parts, by one process.
"""

import argparse
import functools
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import psutil
import torch
from common import batch_of, main, pictures, settings_of, spread
from torch.nn.parallel import DistributedDataParallel

from mtl_seg_depth.runs.assembly import assemble
from mtl_seg_depth.system.processes import together
from mtl_seg_depth.training.sharing import average_gradients
from mtl_seg_depth.training.step import Step

CPU = torch.device("cpu")
GIGABYTE = 1e9

SETTINGS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "one process": (1, "overlapping", ()),
    "two processes": (2, "overlapping", ()),
    "two processes, gradients after the backward pass": (2, "afterwards", ()),
    "one process, pcgrad": (1, "overlapping", ("task_weights=pcgrad",)),
    "two processes, pcgrad": (2, "overlapping", ("task_weights=pcgrad",)),
    "one process, two parts": (1, "overlapping", ("schedule.accumulate=2",)),
}
"""Name: how many processes, when gradients are averaged, and what else is configured."""

GPUS = (1, 2, 4, 8, 16, 32, 64)


def share_afterwards(step: Step) -> None:
    """One bucket of everything: it is full, and sent, when the backward pass is over."""
    assert isinstance(step.forward, torch.nn.Module)
    step.forward = DistributedDataParallel(step.forward, gradient_as_bucket_view=True, bucket_cap_mb=1e6)  # type: ignore[arg-type]


def work(
    rank: int, name: str, threads: int, case: argparse.Namespace, port: int, steps: int, found: Connection
) -> None:
    """One process of a round: trains, and sends what its steps took."""
    count, when, overrides = SETTINGS[name]
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {key: str(value) for key, value in here.items()}
    torch.set_num_threads(threads)
    settings = settings_of(
        f"encoder={case.encoder}",
        *pictures(case.size),
        f"schedule.batch_size={case.batch}",
        "tracking=folder",
        *overrides,
    )
    with together(CPU) as processes:
        parts = assemble(settings, CPU)
        share: Callable[[Step], None] = average_gradients if when == "overlapping" or count == 1 else share_afterwards
        share(parts.step)
        data = batch_of(case.batch // count, case.size, CPU)
        seconds, sent = timed(functools.partial(parts.advance, data, 1e-4), steps, case.warm_up)
        if processes.is_first:
            found.send({"seconds": seconds, "bytes_a_step": sent, "gradient_bytes": 4 * parts.parameters})


def timed(advance: Callable[[], Any], steps: int, warm_up: int) -> tuple[list[float], float]:
    """Seconds of each step, and bytes that the loopback carried in one, after the warm-up."""
    for _ in range(warm_up):
        advance()
    before, seconds = carried(), []
    for _ in range(steps):
        began = time.perf_counter()
        advance()
        seconds.append(time.perf_counter() - began)
    return seconds, (carried() - before) / steps


def carried() -> int:
    """Bytes over the loopback so far."""
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_sent)


def round_of(name: str, threads: int, case: argparse.Namespace, steps: int) -> dict[str, Any]:
    """What the first process of a setting sends."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    count = SETTINGS[name][0]
    children = [
        context.Process(target=work, args=(rank, name, max(1, threads // count), case, port, steps, sending))
        for rank in range(count)
    ]
    for child in children:
        child.start()
    sending.close()  # so that the end of a child that fails is the end of the pipe
    found: dict[str, Any] = receiving.recv()
    for child in children:
        child.join()
    return found


def modelled(step_s: float, gradient_bytes: float, bytes_a_second: float, gpus: int, hidden: float) -> float:
    """Images a second of so many GPUs as a multiple of one's, each with the share of one and the same batch.

    A step of one GPU takes `step_s`; it is divided evenly. A ring sends 2 (n - 1) / n times the gradients through the
    slowest link, of which the share `hidden` happens while the rest of the backward pass is computed.
    """
    sending = 2 * (gpus - 1) / gpus * gradient_bytes / bytes_a_second
    return step_s / (step_s / gpus + (1 - hidden) * sending)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    smoke = arguments.smoke
    case = argparse.Namespace(
        encoder="resnet18", size=64 if smoke else 128, batch=4 if smoke else 8, warm_up=1 if smoke else 3
    )
    names = list(SETTINGS)[:2] if smoke else list(SETTINGS)
    threads, rounds = torch.get_num_threads(), 1 if smoke else arguments.rounds
    steps = 2 if smoke else arguments.steps
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(round_of(name, threads, case, steps))
    seconds = {name: spread([second for one in every for second in one["seconds"]]) for name, every in found.items()}
    two = found["two processes"]
    sent, gradients = statistics.median(one["bytes_a_step"] for one in two), two[0]["gradient_bytes"]
    return {
        **vars(case),
        "threads_in_all": threads,
        "seconds": seconds,
        "times_one_process": {
            name: each["median"] / seconds["one process"]["median"] for name, each in seconds.items()
        },
        "bytes_a_step": sent,
        "gradient_bytes": gradients,
        "times_the_gradients": sent / gradients,
    }


if __name__ == "__main__":
    main("processes", measure, rounds=3, steps=10)
