import numpy as np
import pytest
import torch
from helpers.facts import tasks
from PIL import Image, PngImagePlugin

from mtl_seg_depth.data.batches import Batch
from mtl_seg_depth.drawing.legend import legend
from mtl_seg_depth.drawing.sheet import cells, panel_rows, save, sheet, stacked
from mtl_seg_depth.system.errors import UserError


def rows(count=1, names=("semseg", "depth"), height=24, width=48):
    """The panels of `count` images that look the same."""
    generator = np.random.default_rng(0)
    labels, depth = generator.integers(0, 19, (height, width)), generator.uniform(4, 300, (height, width))
    targets = {"semseg": torch.from_numpy(labels), "depth": torch.from_numpy(depth.astype(np.float32))}
    targets = {name: target.expand(count, -1, -1) for name, target in targets.items()}
    image = torch.from_numpy(generator.random((3, height, width), np.float32)).expand(count, -1, -1, -1)
    prediction = {name: targets[name].flip(1) for name in names}
    return panel_rows(Batch(image, targets, list(range(count))), prediction, tasks(*names))


def test_a_panel_shows_the_tasks_that_were_predicted():
    (both,) = rows()
    assert list(both) == [
        "image",
        "labels",
        "predicted labels",
        "depth (log scale, near is bright)",
        "predicted depth",
        "error (red: too far, blue: too near)",
    ]
    assert all(picture.shape == (24, 48, 3) and picture.dtype == np.uint8 for picture in both.values())
    np.testing.assert_array_equal(both["predicted labels"], both["labels"][::-1])
    np.testing.assert_array_equal(both["predicted depth"], both["depth (log scale, near is bright)"][::-1])
    assert list(rows(names=("semseg",))[0]) == list(both)[:3]
    assert list(rows(names=("depth",))[0]) == ["image", *list(both)[3:]]


def test_a_panel_s_image_is_the_picture_and_every_image_has_a_row():
    images = torch.linspace(0, 1, 48, dtype=torch.float32).view(2, 3, 2, 4)
    drawn = panel_rows(Batch(images, {}, [0, 1]), {}, {})
    assert [list(row) for row in drawn] == [["image"], ["image"]]
    for row, image in zip(drawn, images, strict=True):
        np.testing.assert_array_equal(row["image"], np.round(image.permute(1, 2, 0).numpy() * 255))


def test_a_sheet_has_a_column_for_every_picture_and_a_row_for_every_panel():
    drawn = sheet(rows(3), width=100)
    assert drawn.size == (6 * 100 + 5 * 4, 20 + 3 * 50 + 2 * 4)
    # Each label keeps its colour, though it is drawn larger.
    labels = rows()[0]["labels"]
    found = np.asarray(drawn)[20:70, 104:204]
    assert {tuple(pixel) for pixel in found.reshape(-1, 3)} <= {tuple(pixel) for pixel in labels.reshape(-1, 3)}
    np.testing.assert_array_equal(found, np.asarray(drawn)[74:124, 104:204])  # the second row is the first again


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_saved_picture_can_be_read_and_nothing_lies_beside_it(tmp_path, suffix):
    path = tmp_path / f"panel.{suffix}"
    drawn = sheet(rows(), width=32)
    save(drawn, path)
    with Image.open(path) as read:
        assert read.size == drawn.size
        if suffix == "png":
            np.testing.assert_array_equal(np.asarray(read), np.asarray(drawn))
    assert list(tmp_path.iterdir()) == [path]


def test_a_panel_stands_above_the_colours_of_labels_depths_and_errors():
    drawn = sheet(rows())
    without, with_errors = (legend(tasks(), drawn.width, errors=errors) for errors in (False, True))
    both = stacked(drawn, with_errors)
    assert with_errors.height > without.height
    assert both.size == (drawn.width, drawn.height + 10 + with_errors.height)
    scale = np.asarray(with_errors)[without.height + 7, :640].astype(int)
    blue, white, red = scale[0], scale[320], scale[639]
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert white.min() > 230


def test_the_images_of_a_saved_panel_are_cut_out_of_it_again(tmp_path):
    shown = rows(2)
    save(stacked(sheet(shown, width=48), legend(tasks(), 300)), tmp_path / "panel.png")
    found = cells(tmp_path / "panel.png")
    assert [list(row) for row in found] == [list(row) for row in shown]
    for row, before in zip(found, shown, strict=True):
        for caption, picture in row.items():
            np.testing.assert_array_equal(np.asarray(picture), before[caption])


@pytest.mark.parametrize(
    "told",
    [
        "{}",
        "[",
        '{"captions":["a"],"rows":3,"width":9,"height":9}',
        '{"captions":["a"],"rows":1e99,"width":1,"height":1}',
        '{"captions":["a"],"rows":9999999999,"width":0,"height":0}',
    ],
)
def test_a_panel_that_says_nonsense_of_its_images_is_refused_by_name(tmp_path, told):
    said = PngImagePlugin.PngInfo()
    said.add_text("cells", told)
    Image.new("RGB", (10, 30)).save(tmp_path / "panel.png", pnginfo=said)
    with pytest.raises(UserError, match=r"panel\.png"):
        cells(tmp_path / "panel.png")


def test_a_panel_of_an_older_version_has_no_images_to_cut_out_and_a_broken_one_is_named(tmp_path):
    Image.new("RGB", (10, 30)).save(tmp_path / "panel.png")
    assert cells(tmp_path / "panel.png") == []
    (tmp_path / "panel.png").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"panel\.png cannot be read"):
        cells(tmp_path / "panel.png")
