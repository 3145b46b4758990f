"""One's own folder, and what every data set says of files that are not there or not what was asked for."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import miniatures
from helpers.composing import CONF, ROOT
from helpers.miniatures import opened, save
from PIL import Image

from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.data.folder import Folder, NamedClass
from mtl_seg_depth.data.patterns import Pattern
from mtl_seg_depth.nodes import build
from mtl_seg_depth.system.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    miniatures.folder(tmp_path / "data")
    return tmp_path / "data"


def folder(root: Path, **changes: Any) -> DataSet:
    """As a config names it, so that types are checked as there."""
    arguments = {
        "_target_": "mtl_seg_depth.data.Folder",
        "root": str(root),
        "cache": str(root.parent / "packed"),
        "crop_size": [32, 32],
        "images": "photos/{sequence}/{name}.jpg",
        "masks": "masks/{sequence}/{name}.png",
        "depths": "depth/{sequence}/{name}.png",
        "splits": {"train": 0.6, "val": 0.4},
        "mask_of": "colours",
        "classes": [{"name": "road", "colour": [128, 64, 128]}, {"name": "sky", "colour": [70, 130, 180]}],
        "ignored": [[0, 0, 0]],
        "depth_max": 10.0,
    }
    source: DataSet = build("data", {**arguments, **changes})
    return source


def names(source: DataSet, split: str) -> list[str]:
    return ["/".join(path.parts[-2:]) for path in source.files(split).paths["rgb"]]


def test_a_field_means_the_same_wherever_it_stands(tmp_path: Path) -> None:
    for name in ("a/a_1/x.png", "a/b_1/x.png", "a/a_/x.png", "a/.a_2/x.png", "a/a_2/.x.png", "[a]/[a]_3/x?.png"):
        save(tmp_path / name, np.zeros((2, 2), np.uint8))
    found = Pattern("{date}/{date}_{drive}/{name}.png").find(tmp_path, {})
    assert sorted((each["date"], each["drive"], each["name"]) for each, _ in found) == [
        ("[a]", "3", "x?"),
        ("a", "1", "x"),
    ]
    assert len(Pattern("{date}/{date}_*/x*.*").find(tmp_path, {"date": "[a]"})) == 1


def test_shares_keep_sequences_together_and_follow_the_seed(root: Path) -> None:
    drawn = {}
    for seed in range(8):
        source = folder(root, splits={"train": 0.34, "val": 0.33, "test": 0.33}, split_seed=seed)
        drawn[seed] = [names(source, split) for split in ("train", "val", "test")]
        assert all(len(split) == 3 and len({name[0] for name in split}) == 1 for split in drawn[seed])
        assert sorted(name for split in drawn[seed] for name in split) == sorted(
            f"{s}/{n}.jpg" for s in "abc" for n in range(3)
        )
    assert len({str(each) for each in drawn.values()}) > 2
    assert drawn[3] == [
        names(folder(root, splits={"train": 0.34, "val": 0.33, "test": 0.33}, split_seed=3), s)
        for s in ("train", "val", "test")
    ]


def test_no_split_is_empty_however_small_its_share(root: Path) -> None:
    source = folder(root, splits={"train": 0.98, "val": 0.01, "test": 0.01})
    assert [len(names(source, split)) for split in ("train", "val", "test")] == [3, 3, 3]


def test_lists_say_what_is_in_a_split(root: Path) -> None:
    (root / "train.txt").write_text("a/0\nb/2\n\na/10\n")
    (root / "val.txt").write_text("c/1\n")
    for kind, ending in (("photos", "jpg"), ("masks", "png"), ("depth", "png")):
        shutil.copy(root / kind / f"a/0.{ending}", root / kind / f"a/10.{ending}")
    source = folder(root, splits={"train": "train.txt", "val": "val.txt"})
    assert names(source, "train") == ["a/0.jpg", "a/10.jpg", "b/2.jpg"]
    assert source.splits == ("train", "val")
    (root / "val.txt").write_text("c/1\nc/9.jpg\n")
    with pytest.raises(UserError, match=r"val\.txt: lists 'c/9\.jpg', and no image has that \{sequence\}/\{name\}"):
        source.files("val")


def test_folders_say_what_is_in_a_split(tmp_path: Path) -> None:
    for split, count in (("training", 3), ("check", 2)):
        for number in range(count):
            save(tmp_path / f"data/{split}/{number}.png", np.full((32, 32, 3), number, np.uint8))
            save(tmp_path / f"data/{split}/{number}.npy", np.full((32, 32), 3.0))
    paths = {"images": "{split}/{name}.png", "masks": None, "depths": "{split}/{name}.npy"}
    source = folder(tmp_path / "data", **paths, splits={"train": "training", "val": "check"}, depth_scale=1.0)
    assert list(source.spec.targets) == ["depth"]
    split = source.open("train", progress=False)
    assert split.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(source.spec.targets["depth"].codec.table()[split.targets["depth"]], 3.0, atol=2e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": None, "depths": None}, "masks, depths or both"),
        ({"splits": {"train": 0.5}}, "splits are train, val and maybe test, not train"),
        ({"splits": {"train": 0.5, "val": "val"}}, "all shares, all .txt files or all folders"),
        ({"splits": {"train": 0.9, "val": 0.2}}, "at most 1 together"),
        ({"splits": {"train": "a", "val": "b"}}, "has no {split}; give splits as shares"),
        ({"depth_kind": "disparity"}, "needs focal_baseline"),
        ({"depth_kind": "disparity", "focal_baseline": 0.0}, "needs focal_baseline"),
        ({"depth_kind": "disparity", "focal_baseline": 475.0, "rays": [9, 9, 5, 5]}, "planar already"),
        ({"depth_kind": "metre"}, "should be 'metres', 'disparity' or 'inverse'"),
        ({"images": "/photos/{name}.jpg"}, "patterns below data.root"),
        ({"classes": []}, "masks need classes"),
        ({"classes": [{"name": "road", "colour": [1, 2, 3], "id": 3}]}, "classes.0.id"),
        ({"classes": [{"name": "road", "colour": [0, 0, 0]}] * 2}, "every colour stands for one class"),
        ({"size": [0, 64]}, "size is a height and a width"),
        ({"depth_min": 0.0}, "ascend from above 0"),
    ],
)
def test_a_mistake_in_its_keys_is_named(root: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        folder(root, **changes)
    assert message in str(error.value)


def test_a_yaml_of_the_docs_is_short_and_reads_a_folder(root: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    assert block is not None
    assert len(block[1].splitlines()) <= 15
    own = yaml.safe_load(block[1])
    assert own.pop("defaults") == ["folder"]
    places = {"root": str(root), "cache": str(root.parent / "packed"), "crop_size": [32, 32]}
    source: DataSet = build("data", {**yaml.safe_load((CONF / "data/folder.yaml").read_text()), **own, **places})
    assert [len(source.open(split, progress=False)) for split in source.splits] == [6, 3]
    assert source.spec.targets["semseg"].names == ("road", "sky")


def test_files_that_lack_their_counterpart_are_named(root: Path) -> None:
    (root / "masks/a/1.png").unlink()
    (root / "photos/b/2.jpg").unlink()
    (root / "photos/c/0.png").touch()
    source = folder(root, images="photos/{sequence}/{name}.*", splits={"train": 0.98, "val": 0.02})
    problems = {str(problem) for split in source.splits for problem in source.scan(split)[1]}
    assert f"{root}/photos/a/1.jpg: there is no masks/a/1.png beside it" in problems
    assert f"{root}/masks/b/2.png: there is no photos/b/2.* beside it" in problems
    assert any("photos/c/0" in problem and ": is one image with photos/c/0." in problem for problem in problems)


def test_targets_of_another_shape_are_refused_and_of_another_scale_read(root: Path) -> None:
    for path in root.glob("depth/*/*.png"):
        with Image.open(path) as image:
            small = image.resize((48, 32), Image.Resampling.NEAREST)
        small.save(path)
    split = folder(root, size=[64, 96]).open("train", progress=False)
    assert split.targets["depth"].shape == split.targets["semseg"].shape
    with pytest.raises(UserError, match=r"is 48 x 32 pixels, but .* is 96 x 64. The images are .*: data\.size="):
        folder(root).open("train", progress=False)
    turned = next((root / "masks").rglob("0.png"))
    with Image.open(turned) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(turned)
    with pytest.raises(UserError, match=r"is 64 x 96 pixels, another shape than .* with 96 x 64"):
        for each in ("train", "val"):
            folder(root, size=[64, 96]).open(each, progress=False)


def test_a_missing_root_or_folder_is_explained_with_what_is_there(root: Path) -> None:
    with pytest.raises(UserError, match=r"absent: is not a folder; expected .*photos.*Set data\.root="):
        folder(root / "absent").files("train")
    (root / "photos").rename(root / "pictures")
    with pytest.raises(UserError, match=r"holds no photos/\{sequence\}/\{name\}\.jpg; it holds depth, masks, pictures"):
        folder(root).files("train")
    with pytest.raises(UserError, match="no split 'test'; there are train, val"):
        folder(root).files("test")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("cityscapes", lambda at: shutil.rmtree(at / "leftImg8bit/train"), "leftImg8bit: holds no train/{city}/"),
        ("cityscapes", lambda at: _zip(at, "gtFine"), "Unpack gtFine_trainvaltest.zip first"),
        (
            "cityscapes",
            lambda at: next((at / "camera/train").rglob("*.json")).unlink(),
            "camera.json: cannot be opened",
        ),
        ("cityscapes", lambda at: _spoil(at / "camera/train", "*.json", b"{}"), "expected numbers extrinsic.baseline"),
        ("cityscapes", lambda at: _labels(at, 255), "the id 255 in 100.00%"),
        ("cityscapes", lambda at: _labels(at, 255), "-1..33; are these train ids? Then take data.labels=labelTrainIds"),
        ("nyuv2", lambda at: (at / "splits.mat").unlink(), "splits.mat: is missing; it belongs beside nyu_depth"),
        ("nyuv2", lambda at: _old_mat(at), "is a MATLAB 5.0 MAT-file; expected version 7.3"),
        ("nyuv2", lambda at: _spoil(at, "nyu*.mat", b"x"), "is not an HDF5 file"),
        ("nyuv2", lambda at: _spoil(at, "class13Mapping.mat", b"x"), "class13Mapping.mat: holds no classMapping13"),
        ("vkitti2", lambda at: _colour(at), "the colour (1, 2, 3)"),
        ("kitti", lambda at: (at / "training/semantic").rename(at / "x"), "training: holds no semantic/{name}.png"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_one_message(tmp_path: Path, name: str, spoil: Any, message: str) -> None:
    overrides = miniatures.write(name, tmp_path / "data")
    spoil(tmp_path / "data")
    with pytest.raises(UserError) as error:
        opened(tmp_path, *overrides).open("train", progress=False)
    assert message in str(error.value)
    assert str(tmp_path / "data") in str(error.value)
    assert "Traceback" not in str(error.value)


def test_train_ids_that_are_not_there_come_with_the_command_that_makes_them(tmp_path: Path) -> None:
    overrides = [*miniatures.write("cityscapes", tmp_path / "data"), "data.labels=labelTrainIds"]
    with pytest.raises(UserError, match=r"_gtFine_labelTrainIds\.png.*csCreateTrainIdLabelImgs.*data\.labels=labelIds"):
        opened(tmp_path, *overrides).files("train")
    for path in (tmp_path / "data/gtFine").rglob("*_labelIds.png"):
        shutil.copy(path, path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    with pytest.raises(UserError, match=r"the id 23, 26 .*expected 0\.\.18, 255; csCreateTrainIdLabelImgs"):
        opened(tmp_path, *overrides).open("train", progress=False)


def test_sizes_that_vary_take_data_size(tmp_path: Path) -> None:
    overrides = miniatures.write("kitti", tmp_path / "data")
    assert opened(tmp_path, *overrides).open("train", progress=False).images.shape[1:3] == (32, 64)
    message = r"The images are 1 of 96 x 64, 1 of 96 x 63.*: data\.size=\[64,96\] reads all in one size"
    with pytest.raises(UserError, match=message):
        opened(tmp_path, *overrides, "data.size=null").open("train", progress=False)


def test_a_row_of_the_class_table_may_have_ids(tmp_path: Path) -> None:
    rows = [NamedClass("road", (1, 1, 1), (7, 8)), NamedClass("sky", (2, 2, 2), (23,))]
    for number in range(2):
        save(tmp_path / f"{number}.png", np.zeros((32, 32, 3), np.uint8))
        save(tmp_path / f"{number}_ids.png", np.array([7, 8, 23, 0] * 8, np.uint8)[None].repeat(32, 0))
    source = Folder(
        root=str(tmp_path),
        cache=str(tmp_path / "packed"),
        crop_size=(32, 32),
        images="{name}.png",
        masks="{name}_ids.png",
        depths=None,
        splits={"train": 0.5, "val": 0.5},
        classes=rows,
        ignored=[0],
    )
    assert [path.name for path in source.files("train").paths["rgb"]] in (["0.png"], ["1.png"])
    assert source.open("train", progress=False).targets["semseg"][0, 0, :4].tolist() == [0, 0, 1, 255]


def _zip(root: Path, folder: str) -> None:
    shutil.rmtree(root / folder)
    (root / f"{folder}_trainvaltest.zip").touch()


def _spoil(root: Path, files: str, content: bytes) -> None:
    next(root.rglob(files)).write_bytes(content)


def _labels(root: Path, value: int) -> None:
    for path in (root / "gtFine").rglob("*_labelIds.png"):
        save(path, np.full((miniatures.HEIGHT, miniatures.WIDTH), value, np.uint8))


def _old_mat(root: Path) -> None:
    from scipy.io import savemat

    savemat(root / "nyu_depth_v2_labeled.mat", {"images": np.zeros(3)})


def _colour(root: Path) -> None:
    save(
        next(root.glob("Scene01/clone/frames/classSegmentation/*/*.png")),
        np.full((miniatures.HEIGHT, miniatures.WIDTH, 3), (1, 2, 3), np.uint8),
    )
