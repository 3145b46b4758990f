"""Every data set of the field, in miniature: it trains, validates, scores, predicts and says what it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import miniatures
from helpers.composing import compose
from helpers.miniatures import opened, settings
from helpers.trained_runs import quiet, settings_of
from PIL import Image

from mtl_seg_depth.config import parse_as
from mtl_seg_depth.data.check import inspect
from mtl_seg_depth.data.dataset import DataSet
from mtl_seg_depth.inference import prediction
from mtl_seg_depth.inference.deployed import Deployed, describe
from mtl_seg_depth.inference.evaluation import evaluate
from mtl_seg_depth.inference.trained import load_trained
from mtl_seg_depth.nodes import build
from mtl_seg_depth.runs import run as running
from mtl_seg_depth.runs.assembly import assemble, resolve
from mtl_seg_depth.system.errors import UserError

CASES = [
    *(pytest.param(name, (), id=name) for name in miniatures.MINIATURES),
    pytest.param("cityscapes", ("data.classes=7", "data.coarse=true"), id="cityscapes-coarse"),
    pytest.param("kitti", ("data.benchmark=depth",), id="kitti-depth"),
    pytest.param("nyuv2", ("data.classes=40", "data.raw_depth=true"), id="nyuv2-40"),
]


@pytest.mark.parametrize(("name", "overrides"), CASES)
def test_it_trains_validates_scores_predicts_and_says_what_it_is(
    tmp_path: Path, name: str, overrides: tuple[str, ...]
) -> None:
    composed = settings(tmp_path, *miniatures.write(name, tmp_path / "data"), *overrides, "name=mini")
    source: DataSet = build("data", composed.data)
    targets = set(source.spec.targets)
    result = running.run(composed, quiet())
    assert {task for task in ("semseg", "depth") if f"val/{task}" in result.best} == targets

    scored = evaluate(settings_of(tmp_path, "run=mini", "split=val"), quiet())
    assert scored is not None
    for task in targets:
        assert scored.scores[task] == pytest.approx(result.best[f"val/{task}"], rel=1e-5)

    Image.new("RGB", (70, 50), "grey").save(tmp_path / "photo.jpg")
    write = [*(["labels"] if "semseg" in targets else []), *(["depth"] if "depth" in targets else [])]
    tree = compose(
        *("run=mini", f"input={tmp_path}/photo.jpg", f"output={tmp_path}/predicted", "device=cpu"),
        *(f"paths.outputs={tmp_path}/outputs", f"write=[{','.join(write)}]"),
        config="predict",
    )
    assert prediction.predict(parse_as(prediction.PredictionSettings, tree), quiet()).done == 1
    trained = load_trained("mini", tmp_path / "outputs", running.torch.device("cpu"))
    description = describe(trained, Deployed(trained.network, trained.tasks))
    if "semseg" in targets:
        assert description["classes"] == list(source.spec.targets["semseg"].names)
    if "depth" in targets:
        assert description["ranges"]["depth"] == [composed.data["depth_min"], composed.data["depth_max"]]
    assert json.loads(json.dumps(source.spec.as_dict()))["licence"]


@pytest.mark.parametrize("name", miniatures.MINIATURES)
def test_it_is_inspected_without_statistics_and_tells_them(tmp_path: Path, name: str) -> None:
    overrides = miniatures.write(name, tmp_path / "data")
    found = inspect(opened(tmp_path, *overrides, "data.depth_mean=null", "data.depth_std=null"), progress=False)
    assert not found.damaged
    if "depth" in found.spec.targets:
        assert any("configured are null and null; set data.depth_mean=" in warning for warning in found.warnings())


def test_statistics_that_nobody_measured_are_asked_for(tmp_path: Path) -> None:
    overrides = miniatures.write("vkitti2", tmp_path / "data")
    unknown = ("data.depth_mean=null", "data.depth_std=null")
    with pytest.raises(UserError, match=r"depth_norm: .*data\.depth_mean.*check_data\.py"):
        assemble(*resolve(settings(tmp_path, *overrides, *unknown)))
    assemble(*resolve(settings(tmp_path, *overrides, *unknown, "depth_norm=log")))


def test_two_sizes_of_one_folder_have_packs_beside_each_other(tmp_path: Path) -> None:
    overrides = miniatures.write("urbansyn", tmp_path / "data")
    small = opened(tmp_path, *overrides).open("val", progress=False)
    stored = opened(tmp_path, *overrides, "data.size=null").open("val", progress=False)
    assert small.images.shape[1:3] == (32, 64)
    assert stored.images.shape[1:3] == (miniatures.HEIGHT, miniatures.WIDTH)
    assert small.folder.is_dir()
    assert stored.folder.is_dir()
    assert opened(tmp_path, *overrides).open("val", progress=False).digest == small.digest
    again = opened(tmp_path, *overrides, "data.depth_max=200").open("val", progress=False)
    assert again.digest != small.digest, "codes that mean other metres are another pack"


def test_cityscapes_labels_are_those_of_its_own_scripts(tmp_path: Path) -> None:
    from cityscapesscripts.helpers.labels import id2label

    written = miniatures.write("cityscapes", tmp_path / "data")
    for classes in (19, 7):
        source = opened(tmp_path, *written, "data.size=null", f"data.classes={classes}")
        files = source.files("train")
        for path, found in zip(
            files.paths["semseg"], source.open("train", progress=False).targets["semseg"], strict=True
        ):
            for label in np.unique(stored := np.asarray(Image.open(path))):
                known = id2label[int(label)]
                expected = known.trainId if classes == 19 else 255 if known.ignoreInEval else known.categoryId - 1
                assert (found[stored == label] == expected).all()
                if classes == 7 and expected != 255:
                    assert source.spec.targets["semseg"].names[expected] == known.category


def test_cityscapes_depth_follows_each_images_own_camera(tmp_path: Path) -> None:
    miniatures.write("cityscapes", tmp_path / "data")
    camera = sorted((tmp_path / "data/camera/train").rglob("*.json"))[0]
    camera.write_text(json.dumps({"extrinsic": {"baseline": 0.42}, "intrinsic": {"fx": 2262.0}}))
    written = ["data=cityscapes", *miniatures.SMALL]
    source = opened(tmp_path, *written, "data.size=null")
    split, paths = source.open("train", progress=False), source.files("train").paths
    table = source.spec.targets["depth"].codec.table()
    for row, baseline in ((0, 0.42), (1, 0.21)):
        stored = np.asarray(Image.open(paths["depth"][row].path))
        labels = np.asarray(Image.open(paths["semseg"][row]))
        metres = table[split.targets["depth"][row]]
        np.testing.assert_allclose(metres[(stored == 60 * 256 + 1) & (labels > 3)], baseline * 2262 / 60, atol=0.002)
        assert np.isnan(metres[(stored <= 1) | (labels == 1)]).all(), "no measurement, infinitely far, or the own car"
    small = opened(tmp_path, *written).open("train", progress=False)
    assert set(np.unique(small.targets["depth"])) <= set(np.unique(split.targets["depth"])), "no new depth in between"


def test_beyond_clamp_keeps_what_is_farther_than_the_range(tmp_path: Path) -> None:
    overrides = miniatures.write("vkitti2", tmp_path / "data")
    stored = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "data/Scene18/clone").rglob("depth_*.png"))]
    for beyond, sky in (("invalid", np.nan), ("clamp", 80.0)):
        source = opened(tmp_path, *overrides, "data.size=null", f"data.beyond={beyond}")
        metres = source.spec.targets["depth"].codec.table()[source.open("val", progress=False).targets["depth"]]
        for found, codes in zip(metres, stored, strict=True):
            np.testing.assert_allclose(found[codes == 65535], sky)
            np.testing.assert_allclose(found[codes == 4000], 40.0, atol=0.002)


def test_nyuv2_is_upright_and_its_labels_go_through_both_mappings(tmp_path: Path) -> None:
    import h5py

    overrides = miniatures.write("nyuv2", tmp_path / "data")
    for classes in (13, 40):
        source = opened(tmp_path, *overrides, f"data.classes={classes}")
        split = source.open("val", progress=False)
        with h5py.File(tmp_path / "data/nyu_depth_v2_labeled.mat") as file:
            for row, number in enumerate((1, 4)):  # testNdxs 2 and 5, from 1
                np.testing.assert_array_equal(split.images[row], file["images"][number].transpose(2, 1, 0))
                stored = file["labels"][number].T.astype(int)
                of_40 = (stored - 1) % 40
                expected = np.where(stored == 0, 255, of_40 if classes == 40 else of_40 % 13)
                np.testing.assert_array_equal(split.targets["semseg"][row], expected)


def test_arrays_of_inverse_depth_are_kept_as_they_are(tmp_path: Path) -> None:
    source = opened(tmp_path, *miniatures.write("mtan_cityscapes", tmp_path / "data"))
    split = source.open("train", progress=False)
    stored = np.load(tmp_path / "data/train/depth/0.npy")[..., 0]
    np.testing.assert_array_equal(split.targets["depth"][0], np.rint(stored.astype(np.float64) * 65535))
    metres = source.spec.targets["depth"].codec.table()[split.targets["depth"][0]]
    np.testing.assert_allclose(1 / metres[stored > 0], stored[stored > 0], rtol=1e-6)
    labels = np.load(tmp_path / "data/train/label_7/0.npy")
    np.testing.assert_array_equal(split.targets["semseg"][0], np.where(labels < 0, 255, labels))


def test_images_of_a_sparse_benchmark_without_depth_are_left_out(tmp_path: Path) -> None:
    overrides = miniatures.write("kitti", tmp_path / "data")
    files = opened(tmp_path, *overrides, "data.benchmark=depth").files("train")
    assert [path.stem for path in files.paths["rgb"]] == [f"{number:010}" for number in range(1, 5)]
    assert [path.stem for path in files.paths["depth"]] == [f"{number:010}" for number in range(1, 5)]


def test_a_scene_is_of_one_split(tmp_path: Path) -> None:
    overrides = miniatures.write("vkitti2", tmp_path / "data")
    with pytest.raises(UserError, match=r"every scene is of one split; Scene18 is of several"):
        opened(tmp_path, *overrides, "data.test=[Scene18]")
