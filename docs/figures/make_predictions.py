"""Draws predictions.png beside this file: what the default training sees on validation pictures it never learned from.

python docs/figures/make_predictions.py [run]        after `make train`, or for any other run
"""

import os
import sys
from pathlib import Path

import torch
from mtl_seg_depth.drawing.pictures import panel_row, save, sheet

from mtl_seg_depth.cli.start import ROOT_VARIABLE
from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.precision import Precision

ROOT = Path(__file__).parents[2]
ROWS = [3, 17, 21, 42, 63]


def main() -> None:
    """Predicts a few validation pictures with a run's best weights and saves the sheet."""
    os.environ.setdefault(ROOT_VARIABLE, str(ROOT))
    reference = sys.argv[1] if len(sys.argv) > 1 else "streets-joint-resnet18-adam-l2"
    trained = load_trained(reference, ROOT / "outputs", torch.device("cpu"))
    predictor = Predictor(trained.network, trained.depth_norm, Precision("fp32"))
    val = ScoringBatches(trained.source.open("val"), batch_size=len(ROWS), device=torch.device("cpu"))
    batch = val.rows(ROWS)
    prediction = {task: values.numpy() for task, values in predictor(batch.image).items()}
    rgb, semseg, depth = (
        batch.image.permute(0, 2, 3, 1).numpy(),
        batch.targets["semseg"].numpy(),
        batch.targets["depth"].numpy(),
    )
    rows = [
        panel_row(rgb[i], semseg[i], depth[i], {task: values[i] for task, values in prediction.items()})
        for i in range(len(ROWS))
    ]
    save(sheet(rows), Path(__file__).with_name("predictions.png"))


if __name__ == "__main__":
    main()
