"""What the data and the initial weights of many runs hold, as digests: looked up once each, and nothing trained."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mtl_seg_depth.config import Settings
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.models.weights import content_digest
from mtl_seg_depth.nodes import build
from mtl_seg_depth.records.results import Digests
from mtl_seg_depth.system.errors import UserError

SPLITS = ("train", "val")
"""Those that a run depends on."""


class Contents:
    """The digests of what settings name; a split that cannot be read, or not without packing it first, has none.

    Args:
        pack: whether to prepare and pack what is not yet; without, nothing is written.
    """

    def __init__(self, *, pack: bool) -> None:
        self._pack = pack
        self._known: dict[str, str | None] = {}

    def of(self, settings: Settings, splits: Iterable[str] = SPLITS) -> Digests:
        """The digests of some splits of their data set, and of the file that their encoder begins with."""
        found = {split: self._digest(settings.data, split) for split in splits}
        return {split: digest for split, digest in found.items() if digest is not None} | self.of_weights(settings)

    def of_weights(self, settings: Settings) -> Digests:
        """The digest of the file that their encoder begins with, if it begins with one."""
        weights = str(settings.encoder.get("weights", "none"))
        if weights not in self._known:
            self._known[weights] = content_digest(weights)
        digest = self._known[weights]
        return {} if digest is None else {"weights": digest}

    def _digest(self, node: Mapping[str, Any], split: str) -> str | None:
        key = json.dumps([node, split], sort_keys=True)
        if key not in self._known:
            source: DataSet = build("data", node)
            try:
                packed = source.open(split) if self._pack else source.peek(split)
            except UserError:  # the run itself says what is wrong
                packed = None
            self._known[key] = None if packed is None else packed.content_digest
        return self._known[key]
