"""Runs commands in forks of one process that has imported everything: a command then starts in a moment.

Each line of input is a JSON list: a file for the output, one for the errors, the largest size of a file in bytes or
null, and the command's words. The exit status comes back as a line.
"""

import json
import os
import resource
import runpy
import sys
import traceback

import matplotlib.pyplot  # noqa: F401
import mlflow  # noqa: F401

from helpers import faulty


def child(out: str, errors: str, largest: int | None, words: list[str]) -> None:
    for descriptor, path in ((1, out), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    script, *words = words
    if script in faulty.FAULTS:
        faulty.FAULTS[script]()
        script = "train.py"
    sys.argv = [script, *words]
    os.chdir(faulty.ROOT)
    code = 1
    try:
        runpy.run_path(str(faulty.ROOT / script), run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
