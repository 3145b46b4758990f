"""The model that MLflow serves: images in, classes and metres out.

This file travels inside every exported model and is run there (MLflow's "models from code"): it imports nothing of the
package, so that a server needs only torch, numpy, pandas, pillow and mlflow. The network is a torch.export program.

A request's column `image` holds base64 encoded JPEG or PNG files, of any sizes. The answer has a row for each, with

    <output>        a base64 encoded grey PNG of the image's size: with 8 bits the class of every pixel, or with 16
                    bits a measured value, such as metres: value * <output>_scale
    <output>_scale  the largest value of the network's range divided by 65535

for every output that the network has. An image with an EXIF orientation is turned upright first.
"""

import base64
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from PIL import Image, ImageOps

SMALLEST_SIDE = 32
LARGEST_PICTURE = 2**25
"""Pixels; an image of this size takes several GiB of memory, and a small file can claim to be much larger."""
LEVELS = 2**16 - 1


class Served(PythonModel):
    """Decodes images, asks the network, encodes its answer."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network; MLflow calls it once, before the first request."""
        files = {"metadata.json": ""}
        self.network = torch.export.load(context.artifacts["network"], extra_files=files).module()
        ranges = json.loads(files["metadata.json"])["ranges"]
        self.scales = {name: largest / LEVELS for name, (_, largest) in ranges.items()}

    def predict(
        self,
        context: PythonModelContext | None,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """One row of answers for each image; MlflowException (HTTP 400) for what is not an image."""
        return pd.DataFrame([self.answer(picture) for picture in model_input["image"]])

    def answer(self, picture: str) -> dict[str, Any]:
        """The answer's row for one base64 encoded image."""
        rgb = torch.from_numpy(np.array(decode(picture), np.float32) / 255).permute(2, 0, 1)
        with torch.inference_mode():
            prediction = self.network(rgb.unsqueeze(0).contiguous())
        row: dict[str, Any] = {}
        for name, values in prediction.items():
            if name in self.scales:
                row[name] = png(np.rint(values[0].numpy() / self.scales[name]).astype(np.uint16))
                row[f"{name}_scale"] = self.scales[name]
            else:
                row[name] = png(values[0].numpy().astype(np.uint8))
        return row


def decode(picture: str) -> Image.Image:
    """The upright rgb image in a base64 encoded file."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(picture, validate=True)), formats=("JPEG", "PNG"))
        width, height = image.size
        if min(width, height) < SMALLEST_SIDE or width * height > LARGEST_PICTURE:
            limits = f"at least {SMALLEST_SIDE} a side and at most {LARGEST_PICTURE} in all"
            raise ValueError(f"it has {width} x {height} pixels, not {limits}")
        return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # what is raised for damaged files is not to be listed
        raise MlflowException.invalid_parameter_value(
            f"column image: every value is a base64 encoded JPEG or PNG file; one is not: {error}"
        ) from error


def png(values: np.ndarray[Any, Any]) -> str:
    """Grey values, uint8 or uint16 [H, W], as a base64 encoded PNG."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


set_model(Served())
