"""Make the network that the package ships of a run's best weights: make_shipped_network.py RUN_FOLDER.

Weights are stored in half precision, the one-dimensional ones (biases, norms and their statistics) as they are; the
config names no folder of the machine that trained it.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from mtl_seg_depth.inference.trained import SHIPPED
from mtl_seg_depth.records import checkpoint


def shipped(saved: dict[str, Any]) -> dict[str, Any]:
    """What to store of a checkpoint of best weights."""
    config = saved["config"]
    paths = {"root": ".", "datasets": "datasets", "outputs": "outputs"}
    data = config["data"]
    data = {**data, "root": f"datasets/{Path(data['root']).name}", "cache": "datasets/packed"}
    tracking = {**config["tracking"], "uri": None}
    network = {
        name: value.half() if value.is_floating_point() and value.ndim > 1 else value
        for name, value in saved["network"].items()
    }
    return {**saved, "config": {**config, "data": data, "paths": paths, "tracking": tracking}, "network": network}


if __name__ == "__main__":
    saved = checkpoint.load(Path(sys.argv[1]) / "best.pt", torch.device("cpu"))
    checkpoint.save(SHIPPED, shipped(saved))
    print(f"{SHIPPED.name}: {SHIPPED.stat().st_size / 1e6:.2f} MB")
