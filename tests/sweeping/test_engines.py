"""Where a sweep's workers are: what is refused before anything starts, and what SLURM is asked for."""

import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import sweeps_in

from mtl_seg_depth.sweeping.engines import LocalSettings, check_engine
from mtl_seg_depth.sweeping.ray_workers import RaySettings, RayWorkers
from mtl_seg_depth.sweeping.slurm_workers import SlurmSettings, SlurmWorkers
from mtl_seg_depth.system.errors import UserError

POSTGRES = "postgresql://me@server/studies"
RAY = RaySettings(engine="ray", address="auto", cpus=1, gpus=None, memory_gb=None, resources={})


def slurm(**settings: Any) -> SlurmSettings:
    of_none = dict.fromkeys(("partition", "account", "qos", "constraint", "gpus", "memory_gb"))
    others = {"minutes": 30, "cpus": 2, "notice_seconds": 90, "setup": [], "more": {}}
    return SlurmSettings.model_validate({"engine": "slurm", **of_none, **others, **settings})


@pytest.mark.parametrize(
    ("storage", "launcher", "each", "told"),
    [
        ("sqlite:////shared/studies.db", "BasicLauncher", 1, "SQLite is for one machine"),
        (POSTGRES, "JoblibLauncher", 1, "leave hydra/launcher out"),
        (POSTGRES, "JoblibLauncher", 2, "gpus_per_trial=2 starts processes itself"),
    ],
)
def test_what_workers_on_several_machines_cannot_share_is_refused(
    storage: str, launcher: str, each: int, told: str
) -> None:
    for engine in (slurm(), RAY):
        check_engine(engine, POSTGRES, "BasicLauncher", 1)
        with pytest.raises(UserError) as refused:
            check_engine(engine, storage, launcher, each)
        assert told in str(refused.value)
    check_engine(LocalSettings(engine="local"), "sqlite:///studies.db", "JoblibLauncher", 1)


def test_a_sweep_on_slurm_with_sqlite_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sweeps_in.prepare(tmp_path)
    words = ("-m", "loss=l2,l1", "hydra/sweeper/workers=slurm", *sweeps_in.places(tmp_path), *sweeps_in.tiny())
    assert sweeps_in.sweep(*words) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert "hydra.sweeper.storage=sqlite" in line


@pytest.mark.parametrize("words", [("-m", "loss=l2,l1"), ("sweeps=adam_lr",)])
def test_a_sweep_under_torchrun_is_refused(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert sweeps_in.sweep(*words) == 2
    assert "hydra.sweeper.gpus_per_trial=4" in capfd.readouterr().err


def test_without_slurm_submitit_or_ray_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(workers: type[SlurmWorkers] | type[RayWorkers], settings: Any) -> str:
        with pytest.raises(UserError) as refused:
            workers(settings, 2, tmp_path, ["train"], {}, 0)
        return str(refused.value)

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no sbatch here" in begin(SlurmWorkers, slurm())
    pretend_slurm(tmp_path)
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install 'mtl_seg_depth[slurm]'" in begin(SlurmWorkers, slurm())
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'mtl_seg_depth[ray]'" in begin(RayWorkers, RAY)


def pretend_slurm(folder: Path) -> None:
    """Programs by the names of SLURM's; the one that takes a job keeps its script, and gives it the number 7."""
    for name in ("sbatch", "srun", "squeue", "scancel", "scontrol"):
        path = folder / name
        path.write_text(
            f'#!/bin/sh\n[ {name} = sbatch ] && /bin/cp "$1" {folder}/script && echo Submitted batch job 7\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_slurm_is_asked_for_an_array_that_is_queued_again_and_told_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    pretend_slurm(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = tmp_path / "a sweep"
    settings = slurm(partition="long", gpus="a100:1", memory_gb=1.5, setup=["module load cuda"], more={"nice": 5})
    hidden = ["python", "train.py", "hydra.sweeper.storage=${oc.env:STORAGE}"]
    monkeypatch.setenv("STORAGE", "postgresql://me:s3cr3t@server/studies")
    workers = SlurmWorkers(settings, 3, sweep, hidden, {"MTL_SEG_DEPTH_WORKER": "alone"}, gpus=1)
    assert (workers.job, workers.attached) == ("7", False)
    lines = (tmp_path / "script").read_text().splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert asked >= {
        "array=0-2%3", "requeue", "signal=TERM@90", "time=30", "cpus-per-task=2", "nodes=1", "partition=long",
        "gpus-per-node=a100:1", "mem=1536M", "nice=5", "open-mode=append", f"output='{sweep}/worker_%a.log'",
    }  # fmt: skip
    assert {"module load cuda", "export MTL_SEG_DEPTH_WORKER=alone"} <= set(lines)
    assert lines.index("module load cuda") < next(n for n, line in enumerate(lines) if line.startswith("srun"))
    written = [path for path in sweep.rglob("*") if path.is_file()]
    assert len([path for path in written if path.suffix == ".pkl"]) == 3
    assert [path for path in written if b"s3cr3t" in path.read_bytes()] == []
