"""The only room that knows MLflow. Training writes its record and never waits for a tracking server.

A run folder is mirrored by a background thread while the training runs (`Mirror`), or later from the command line:

    python -m mtl_seg_depth.tracking runs/*/ --tracking-uri sqlite:////data/mlflow.db

MLflow is imported inside functions: it takes seconds, and the first training step must not wait for them.
"""

from mtl_seg_depth.tracking.mirror import Mirror, find_run, mirror_again, mirror_once, mirror_rest, mirror_sweep
from mtl_seg_depth.tracking.store import absolute_uri, prepare_store, sqlite_file

__all__ = [
    "Mirror",
    "absolute_uri",
    "find_run",
    "mirror_again",
    "mirror_once",
    "mirror_rest",
    "mirror_sweep",
    "prepare_store",
    "sqlite_file",
]
