"""How a command starts and ends: composing, messages, console tables."""

from mtl_seg_depth.cli.start import in_sweep, in_sweep_of_ours, start

__all__ = ["in_sweep", "in_sweep_of_ours", "start"]
