"""The MLflow model: what it answers when it is loaded, and when MLflow serves it."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from helpers.composing import ROOT
from helpers.exported import Make, assert_same, exporter, load, random_rgb, truth
from mlflow.exceptions import MlflowException
from PIL import Image
from torch import Tensor

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking import find_run, mirror_once
from mtl_seg_depth.tracking import model as mlflow_model
from mtl_seg_depth.tracking import served as served_code


@pytest.fixture(scope="module")
def exported(runs: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An MLflow model of the network `joint`, and what was printed when it was made."""
    return exporter(runs, tmp_path_factory.mktemp("exported"))("joint", "format=mlflow")


@pytest.fixture(scope="module")
def served(exported: tuple[Path, str]) -> Path:
    """The model alone."""
    return exported[0]


def encode(rgb: Tensor, format: str = "PNG", **options: Any) -> str:
    """The image [1, 3, H, W] as a base64 encoded file."""
    file = io.BytesIO()
    pixels = (rgb[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, format, **options)
    return base64.b64encode(file.getvalue()).decode()


def test_a_picture_with_a_damaged_exif_value_is_refused_as_one() -> None:
    """Turned upright, its EXIF is written anew: a number in it that is text is no error of ours."""
    entries = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x0100, 2, 3, b"abc\0")]
    packed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)
    with pytest.raises(MlflowException, match="base64 encoded JPEG or PNG file; one is not"):
        served_code.decode(encode(random_rgb(1, 40, 52), "JPEG", exif=b"Exif\0\0" + tiff))


def test_the_mlflow_model_answers_pictures_of_any_size(runs: Make, served: Path, tmp_path: Path) -> None:
    # A model is served elsewhere: by its own copy of the code, from its own folder.
    moved = shutil.copytree(served, tmp_path / "moved")
    code = moved / "served.py"
    code.write_text(code.read_text() + "\nSMALLEST_SIDE = 40\n")
    model = mlflow.pyfunc.load_model(str(moved))
    trained = load(runs("joint"))
    small, large = random_rgb(1, 40, 52), random_rgb(1, 97, 65)
    rows = model.predict(pd.DataFrame({"image": [encode(small), encode(large)]})).to_dict("records")
    for rgb, row in zip((small, large), rows, strict=True):
        assert_same(mlflow_model.decode_answer([row]), truth(trained, rgb), step=row["depth_scale"])
    for picture, reason in (
        ("holiday", "base64 encoded JPEG or PNG"),
        (base64.b64encode(b"GIF89a").decode(), "cannot identify image"),
        (encode(random_rgb(1, 39, 52)), "52 x 39 pixels"),
    ):
        with pytest.raises(mlflow.MlflowException, match=reason):
            model.predict(pd.DataFrame({"image": [picture]}))
    sideways = Image.Exif()
    sideways[0x0112] = 6  # turn by 90 degrees to the right
    [row] = model.predict(pd.DataFrame({"image": [encode(large, exif=sideways)]})).to_dict("records")
    turned = truth(trained, large.rot90(-1, (2, 3)).contiguous())
    assert_same(mlflow_model.decode_answer([row]), turned, step=row["depth_scale"])

    information = mlflow.models.get_model_info(str(moved))
    assert information.signature.inputs.input_names() == ["image"]
    assert information.signature.outputs.input_names() == ["semseg", "depth", "depth_scale"]
    assert information.metadata["fingerprint"] == trained.fingerprint
    required = {line.partition("==")[0] for line in (moved / "requirements.txt").read_text().splitlines()}
    assert required == {"mlflow", "torch", "numpy", "pandas", "pillow"}


def test_a_model_goes_into_the_run_it_comes_from(runs: Make, served: Path, tmp_path: Path) -> None:
    folder = runs("joint")
    with pytest.raises(UserError, match="has no MLflow run"):
        find_run(folder, None)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run_id = mirror_once(folder, uri, checkpoint=False)
    assert find_run(folder, uri) == (uri, run_id)
    with pytest.raises(UserError, match="did not take the model"):
        mlflow_model.log_model(served, uri, "0" * 32)
    address = mlflow_model.log_model(served, uri, run_id)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        model = mlflow.pyfunc.load_model(address)
    finally:
        mlflow.set_tracking_uri(before)
    assert "semseg" in model.predict(pd.DataFrame({"image": [encode(random_rgb(1, 32, 32))]})).columns


BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
"""The environment of a shell in which nothing of ours is on the path."""


@pytest.fixture
def server(exported: tuple[Path, str], tmp_path: Path) -> Iterator[str]:
    """The address of a real server, started by the line that the export prints, and killed at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = next(line for line in exported[1].splitlines() if "mlflow models serve" in line)
    assert line.endswith(" --port 5001")
    said = tmp_path / "server.log"
    environment = {
        **BARE,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),  # MLflow copies the model there, and a server that is killed leaves the copy
    }
    with said.open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", line.replace("5001", str(port))],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, said.read_text()
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_mlflow_serves_it_and_is_asked_as_the_readme_says(server: str, runs: Make, tmp_path: Path) -> None:
    """Takes about 10 s: MLflow and torch start twice."""

    def post(picture: str) -> Any:
        body = json.dumps({"dataframe_split": {"columns": ["image"], "data": [[picture]]}}).encode()
        request = urllib.request.Request(f"{server}/invocations", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["predictions"]

    rgb = random_rgb(1, 64, 97)
    rows = post(encode(rgb))
    assert_same(mlflow_model.decode_answer(rows), truth(load(runs("joint")), rgb), step=rows[0]["depth_scale"])
    with pytest.raises(urllib.error.HTTPError) as refused:
        post("no image")
    assert refused.value.code == 400

    (tmp_path / "photo.jpg").write_bytes(base64.b64decode(encode(rgb)))  # PNG, so that no pixel is lost
    readme = (ROOT / "README.md").read_text().replace("http://127.0.0.1:5001", server)
    [asked] = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    [python] = [each for each in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "urllib" in each]
    subprocess.run(["/bin/sh", "-c", asked], cwd=tmp_path, env=BARE, check=True)
    assert json.loads((tmp_path / "answer.json").read_text())["predictions"] == rows
    show = "print(labels.shape, labels.dtype, metres.min() >= 3.99, metres.max() <= 300.1)"
    done = subprocess.run(
        [sys.executable, "-c", python + show], cwd=tmp_path, env=BARE, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["(64,", "97)", "uint8", "True", "True"]
