import itertools

import pytest
import torch
from torch import Tensor

from mtl_seg_depth.scoring.tiles import Cut, cuts, in_tiles

SIZES = [(375, 128), (1242, 512), (1024, 512), (2048, 1024), (33, 32), (64, 32), (65, 64), (100, 33)]


@pytest.mark.parametrize(("side", "tile"), SIZES)
def test_kept_parts_cover_a_side_once_and_lie_inside_their_tiles(side: int, tile: int) -> None:
    found = cuts(side, tile)
    assert [cut.first for cut in found] == [0, *(cut.last for cut in found[:-1])]
    assert found[-1].last == found[-1].stop == side
    assert all(cut.stop - cut.start == tile for cut in found)
    assert all(cut.start <= cut.first < cut.last <= cut.stop for cut in found)


@pytest.mark.parametrize(("side", "tile"), SIZES)
def test_neighbours_overlap_by_an_eighth_and_what_is_kept_is_away_from_their_borders(side: int, tile: int) -> None:
    found = cuts(side, tile)
    for cut, after in itertools.pairwise(found):
        assert cut.stop - after.start >= tile // 8
        assert abs((cut.stop - cut.last) - (after.first - after.start)) <= 1


def test_a_tile_as_large_as_the_image_is_the_image() -> None:
    assert cuts(352, 352) == cuts(352, 1000) == [Cut(0, 352, 0, 352)]


@pytest.mark.parametrize(("height", "width"), [(94, 311), (311, 94), (32, 200), (20, 20)])
def test_what_looks_at_one_pixel_predicts_the_same_in_tiles(height: int, width: int) -> None:
    image = torch.rand(2, 3, height, width)
    seen: list[tuple[int, ...]] = []

    def predict(part: Tensor) -> dict[str, Tensor]:
        seen.append(tuple(part.shape[-2:]))
        return {"semseg": (10 * part[:, 0]).long(), "normals": part.permute(0, 2, 3, 1)}

    whole, tiled = predict(image), in_tiles(predict, (32, 64))(image)
    assert all(torch.equal(whole[name], tiled[name]) for name in whole)
    assert set(seen[1:]) == {(min(height, 32), min(width, 64))}


def test_what_looks_around_is_the_same_where_the_overlap_holds_what_it_looks_at() -> None:
    blur = torch.nn.AvgPool2d(5, stride=1, padding=2, count_include_pad=False)

    def predict(part: Tensor) -> dict[str, Tensor]:
        return {"depth": blur(part)[:, 0]}

    image = torch.rand(1, 3, 100, 150)
    torch.testing.assert_close(in_tiles(predict, (48, 64))(image)["depth"], predict(image)["depth"])
