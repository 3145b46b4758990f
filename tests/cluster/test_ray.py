"""Sweeps whose workers are actors of a Ray cluster of two nodes on this machine."""

import importlib.util
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers import sweeps_in
from helpers.cluster_sweeps import ENDLESS, PATIENCE_S, everything, logs, said, start, until

from mtl_seg_depth.system.interruption import AGAIN

PROMISE = "workers on a Ray cluster share a sweep, and one whose node is lost goes on on another"

Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (make cluster installs it)")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by itself it lets everything else on a machine go first
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.second = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()


@pytest.fixture
def begin(cluster: Any, postgres: str) -> Begin:
    engine = ("hydra/sweeper/workers=ray", f"hydra.sweeper.workers.address={cluster.address}")
    return lambda folder, *words: start(folder, postgres, engine, *words)


def test_a_sweep_runs_on_both_nodes(begin: Begin, folder: Path, observed: Callable[..., None]) -> None:
    assert begin(folder).wait(PATIENCE_S) == 0, everything(folder)
    assert sweeps_in.states(folder) == ["complete"] * 3
    assert sum(log.count("Training loss=") for log in logs(folder)) == 3
    observed(PROMISE, rows=3, lost=0, trained_twice=0)


def test_a_worker_whose_node_is_lost_goes_on_on_another_and_a_stop_saves(
    cluster: Any, begin: Begin, folder: Path, observed: Callable[..., None]
) -> None:
    command = begin(folder, *ENDLESS, "checkpoint.every_minutes=0.01", "hydra.sweeper.heartbeat_seconds=2")
    until(lambda: len(list(folder.glob("outputs/*/last.pt"))) == 2, folder, "two checkpoints")
    cluster.remove_node(cluster.second, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    until(lambda: any("Continuing loss=" in log for log in logs(folder)), folder, "a training that goes on")
    command.send_signal(signal.SIGINT)
    assert command.wait(PATIENCE_S) == AGAIN, everything(folder)
    assert "Stopped; the same command goes on." in said(folder)
    assert set(sweeps_in.states(folder)) == {"waiting"}
    observed(PROMISE, nodes_lost=1, trained_twice=0)


def test_workers_end_with_the_command_however_that_ends(
    begin: Begin, folder: Path, observed: Callable[..., None]
) -> None:
    command = begin(folder, *ENDLESS, "checkpoint.every_minutes=0.01")
    until(lambda: len(list(folder.glob("outputs/*/last.pt"))) == 2, folder, "two checkpoints")
    command.kill()
    command.wait()

    def left() -> list[psutil.Process]:
        told = f"paths.outputs={folder}/outputs"
        return [each for each in psutil.process_iter(["cmdline"]) if told in (each.info["cmdline"] or ())]

    until(lambda: not left(), folder, "the end of the workers")
    observed("workers on a Ray cluster end with the command, however that ends", left_running=len(left()))


def test_a_cluster_that_is_not_there_is_one_line(postgres: str, folder: Path) -> None:
    engine = ("hydra/sweeper/workers=ray", "hydra.sweeper.workers.address=127.0.0.1:9")
    assert start(folder, postgres, engine).wait(PATIENCE_S) == 2
    assert "error: hydra.sweeper.workers.address=127.0.0.1:9: " in said(folder)
    assert "Traceback" not in said(folder)
