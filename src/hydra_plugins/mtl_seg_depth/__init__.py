"""Hydra finds the sweeper here; what it does is in `mtl_seg_depth.sweeping`."""
