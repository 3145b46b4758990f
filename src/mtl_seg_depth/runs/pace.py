"""How long trainings take, guessed from those that are finished."""

import json
import re
import statistics
from collections.abc import Mapping
from pathlib import Path

from mtl_seg_depth.config import Settings, as_texts
from mtl_seg_depth.records.results import Card, RunResult
from mtl_seg_depth.system import stored


class Pace:
    """Seconds a trained image takes, from the runs that are finished."""

    def __init__(self, outputs: Path) -> None:
        self._seconds: dict[str, list[float]] = {}
        for path in outputs.glob("*/run.json"):
            # One that cannot be read says nothing.
            card, result = stored.find(path, Card), stored.find(path.with_name("result.json"), RunResult)
            batch = card.params.get("schedule.batch_size", "") if card else ""
            pictures = result.steps * int(batch) if result and re.fullmatch(r"\d{1,9}", batch, re.ASCII) else 0
            if card and result and pictures:
                for key in _kinds(card.params):
                    self._seconds.setdefault(key, []).append(result.cost.seconds / pictures)

    def seconds(self, settings: Settings, steps: int) -> float | None:
        """For one training: by runs of the same network, or of any; None if none is finished."""
        if settings.schedule.minutes is not None:
            return 60 * settings.schedule.minutes
        pictures = steps * settings.schedule.batch_size
        for key in _kinds(as_texts(settings)):
            if known := self._seconds.get(key):
                return statistics.median(known) * pictures
        return None


def _kinds(params: Mapping[str, str]) -> list[str]:
    """What a run's pace depends on, from all that matters to what matters most; by what its card says."""
    parts = ("encoder.", "dilation.", "model.", "precision")
    network = {key: value for key, value in params.items() if key.startswith(parts) and "weights" not in key}
    network["model"] = params.get("model", "").rpartition(".")[2].lower()  # an option's name, or its class
    size = params.get("data.crop_size")
    return [json.dumps([network, size], sort_keys=True), json.dumps([params.get("encoder.name"), size]), ""]
