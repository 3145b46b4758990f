"""The commit that is recorded is that of the code that runs, from wherever it is called."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_seg_depth.system import git


def called(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def checkout(folder: Path) -> Path:
    """A checkout with a copy of the module that asks; returns that file."""
    source = folder / "src" / "git.py"
    source.parent.mkdir(parents=True)
    shutil.copy(git.__file__, source)
    called(folder, "init", "-q")
    called(folder, "add", ".")
    called(folder, "commit", "-qm", "one")
    return source


def said(source: Path, cwd: Path, **environment: str) -> str:
    """What a copy says when it is run as a program of its own."""
    code = f"import sys; sys.path.insert(0, {str(source.parent)!r}); import git; print(git.commit())"
    everything = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=everything, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_that_of_the_source_from_any_folder(tmp_path: Path) -> None:
    source, other = checkout(tmp_path / "ours"), checkout(tmp_path / "theirs")
    (other.parent / "more.py").write_text("")
    called(tmp_path / "theirs", "add", ".")
    called(tmp_path / "theirs", "commit", "-qm", "two")
    head = called(tmp_path / "ours", "rev-parse", "HEAD")
    assert head != called(tmp_path / "theirs", "rev-parse", "HEAD")
    for cwd in (tmp_path, tmp_path / "ours", tmp_path / "theirs"):
        assert said(source, cwd) == head
    assert said(source, tmp_path, GIT_DIR=str(tmp_path / "theirs" / ".git"), GIT_WORK_TREE="/") == head
    source.write_text(source.read_text() + "# changed\n")
    assert said(source, tmp_path / "theirs") == f"{head}-modified"


def test_what_is_no_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tmp_path / "git.py"
    shutil.copy(git.__file__, alone)
    assert said(alone, Path(git.__file__).parent) == "None"
    installed = checkout(tmp_path / "theirs").parents[1] / "site-packages" / "git.py"
    installed.parent.mkdir()
    shutil.copy(git.__file__, installed)
    assert said(installed, tmp_path) == "None"
    monkeypatch.setenv("PATH", "")
    assert git.commit() is None
