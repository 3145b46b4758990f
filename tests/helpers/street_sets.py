"""Rendered streets written in the formats of the field, as they should be and with mistakes that people make.

A mistake changes the scenes, or what is stored of them: `stored_labels` gets train ids, `stored_depth` what is due.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from helpers.miniatures import save
from mtl_seg_depth.data.cityscapes_classes import CITYSCAPES
from mtl_seg_depth.data.miniscapes import DEPTH_CODEC
from mtl_seg_depth.data.streets.render import render_scene
from mtl_seg_depth.data.vkitti2 import CLASSES as VKITTI2

COUNT, HEIGHT, WIDTH = 16, 128, 256
LABEL_IDS = np.array([7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33], np.uint8)
AS_IN_VKITTI2 = {
    **{"sidewalk": "terrain", "wall": "building", "fence": "guard rail", "vegetation": "tree", "person": "misc"},
    **{"rider": "misc", "bus": "van", "train": "misc", "motorcycle": "misc", "bicycle": "misc"},
}
TO_VKITTI2 = np.array([VKITTI2.names.index(AS_IN_VKITTI2.get(name, name)) for name in CITYSCAPES.names])
SHARES = "data.splits={train: 0.6, val: 0.25, test: 0.15}"

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scene:
    """An image, train ids, planar metres (nan in the sky), and the focal length in image widths."""

    rgb: np.ndarray
    labels: np.ndarray
    depth: np.ndarray
    focal: float


@dataclass(frozen=True)
class Stored:
    """What is written of scenes, and where it differs from what is due."""

    labels: Change = lambda labels: labels
    depth: Change = lambda depth: depth
    focal: float = 1.0
    baseline: float = 1.0


RIGHT = Stored()


@cache
def scenes(count: int = COUNT, height: int = HEIGHT, width: int = WIDTH) -> tuple[Scene, ...]:
    drawn = (render_scene(0, "train", number, height, width) for number in range(count))
    return tuple(Scene(each.rgb, each.semseg, each.depth, each.camera.focal) for each in drawn)


def splits(count: int) -> list[tuple[str, int]]:
    """The split of every scene, and its number there."""
    ends = {"train": round(0.6 * count), "val": round(0.85 * count), "test": count}
    found, start = [], 0
    for split, end in ends.items():
        found += [(split, number) for number in range(end - start)]
        start = end
    return found


def whole(values: np.ndarray) -> np.ndarray:
    """As 16 bits hold it; what is not finite is 0."""
    return np.clip(np.rint(np.nan_to_num(values, nan=0, posinf=0)), 0, 65535).astype(np.uint16)


def miniscapes(root: Path, drawn: Sequence[Scene], stored: Stored) -> tuple[str, ...]:
    for (split, number), scene in zip(splits(len(drawn)), drawn, strict=True):
        save(root / f"{split}/rgb/{number}.jpg", scene.rgb)
        save(root / f"{split}/semseg/{number}.png", stored.labels(scene.labels))
        save(root / f"{split}/depth/{number}.png", stored.depth(DEPTH_CODEC.encode(scene.depth)))
    return ()


def cityscapes(root: Path, drawn: Sequence[Scene], stored: Stored) -> tuple[str, ...]:
    for (split, number), scene in zip(splits(len(drawn)), drawn, strict=True):
        place, name = f"{split}/{split}burg", f"{split}burg_{number:06}_000019"
        fx = scene.focal * scene.rgb.shape[1]
        save(root / f"leftImg8bit/{place}/{name}_leftImg8bit.png", scene.rgb)
        save(root / f"gtFine/{place}/{name}_gtFine_labelIds.png", stored.labels(LABEL_IDS[scene.labels]))
        disparity = np.where(np.isnan(scene.depth), 0, 256 * 0.21 * fx / scene.depth + 1)
        save(root / f"disparity/{place}/{name}_disparity.png", stored.depth(whole(disparity)))
        camera = {"extrinsic": {"baseline": 0.21 * stored.baseline}, "intrinsic": {"fx": fx * stored.focal}}
        path = root / f"camera/{place}/{name}_camera.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(camera))
    return ("data.size=null",)


def synscapes(root: Path, drawn: Sequence[Scene], stored: Stored) -> tuple[str, ...]:
    for number, scene in enumerate(drawn, 1):
        save(root / f"img/rgb/{number}.png", scene.rgb)
        save(root / f"img/class/{number}.png", stored.labels(LABEL_IDS[scene.labels]))
        save(root / f"img/depth/{number}.exr", stored.depth(np.nan_to_num(scene.depth, nan=1e4)).astype(np.float32))
    return ("data.size=null", SHARES)


def urbansyn(root: Path, drawn: Sequence[Scene], stored: Stored) -> tuple[str, ...]:
    for number, scene in enumerate(drawn, 1):
        save(root / f"rgb/rgb_{number:04}.png", scene.rgb)
        save(root / f"ss/ss_{number:04}.png", stored.labels(scene.labels))
        depth = stored.depth(np.nan_to_num(scene.depth, nan=1e4) / 1e5)
        save(root / f"depth/depth_{number:04}.exr", depth.astype(np.float32))
    return ("data.size=null", SHARES)


def vkitti2(root: Path, drawn: Sequence[Scene], stored: Stored) -> tuple[str, ...]:
    colours = np.array(VKITTI2.colours, np.uint8)
    scene_of = {"train": "Scene01", "val": "Scene18", "test": "Scene20"}
    for (split, number), scene in zip(splits(len(drawn)), drawn, strict=True):
        frames = root / scene_of[split] / "clone" / "frames"
        save(frames / f"rgb/Camera_0/rgb_{number:05}.jpg", scene.rgb)
        labels = colours[stored.labels(TO_VKITTI2[scene.labels])]
        save(frames / f"classSegmentation/Camera_0/classgt_{number:05}.png", labels)
        depth = np.nan_to_num(scene.depth, nan=655.35)
        save(frames / f"depth/Camera_0/depth_{number:05}.png", stored.depth(whole(100 * depth)))
    return ("data.size=null", "data.train=[Scene01]")


def folder(root: Path, drawn: Sequence[Scene], stored: Stored) -> tuple[str, ...]:
    """Train ids, and 16 bits of centimetres."""
    for number, scene in enumerate(drawn):
        save(root / f"photos/{number}.png", scene.rgb)
        save(root / f"masks/{number}.png", stored.labels(scene.labels))
        save(root / f"depth/{number}.png", stored.depth(whole(100 * scene.depth)))
    table = ", ".join(f"{{name: {name}, colour: [{number}, 0, 0]}}" for number, name in enumerate(CITYSCAPES.names))
    patterns = (f"data.{kind}='{of}/{{name}}.png'" for kind, of in (("images", "photos"), ("masks", "masks")))
    return (*patterns, "data.depths='depth/{name}.png'", f"data.classes=[{table}]", "data.depth_scale=0.01", SHARES)


def mtan_cityscapes(root: Path, drawn: Sequence[Scene], stored: Stored) -> tuple[str, ...]:
    for (split, number), scene in zip(splits(len(drawn)), drawn, strict=True):
        split = "train" if split == "train" else "val"
        number += 100 * (split == "val" and number)
        save(root / f"{split}/image/{number}.npy", (scene.rgb / 255).astype(np.float32))
        save(root / f"{split}/label_19/{number}.npy", stored.labels(scene.labels).astype(np.float32))
        inverse = np.nan_to_num(2.0 / scene.depth, nan=0)
        save(root / f"{split}/depth/{number}.npy", stored.depth(inverse.clip(0, 1)).astype(np.float32)[..., None])
    return ("data.classes=19",)


FORMATS: dict[str, Callable[[Path, Sequence[Scene], Stored], tuple[str, ...]]] = {
    "miniscapes": miniscapes,
    "cityscapes": cityscapes,
    "synscapes": synscapes,
    "urbansyn": urbansyn,
    "vkitti2": vkitti2,
    "folder": folder,
    "mtan_cityscapes": mtan_cityscapes,
}


def along_rays(scene: Scene) -> Scene:
    """With distances in place of planar depth."""
    height, width = scene.depth.shape
    across = (np.arange(width) + 0.5 - width / 2) / (width * scene.focal)
    down = (np.arange(height) + 0.5 - height / 2) / (width * scene.focal)
    return replace(scene, depth=scene.depth * np.sqrt(1 + across**2 + down[:, None] ** 2))


def paired_with_next(drawn: Sequence[Scene], step: int = 1, depth_too: bool = True) -> list[Scene]:
    """Every image with the targets of one some places behind it."""
    others = [*drawn[step:], *drawn[:step]]
    return [
        replace(scene, labels=other.labels, depth=other.depth if depth_too else scene.depth)
        for scene, other in zip(drawn, others, strict=True)
    ]


def changed(drawn: Sequence[Scene], **change: Callable[[Any], Any]) -> list[Scene]:
    """With every scene's rgb, labels or depth replaced by what a function makes of it."""
    return [replace(scene, **{name: of(getattr(scene, name)) for name, of in change.items()}) for scene in drawn]
