"""The same batch through other people's networks and trainers: one training step, in turns with ours.

segmentation_models_pytorch and LibMTL are optional; what is not installed is left out with a message.
"""

import argparse
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from common import alternate, batch_of, main, pictures, settings_of
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.runs.assembly import assemble

Peer = Callable[[], Any]


def both_losses(out: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Cross-entropy of 19 channels and the square error of the last one."""
    valid = ~torch.isnan(batch.targets["depth"])
    depth = ((out[:, 19] - (batch.targets["depth"] - 27) / 29)[valid]).square().mean()
    return 0.5 * F.cross_entropy(out[:, :19], batch.targets["semseg"], ignore_index=255) + 0.5 * depth


def plain_step(network: nn.Module, loss: Callable[[Any, Batch], torch.Tensor], batch: Batch) -> Peer:
    """Eager and fp32, as the libraries' own examples train."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(network(batch.image), batch)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def segmentation_models(batch: Batch, device: torch.device) -> Peer:
    import segmentation_models_pytorch as smp

    return plain_step(smp.DeepLabV3Plus("resnet34", encoder_weights=None, classes=20).to(device), both_losses, batch)


def torchvision_deeplab(batch: Batch, device: torch.device) -> Peer:
    """With SGD and the auxiliary loss, as in torchvision's references/segmentation."""
    from torchvision.models.segmentation import deeplabv3_resnet50

    network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=19, aux_loss=True).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> float:
        out = network(batch.image)
        main_loss, aux = (
            F.cross_entropy(out[key], batch.targets["semseg"], ignore_index=255) for key in ("out", "aux")
        )
        loss = main_loss + 0.5 * aux
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def libmtl(batch: Batch, device: torch.device) -> Peer:
    """Hard parameter sharing of a dilated ResNet50 with DeepLab heads, as in its NYUv2 example."""
    moved = types.ModuleType("torchvision.models.utils")  # which torchvision no longer has, and LibMTL imports from
    moved.load_state_dict_from_url = torch.hub.load_state_dict_from_url  # type: ignore[attr-defined]
    sys.modules.setdefault(moved.__name__, moved)
    from LibMTL.architecture import HPS
    from LibMTL.model import resnet_dilated

    class Head(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            from torchvision.models.segmentation.deeplabv3 import DeepLabHead

            self.head = DeepLabHead(2048, outputs)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return F.interpolate(self.head(features), batch.image.shape[-2:], mode="bilinear", align_corners=True)

    heads = nn.ModuleDict({"semseg": Head(19), "depth": Head(1)})
    tasks = ["semseg", "depth"]
    network = HPS(tasks, lambda: resnet_dilated("resnet50", pretrained=False), heads, False, False, device).to(device)

    def loss(out: dict[str, torch.Tensor], batch: Batch) -> torch.Tensor:
        return both_losses(torch.cat([out["semseg"], out["depth"]], dim=1), batch)

    return plain_step(network, loss, batch)


PEERS = {
    "segmentation_models_pytorch DeepLabV3+ ResNet34": ("segmentation_models_pytorch", segmentation_models),
    "torchvision DeepLabV3 ResNet50, references/segmentation": ("torchvision", torchvision_deeplab),
    "LibMTL HPS DeepLab ResNet50": ("LibMTL", libmtl),
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    size, count = (64, 2) if smoke else (256, 4)
    plain = batch_of(count, size, device, channels_last=False)
    ours = batch_of(count, size, device)
    works: dict[str, Peer] = {}
    missing = []
    for name, (module, make) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            missing.append(name)
            print(f"{name}: {module} is not installed, and left out")
        else:
            works[name] = make(plain, device)
    kinds = {"joint resnet18": ("joint", "resnet18")} if smoke else {
        "joint resnet34": ("joint", "resnet34"),
        "branched resnet50": ("branched", "resnet50"),
    }  # fmt: skip
    for name, (model, encoder) in kinds.items():
        overrides = (f"model={model}", f"encoder={encoder}", f"schedule.batch_size={count}", "tracking=folder")
        precision = "bf16" if size >= 64 and not smoke else "fp32"
        settings = settings_of(*overrides, *pictures(size), f"precision={precision}")
        step = assemble(settings, device).advance
        works[f"ours, {name}, {precision}"] = lambda step=step: step(ours, 1e-4)
    flop = {}
    for name, work in works.items():
        with FlopCounterMode(display=False) as counter:
            work()
        flop[name] = counter.get_total_flops()
    seconds = alternate(works, 1 if smoke else arguments.rounds, device)
    return {
        "batch": count,
        "size": size,
        "missing": missing,
        "flop": flop,
        "seconds": seconds,
        "images_per_second": {name: count / value["median"] for name, value in seconds.items()},
    }


if __name__ == "__main__":
    main("peers", measure, rounds=7)
