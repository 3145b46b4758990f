"""Trained networks as files for other programs: ONNX, torch.export, and a model that MLflow serves.

Whatever is written was read back and compared with the network before it took its place.
"""

import importlib.util
import json
import logging
import secrets
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim
from torch.fx.experimental import _config as shapes
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from mtl_seg_depth.config import Paths, Section
from mtl_seg_depth.inference.deployed import Agreement, Deployed, as_text, compare, describe
from mtl_seg_depth.inference.trained import Reference, find_checkpoint, load_trained
from mtl_seg_depth.models.network import Network
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tracking import find_run
from mtl_seg_depth.tracking import model as mlflow_model

SMALLEST_EXPORT = 1 << 20
"""Bytes; where fewer are free, that is why none could be written."""
EXAMPLE_SIZE = (70, 100)
"""Height and width of the image that a network is traced with; they leave no trace in the result."""


class ExportSettings(Section):
    """What `export.py` composes."""

    run: Reference
    format: Literal["onnx", "torch_export", "mlflow"]
    output: str | None
    """The file, or for `mlflow` the folder, to write; None for one beside the checkpoint."""
    probabilities: bool
    """Give the probability of every class too; not in an MLflow model."""
    log: bool
    """Send an MLflow model to the run's MLflow run as well."""
    tracking_uri: str | None
    """Where that run is."""
    paths: Paths


Writer = Callable[[Path, Deployed, Mapping[str, Any]], Agreement]


@dataclass(frozen=True)
class Format:
    """One kind of file: how it is called where no output is given, who writes it and knows it, and what that takes."""

    name: str
    write: Writer
    is_ours: Callable[[Path], bool]
    """Whether what is there was written by us, so that it may be replaced."""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    bytes: int
    agreement: Agreement
    description: dict[str, Any]
    logged: str | None
    """The model's address in MLflow, where it was logged."""
    replaced: bool
    """Whether an earlier export was there."""


def export(settings: ExportSettings) -> Exported:
    """Export the best weights of a run in fp32, on the CPU.

    Raises UserError for a mistake in the settings, a package that is missing, a place that cannot be written to, a
    tracking server that is away, and a copy that does not agree with the network.
    """
    chosen = FORMATS[settings.format]
    _check(settings, chosen)
    outputs = Path(settings.paths.outputs)
    checkpoint = find_checkpoint(settings.run, outputs)
    path = Path(settings.output).expanduser() if settings.output else checkpoint.with_name(chosen.name)
    _check_place(path, chosen)

    trained = load_trained(str(checkpoint), outputs, torch.device("cpu"))
    run = find_run(trained.folder, settings.tracking_uri) if settings.log else None
    trained.network.to(memory_format=torch.contiguous_format)
    deployed = Deployed(trained.network, trained.tasks, settings.probabilities).eval()
    description = describe(trained, deployed)
    replaced = path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        agreement = chosen.write(path, deployed, description)
    except (OSError, RuntimeError) as error:  # torch and MLflow wrap what the disk says
        reason = _of_the_disk(error, path)
        if reason is None:
            raise
        raise UserError(f"{reason}; nothing was written") from error
    size = sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
    logged = mlflow_model.log_model(path, *run) if run else None
    return Exported(path, size, agreement, description, logged, replaced)


def write_onnx(path: Path, deployed: Deployed, description: Mapping[str, Any]) -> Agreement:
    """Write an ONNX file: batch, height and width are free, the description is in `metadata_props`.

    ONNX cannot say that images have at least 32 pixels a side: below that the answer is worth nothing.
    """
    import onnxruntime

    with _tracing():
        program = torch.onnx.export(
            deployed,
            (_example(),),
            dynamo=True,
            dynamic_shapes=_free_sizes(),
            input_names=["rgb"],
            output_names=list(deployed.outputs),
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces, with the paths of this machine in them
    program.model.graph.metadata_props.clear()
    program.model.metadata_props.update(as_text(description))
    with atomic.replacing(path) as temporary:
        program.save(temporary, external_data=False)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])

        def copy(rgb: Tensor) -> dict[str, Tensor]:
            answer = session.run(list(deployed.outputs), {"rgb": rgb.numpy()})
            return {name: torch.from_numpy(values) for name, values in zip(deployed.outputs, answer, strict=True)}

        return compare(deployed, copy)


def write_torch_export(path: Path, deployed: Deployed, description: Mapping[str, Any]) -> Agreement:
    """Write a torch.export file, which torch alone loads; the description is its extra file metadata.json.

    Loaded, it refuses images below 32 pixels a side. Nothing in it is pickled but the example image, which torch
    reads as weights only; other people's files of this kind can hold code all the same.
    """
    with _tracing():
        program = torch.export.export(deployed, (_example(),), dynamic_shapes=_free_sizes())
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # the paths of this machine
    with atomic.replacing(path) as temporary:
        torch.export.save(program, temporary, extra_files={"metadata.json": json.dumps(description)})
        return compare(deployed, torch.export.load(temporary).module())


def write_mlflow(path: Path, deployed: Deployed, description: Mapping[str, Any]) -> Agreement:
    """Write a folder with an MLflow model, which `mlflow models serve` serves; see tracking/served.py."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    earlier = staged.with_suffix(".old")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "network.pt2"
            write_torch_export(program, deployed, description)
            example = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
            mlflow_model.save_model(staged, program, description, example)

        def copy(rgb: Tensor) -> dict[str, Tensor]:
            pictures = (rgb * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            return {name: torch.from_numpy(values) for name, values in mlflow_model.ask(staged, pictures).items()}

        agreement = compare(
            deployed, copy, resolution=max((high for _, high in description["ranges"].values()), default=0) / 2**16
        )
        if path.exists():
            path.rename(earlier)
        staged.rename(path)
        return agreement
    finally:
        if earlier.exists() and not path.exists():
            earlier.rename(path)
        for remains in (staged, earlier):  # `earlier` holds nothing else: see `_is_ours`
            shutil.rmtree(remains, ignore_errors=True)


def _check(settings: ExportSettings, chosen: Format) -> None:
    """Refuse what does not go together, before any work."""
    if settings.probabilities and settings.format == "mlflow":
        raise UserError("probabilities=true: a served answer holds classes alone; format=onnx|torch_export take it")
    if settings.log and settings.format != "mlflow":
        raise UserError(f"log=true is for format=mlflow, not {settings.format}")
    if missing := [name for name in chosen.packages if importlib.util.find_spec(name) is None]:
        raise UserError(f"format={settings.format} needs {', '.join(missing)}: pip install 'mtl_seg_depth[export]'")


def _check_place(path: Path, chosen: Format) -> None:
    """Refuse an output of the wrong kind, before any work."""
    suffix = Path(chosen.name).suffix
    if suffix and path.suffix != suffix:
        raise UserError(f"output={path}: the name of this kind of file ends in {suffix}")
    if suffix and path.is_dir():
        raise UserError(f"output={path} is a folder")
    if path.is_symlink() or (path.exists() and not chosen.is_ours(path)):
        kind = "file" if suffix else "folder"
        raise UserError(f"output={path} is there, and no export of ours alone: give the name of a new {kind}")


def _of_the_disk(error: BaseException, path: Path) -> str | None:
    """What the disk said at the bottom of an error, in words; None if it was something else."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError):
            return f"{inner.filename or path}: {inner.strerror or inner}"
        inner = inner.__cause__ or inner.__context__
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    return f"{path}: the disk is full" if shutil.disk_usage(folder).free < SMALLEST_EXPORT else None


def _hangs_on_size(error: BaseException | None) -> bool:
    """Whether tracing failed, at the bottom, because a network asks what size it was given."""
    while error is not None:
        if isinstance(error, GuardOnDataDependentSymNode):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_our_onnx(path: Path) -> bool:
    import onnx

    try:
        return "fingerprint" in {each.key for each in onnx.load(path, load_external_data=False).metadata_props}
    except Exception:  # protobuf raises nearly anything of what is no ONNX file
        return False


def _is_our_program(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/extra/metadata.json"))
            return b'"fingerprint"' in archive.read(name)
    except (OSError, StopIteration, zipfile.BadZipFile):
        return False


def _is_our_model(path: Path) -> bool:
    """Whether a folder is an MLflow model of ours, and holds no file that we did not write."""
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
    ours = {name for name in files if name in mlflow_model.FILES or "__pycache__" in name}
    return files == ours and "MLmodel" in files and "fingerprint:" in (path / "MLmodel").read_text(errors="replace")


FORMATS = {
    "onnx": Format("network.onnx", write_onnx, _is_our_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "torch_export": Format("network.pt2", write_torch_export, _is_our_program),
    "mlflow": Format("model", write_mlflow, _is_our_model),
}


def _example() -> Tensor:
    return torch.zeros(2, 3, *EXAMPLE_SIZE)


def _free_sizes() -> dict[str, dict[int, Any]]:
    """Any batch, any height and width that the network takes."""
    side = Network.SMALLEST_SIDE
    return {"rgb": {0: Dim("batch", min=1), 2: Dim("height", min=side), 3: Dim("width", min=side)}}


@contextmanager
def _tracing() -> Iterator[None]:
    """Tracing without its chatter, and without the assumption that no size is ever 1.

    The deepest features of an image of 32 x 32 are one pixel, and a batch may be one image; torch's default would
    make both impossible.
    """
    sizes_may_be_1 = shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    chatty = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in chatty]
    for logger in chatty:
        logger.setLevel(logging.ERROR)
    try:
        with sizes_may_be_1, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        if not _hangs_on_size(error):
            raise
        raise UserError(
            "this network does something else for every image size, such as windows that it fills up, and a program "
            "for images of any size cannot be made of it: Swin's and MobileViT's are such encoders"
        ) from error
    finally:
        for logger, level in zip(chatty, levels, strict=True):
            logger.setLevel(level)
