"""Where the configs of this installation lie, and what its commands are called: in a checkout, and outside of one."""

import hashlib
import os
import re
import sys
from pathlib import Path

ROOT_VARIABLE = "MTL_SEG_DEPTH_ROOT"
"""Environment variable: the folder that data sets, outputs and the tracking database go to.

By default the checkout whose script was started, or the current folder.
"""

_PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE = _PACKAGE / "conf"


def conf(checkout: Path | None = None) -> Path:
    """The folder of the configs; sweeps/ lies beside it.

    That of `checkout`, the folder of the script that was started, as people add files of their own there. Without one,
    the package's: a wheel has it inside, and an editable install is a checkout.
    """
    if checkout is not None:
        return checkout / "conf"
    return _INSIDE if _INSIDE.is_dir() else _PACKAGE.parents[1] / "conf"


def root() -> Path:
    """The folder that data sets, outputs and the tracking database go to, where no command has said so."""
    return Path(os.environ.get(ROOT_VARIABLE, "."))


def command(name: str) -> str:
    """What a person types for a command such as `predict`: `mtl-predict`, or `python predict.py` in a checkout."""
    return f"mtl-{name.replace('_', '-')}" if is_installed() else f"python {name}.py"


def is_installed() -> bool:
    """Whether a person types `mtl-...`: did so to start this process, or has nothing else."""
    return Path(sys.argv[0]).name.startswith("mtl-") or _INSIDE.is_dir()


def as_typed(text: str) -> str:
    """A text about commands, with each as a person types it here; it names them as in a checkout."""
    return re.sub(r"python (\w+)\.py", lambda found: command(found[1]), text)


def code_digest() -> str:
    """What tells two versions of this package's code apart, in a checkout or installed."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
