"""Which code runs."""

import os
import subprocess
from pathlib import Path


def commit(source: Path = Path(__file__)) -> str | None:
    """The commit that a file of ours is checked out of, marked if the tree differs from it; None outside a checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source.resolve().parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", source.name)  # an installed copy may lie inside somebody else's checkout
        return git("rev-parse", "HEAD") + ("-modified" if git("status", "--porcelain", "-uno") else "")
    except (subprocess.CalledProcessError, OSError):
        return None
