"""Which engine runs a sweep's workers: processes of this machine, SLURM, or Ray."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mtl_seg_depth.sweeping.gpus import shares
from mtl_seg_depth.sweeping.local_workers import LocalWorkers
from mtl_seg_depth.sweeping.ray_workers import RaySettings, RayWorkers
from mtl_seg_depth.sweeping.slurm_workers import SlurmSettings, SlurmWorkers
from mtl_seg_depth.sweeping.workers import Workers, worker_command, worker_environment
from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError


class LocalSettings(BaseModel):
    """`hydra/sweeper/workers=local`, which has none."""

    model_config = ConfigDict(extra="forbid")

    engine: Literal["local"]


Engine = LocalSettings | SlurmSettings | RaySettings


def check_engine(engine: Engine, storage: str, launcher: str, each: int) -> None:
    """Raise UserError if workers on several machines could not share the study, or two things would start them.

    Args:
        engine: where workers are to be.
        storage: the address of the database of the studies.
        launcher: the class of Hydra's.
        each: the processes of a trial.
    """
    if each > 1 and launcher != "BasicLauncher":
        raise UserError(f"hydra.sweeper.gpus_per_trial={each} starts processes itself: leave hydra/launcher out")
    if isinstance(engine, LocalSettings):
        return
    if launcher != "BasicLauncher":
        raise UserError(f"hydra/sweeper/workers={engine.engine} starts workers itself: leave hydra/launcher out")
    if storage.startswith("sqlite"):
        raise UserError(
            f"hydra/sweeper/workers={engine.engine} with hydra.sweeper.storage={redact(storage)}: SQLite is for one "
            "machine; workers on several share postgresql://<user>@<host>/<database> (docs/scale.md has the commands)"
        )


def start_workers(
    engine: Engine, count: int, folder: Path, hide: Callable[[str], str], *, on_gpus: bool, per_gpu: int, each: int
) -> Workers:
    """Start workers, on GPUs or not, that run this very command until nothing is left to do.

    Args:
        engine: where.
        count: how many.
        folder: of the sweep.
        hide: takes secrets out of a word of the command, which engines write down.
        on_gpus: whether each is to have a GPU.
        per_gpu: how many local ones may share one.
        each: how many each of them takes.

    Raises UserError if that is impossible.
    """
    if isinstance(engine, LocalSettings):
        gpus = shares(count, each=each, per_gpu=per_gpu) if on_gpus else [{}] * count
        return LocalWorkers(folder, gpus, each)
    folder.mkdir(parents=True, exist_ok=True)
    command, wanted = worker_command(hide), each if on_gpus else 0
    threads = {"OMP_NUM_THREADS": str(max(1, engine.cpus // each))}
    if isinstance(engine, SlurmSettings):
        own = threads | {name: value for name, value in os.environ.items() if name in threads}
        return SlurmWorkers(engine, count, folder, command, own | worker_environment(follows=False), wanted)
    environment = {**threads, **os.environ, **worker_environment(follows=True)}
    environment.pop("HYDRA_FULL_ERROR", None)  # as we have set it, so that Hydra raises
    return RayWorkers(engine, count, folder, command, environment, wanted)
