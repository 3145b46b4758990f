"""Monocular depth: the codec, what a network predicts instead of metres, the losses."""

from typing import TYPE_CHECKING

from mtl_seg_depth.system.lazy import lazily

if TYPE_CHECKING:
    from mtl_seg_depth.tasks.depth.norms import Inverse, Log, MinMax, Standard

__all__ = ["Inverse", "Log", "MinMax", "Standard"]

__getattr__ = lazily(__name__, dict.fromkeys(__all__, "norms"))
