"""What commands do for a person at a terminal: the Tab key, and a word while nothing else is to be seen yet."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.composing import ROOT

COMMANDS = sorted(path.name for path in ROOT.glob("*.py"))


def completed(line: str) -> list[str]:
    """What bash offers where a line ends, with a python of ours first in the search path, as in an activated venv."""
    script = f"""
eval "$(python train.py -sc install=bash)"
COMP_LINE={line!r}
COMP_POINT=${{#COMP_LINE}}
words=($COMP_LINE)
COMP_CWORD=$((${{#words[@]}} - 1))
hydra_bash_completion
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.split()


def test_bash_completes_the_options_of_a_group():
    options = {f"model={path.stem}" for path in (ROOT / "conf" / "model").glob("*.yaml")}
    assert options <= set(completed("python train.py model="))


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_finds_in_every_command_what_it_looks_for(command):
    assert "@hydra.main" in (ROOT / command).read_text()


def first_lines(*words: str) -> str:
    """What a command says on a terminal, up to its end."""
    master, terminal = pty.openpty()
    command = [sys.executable, "train.py", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=terminal, stderr=terminal, check=False, timeout=120)
    assert done.returncode in (0, 2)
    os.close(terminal)
    with os.fdopen(master, "rb") as said:
        return said.read1().decode()


def test_a_command_says_at_once_what_it_is_busy_with_and_help_alone_is_help():
    started = "Composing the config and loading libraries ..."
    assert first_lines("model=jointt").startswith(started)
    assert started not in first_lines("--version")
    quiet = subprocess.run(
        [sys.executable, "train.py", "model=jointt"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert quiet.stderr.startswith("error: model=jointt")
