"""Networks of every architecture, trained for a step, exported, and compared with what was exported."""

import contextlib
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from helpers.composing import compose, tiny
from helpers.facts import NUM_CLASSES
from helpers.tiny_data import write_tiny_miniscapes
from mtl_seg_depth.commands.export import export
from mtl_seg_depth.inference import exporting
from mtl_seg_depth.inference.trained import Trained, load_trained
from mtl_seg_depth.records import checkpoint
from mtl_seg_depth.runs.run import run

CPU = torch.device("cpu")
FULL = ("model.aspp=true", "model.skip=true", "dilation=os16")
NETWORKS = {
    "baseline": (),  # output stride 32: of an image of 32 x 32 one pixel is left
    "joint": (*FULL, "depth_norm=log"),
    "branched": ("model=branched", *FULL),
    "distilled_se": (
        *("model=distilled", *FULL, "depth_norm=inverse"),
        *("model.aspp_se=true", "model.decoder_se=true"),
    ),
    "single": ("model=single", "model.task=depth", "encoder.se=true", "depth_norm=minmax"),
}
SIZES = ((1, 32, 45), (3, 50, 33), (1, 95, 129))

Make = Callable[[str], Path]
Export = Callable[..., tuple[Path, str]]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Tiny images gain nothing from more threads, which get in each other's way on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trainer(folder: Path) -> Make:
    """What gives the run folder of a network, by its name above; it is trained for one step on first use."""
    write_tiny_miniscapes(folder / "data", {"train": 2, "val": 1})

    @functools.cache
    def make(name: str) -> Path:
        settings = tiny(folder, *NETWORKS[name], f"name={name}", "schedule.max_steps=1")
        path = run(settings, Console(file=io.StringIO())).folder
        stir(path / "best.pt")
        return path

    return make


def stir(path: Path) -> None:
    """Make every part of a network count: statistics of 0 and 1, and weights that start at zero, hide mistakes."""
    saved = checkpoint.load(path, CPU)
    generator = torch.Generator().manual_seed(0)
    for name, values in saved["network"].items():
        if name.endswith(("predict.bias", "refined.depth.bias")):
            values.zero_()[-1] = 0.3  # the depth's: inside the valid range, whatever its normalisation
        elif name.endswith(("predict.weight", "refined.semseg.weight")) and len(values) > 1:
            values[:NUM_CLASSES] *= 30  # several classes win somewhere
        elif name.endswith(("running_mean", "bias")) or not values.any():
            values += 0.1 * torch.randn(values.shape, generator=generator).to(values.dtype)
        elif name.endswith("running_var"):
            values *= 0.5 + torch.rand(values.shape, generator=generator)
    checkpoint.save(path, saved)


def exporter(runs: Make, folder: Path) -> Export:
    """What exports a network as the command line does: gives the file or folder, and what was said, once each."""

    @functools.cache
    def make(name: str, *choices: str) -> tuple[Path, str]:
        source = runs(name)
        config = compose(f"run={source.name}", *choices, f"paths.outputs={source.parent}", config="export")
        output = folder / f"{name}{Path(exporting.FORMATS[config['format']].name).suffix}"
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert export({**config, "output": str(output)}) == 0
        return output, said.getvalue()

    return make


def load(folder: Path) -> Trained:
    return load_trained(str(folder), folder.parent, CPU)


def random_rgb(*size: int) -> Tensor:
    """8-bit colours in blocks, float [B, 3, H, W] in 0..1."""
    batch, height, width = size
    blocks = np.random.default_rng(7).integers(0, 256, (batch, 3, -(-height // 16), -(-width // 16)))
    return torch.tensor(blocks.repeat(16, 2).repeat(16, 3)[..., :height, :width] / 255, dtype=torch.float32)


@torch.no_grad()
def truth(trained: Trained, rgb: Tensor) -> dict[str, Tensor]:
    """What the network itself says."""
    outputs = {task: predictions[-1] for task, predictions in trained.network(rgb).items()}
    answer = {}
    if "semseg" in outputs:
        answer = {"semseg": outputs["semseg"].argmax(1), "probabilities": outputs["semseg"].softmax(1)}
    if "depth" in outputs:
        answer["depth"] = trained.tasks["depth"].norm.to_metres(outputs["depth"].squeeze(1))
    return answer


def assert_same(got: Mapping[str, Any], expected: dict[str, Tensor], step: float = 0.0) -> None:
    assert got.keys() == expected.keys() - ({"probabilities"} - got.keys())
    for name, values in got.items():
        if expected[name][0].numel() > 64**2:  # of smaller images the network sees a few pixels
            assert len(expected[name].unique()) > 1, f"a constant {name} agrees with anything"
        assert values.shape == expected[name].shape
        if name == "semseg":
            assert (torch.as_tensor(values) != expected[name]).float().mean() < 1e-3
        else:
            torch.testing.assert_close(torch.as_tensor(values), expected[name], rtol=1e-3, atol=step or 1e-5)
