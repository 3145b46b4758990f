"""Sweeps whose workers are jobs of a SLURM of two nodes: shared, preempted, requeued and stopped."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import slurm_cluster, sweeps_in
from helpers.cluster_sweeps import ENDLESS, PATIENCE_S, everything, logs, said, start, training, until
from helpers.slurm_cluster import Slurm

from mtl_seg_depth.system.interruption import AGAIN

ENGINE = ("hydra/sweeper/workers=slurm", "hydra.sweeper.workers.cpus=1")
PROMISE = "workers in SLURM's queue share a sweep, and one that is preempted or requeued goes on where it was"


@pytest.fixture(scope="module")
def slurm(short_folder: Path) -> Iterator[Slurm]:
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.running(short_folder / "slurm") as cluster:
        yield cluster


@pytest.fixture
def begin(slurm: Slurm, postgres: str) -> Callable[..., "subprocess.Popen[str]"]:
    return lambda folder, *words: start(folder, postgres, ENGINE, *words, environment=slurm.environment)


Begin = Callable[..., "subprocess.Popen[str]"]


def array_of(folder: Path) -> str:
    return next((folder / "outputs" / "sweeps").glob("*/slurm/array")).read_text()


def start_soon(slurm: Slurm, job: str) -> None:
    """Shorten the two minutes that SLURM leaves a job in the queue again. Started in the very second in which it was
    put there, it is refused by its node: "job credential revoked"."""
    slurm("scontrol", "update", f"JobId={job}", "StartTime=now+5")


def test_a_sweep_runs_on_both_nodes_and_a_job_of_it_that_is_queued_again_ends_at_once(
    slurm: Slurm, begin: Begin, folder: Path, observed: Callable[..., None]
) -> None:
    assert begin(folder).wait(PATIENCE_S) == 0, everything(folder)
    assert sweeps_in.states(folder) == ["complete"] * 3
    assert sum(log.count("Training loss=") for log in logs(folder)) == 3
    job = f"{array_of(folder)}_0"
    details = slurm("scontrol", "show", "job", array_of(folder), "-o")
    assert {f"BatchHost={node}" for node in slurm_cluster.NODES} <= set(details.split())
    before = len(logs(folder)[0])
    slurm("scontrol", "requeue", job)
    start_soon(slurm, job)
    until(lambda: not slurm.jobs(), folder, "the end of the job")
    assert "ExitCode=0:0" in slurm("scontrol", "show", "job", job, "-o").split()
    again = logs(folder)[0][before:]
    assert "3 complete, 0 left" in again
    assert "Training" not in again
    observed(PROMISE, rows=3, lost=0, trained_twice=0)


def test_preempted_and_requeued_jobs_go_on_the_command_may_die_and_a_stop_is_for_good(
    slurm: Slurm, begin: Begin, folder: Path, observed: Callable[..., None]
) -> None:
    command = begin(folder, *ENDLESS)
    until(lambda: training(folder) == 2, folder, "two trainings")
    array = array_of(folder)
    for number, how in enumerate((["scancel", "--signal=TERM"], ["scontrol", "requeue"])):
        job = f"{array}_{number}"
        slurm(*how, job)
        until(lambda job=job: slurm.jobs().get(job) == "PENDING", folder, f"{job} in the queue")
        start_soon(slurm, job)
        until(lambda number=number: "Continuing loss=" in logs(folder)[number], folder, f"{job} going on")
        assert "Stopped; the same command goes on." in logs(folder)[number]
    assert [log.count("Training loss=") for log in logs(folder)] == [1, 1]

    command.kill()
    command.wait()
    assert set(slurm.jobs()) == {f"{array}_0", f"{array}_1"}
    command = begin(folder, *ENDLESS)
    until(lambda: f"Watching the workers of before: SLURM's job {array}" in said(folder), folder, "the workers")

    command.send_signal(signal.SIGHUP)
    assert command.wait(PATIENCE_S) == AGAIN
    assert set(slurm.jobs()) == {f"{array}_0", f"{array}_1"}

    command = begin(folder, *ENDLESS)
    until(lambda: "Watching the workers" in said(folder), folder, "the workers")
    command.send_signal(signal.SIGINT)
    assert command.wait(PATIENCE_S) == AGAIN, everything(folder)
    assert "Stopped; the same command goes on." in said(folder)
    assert slurm.jobs() == {}
    assert set(sweeps_in.states(folder)) == {"waiting"}
    observed(PROMISE, preempted=1, requeued=1, commands_killed=1, trained_twice=0)


def test_a_node_that_does_not_see_the_outputs_is_told_and_the_others_do_its_work(
    slurm: Slurm, begin: Begin, folder: Path, observed: Callable[..., None]
) -> None:
    """Node n1 has another folder there."""
    outputs = slurm.hidden / "outputs"
    command = begin(folder, f"paths.outputs={outputs}")
    assert command.wait(PATIENCE_S) == 0, everything(folder)
    assert "does not see" in said(folder)
    assert "file system that all nodes share" in said(folder)
    assert "Traceback" not in said(folder)
    observed("a node that does not see the outputs is told, and the others do its work", workers=1)


def test_what_slurm_refuses_is_one_line(begin: Begin, folder: Path) -> None:
    assert begin(folder, "hydra.sweeper.workers.partition=nowhere").wait(PATIENCE_S) == 2
    (line,) = [line for line in said(folder).splitlines() if "error" in line]
    assert "hydra/sweeper/workers=slurm: " in line
    assert "partition" in line
