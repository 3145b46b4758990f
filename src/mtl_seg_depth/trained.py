"""Networks that were trained before: found by what people call them, and built again from their own config."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mtl_seg_depth import checkpoint
from mtl_seg_depth.assembly import build_network
from mtl_seg_depth.config import Settings, build, parse
from mtl_seg_depth.data.sources import Miniscapes
from mtl_seg_depth.depth_norm import DepthNorm
from mtl_seg_depth.errors import UserError
from mtl_seg_depth.models.network import Network

SHORTEST_FINGERPRINT = 6
"""Digits of a fingerprint, or letters of an MLflow run id, that are taken for one."""


@dataclass(frozen=True)
class Trained:
    """A network with its best weights, in evaluation mode, and where it comes from."""

    network: Network
    depth_norm: DepthNorm
    source: Miniscapes
    """The data set it was trained on, as configured there; nothing of it is read yet."""
    settings: Settings
    fingerprint: str
    step: int
    """The optimiser step of these weights."""
    scores: dict[str, float]
    """Validation scores of these weights, by name."""
    folder: Path | None
    """The run's folder; None for a checkpoint that lies elsewhere."""


def find_checkpoint(reference: str, outputs: Path) -> Path:
    """The best weights of a run that `reference` names.

    A reference is a checkpoint's path, a run folder, a run's name, or the beginning of its fingerprint or of its
    MLflow run id; of several runs of one config it is the newest. Raises UserError where none, or more than one
    config, fits.
    """
    path = Path(reference).expanduser()
    if path.is_file():
        return path
    if (path / "best.pt").is_file():
        return path / "best.pt"
    fitting = {folder: card for folder, card in _runs(outputs) if _fits(reference, folder, card)}
    if not fitting:
        known = ", ".join(sorted(folder.name for folder, _ in _runs(outputs))) or "none"
        raise UserError(f"run={reference}: no run with best weights in {outputs} is called so; there are: {known}")
    if len({card["fingerprint"] for card in fitting.values()}) > 1:
        names = ", ".join(sorted(folder.name for folder in fitting))
        raise UserError(f"run={reference} fits several runs; name one of them: {names}")
    return max(fitting, key=lambda folder: fitting[folder]["started"]) / "best.pt"


def _runs(outputs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every run folder with best weights, and its identity card with the MLflow run id where it has one."""
    for card in sorted(outputs.glob("*/run.json")):
        folder = card.parent
        if (folder / "best.pt").is_file():
            mlflow = folder / "mlflow.json"
            run_id = json.loads(mlflow.read_text()).get("run_id", "") if mlflow.exists() else ""
            yield folder, {**json.loads(card.read_text()), "run_id": run_id}


def _fits(reference: str, folder: Path, card: dict[str, Any]) -> bool:
    if reference in (folder.name, card["name"]):
        return True
    long_enough = len(reference) >= SHORTEST_FINGERPRINT
    return long_enough and (card["fingerprint"].startswith(reference) or card["run_id"].startswith(reference))


def load_trained(reference: str, outputs: Path, device: torch.device) -> Trained:
    """Build the network that `reference` names (see `find_checkpoint`) and load its best weights.

    The config inside the checkpoint is data: only classes of this package are built from it.
    """
    path = find_checkpoint(reference, outputs)
    saved = checkpoint.load(path, device)
    if "config" not in saved:
        raise UserError(f"{path} holds no config: it is a checkpoint to continue from; name the run's best.pt")
    settings = parse(saved["config"])
    # The checkpoint has the encoder's weights: none are fetched.
    settings = settings.model_copy(update={"encoder": {**settings.encoder, "weights": "none"}})
    source: Miniscapes = build("data", settings.data)
    network = build_network(settings)
    network.load_state_dict(saved["network"])
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Trained(
        network=network,
        depth_norm=build("depth_norm", settings.depth_norm, statistics=source.depth),
        source=source,
        settings=settings,
        fingerprint=saved["identity"]["fingerprint"],
        step=saved["step"],
        scores=saved["scores"],
        folder=path.parent if (path.parent / "run.json").exists() else None,
    )
