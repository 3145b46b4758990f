import math

import numpy as np
import pytest
import torch
from helpers.facts import IGNORE_INDEX
from torch.nn import functional as F

from mtl_seg_depth.data.augmentation import Augmentation, Views, crop, jitter, resample

PICTURE, SIZE = (48, 72), (32, 40)
FULL = {"flip": 0.5, "zoom": (0.8, 2.0), "tilt": 10, "brightness": 0.2, "contrast": 0.3, "saturation": 0.4}


def views(count=1, **fields):
    """Views of everything as it is, but for the fields given."""
    plain = {"top": 0.0, "left": 0.0, "flip": False, "zoom": 1.0, "tilt": 0.0, "brightness": 1.0, "contrast": 1.0}
    plain |= {"saturation": 1.0} | fields
    return Views.of(**{name: torch.as_tensor(value).expand(count) for name, value in plain.items()})


def pictures(count=3, height=PICTURE[0], width=PICTURE[1]):
    generator = np.random.default_rng(0)
    shape = (count, height, width)
    rgb = generator.integers(0, 256, (*shape, 3), np.uint8)
    return rgb, generator.integers(0, 19, shape, np.uint8), generator.integers(0, 256, shape, np.uint8)


def resampled(arrays, chosen, size=SIZE):
    """Images, ids and codes as `resample` shows them."""
    rgb, semseg, codes = tensors(arrays)
    outside = {"semseg": IGNORE_INDEX, "depth": 0}
    image, targets = resample(rgb, {"semseg": semseg, "depth": codes}, outside, chosen, size)
    return image, targets["semseg"], targets["depth"]


class TestPlan:
    def plan(self, count=500, seed=(0, 0), picture=PICTURE, size=SIZE, **augmentation):
        return Augmentation(**augmentation).plan(count, picture, size, seed)

    def test_views_are_a_pure_function_of_seed_and_epoch(self):
        one, two = self.plan(**FULL), self.plan(**FULL)
        for name, values in vars(one).items():
            assert torch.equal(values, getattr(two, name)), name
        for other in ((1, 0), (0, 1)):
            changed = self.plan(seed=other, **FULL)
            assert all(not torch.equal(values, getattr(changed, name)) for name, values in vars(one).items())

    def test_crops_lie_within_the_picture_and_reach_every_offset_about_equally_often(self):
        chosen = self.plan(count=4000)
        for offsets, free in ((chosen.top, 16), (chosen.left, 32)):
            assert torch.equal(offsets, offsets.floor())
            counts = torch.bincount(offsets.int())
            assert len(counts) == free + 1
            assert counts.min() > 0.6 * 4000 / (free + 1)
            assert counts.max() < 1.4 * 4000 / (free + 1)

    def test_a_crop_of_the_picture_s_size_is_the_picture(self):
        chosen = self.plan(picture=SIZE)
        assert not chosen.top.any()
        assert not chosen.left.any()

    @pytest.mark.parametrize("more", [{"flip": 1.0}, {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5}])
    def test_other_choices_do_not_change_the_crops(self, more):
        plain, changed = self.plan(), self.plan(**more)
        assert torch.equal(plain.top, changed.top)
        assert torch.equal(plain.left, changed.left)

    def test_off_by_default(self):
        chosen = self.plan()
        assert not Augmentation().resamples
        assert not Augmentation().changes_colour
        assert not chosen.flip.any()
        for factor in (chosen.zoom, chosen.brightness, chosen.contrast, chosen.saturation):
            assert (factor == 1).all()
        assert not chosen.tilt.any()

    @pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
    def test_flips_come_as_often_as_asked(self, probability):
        assert self.plan(flip=probability, count=4000).flip.double().mean() == pytest.approx(probability, abs=0.03)

    def test_zoom_is_even_on_a_log_scale_within_its_limits(self):
        zoom = self.plan(zoom=(0.9, 3.6), count=4000).zoom
        assert zoom.min() >= 0.9
        assert zoom.max() <= 3.6
        assert (zoom < 1.8).double().mean() == pytest.approx(0.5, abs=0.03)

    def test_zoomed_views_stay_within_the_picture(self):
        chosen = self.plan(zoom=(0.1, 3.0), count=4000)
        assert chosen.zoom.min() == pytest.approx(32 / 48)  # zooming out ends where the image does
        for offset, whole, part in ((chosen.top, 48, 32), (chosen.left, 72, 40)):
            assert offset.min() >= 0
            assert (offset + part / chosen.zoom).max() <= whole + 1e-9

    def test_tilt_and_colour_stay_within_their_limits_to_both_sides(self):
        chosen = self.plan(**FULL)
        assert chosen.tilt.abs().max() <= math.radians(10)
        assert chosen.tilt.min() < -math.radians(9)
        assert chosen.tilt.max() > math.radians(9)
        for factor, size in ((chosen.brightness, 0.2), (chosen.contrast, 0.3), (chosen.saturation, 0.4)):
            assert (factor - 1).abs().max() <= size + 1e-6
            assert (factor - 1).min() < -0.9 * size
            assert (factor - 1).max() > 0.9 * size

    @pytest.mark.parametrize(
        "arguments",
        [
            {"flip": 1.1},
            {"flip": -0.1},
            {"zoom": (0, 1)},
            {"zoom": (2, 1)},
            {"zoom": (1,)},
            {"tilt": 46},
            {"tilt": -1},
            {"brightness": 1.0},
            {"contrast": -0.1},
            {"saturation": math.nan},
        ],
    )
    def test_values_that_make_no_sense_are_refused(self, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            Augmentation(**arguments)


def tensors(arrays):
    return [torch.from_numpy(array) for array in arrays]


def cropped(arrays, rows, chosen):
    """One image's arrays after another, as `crop` cuts each by itself."""
    return [planes.squeeze(1) for planes in crop([array.unsqueeze(1) for array in tensors(arrays)], rows, chosen, SIZE)]


class TestCrop:
    def test_a_crop_is_the_slice(self):
        arrays = pictures()
        chosen = views(2, top=torch.tensor([3.0, 16.0]), left=torch.tensor([0.0, 32.0]))
        for array, found in zip(arrays, cropped(arrays, [2, 0], chosen), strict=True):
            np.testing.assert_array_equal(found[0], array[2, 3:35, 0:40])
            np.testing.assert_array_equal(found[1], array[0, 16:48, 32:72])

    def test_flip_mirrors_left_and_right_of_all_three(self):
        chosen = views(2, top=2.0, left=5.0, flip=torch.tensor([True, False]))
        arrays = pictures()
        for array, found in zip(arrays, cropped(arrays, [0, 1], chosen), strict=True):
            np.testing.assert_array_equal(found[0], array[0, 2:34, 5:45][:, ::-1])
            np.testing.assert_array_equal(found[1], array[1, 2:34, 5:45])

    @pytest.mark.parametrize("flip", [False, True])
    def test_planes_that_lie_together_are_cut_together(self, flip):
        semseg, codes = pictures()[1:]
        chosen = views(2, top=torch.tensor([3.0, 16.0]), left=torch.tensor([0.0, 32.0]), flip=flip)
        # A part of a larger tensor, so that it does not begin where its memory does.
        together = torch.stack(tensors([semseg, semseg, codes]), dim=1)[:, 1:]
        (found,) = crop([together], [2, 0], chosen, SIZE)
        for plane, alone in zip(found.unbind(1), cropped([semseg, codes], [2, 0], chosen), strict=True):
            assert torch.equal(plane, alone)

    @pytest.mark.parametrize(
        ("row", "top", "left"), [(3, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 17, 0), (0, 0, -1), (0, 0, 33)]
    )
    def test_a_view_beyond_its_picture_is_refused(self, row, top, left):
        arrays = pictures()  # 3 of 48 x 72
        with pytest.raises(IndexError, match=r"views of \(32, 40\) reach beyond 3 images of 48 x 72"):
            cropped(arrays, [0, row], views(2, top=float(top), left=float(left)))

    def test_it_is_a_copy(self):
        rgb = pictures()[0]
        before = rgb.copy()
        cropped([rgb], [0], views())[0].zero_()
        np.testing.assert_array_equal(rgb, before)


class TestResample:
    @pytest.mark.parametrize("flip", [False, True])
    def test_without_zoom_and_tilt_it_is_the_crop(self, flip):
        arrays = pictures()
        chosen = views(3, top=torch.tensor([0.0, 7.0, 16.0]), left=torch.tensor([32.0, 11.0, 0.0]), flip=flip)
        rgb, semseg, codes = resampled(arrays, chosen)
        slices = cropped(arrays, range(3), chosen)
        assert torch.equal(semseg, slices[1])
        assert torch.equal(codes, slices[2])
        torch.testing.assert_close(rgb, slices[0].float(), rtol=0, atol=1)

    def test_without_zoom_and_tilt_it_is_the_crop_of_a_large_picture_too(self):
        arrays = pictures(1, 1024, 2048)
        chosen = views(1, top=511.0, left=1535.0)
        rgb, semseg, codes = resampled(arrays, chosen, (512, 512))
        np.testing.assert_array_equal(semseg[0], arrays[1][0, 511:1023, 1535:2047])
        np.testing.assert_array_equal(codes[0], arrays[2][0, 511:1023, 1535:2047])
        np.testing.assert_allclose(rgb[0], arrays[0][0, 511:1023, 1535:2047], atol=1)

    @pytest.mark.parametrize("zoom", [2, 4])
    def test_a_whole_zoom_repeats_every_label(self, zoom):
        arrays = pictures(1)
        _, semseg, codes = resampled(arrays, views(1, top=5.0, left=9.0, zoom=float(zoom)))
        for found, array in ((semseg, arrays[1]), (codes, arrays[2])):
            part = array[0, 5 : 5 + 32 // zoom, 9 : 9 + 40 // zoom]
            np.testing.assert_array_equal(found[0], part.repeat(zoom, 0).repeat(zoom, 1))

    def test_zooming_out_by_two_averages_colours_and_picks_labels(self):
        arrays = pictures(1, 64, 80)
        rgb, semseg, _ = resampled(arrays, views(1, zoom=0.5))
        squares = arrays[0][0].reshape(32, 2, 40, 2, 3).astype(float).mean(axis=(1, 3))
        np.testing.assert_allclose(rgb[0], squares, atol=0.05)
        np.testing.assert_array_equal(semseg[0], arrays[1][0, 1::2, 1::2])

    @pytest.mark.parametrize("tilt", [0.0, 0.2, -0.7])
    @pytest.mark.parametrize("zoom", [0.7, 1.0, 1.3, 2.9])
    def test_nothing_bleeds_across_an_edge(self, zoom, tilt):
        rgb, semseg, codes = pictures(1)
        semseg, codes = np.where(semseg < 9, 3, 17).astype(np.uint8), np.where(codes < 128, 10, 250).astype(np.uint8)
        chosen = views(1, top=1.7, left=3.3, zoom=zoom, tilt=tilt)
        _, labels, depths = resampled((rgb, semseg, codes), chosen)
        assert set(labels.unique().tolist()) <= {3, 17, 255}
        assert set(depths.unique().tolist()) <= {0, 10, 250}
        assert torch.equal(labels == 255, depths == 0)

    def test_labels_stay_on_the_pixels_they_belong_to(self):
        generator = np.random.default_rng(3)
        semseg = generator.integers(0, 19, (1, 6, 9), np.uint8).repeat(8, 1).repeat(8, 2)
        rgb = np.repeat((semseg * 10)[..., None], 3, axis=-1)
        for chosen in (
            views(1, top=2.5, left=3.1, zoom=1.7, tilt=0.15),
            views(1, top=6.0, left=20.0, flip=True, zoom=2.3),
        ):
            smooth, labels, codes = resampled((rgb, semseg, semseg + 1), chosen)
            inside = labels != 255
            assert torch.equal((labels + 1)[inside], codes[inside])
            # Colours mix within a source pixel of an edge: up to 3 pixels here.
            around = F.max_pool2d(torch.stack([labels, -labels.int()], dim=1).float(), 7, stride=1, padding=3)
            flat = inside & (around[:, 0] == -around[:, 1])
            assert flat.double().mean() > 0.2
            torch.testing.assert_close(smooth[..., 0][flat], 10.0 * labels[flat], rtol=0, atol=0.05)

    def test_what_lies_beyond_the_border_is_ignored_and_has_no_depth(self):
        rgb, semseg, codes = pictures(1)
        codes = np.maximum(codes, 1)
        angle = math.radians(40)
        smooth, labels, depths = resampled((rgb, semseg, codes), views(1, tilt=angle), PICTURE)
        # The output turned back by 40 degrees, by hand.
        down, across = np.mgrid[:48, :72]
        down, across = down + 0.5 - 24, across + 0.5 - 36
        x = 36 + math.cos(angle) * across - math.sin(angle) * down
        y = 24 + math.sin(angle) * across + math.cos(angle) * down
        outside = (x < 0) | (x >= 72) | (y < 0) | (y >= 48)
        assert 0.2 < outside.mean() < 0.6
        np.testing.assert_array_equal(labels[0] == 255, outside)
        np.testing.assert_array_equal(depths[0] == 0, outside)
        assert smooth.min() >= 0
        assert smooth.max() <= 255
        rows, columns = y.astype(int)[~outside], x.astype(int)[~outside]
        np.testing.assert_array_equal(labels[0].numpy()[~outside], semseg[0, rows, columns])

    def test_tilt_turns_about_the_centre_of_the_view(self):
        rgb, semseg, codes = pictures(1, 41, 41)
        _, upright, _ = resampled((rgb, semseg, codes), views(1), (41, 41))
        _, turned, _ = resampled((rgb, semseg, codes), views(1, tilt=math.pi / 2), (41, 41))
        assert torch.equal(turned[0], torch.rot90(upright[0]))


class TestJitter:
    def rgb(self):
        return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def test_factors_of_one_change_nothing(self):
        torch.testing.assert_close(jitter(self.rgb(), views(2)), self.rgb(), rtol=0, atol=0)

    @pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
    @pytest.mark.parametrize("factor", [0.01, 0.5, 1.99])
    def test_the_range_stays(self, name, factor):
        changed = jitter(self.rgb(), views(2, **{name: factor}))
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert not torch.equal(changed, self.rgb())

    def test_by_hand(self):
        rgb = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1)
        luma = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6
        for chosen, expected in (
            (views(brightness=1.5), [0.3, 0.6, 0.9]),
            (views(brightness=2.0), [0.4, 0.8, 1.0]),
            (views(contrast=0.5), [(value + luma) / 2 for value in (0.2, 0.4, 0.6)]),
            (views(saturation=0.0), [luma] * 3),
        ):
            torch.testing.assert_close(jitter(rgb, chosen).flatten(), torch.tensor(expected))

    def test_contrast_moves_away_from_the_picture_s_mean_luma(self):
        grey = torch.tensor([0.3, 0.5]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
        changed = jitter(grey, views(contrast=1.5))
        torch.testing.assert_close(changed[0, 0, 0], torch.tensor([0.25, 0.55]))

    def test_every_picture_has_factors_of_its_own(self):
        changed = jitter(self.rgb(), views(2, brightness=torch.tensor([0.5, 1.0])))
        torch.testing.assert_close(changed[0], self.rgb()[0] / 2)
        torch.testing.assert_close(changed[1], self.rgb()[1])
