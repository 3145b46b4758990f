"""The pixels of an image in space: a PLY file that MeshLab, CloudCompare, Blender and Open3D read.

Binary, little endian. Metres from the camera, as cameras have them: x to the right, y down, z forward; a red, green and
blue byte for each point. A pixel's ray goes through its centre, and the image's centre lies on the axis.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.inference.looking import Seen
from mtl_seg_depth.system import atomic
from mtl_seg_depth.tasks.depth.task import Depth
from mtl_seg_depth.tasks.semseg.task import Semseg
from mtl_seg_depth.tasks.task import Task

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])
"""One point, as it lies in the file."""

CAP = 0.999
"""Of the largest depth that a network can say: what is beyond stands for everything farther, and is no place."""


def write_points(rgb: NDArray[np.uint8], seen: Seen, tasks: Mapping[str, Task], path: Path) -> None:
    """Write the pixels of an image uint8 [H, W, 3] by what was seen in it; neither the sky nor what is at the cap."""
    depth, (focal, source) = seen.prediction["depth"], seen.focal
    kept, left_out = placed(seen, tasks)
    points = np.empty(int(kept.sum()), POINT)
    rows, columns = np.nonzero(kept)
    z = depth[kept]
    points["x"] = (columns + 0.5 - depth.shape[1] / 2) / focal * z
    points["y"] = (rows + 0.5 - depth.shape[0] / 2) / focal * z
    points["z"] = z
    for channel, name in enumerate(("red", "green", "blue")):
        points[name] = rgb[kept, channel]
    kinds = {"f": "float", "u": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres from the camera: x right, y down, z forward",
        f"comment focal length {focal:.6g} pixels of {depth.shape[1]} x {depth.shape[0]} ({source})",
        f"comment {seen.why}",
        f"comment left out: {left_out}",
        f"element vertex {len(points)}",
        *(f"property {kinds[POINT[name].kind]} {name}" for name in POINT.names or ()),
        "end_header\n",
    ]
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join(header).encode())
        points.tofile(file)


def placed(seen: Seen, tasks: Mapping[str, Task]) -> tuple[NDArray[np.bool_], str]:
    """Which pixels [H, W] have a place in space, and in words which have none."""
    depth, semseg, classes = tasks["depth"], tasks.get("semseg"), seen.prediction.get("semseg")
    assert isinstance(depth, Depth)
    limit = depth.norm.statistics.max * seen.ratio
    kept = seen.prediction["depth"] < CAP * limit
    sky = np.zeros_like(kept)
    if isinstance(semseg, Semseg) and classes is not None and "sky" in semseg.classes.names:
        sky = classes == semseg.classes.names.index("sky")
    beyond = f"{np.count_nonzero(~kept & ~sky)} at the largest depth there is, {limit:.6g} m"
    return kept & ~sky, f"{np.count_nonzero(sky)} pixels of sky and {beyond}"
