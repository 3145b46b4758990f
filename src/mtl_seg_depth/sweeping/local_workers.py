"""Workers that are processes of this machine."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, ClassVar

from mtl_seg_depth.sweeping.workers import worker_command, worker_environment
from mtl_seg_depth.system.machine import usable_cores


class LocalWorkers:
    """This very command in several processes, until nothing is left to do.

    Each has its share of the processor's cores and GPUs of its own, and writes what it says into
    <folder>/worker_<n>.log. What asks this process to stop lets them save and stop, a second time at once; so does its
    death, which they see at the other end of their standard input.

    Args:
        folder: of the sweep.
        gpus: what shows each of them its GPUs, in the environment; as many as there are to be workers.
        processes: that each of them trains in.
    """

    outlives: ClassVar[bool] = False

    def __init__(self, folder: Path, gpus: Sequence[dict[str, str]], processes: int = 1) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # What the user has set stands, but for what we have set ourselves, so that Hydra raises.
        threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // (len(gpus) * processes)))}
        environment = threads | dict(os.environ) | worker_environment(follows=True)
        environment.pop("HYDRA_FULL_ERROR", None)
        self._logs: list[IO[bytes]] = [(folder / f"worker_{number}.log").open("ab") for number, _ in enumerate(gpus)]
        # In a group of their own: a Ctrl-C on the terminal reaches them through us, and only once.
        self._processes = [
            subprocess.Popen(
                worker_command(),
                env=environment | own,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for own, log in zip(gpus, self._logs, strict=True)
        ]

    @property
    def said(self) -> str:
        """What a person has to know to find them."""
        return ""

    def poll(self) -> list[int | None]:
        """Their exit codes; None for one that runs."""
        return [process.poll() for process in self._processes]

    def hear(self, number: int) -> None:
        """Pass a signal on."""
        for process in self._processes:
            process.send_signal(number)

    def close(self) -> list[int]:
        """Let them see that we are gone, and wait for them; their exit codes."""
        for process, log in zip(self._processes, self._logs, strict=True):
            assert process.stdin is not None
            process.stdin.close()
            log.close()
        return [process.wait() for process in self._processes]
