"""What do scores cost? Our running sums against torchmetrics, on a validation batch."""

import argparse
from typing import Any

import torch
from common import alternate, main
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.tasks.depth.meter import DepthErrors
from mtl_seg_depth.tasks.semseg.confusion_matrix import ConfusionMatrix


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device, smoke = arguments.device, arguments.smoke
    count, height, width = (2, 32, 64) if smoke else (8, 256, 512)
    random = torch.Generator().manual_seed(0)
    predicted = torch.randint(0, 19, (count, height, width), generator=random)
    labels = torch.randint(0, 19, (count, height, width), generator=random)
    labels[torch.rand(labels.shape, generator=random) < 0.1] = 255
    depth = 4 + 100 * torch.rand(labels.shape, generator=random)
    depth[torch.rand(labels.shape, generator=random) < 0.1] = torch.nan
    guess = 4 + 100 * torch.rand(labels.shape, generator=random)
    logits = torch.rand(count, 19, height, width, generator=random)
    predicted, labels, depth, guess, logits = (t.to(device) for t in (predicted, labels, depth, guess, logits))
    last = logits.contiguous(memory_format=torch.channels_last)
    ours, errors = ConfusionMatrix(CITYSCAPES, device), DepthErrors(device)
    theirs = MulticlassConfusionMatrix(19, ignore_index=255).to(device)
    jaccard = MulticlassJaccardIndex(19, ignore_index=255).to(device)
    works = {
        "argmax, contiguous": lambda: logits.argmax(1),
        "argmax, ours": lambda: last.argmax(1),
        "confusion, torchmetrics": lambda: theirs.update(predicted, labels),
        "mean IoU, torchmetrics": lambda: jaccard.update(predicted, labels),
        "confusion, ours": lambda: ours.update(predicted, labels),
        "12 depth errors, ours": lambda: errors.update(guess, depth),
    }
    seconds = alternate(works, 1 if smoke else arguments.rounds, device)
    if not ours.matrix.cpu().equal(theirs.confmat.cpu()):
        raise AssertionError("the two confusion matrices differ")
    median = {name: value["median"] for name, value in seconds.items()}
    return {
        "batch": [count, height, width],
        "seconds": seconds,
        "times_torchmetrics": median["confusion, torchmetrics"] / median["confusion, ours"],
        "times_torchmetrics_with_argmax": (median["argmax, contiguous"] + median["confusion, torchmetrics"])
        / (median["argmax, ours"] + median["confusion, ours"]),
    }


if __name__ == "__main__":
    main("metrics_cost", measure, rounds=15)
