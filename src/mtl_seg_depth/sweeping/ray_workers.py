"""Workers that are actors of a Ray cluster."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from mtl_seg_depth.system.errors import UserError

UNSEEN = 66
"""As `workers.UNSEEN`: the nodes are sent this module alone."""


class RaySettings(BaseModel):
    """`hydra/sweeper/workers=ray`; see `hydra_plugins.mtl_seg_depth.sweeper.RayWorkersConf`."""

    model_config = ConfigDict(extra="forbid")

    engine: Literal["ray"]
    address: str
    cpus: PositiveInt
    gpus: NonNegativeFloat | None
    memory_gb: float | None = Field(gt=0)
    resources: dict[str, float]


class Started:
    """An actor: a command as a process on one of the nodes, with the GPUs that Ray gives it there.

    The process follows the actor, whose end it sees at the other end of its standard input.
    """

    def __init__(
        self, command: list[str], environment: Mapping[str, str], cwd: str, seen: str, log: str, gpus: float
    ) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not Path(seen).exists() or not Path(cwd).is_dir():
            return
        own = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "")} if gpus else {}
        with Path(log).open("ab") as file:
            self._process = subprocess.Popen(
                command,
                env={**environment, **own},
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return UNSEEN if self._process is None else self._process.poll()

    def hear(self, number: int) -> None:
        """Pass a signal on."""
        if self._process is not None:
            self._process.send_signal(number)


class RayWorkers:
    """Actors on a cluster that runs already, each of which runs a command as a worker of the study.

    One whose node is lost is started again on another. What asks this process to stop is passed on; its end is theirs.

    Args:
        settings: what every actor asks of Ray.
        count: how many of them.
        folder: of the sweep.
        command: what each of them runs.
        environment: all of it.
        gpus: of each, if `settings` leave them open.

    Raises UserError if there is no Ray, or no cluster.
    """

    outlives: ClassVar[bool] = False

    def __init__(
        self,
        settings: RaySettings,
        count: int,
        folder: Path,
        command: list[str],
        environment: Mapping[str, str],
        gpus: int,
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise UserError("hydra/sweeper/workers=ray needs Ray: pip install 'mtl_seg_depth[ray]'") from error
        self.folder, self._ray = folder, ray
        try:
            host, colon, port = settings.address.rpartition(":")
            if colon and port.isdigit():  # Ray itself would ask for minutes
                socket.create_connection((host, int(port)), timeout=5).close()
            ray.init(address=settings.address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"hydra.sweeper.workers.address={settings.address}: {reason} (ray start --head begins a cluster)"
            ) from error
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes need not have it
        folder.mkdir(parents=True, exist_ok=True)
        seen = folder / "seen"
        seen.touch()
        wanted = gpus if settings.gpus is None else settings.gpus
        options: dict[str, Any] = {"num_cpus": settings.cpus, "num_gpus": wanted, "resources": settings.resources}
        if settings.memory_gb is not None:
            options["memory"] = int(settings.memory_gb * 2**30)
        actor = ray.remote(Started).options(max_restarts=-1, **options)
        logs = [str(folder / f"worker_{number}.log") for number in range(count)]
        self._actors = [
            actor.remote(command, dict(environment), str(Path.cwd()), str(seen), log, wanted) for log in logs
        ]
        self._codes: list[int | None] = [None] * count
        self._alive: set[int] = set()
        self._asked: dict[int, Any] = {}

    @property
    def said(self) -> str:
        """What a person has to know to find them."""
        return f"Asked Ray for {len(self._actors)} workers. Ctrl-C lets them save and stop."

    def poll(self) -> list[int | None]:
        """Their exit codes; None for one that runs, or waits for its resources."""
        for number, actor in enumerate(self._actors):
            if self._codes[number] is not None:
                continue
            if number not in self._asked:
                self._asked[number] = actor.poll.remote()
            if self._ray.wait([self._asked[number]], timeout=0)[0]:
                try:
                    self._codes[number] = self._ray.get(self._asked.pop(number))
                    self._alive.add(number)
                except self._ray.exceptions.ActorUnavailableError:
                    continue  # its node is lost, or the way to it: it is started again, and asked again
                except self._ray.exceptions.RayActorError:
                    self._codes[number] = -signal.SIGKILL
        return list(self._codes)

    def hear(self, number: int) -> None:  # noqa: ARG002
        """Let those that run save and stop, the second time at once, and give up the others."""
        for place, actor in enumerate(self._actors):
            if place in self._alive:
                actor.hear.remote(signal.SIGTERM)  # Ray's processes, and theirs, have SIGINT blocked
            else:
                self._ray.kill(actor)
                self._codes[place] = -signal.SIGTERM

    def close(self) -> list[int]:
        """Wait for them; their exit codes."""
        while None in (codes := self.poll()):
            time.sleep(0.2)
        self._ray.shutdown()
        return [code for code in codes if code is not None]
