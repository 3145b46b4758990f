import numpy as np
import pytest
import torch
from helpers.facts import STATISTICS, depth_of_code, encode_depth, tasks
from helpers.tiny_data import miniscapes, write_tiny_miniscapes
from helpers.tiny_split import split_of, tiny_split

from mtl_seg_depth.data.augmentation import Augmentation
from mtl_seg_depth.data.batches import ScoringBatches, TrainingBatches
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.processes import ALONE, Processes

CPU = torch.device("cpu")
FULL = {"flip": 0.5, "zoom": (0.9, 2.0), "tilt": 5, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}


def training(
    split=None,
    *,
    batch_size=2,
    crop_size=(32, 40),
    seed=0,
    statistics=STATISTICS,
    processes=ALONE,
    parts=1,
    **augmentation,
):
    return TrainingBatches(
        tiny_split() if split is None else split,
        Augmentation(**augmentation),
        batch_size=batch_size,
        crop_size=crop_size,
        tasks=tasks(statistics=statistics),
        seed=seed,
        device=CPU,
        processes=processes,
        parts=parts,
    )


def scoring(split, batch_size=4):
    return ScoringBatches(split, batch_size=batch_size, tasks=tasks(), device=CPU)


def assert_equal(one, other):
    assert one.ids == other.ids
    assert list(one.targets) == list(other.targets) == ["semseg", "depth"]
    for first, second in zip(one.tensors, other.tensors, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


class TestOrder:
    @pytest.mark.parametrize("augmentation", [{}, FULL], ids=["crop", "full"])
    def test_a_batch_does_not_depend_on_those_before_it(self, augmentation):
        forward = training(**augmentation)
        in_order = [forward[step] for step in range(9)]
        for step in (8, 0, 4, 5, 3):
            assert_equal(training(**augmentation)[step], in_order[step])
            assert_equal(forward[step], in_order[step])

    @pytest.mark.parametrize("augmentation", [{}, FULL, {"noise": 0.1}], ids=["crop", "full", "camera"])
    @pytest.mark.parametrize(("count", "parts"), [(2, 1), (3, 1), (1, 3), (3, 2)])
    def test_processes_share_what_one_process_has(self, augmentation, count, parts):
        """Part by part, and within each of them process by process."""
        whole = training(batch_size=6, **augmentation)[2]
        shares = [
            training(batch_size=6, processes=Processes(rank, count), parts=parts, **augmentation)[2]
            for rank in range(count)
        ]
        for index, tensor in enumerate(whole.tensors):
            pieces = [share.tensors[index].chunk(parts) for share in shares]
            again = torch.cat([piece for of_part in zip(*pieces, strict=True) for piece in of_part])
            torch.testing.assert_close(again, tensor, rtol=0, atol=0, equal_nan=True)

    def test_an_epoch_uses_every_picture_at_most_once_and_drops_the_last_partial_batch(self):
        batches = training(batch_size=3)
        assert batches.steps_per_epoch == 2  # of 7 images
        orders = [tuple(batches[2 * epoch].ids + batches[2 * epoch + 1].ids) for epoch in range(20)]
        assert all(len(set(order)) == 6 for order in orders)
        assert len(set(orders)) == 20
        assert set().union(*orders) == set(range(10, 17))

    def test_another_seed_has_another_order_and_other_views(self):
        one, two = training(seed=0), training(seed=1)
        assert [one[step].ids for step in range(3)] != [two[step].ids for step in range(3)]
        assert one._plan(0)[1].left.tolist() != two._plan(0)[1].left.tolist()

    def test_a_picture_is_seen_differently_in_every_epoch(self):
        batches = training(tiny_split(count=1), batch_size=1)
        assert all(not torch.equal(batches[step].image, batches[step + 1].image) for step in range(5))


class TestViews:
    def test_crops_are_slices_of_picture_labels_and_depth_alike(self):
        split, batches = tiny_split(), training()
        order, views = batches._plan(0)
        for step in range(3):
            batch = batches[step]
            for i in range(2):
                row = order[2 * step + i]
                top, left = int(views.top[2 * step + i]), int(views.left[2 * step + i])
                part = (row, slice(top, top + 32), slice(left, left + 40))
                assert batch.ids[i] == row + 10
                np.testing.assert_allclose(batch.image[i].permute(1, 2, 0), split.images[part] / 255, atol=1e-7)
                np.testing.assert_array_equal(batch.targets["semseg"][i], split.targets["semseg"][part])
                np.testing.assert_array_equal(batch.targets["depth"][i], depth_of_code()[split.targets["depth"][part]])

    @pytest.mark.parametrize("augmentation", [{}, {"zoom": (1.5, 1.5)}], ids=["slices", "resampled"])
    def test_flip_mirrors_all_three_and_changes_nothing_else(self, augmentation):
        plain, mirrored = training(**augmentation)[1], training(**augmentation, flip=1.0)[1]
        assert plain.ids == mirrored.ids
        assert len(mirrored.tensors) == 3
        for flipped, unflipped in zip(mirrored.tensors, plain.tensors, strict=True):
            torch.testing.assert_close(flipped.flip(-1), unflipped, rtol=0, atol=1e-4, equal_nan=True)

    @pytest.mark.parametrize("augmentation", [{}, FULL, {"brightness": 0.5}], ids=["crop", "full", "colour"])
    def test_types_shapes_and_ranges(self, augmentation):
        batch = training(**augmentation)[0]
        assert batch.image.shape == (2, 3, 32, 40)
        assert batch.targets["semseg"].shape == batch.targets["depth"].shape == (2, 32, 40)
        assert (batch.image.dtype, batch.targets["semseg"].dtype, batch.targets["depth"].dtype) == (
            torch.float32,
            torch.int64,
            torch.float32,
        )
        assert batch.image.is_contiguous(memory_format=torch.channels_last)
        assert batch.image.min() >= 0
        assert batch.image.max() <= 1
        assert ((batch.targets["semseg"] < 19) | (batch.targets["semseg"] == 255)).all()
        valid = batch.targets["depth"][~batch.targets["depth"].isnan()]
        assert valid.min() >= 4
        assert valid.max() <= 300

    def test_colour_changes_no_labels(self):
        plain, changed = training()[0], training(brightness=0.5, contrast=0.5, saturation=0.5)[0]
        assert_equal(plain, type(plain)(plain.image, changed.targets, changed.ids))
        assert not torch.equal(plain.image, changed.image)

    @pytest.mark.parametrize("augmentation", [{}, FULL], ids=["crop", "full"])
    def test_ignored_pixels_and_missing_depth_stay_so_and_values_come_from_the_source(self, augmentation):
        arrays = tiny_split()
        semseg = np.where(arrays.targets["semseg"] < 9, 3, np.where(arrays.targets["semseg"] < 19, 17, 255)).astype(
            np.uint8
        )
        codes = np.where(arrays.targets["semseg"] < 9, 40, np.where(arrays.targets["semseg"] < 19, 60, 0)).astype(
            np.uint8
        )
        batches = training(split_of(arrays.images, semseg, codes), **augmentation, rescale_depth=False)
        seen = [batches[step] for step in range(3)]
        for batch in seen:
            near, far = depth_of_code()[[60, 40]]
            expected = torch.full(batch.targets["depth"].shape, torch.nan)
            expected[batch.targets["semseg"] == 3], expected[batch.targets["semseg"] == 17] = far.item(), near.item()
            torch.testing.assert_close(batch.targets["depth"], expected, rtol=0, atol=0, equal_nan=True)
        assert {3, 17, 255} == set(torch.cat([batch.targets["semseg"].unique() for batch in seen]).tolist())


class Street:
    """A pinhole camera above flat ground, before a wall with stripes; the sky has no depth."""

    SKY, GROUND, DARK, LIGHT = 10, 0, 2, 3
    HEIGHT = 4.0
    """Of the camera, metres."""
    FOCAL = 60.0
    """Pixels."""
    TOP, STRIPE = 15.0, 10.0
    """Of the wall, metres above the camera and across."""

    def __init__(self, wall, size, principal):
        """Seen by a camera `wall` metres away: `depth` in metres, nan for the sky, and `semseg`, [H, W] each."""
        y, x = (np.arange(side) + 0.5 - centre for side, centre in zip(size, principal, strict=True))
        y, x = np.broadcast_arrays(y[:, None] / self.FOCAL, x[None] / self.FOCAL)
        with np.errstate(divide="ignore"):
            ground = np.where(y > 0, self.HEIGHT / y, np.inf)
        stripes = np.where(np.floor(x * wall / self.STRIPE) % 2 == 0, self.DARK, self.LIGHT)
        before, above = ground < wall, y * wall < -self.TOP
        self.depth = np.where(above, np.nan, np.minimum(ground, wall))
        self.semseg = np.where(above, self.SKY, np.where(before, self.GROUND, stripes)).astype(np.uint8)
        self.rgb = np.repeat((self.semseg * 20)[..., None], 3, axis=-1)

    @property
    def codes(self):
        return encode_depth(self.depth)

    def away_from_edges(self, width):
        """Where everything within `width` pixels has one label."""
        padded = np.pad(self.semseg, width, mode="edge")
        near = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1, 2 * width + 1))
        return near.min(axis=(2, 3)) == near.max(axis=(2, 3))


def wall_depths(batch):
    """The depths of all pixels that show the wall of a street."""
    return (
        batch.targets["depth"][(batch.targets["semseg"] == Street.DARK) | (batch.targets["semseg"] == Street.LIGHT)]
        .unique()
        .tolist()
    )


class TestZoom:
    SIZE, PRINCIPAL, WALL = (96, 160), (48.0, 80.0), 30.0
    DECODED_WALL = depth_of_code()[encode_depth(WALL)].item()

    def batches(self, zoom, crop_size=(64, 96), **options):
        street = Street(self.WALL, self.SIZE, self.PRINCIPAL)
        split = split_of(street.rgb[None], street.semseg[None], street.codes[None])
        return training(split, batch_size=1, crop_size=crop_size, zoom=(zoom, zoom), **options)

    @pytest.mark.parametrize("zoom", [0.7, 0.9, 1.0001, 1.5, 2.0, 3.0])
    def test_a_view_zoomed_by_s_is_what_a_camera_s_times_nearer_sees(self, zoom):
        batches, seen = self.batches(zoom), dict.fromkeys((Street.SKY, Street.GROUND, Street.DARK, Street.LIGHT), 0)
        for step in range(10):
            batch, view = batches[step], batches._plan(step)[1]
            zoom = view.zoom.item()
            corner = (view.top.item(), view.left.item())
            principal = [zoom * (centre - offset) for centre, offset in zip(self.PRINCIPAL, corner, strict=True)]
            nearer = Street(self.WALL / zoom, (64, 96), principal)
            compared = nearer.away_from_edges(width=2)
            labels, found = batch.targets["semseg"][0].numpy()[compared], batch.targets["depth"][0].numpy()[compared]
            np.testing.assert_array_equal(labels, nearer.semseg[compared])
            # Only the sky has no depth, and the ground that comes nearer than 4 m.
            expected, known = nearer.depth[compared], ~np.isnan(found)
            np.testing.assert_array_equal(known | (expected < 4.5), ~np.isnan(expected))
            # In disparity: the codec floors by up to 0.00097 / m, and on the ground the nearest source pixel is up to
            # half a row off, each row being 1 / (height * focal) / m. Depths divided by s have both s times.
            rows = np.where(labels == Street.GROUND, 0.5 / (Street.HEIGHT * Street.FOCAL), 0)
            error = np.abs(1 / found - 1 / expected)[known]
            assert (error <= zoom * (0.00098 + rows)[known]).all()
            for label in seen:
                seen[label] += np.count_nonzero(known & (labels == label))
        assert seen.pop(Street.SKY) == 0
        assert min(seen.values()) > 300

    @pytest.mark.parametrize("zoom", [0.75, 2.0])
    def test_the_wall_comes_nearer_by_exactly_the_zoom(self, zoom):
        assert wall_depths(self.batches(zoom)[0]) == [pytest.approx(self.DECODED_WALL / zoom)]

    def test_without_rescaling_every_depth_is_the_source_s(self):
        assert wall_depths(self.batches(2.0, rescale_depth=False)[0]) == [self.DECODED_WALL]

    @pytest.mark.parametrize("zoom", [0.75, 2.0])
    def test_dividing_inverse_depth_moves_the_wall_away_by_the_zoom(self, zoom):
        """The error of published recipes, by hand: 1 / (1 / d / s) is d s."""
        depths = wall_depths(self.batches(zoom, rescale_depth="inverse_divided")[0])
        assert [1 / depth for depth in depths] == [pytest.approx(1 / self.DECODED_WALL / zoom)]

    def test_another_word_for_rescaling_is_refused(self):
        with pytest.raises(ValueError, match="true, false or inverse_divided; not 'divided'"):
            self.batches(2.0, rescale_depth="divided")

    @pytest.mark.parametrize(("zoom", "size", "left"), [(2.0, (64, 96), 150), (0.5, (32, 48), 8)])
    def test_depths_that_leave_the_valid_range_become_invalid(self, zoom, size, left):
        rows = np.array([1, 255], np.uint8).repeat(8)  # 300 m and 4 m
        codes = np.broadcast_to(np.tile(rows, 4)[:, None], (1, 64, 96))
        split = split_of(np.zeros((1, 64, 96, 3), np.uint8), codes * 0, codes)
        depth = training(split, batch_size=1, crop_size=size, zoom=(zoom, zoom))[0].targets["depth"]
        valid = ~depth.isnan()
        assert 0.4 < valid.double().mean() < 0.6
        assert depth[valid].unique().tolist() == pytest.approx([left])

    def test_a_zoom_of_one_keeps_the_ends_of_the_range(self):
        codes = np.tile(np.array([1, 255], np.uint8), (1, 64, 48))
        split = split_of(np.zeros((1, 64, 96, 3), np.uint8), codes * 0, codes)
        depth = training(split, batch_size=1, crop_size=(64, 96), zoom=(0.5, 1.0))[0].targets["depth"]
        assert depth.unique().tolist() == [4, 300]

    def test_tilt_keeps_planar_depth(self):
        assert wall_depths(self.batches(1.0, tilt=20)[0]) == [self.DECODED_WALL]


class TestScoring:
    @pytest.mark.parametrize("batch_size", [1, 3, 7, 16])
    def test_every_picture_comes_once_and_in_order_the_last_partial_batch_too(self, batch_size):
        batches = scoring(tiny_split(), batch_size)
        found = list(batches)
        assert len(found) == len(batches) == -(-7 // batch_size)
        assert [number for batch in found for number in batch.ids] == list(range(10, 17))
        assert all(
            len(batch.ids) == len(batch.image) == len(batch.targets["semseg"]) == len(batch.targets["depth"])
            for batch in found
        )
        assert [batch.ids for batch in batches] == [batch.ids for batch in found]  # again

    def test_pictures_are_cropped_from_the_top_left_to_multiples_of_32(self):
        split = tiny_split(height=70, width=100)
        (batch,) = scoring(split, 7)
        assert batch.image.shape == (7, 3, 64, 96)
        assert batch.image.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_allclose(batch.image.permute(0, 2, 3, 1), split.images[:, :64, :96] / 255, atol=1e-7)
        np.testing.assert_array_equal(batch.targets["semseg"], split.targets["semseg"][:, :64, :96])
        np.testing.assert_array_equal(batch.targets["depth"], depth_of_code()[split.targets["depth"][:, :64, :96]])

    def test_the_report_s_pictures_become_704_by_352(self):
        split = tiny_split(count=1, height=360, width=720)
        assert next(iter(scoring(split))).targets["semseg"].shape == (1, 352, 704)

    def test_a_split_without_labels_has_no_targets(self):
        split = tiny_split(labels=False)
        batch = next(iter(scoring(split)))
        assert not batch.targets
        assert batch.image.shape == (4, 3, 32, 64)
        np.testing.assert_allclose(batch.image.permute(0, 2, 3, 1), split.images[:4, :32, :64] / 255, atol=1e-7)

    def test_chosen_pictures_come_as_one_batch(self):
        split = tiny_split()
        batch = scoring(split).rows([5, 2])
        assert batch.ids == [15, 12]
        np.testing.assert_array_equal(batch.targets["semseg"], split.targets["semseg"][[5, 2], :32, :64])

    def test_the_packed_arrays_are_read_as_they_are(self, tmp_path):
        split = miniscapes(write_tiny_miniscapes(tmp_path / "data")).open("train", progress=False)
        (batch,) = scoring(split)
        np.testing.assert_array_equal(batch.targets["depth"], depth_of_code()[split.targets["depth"]])
        assert sorted(training(split, batch_size=3, crop_size=(32, 32), **FULL)[0].ids) == batch.ids == [0, 1, 2]


class TestRefusals:
    def test_a_batch_larger_than_the_split(self):
        with pytest.raises(UserError, match=r"schedule\.batch_size=8 is larger than the 7 training images"):
            training(batch_size=8)

    @pytest.mark.parametrize("size", [(49, 40), (32, 73)])
    def test_a_crop_larger_than_the_pictures(self, size):
        with pytest.raises(UserError, match=r"larger than the training images, which are 48 high and 72 wide"):
            training(crop_size=size)

    def test_a_crop_too_small_for_the_network(self):
        with pytest.raises(UserError, match="smaller than 32 pixels"):
            training(crop_size=(31, 40))

    def test_training_pictures_without_labels(self):
        with pytest.raises(UserError, match="the train images have no semseg and no depth labels to train on"):
            training(tiny_split(labels=False))

    def test_scored_pictures_that_are_too_small(self):
        with pytest.raises(UserError, match="smaller than 32 x 32"):
            scoring(tiny_split(height=31))
