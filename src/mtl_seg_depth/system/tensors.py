"""Tensors: files of them, read without running anything that is in them, and their number format."""

import os
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage


def read(path: Path, device: torch.device | str = "cpu", mapped: bool = False) -> object:
    """What `torch.save` wrote to `path`, as long as it is tensors and plain values; tensors on `device`.

    `mapped` ones are read from the disk when they are touched.

    Raises UserError for any other file. A damaged one can make `torch.load` raise nearly anything.
    """
    try:
        _refuse_packed(path)
        return torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    except Exception as error:
        if is_shortage(error):
            raise
        raise UserError(f"{path} is damaged or no file of tensors ({reason(error)})") from error


def _refuse_packed(path: Path) -> None:
    """Raise ValueError for a file that is larger inside than outside: torch compresses nothing."""
    with path.open("rb") as file:
        if file.read(2) == b"PK" and zipfile.is_zipfile(file):
            size = file.seek(0, os.SEEK_END)
            with zipfile.ZipFile(file) as archive:
                if sum(part.file_size for part in archive.infolist()) > size:
                    raise ValueError("it is compressed, which torch.save never does")


def reason(error: BaseException) -> str:
    """What to tell a person of an error that `torch.load` raised, in a line."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors and plain values"  # torch's own advice is to load it all the same
    return str(error).partition("\n")[0] or type(error).__name__


def at_least_float32(values: Tensor) -> Tensor:
    """The values as float32, or as they are if they are finer."""
    return values if values.dtype == torch.float64 else values.float()
