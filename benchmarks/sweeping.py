"""Sweeps inside a benchmark: the command line of train.py, run in this process, with what it prints kept apart."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from common import ROOT
from hydra.core.global_hydra import GlobalHydra

from mtl_seg_depth import cli
from mtl_seg_depth.commands.train import train


def sweep(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a sweep with its outputs in `folder`; returns its sweep.json. RuntimeError if it fails, with what it said."""
    GlobalHydra.instance().clear()
    os.environ.pop("HYDRA_FULL_ERROR", None)  # set by an earlier sweep in this process
    before, said = sys.argv, io.StringIO()
    sys.argv = ["train.py", "-m", *arguments, f"paths.outputs={folder}"]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.start(train, config="train", root=ROOT)
    except SystemExit as end:
        if end.code not in (0, 1):  # 1: a trial diverged, which is a result
            raise RuntimeError(said.getvalue()) from end
    finally:
        sys.argv = before
    newest = max((folder / "sweeps").glob("*/sweep.json"), key=lambda path: path.stat().st_mtime_ns)
    described: dict[str, Any] = json.loads(newest.read_text())
    return described
