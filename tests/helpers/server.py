"""Runs commands in forks of one process that has imported everything: a command then starts in a moment.

Each line of input is a JSON object, what `helpers.commands.Commands` is called with. The exit status comes back as a
line. ResNets are small here as it is in the tests themselves.
"""

import json
import os
import resource
import runpy
import sys
import traceback
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import mlflow  # noqa: F401

from helpers import faulty, small_resnets
from mtl_seg_depth.inference import evaluation, prediction  # noqa: F401
from mtl_seg_depth.sweeping import sweep  # noqa: F401


def child(
    words: list[str], out: str, errors: str, cwd: str, fault: str | None, largest_file: int | None, encoding: str
) -> None:
    for descriptor, path in ((1, out), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding)  # type: ignore[union-attr]
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if fault is not None:
        faulty.FAULTS[fault]()
    script = Path(faulty.ROOT, words[0])
    sys.argv = [str(script), *words[1:]]
    sys.path.insert(0, str(script.parent))
    os.chdir(cwd)
    code = 1
    try:
        runpy.run_path(str(script), run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    small_resnets.install()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
