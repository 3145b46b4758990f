"""Streets: the embedded data set of rendered street scenes, in the on-disk layout of Miniscapes."""

from mtl_seg_depth.data.streets.render import SPLITS, Scene, render_scene
from mtl_seg_depth.data.streets.write import GENERATOR_VERSION, write_streets

__all__ = ["GENERATOR_VERSION", "SPLITS", "Scene", "render_scene", "write_streets"]
