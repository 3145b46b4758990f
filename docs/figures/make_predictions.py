"""Draws predictions.png beside this file: what the default training sees on validation images it never learned from.

python docs/figures/make_predictions.py [run]        after `make train`, or for any other run
"""

import os
import sys
from pathlib import Path

import torch

from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.drawing.sheet import panel_rows, save, sheet
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.scoring.predictor import Predictor
from mtl_seg_depth.system.installation import ROOT_VARIABLE
from mtl_seg_depth.system.precision import Precision

ROOT = Path(__file__).parents[2]
ROWS = [3, 17, 21, 42, 63]


def main() -> None:
    """Predicts a few validation images with a run's best weights and saves the sheet."""
    os.environ.setdefault(ROOT_VARIABLE, str(ROOT))
    reference = sys.argv[1] if len(sys.argv) > 1 else "streets-joint-resnet18-adam-l2"
    device = torch.device("cpu")
    trained = load_trained(reference, ROOT / "outputs", device)
    predictor = Predictor(trained.network, trained.tasks, Precision("fp32"))
    val = ScoringBatches(trained.source.open("val"), batch_size=len(ROWS), tasks=trained.tasks, device=device)
    batch = val.rows(ROWS)
    rows = panel_rows(batch, predictor(batch.image), trained.tasks)
    save(sheet(rows), Path(__file__).with_name("predictions.png"))


if __name__ == "__main__":
    main()
