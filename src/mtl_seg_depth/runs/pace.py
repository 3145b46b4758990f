"""How long trainings take, guessed from those that are finished."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mtl_seg_depth.config import Settings, flatten
from mtl_seg_depth.records.folder import RunFolder
from mtl_seg_depth.system.errors import UserError


class Pace:
    """Seconds a trained image takes, from the runs that are finished."""

    def __init__(self, outputs: Path) -> None:
        self._seconds: dict[str, list[float]] = {}
        for config in outputs.glob("*/config.yaml"):
            try:
                result = RunFolder(config.parent).ended
            except UserError:  # one that cannot be read says nothing
                continue
            tree = yaml.safe_load(config.read_text())
            pictures = 0 if result is None else result.steps * tree["schedule"]["batch_size"]
            if result is not None and pictures:
                for key in _kinds(tree):
                    self._seconds.setdefault(key, []).append(result.cost.seconds / pictures)

    def seconds(self, settings: Settings, steps: int) -> float | None:
        """For one training: by runs of the same network, or of any; None if none is finished."""
        pictures = steps * settings.schedule.batch_size
        for key in _kinds(settings.model_dump(mode="json")):
            if known := self._seconds.get(key):
                return statistics.median(known) * pictures
        return None


def _kinds(tree: Mapping[str, Any]) -> list[str]:
    """What a run's pace depends on, from all that matters to what matters most."""
    parts = ("encoder", "dilation", "model", "precision")
    network = {key: value for key, value in flatten({part: tree[part] for part in parts}) if "weights" not in key}
    size = tree["data"]["crop_size"]
    return [json.dumps([network, size], sort_keys=True), json.dumps([tree["encoder"]["name"], size]), ""]
