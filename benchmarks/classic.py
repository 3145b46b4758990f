"""The usual way to train: images decoded by Pillow in a DataLoader's workers, fp32, scores on the host.

What our runs are measured against: the same network, updates and crops, written as such loops are written.
"""

import csv
import math
from pathlib import Path
from unittest import mock

import common  # noqa: F401  (finds the package where it is not installed)
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.data.files import SplitFiles
from mtl_seg_depth.models import decoder, network
from mtl_seg_depth.models.network import Network, Predictions
from mtl_seg_depth.tasks.depth.norms import DepthNorm

Sample = tuple[Tensor, Tensor, Tensor]

NEAR, FAR = 1 / 4.0, 1 / 300.0


def interpolate(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


class Pictures(Dataset[Sample]):
    """Decodes an image, its labels and its depth every time they are asked for, and crops them."""

    def __init__(self, files: SplitFiles, crop: tuple[int, int] | None) -> None:
        self.files, self.crop = files, crop

    def __len__(self) -> int:
        return len(self.files.ids)

    def __getitem__(self, index: int) -> Sample:
        paths = (self.files.paths[kind][index] for kind in ("rgb", "semseg", "depth"))
        rgb, semseg, codes = (np.asarray(Image.open(path)) for path in paths)
        if self.crop is not None:
            height, width = self.crop
            top = int(torch.randint(rgb.shape[0] - height + 1, ()))
            left = int(torch.randint(rgb.shape[1] - width + 1, ()))
            rgb, semseg, codes = (a[top : top + height, left : left + width] for a in (rgb, semseg, codes))
        depth = 1 / ((NEAR - FAR) * (codes.astype(np.float32) - 1) / 254 + FAR)
        depth[codes == 0] = np.nan
        return (
            torch.from_numpy(rgb.transpose(2, 0, 1).astype(np.float32) / 255),
            torch.from_numpy(semseg.astype(np.int64)),
            torch.from_numpy(depth),
        )


def loader(files: SplitFiles, crop: tuple[int, int] | None, batch_size: int, workers: int) -> DataLoader[Sample]:
    training = crop is not None
    return DataLoader(
        Pictures(files, crop),
        batch_size,
        shuffle=training,
        drop_last=training,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


class Step:
    """Eager, fp32, NCHW, Adam as torch has it by default; losses are read after every step."""

    def __init__(self, net: Network, norm: DepthNorm) -> None:
        self.net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.norm = norm
        self.optimizer = torch.optim.Adam(net.parameters(), weight_decay=1e-4)
        self.cross_entropy = nn.CrossEntropyLoss(ignore_index=255)

    def forward(self, rgb: Tensor) -> Predictions:
        """With torch's own resizing."""
        with mock.patch.object(network, "upsample", interpolate), mock.patch.object(decoder, "upsample", interpolate):
            predictions: Predictions = self.net(rgb)
        return predictions

    def __call__(self, batch: Batch, learning_rate: float) -> dict[str, float]:
        outputs = self.forward(batch.image)
        losses = {}
        if "semseg" in outputs:
            losses["semseg"] = torch.stack(
                [self.cross_entropy(p, batch.targets["semseg"]) for p in outputs["semseg"]]
            ).mean()
        if "depth" in outputs:
            losses["depth"] = torch.stack(
                [self._depth(p.squeeze(1), batch.targets["depth"]) for p in outputs["depth"]]
            ).mean()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad()
        torch.stack([0.5 * loss for loss in losses.values()]).sum().backward()
        self.optimizer.step()
        return {task: loss.item() for task, loss in losses.items()}

    def _depth(self, prediction: Tensor, depth: Tensor) -> Tensor:
        """Mean square error of each image's valid pixels."""
        valid = ~torch.isnan(depth)
        images = [
            (p[v] - self.norm.encode(d[v])).square().mean()
            for p, d, v in zip(prediction, depth, valid, strict=True)
            if v.any()
        ]
        return torch.stack(images).mean()


@torch.no_grad()
def validate(step: Step, batches: DataLoader[Sample], device: torch.device) -> dict[str, float]:
    """Mean IoU by torchmetrics and SI-log image by image, both on the host."""
    from torchmetrics.classification import MulticlassConfusionMatrix

    confusion = MulticlassConfusionMatrix(19, ignore_index=255)
    si_log = []
    step.net.eval()
    for rgb, semseg, depth in batches:
        outputs = step.forward(rgb.to(device))
        confusion.update(outputs["semseg"][-1].argmax(1).cpu(), semseg)
        metres = step.norm.to_metres(outputs["depth"][-1].squeeze(1)).cpu().numpy()
        for predicted, truth in zip(metres, depth.numpy(), strict=True):
            valid = ~np.isnan(truth)
            if valid.any():
                difference = np.log(truth[valid]) - np.log(predicted[valid])
                si_log.append(100 * math.sqrt(max(0.0, (difference**2).mean() - difference.mean() ** 2)))
    step.net.train()
    matrix = confusion.compute().double()
    hits = matrix.diagonal()
    iou = hits / (matrix.sum(0) + matrix.sum(1) - hits)
    return {"semseg": 100 * iou.nanmean().item(), "depth": float(np.mean(si_log))}


def train(
    step: Step,
    training: DataLoader[Sample],
    validation: DataLoader[Sample],
    rates: list[float],
    epochs: int,
    folder: Path,
    device: torch.device,
) -> dict[str, float]:
    """Epoch after epoch: batches, steps, a line of the log for each, validation and a checkpoint; the last scores."""
    scores: dict[str, float] = {}
    number = 0
    with (folder / "log.csv").open("w", newline="") as file:
        log = csv.writer(file)
        for _ in range(epochs):
            for rgb, semseg, depth in training:
                batch = Batch(rgb.to(device), {"semseg": semseg.to(device), "depth": depth.to(device)}, [])
                log.writerow([number, *step(batch, rates[number]).values()])
                number += 1
            scores = validate(step, validation, device)
            log.writerow([number, *scores.values()])
            state = {"network": step.net.state_dict(), "optimizer": step.optimizer.state_dict()}
            torch.save(state, folder / "checkpoint.pt")
    return scores
