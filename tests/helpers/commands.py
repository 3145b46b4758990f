"""The repository's commands, run as a person runs them but without waiting for imports; see helpers/server.py."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.composing import HELPERS, ROOT


@dataclass
class Commands:
    """Runs commands in a server, one after the other. What they print goes through files in `folder`."""

    folder: Path
    server: "subprocess.Popen[str]"

    def __call__(
        self,
        *words: str,
        cwd: Path = ROOT,
        fault: str | None = None,
        largest_file: int | None = None,
        encoding: str = "utf-8",
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script of the repository with its arguments.

        Args:
            words: such as `train.py`, `model=branched`.
            cwd: the folder to run it in.
            fault: the name of one of helpers/faulty.py, to inject.
            largest_file: limit on the size of a file, in bytes.
            encoding: of the terminal.
        """
        printed = {name: str(self.folder / name) for name in ("out", "errors")}
        asked = {**printed, "words": words, "cwd": str(cwd), "fault": fault, "largest_file": largest_file}
        asked["encoding"] = encoding
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps(asked), file=self.server.stdin, flush=True)
        code = int(self.server.stdout.readline())
        return subprocess.CompletedProcess(words, code, *(Path(path).read_text(encoding) for path in printed.values()))


@contextmanager
def serving(folder: Path) -> Iterator[Commands]:
    """A server of commands, until its end."""
    words = [sys.executable, str(HELPERS / "server.py")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Commands(folder, server)
        server.communicate()
