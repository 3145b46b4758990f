"""A miniature of every data set in its exact format, written by the libraries that the field writes them with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.composing import TINY, compose_in, places
from mtl_seg_depth.config import Settings, parse
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.nodes import build

HEIGHT, WIDTH = 64, 96
SMALL = ("data.size=[32,64]", "data.crop_size=[32,32]", "data.depth_mean=20", "data.depth_std=9")
AS_STORED = ("data.crop_size=[32,32]", "data.depth_mean=3", "data.depth_std=2")
SHARES = "data.splits={train: 0.5, val: 0.25, test: 0.25}"


def blocks(random: np.random.Generator, values: Any, dtype: Any = np.uint8) -> np.ndarray:
    """Values in squares of 8 pixels, [HEIGHT, WIDTH]."""
    return random.choice(np.asarray(values), (HEIGHT // 8, WIDTH // 8)).astype(dtype).repeat(8, 0).repeat(8, 1)


def photo(random: np.random.Generator) -> np.ndarray:
    return np.stack([blocks(random, range(256)) for _ in range(3)], axis=-1)


def save(path: Path, pixels: np.ndarray, palette: bytes | None = None) -> Path:
    """As NumPy, OpenEXR or Pillow write it, by the name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".npy":
            np.save(path, pixels)
        case ".npz":
            np.savez_compressed(path, depth=pixels)
        case ".exr":
            import OpenEXR

            header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
            OpenEXR.File(header, {"Z": pixels.astype(np.float32)}).write(str(path))
        case _:
            image = Image.fromarray(pixels)
            if palette:
                image.putpalette(palette)
            image.save(path)
    return path


def cityscapes(root: Path) -> None:
    random = np.random.default_rng(0)
    for split, city, count in (
        ("train", "aachen", 4),
        ("train_extra", "erfurt", 2),
        ("val", "lindau", 2),
        ("test", "bonn", 1),
    ):
        for number in range(count):
            place, name = f"{split}/{city}", f"{city}_{number:06}_000019"
            labels = blocks(random, [1, 4, 7, 11, 23, 26])
            disparity = blocks(random, [0, 1, 30 * 256 + 1, 60 * 256 + 1], np.uint16)
            save(root / f"leftImg8bit/{place}/{name}_leftImg8bit.png", photo(random))
            fine = "gtCoarse" if split == "train_extra" else "gtFine"
            save(root / f"{fine}/{place}/{name}_{fine}_labelIds.png", labels)
            save(root / f"disparity/{place}/{name}_disparity.png", disparity)
            camera = root / f"camera/{place}/{name}_camera.json"
            camera.parent.mkdir(parents=True, exist_ok=True)
            camera.write_text(json.dumps({"extrinsic": {"baseline": 0.21}, "intrinsic": {"fx": 2262.0}}))


def urbansyn(root: Path) -> None:
    random = np.random.default_rng(1)
    for number in range(8):
        save(root / f"rgb/rgb_{number:04}.png", photo(random))
        save(root / f"ss/ss_{number:04}.png", blocks(random, [0, 5, 18, 255]))
        save(root / f"depth/depth_{number:04}.exr", blocks(random, [5e-5, 2e-4, 1.0], np.float32))


def synscapes(root: Path) -> None:
    random = np.random.default_rng(2)
    for number in range(1, 9):
        save(root / f"img/rgb/{number}.png", photo(random))
        save(root / f"img/class/{number}.png", blocks(random, [0, 7, 23, 33]))
        save(root / f"img/depth/{number}.exr", blocks(random, [4, 40, 300, 1e6], np.float32))


def vkitti2(root: Path) -> None:
    random = np.random.default_rng(3)
    colours = np.array([(210, 0, 200), (90, 200, 255), (100, 60, 100), (0, 139, 139), (0, 0, 0)], np.uint8)
    for scene, count in (("Scene01", 4), ("Scene18", 2), ("Scene20", 1)):
        for condition in ("clone", "fog"):
            frames = root / scene / condition / "frames"
            for number in range(count):
                save(frames / f"rgb/Camera_0/rgb_{number:05}.jpg", photo(random))
                save(frames / f"classSegmentation/Camera_0/classgt_{number:05}.png", colours[blocks(random, range(5))])
                save(frames / f"depth/Camera_0/depth_{number:05}.png", blocks(random, [500, 4000, 65535], np.uint16))


def kitti(root: Path) -> None:
    random = np.random.default_rng(4)
    for number in range(8):
        save(root / f"training/image_2/{number:06}_10.png", photo(random)[: HEIGHT - number])
        save(root / f"training/semantic/{number:06}_10.png", blocks(random, [4, 7, 23])[: HEIGHT - number])
    for split, drive, count in (("train", "0001", 4), ("val", "0002", 2)):
        folder = f"2011_09_26_drive_{drive}_sync"
        for number in range(count + 2):
            save(root / f"2011_09_26/{folder}/image_02/data/{number:010}.png", photo(random))
        for number in range(1, count + 1):
            depth = blocks(random, [0, 0, 2560, 12800], np.uint16)
            save(root / f"{split}/{folder}/proj_depth/groundtruth/image_02/{number:010}.png", depth)


def _mtan(root: Path, labels: str, classes: int, depths: np.ndarray) -> None:
    random = np.random.default_rng(5)
    for split, count in (("train", 4), ("val", 2)):
        for number in range(count):
            save(root / f"{split}/image/{number}.npy", (photo(random) / 255).astype(np.float32))
            save(root / f"{split}/{labels}/{number}.npy", blocks(random, [-1, 0, classes - 1], np.float32))
            save(root / f"{split}/depth/{number}.npy", blocks(random, depths, np.float32)[..., None])


def mtan_cityscapes(root: Path) -> None:
    _mtan(root, "label_7", 7, np.array([0, 1, 8000, 32257]) / 65535)


def mtan_nyuv2(root: Path) -> None:
    _mtan(root, "label", 13, np.array([0, 0.7, 3, 9.9]))


def nyuv2(root: Path) -> None:
    import h5py
    from scipy.io import savemat

    random = np.random.default_rng(6)
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        file["images"] = np.stack([photo(random).T for _ in range(6)])
        file["labels"] = np.stack([blocks(random, [0, 1, 5, 894], np.uint16).T for _ in range(6)])
        file["depths"] = np.stack([blocks(random, [0.7, 3, 9.9], np.float32).T for _ in range(6)])
        file["rawDepths"] = np.stack([blocks(random, [0, 3, 9.9], np.float32).T for _ in range(6)])
    with (root / "nyu_depth_v2_labeled.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [3], [4], [6]], np.uint16), "testNdxs": [[2], [5]]})
    savemat(root / "classMapping40.mat", {"mapClass": (np.arange(894)[None] % 40 + 1).astype(np.uint8)})
    of_40 = (np.arange(40)[None] % 13 + 1).astype(np.uint8)
    savemat(root / "class13Mapping.mat", {"classMapping13": {"labels13": of_40}})


def folder(root: Path) -> None:
    random = np.random.default_rng(7)
    colours = np.array([(128, 64, 128), (70, 130, 180), (0, 0, 0)], np.uint8)
    for sequence in ("a", "b", "c"):
        for number in range(3):
            save(root / f"photos/{sequence}/{number}.jpg", photo(random))
            save(root / f"masks/{sequence}/{number}.png", colours[blocks(random, range(3))])
            save(root / f"depth/{sequence}/{number}.png", blocks(random, [0, 700, 9000], np.uint16))


FOLDER = (
    "data.images='photos/{sequence}/{name}.jpg'",
    "data.masks='masks/{sequence}/{name}.png'",
    "data.depths='depth/{sequence}/{name}.png'",
    "data.splits={train: 0.4, val: 0.3, test: 0.3}",
    "data.classes=[{name: road, colour: [128, 64, 128]}, {name: sky, colour: [70, 130, 180]}]",
    "data.ignored=[[0, 0, 0]]",
    "data.mask_of=colours",
    "data.depth_max=10",
)

MINIATURES: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "cityscapes": (cityscapes, SMALL),
    "folder": (folder, (*SMALL, *FOLDER, "data.depth_mean=5", "data.depth_std=3")),
    "kitti": (kitti, (*SMALL, SHARES)),
    "mtan_cityscapes": (mtan_cityscapes, ("data.crop_size=[32,32]", "depth_norm=inverse")),
    "mtan_nyuv2": (mtan_nyuv2, AS_STORED),
    "nyuv2": (nyuv2, AS_STORED),
    "synscapes": (synscapes, (*SMALL, SHARES)),
    "urbansyn": (urbansyn, (*SMALL, SHARES)),
    "vkitti2": (vkitti2, (*SMALL, "data.train=[Scene01]")),
}
"""By data set: what writes it, and what it takes to train on something so small."""


def write(name: str, root: Path) -> list[str]:
    """Write a miniature; the overrides that train on it, but for places."""
    writer, overrides = MINIATURES[name]
    writer(root)
    last = {override.split("=")[0]: override for override in (f"data={name}", *overrides)}
    return list(last.values())


def settings(folder: Path, *overrides: str) -> Settings:
    """Of a training of two steps on a miniature in `folder`/data."""
    base = [override for override in TINY if not override.startswith("data")]
    return parse(compose_in(folder, *base, *places(folder), *overrides, "schedule.max_steps=2"))


def opened(folder: Path, *overrides: str) -> DataSet:
    """A miniature as a data set."""
    source: DataSet = build("data", settings(folder, *overrides).data)
    return source
