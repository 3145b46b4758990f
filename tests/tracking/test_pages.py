"""What a person sees of the runs after `make ui`; the browser's part needs one."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.lengths import only_long

from mtl_seg_depth.records.record import Record
from mtl_seg_depth.system import atomic
from mtl_seg_depth.tracking import mirror_once
from mtl_seg_depth.tracking.pages import main

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def write_runs(folder: Path, uri: str) -> None:
    for name, gain in (("loss=berhu", 1.0), ("model=branched", 2.0)):
        record = Record(folder / name.partition("=")[2])
        record.start(name=name, fingerprint="ab12", experiment="mtl_seg_depth", params={"loss": "l1"}, tags={})
        for step in (1, 2, 3):
            record.log(step, {"val/semseg": gain * step, "val/depth": 50.0 - step, "val/multitask": 0.0})
        best = {"val/semseg": 3 * gain, "val/depth": 47.0, "val/multitask": 0.0}
        atomic.write_json(record.folder / "result.json", {"status": "finished", "best": best, "best_step": 3})
        record.close()
        mirror_once(record.folder, uri)


def page(address: str, folder: Path) -> str:
    """A page's text after its scripts have run."""
    assert BROWSER is not None
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1900,1200"]
    more = [f"--user-data-dir={folder / 'browser'}", "--virtual-time-budget=60000", "--dump-dom", address]
    done = subprocess.run([BROWSER, *words, *more], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


@only_long
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_one_click_leads_to_all_scores_and_one_to_the_curves_of_two_runs(tmp_path, fresh_database):
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    write_runs(tmp_path / "runs", f"sqlite:///{tmp_path}/mlflow.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mtl_seg_depth.tracking.pages", "--port", str(port)]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as pages:
        assert pages.stdout is not None
        assert pages.stderr is not None
        printed = [pages.stdout.readline() for _ in range(4)]
        try:
            scores, curves = (page(line.split()[-1], tmp_path) for line in printed[1:3])
        finally:
            pages.send_signal(signal.SIGINT)
        said = pages.stderr.read()
    assert pages.returncode == 0
    assert [line for line in said.splitlines() if "Security middleware enabled" not in line] == []
    for text in ("loss=berhu", "model=branched", "best/mIoU", "best/SI-log", "best/margin"):
        assert text in scores
    for text in ("loss=berhu", "model=branched", "val/mIoU", "val/SI-log"):
        assert text in curves


def test_a_port_that_is_taken_is_said(tmp_path, fresh_database, capfd, monkeypatch):
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 2
    assert "is taken; --port takes another" in capfd.readouterr().err
