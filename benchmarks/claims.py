"""How many trials a second can the workers of one sweep claim and end, on SQLite and on PostgreSQL?

Simulated workers, a process each, that train nothing: a claim is whole, as `sweeping/queue.py` makes it, with its lock,
its look for orphans and missing rows, and the end of the trial that came before. All of them are on this machine, and
so is the database. The first of them adds the rows, before the clock starts. What every worker writes after each trial,
the sweep's record, is measured by itself: they take turns at that too.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from common import ROOT, main, settings_of
from optuna.distributions import IntDistribution
from sqlalchemy import create_engine, text

from mtl_seg_depth.sweeping.plan import Sweep
from mtl_seg_depth.sweeping.queue import Queue
from mtl_seg_depth.sweeping.space import Space
from mtl_seg_depth.sweeping.studies import Studies
from mtl_seg_depth.sweeping.summary import publish

sys.path.insert(0, str(ROOT / "tests"))

from helpers import postgres_server

NAME = "claims"


def queue_of(url: str, rows: int, outputs: str) -> Queue:
    studies = Studies(url, heartbeat_seconds=60)
    with studies.locked():
        study = optuna.create_study(study_name=NAME, storage=studies.storage, load_if_exists=True)
    combinations = {number: {"seed": number} for number in range(rows)}
    return Queue(studies, study, {"seed": IntDistribution(0, rows - 1)}, combinations, rows, 3, Path(outputs))


def work(url: str, rows: int, outputs: str, ready: Any, begin: Any, seconds: float, done: Any) -> None:
    """Claim and end trials for so many seconds; puts how many into `done`, and what the slowest claim took."""
    queue = queue_of(url, rows, outputs)
    ready.release()
    begin.wait()
    count, slowest = 0, 0.0
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until and (claims := queue.claim()):
        slowest = max(slowest, time.perf_counter() - began)
        queue.finish(claims[0], "complete", [0.0], None)
        count += 1
    done.put((count, slowest))


def rate(url: str, workers: int, rows: int, outputs: str, seconds: float) -> dict[str, float]:
    """Of so many workers together. They are forked, so that none takes seconds to start."""
    fork = multiprocessing.get_context("fork")
    ready, begin, done = fork.Semaphore(0), fork.Event(), fork.Queue()
    processes = [
        fork.Process(target=work, args=(url, rows, outputs, ready, begin, seconds, done)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    connections = connections_of(url)
    began = time.perf_counter()
    begin.set()
    counts, slowest = zip(*(done.get() for _ in processes), strict=True)
    elapsed = time.perf_counter() - began
    for process in processes:
        process.join()
    return {
        "claims_per_second": sum(counts) / elapsed,
        "slowest_claim_seconds": max(slowest),
        "connections": connections,
    }


def connections_of(url: str) -> int:
    if not url.startswith("postgresql"):
        return 0
    with create_engine(url).connect() as connection:
        return (
            int(connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'suite'")).scalar()) - 1
        )


def publishing(url: str, rows: int, outputs: str) -> tuple[float, int]:
    """Seconds to write the record of a sweep anew, and of how many complete rows."""
    queue = queue_of(url, rows, outputs)
    base = settings_of("tracking=folder", f"paths.outputs={outputs}")
    planned = Sweep(NAME, {}, None, Space(queue.distributions, {}, ()), None, base, ["multitask"], trials=rows)
    publish(planned, queue.newest())
    began = time.perf_counter()
    described = publish(planned, queue.newest())
    return time.perf_counter() - began, sum(row.state == "complete" for row in described.rows)


@contextmanager
def databases(folder: str) -> Iterator[dict[str, str]]:
    sqlite = f"sqlite:///{folder}/studies.db"
    if postgres_server.missing():
        yield {"SQLite": sqlite}
        return
    with postgres_server.running() as address:
        yield {"SQLite": sqlite, "PostgreSQL": address}


def fill(url: str, rows: int, outputs: str) -> float:
    """Seconds of a first claim, which adds every row."""
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).unlink(missing_ok=True)
    elif NAME in optuna.get_all_study_names(url):
        optuna.delete_study(study_name=NAME, storage=url)
    queue = queue_of(url, rows, outputs)
    began = time.perf_counter()
    queue.release(queue.claim()[0])
    return time.perf_counter() - began


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = 8 if arguments.smoke else arguments.rows
    workers = (2,) if arguments.smoke else (1, 2, 4, 8, 16, 32)
    seconds = 0.2 if arguments.smoke else arguments.seconds
    found: dict[str, Any] = {"rows": rows, "databases": {}}
    with tempfile.TemporaryDirectory() as folder, databases(folder) as urls:
        for kind, url in urls.items():
            one = found["databases"][kind] = {"seconds_to_add_the_rows": 0.0, "workers": {}}
            for count in workers:
                # In a process of its own: nothing of a database may be open where others are forked from.
                with multiprocessing.get_context("fork").Pool(1) as pool:
                    one["seconds_to_add_the_rows"] = pool.apply(fill, (url, rows, folder))
                one["workers"][count] = rate(url, count, rows, folder, seconds)
            with multiprocessing.get_context("fork").Pool(1) as pool:
                seconds_to_publish, complete = pool.apply(publishing, (url, rows, folder))
            one |= {"seconds_to_publish": seconds_to_publish, "complete": complete}
            arguments.write(found)
    return found


if __name__ == "__main__":
    main("claims", measure, rows=500, seconds=10.0)
