"""A PostgreSQL server of a test's own, on a Unix socket."""

import getpass
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def missing() -> str | None:
    """Why there can be none here."""
    if _binaries() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if importlib.util.find_spec("psycopg") is None:
        return "PostgreSQL's driver is not installed (pip install psycopg[binary])"
    return None


def _binaries() -> Path | None:
    known = shutil.which("pg_ctl")
    found = [Path(known).resolve().parent] if known else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else None


@contextmanager
def running() -> Iterator[str]:
    """The address of its database."""
    binaries = _binaries()
    assert binaries is not None
    # It refuses to run as root: there its own user runs it, who must be able to reach the folder.
    prefix = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
    data = Path("/tmp") / f"mtl_seg_depth_postgres_{os.getpid()}"
    data.mkdir()
    try:
        if prefix:
            shutil.chown(data, "postgres")

        def run(*command: str) -> None:
            subprocess.run([*prefix, *command], check=True, capture_output=True, cwd=data)

        run(str(binaries / "initdb"), "-D", str(data / "db"), "-A", "trust", "-U", "suite")
        server = [str(binaries / "pg_ctl"), "-D", str(data / "db"), "-w", "-l", str(data / "log")]
        run(*server, "-o", f"-c listen_addresses='' -c unix_socket_directories={data}", "start")
        try:
            run(str(binaries / "createdb"), "-h", str(data), "-U", "suite", "studies")
            yield f"postgresql+psycopg://suite@/studies?host={data}"
        finally:
            run(*server, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(data)
