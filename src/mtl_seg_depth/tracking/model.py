"""MLflow models: a folder that `mlflow models serve` answers images from, and its place in a run."""

import base64
import io
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.system.addresses import redact
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking.store import mlflow_environment, new_client, server_errors

ARTIFACT = "model"
"""The artifact folder of a run that holds its model."""

FILES = (
    *("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta", "served.py"),
    *("input_example.json", "serving_input_example.json", "artifacts/network.pt2"),
)
"""What a model's folder holds."""

_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
_REQUIREMENTS = ("mlflow", "torch", "numpy", "pandas", "pillow")


def save_model(folder: Path, program: Path, metadata: Mapping[str, Any], example: NDArray[np.uint8]) -> None:
    """Write an MLflow model into `folder`, which must not exist; what it takes and gives stands in served.py.

    Args:
        folder: to write to.
        program: the network as a torch.export file.
        metadata: plain values to keep with the model.
        example: an image, uint8 [H, W, 3], that becomes the model's input example.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    answer: list[Any] = []
    for name in metadata["outputs"]:
        answer.append(ColSpec(DataType.string, name))
        if name in metadata["ranges"]:
            answer.append(ColSpec(DataType.double, f"{name}_scale"))
    with _quiet():
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"network": str(program)},
            signature=ModelSignature(Schema([ColSpec(DataType.string, "image")]), Schema(list(answer))),
            input_example=pd.DataFrame({"image": [encode(example)]}),
            # Local version labels (2.11.0+cu130) are on no package index.
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _REQUIREMENTS],
            metadata=dict(metadata),
        )


def ask(folder: Path, pictures: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Load a saved model as a server would, and have it answer images, uint8 [B, H, W, 3].

    Returns what the network predicts, by output [B, H, W]: class ids int64, and measured values float32.
    """
    import mlflow
    import pandas as pd

    with _quiet():
        model = mlflow.pyfunc.load_model(str(folder))
        rows = model.predict(pd.DataFrame({"image": [encode(picture) for picture in pictures]}))
    return decode_answer(rows.to_dict("records"))


def encode(picture: NDArray[np.uint8]) -> str:
    """An image, uint8 [H, W, 3], as the model takes it."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def decode_answer(rows: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """What the rows of an answer mean, for images of one size; as `ask` returns it."""

    def values(name: str) -> NDArray[Any]:
        return np.stack(
            [np.array(Image.open(io.BytesIO(base64.b64decode(row[name])), formats=["PNG"])) for row in rows]
        )

    answer: dict[str, NDArray[Any]] = {}
    for name in (column for column in rows[0] if not column.endswith("_scale")):
        scale = rows[0].get(f"{name}_scale")
        answer[name] = values(name).astype(np.int64) if scale is None else (values(name) * scale).astype(np.float32)
    return answer


def log_model(folder: Path, uri: str, run_id: str) -> str:
    """Send a saved model into an MLflow run, as its artifact `model`; returns the model's address, runs:/<id>/model.

    Raises UserError when the server is away or has no such run.
    """
    try:
        with _quiet():
            new_client(uri).log_artifacts(run_id, str(folder), ARTIFACT)
    except server_errors() as error:
        reason = redact(str(error).splitlines()[0])
        raise UserError(f"log=true: {redact(uri)} did not take the model: {reason}; it is in {folder}") from error
    return f"runs:/{run_id}/{ARTIFACT}"


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow without its notes and progress bars."""
    notes = logging.getLogger("mlflow")
    level, bars = notes.level, os.environ.get(_BARS)
    notes.setLevel(logging.WARNING)
    os.environ[_BARS] = "false"
    try:
        with mlflow_environment():
            yield
    finally:
        notes.setLevel(level)
        del os.environ[_BARS]
        if bars is not None:
            os.environ[_BARS] = bars
