import io

import numpy as np
import pytest
import torch
from helpers.facts import tasks
from helpers.tiny_split import tiny_split
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from mtl_seg_depth.data.augmentation import PERFECT_CAMERA, Augmentation, Views
from mtl_seg_depth.data.batches import Batch, TrainingBatches
from mtl_seg_depth.data.camera_effects import GAMMA, blurred, compressed, photographed

CAMERA = {"exposure": 1.0, "white_balance": 0.2, "blur": 1.0, "noise": 0.05, "jpeg": 40.0}


def taken(rgb: Tensor, largest_blur: float = 0.0, seed: int = 0, **camera: float) -> Tensor:
    """Images as one camera takes all of them; one that is not told otherwise is perfect."""
    still = dict.fromkeys(("top", "left", "flip", "tilt"), torch.zeros(len(rgb)))
    factors = dict.fromkeys(("zoom", "brightness", "contrast", "saturation"), torch.ones(len(rgb)))
    what = {name: torch.full((len(rgb),), value) for name, value in (PERFECT_CAMERA | camera).items()}
    views = Views.of(**still, **factors, **what)
    return photographed(rgb, views, largest_blur, torch.randn(rgb.shape, generator=torch.Generator().manual_seed(seed)))


def photograph() -> Tensor:
    """A part of a real one, [1, 3, 68, 100] in 0..1, whose sides 8 does not divide."""
    pixels = load_sample_images().images[0][100:168, 200:300]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def batch(step: int = 0, **augmentation: float) -> Batch:
    split = tiny_split()
    batches = TrainingBatches(
        split,
        Augmentation(**augmentation),
        batch_size=2,
        crop_size=(32, 40),
        tasks=tasks(),
        seed=0,
        device=torch.device("cpu"),
    )
    return batches[step]


def test_a_perfect_camera_changes_nothing() -> None:
    torch.testing.assert_close(taken(photograph()), photograph(), rtol=0, atol=1e-5)


def test_by_hand_a_stop_doubles_the_light_and_gains_are_of_red_and_blue() -> None:
    grey = torch.full((1, 3, 8, 8), 0.5)
    light = 0.5**GAMMA
    colours = taken(grey, exposure=1.0, red=1.2, blue=0.8)[0, :, 0, 0]
    expected = [(light * 2 * gain) ** (1 / GAMMA) for gain in (1.2, 1.0, 0.8)]
    assert colours.tolist() == pytest.approx(expected, abs=1e-5)
    assert taken(grey, exposure=8.0).max() == 1


def test_noise_grows_with_the_root_of_the_light_and_hangs_on_the_generator_alone() -> None:
    for grey in (0.3, 0.6):
        flat = torch.full((1, 3, 128, 128), grey)
        noisy = taken(flat, noise=0.02)
        assert noisy.pow(GAMMA).std().item() == pytest.approx(0.02 * (grey**GAMMA) ** 0.5, rel=0.03)
        assert noisy.pow(GAMMA).mean().item() == pytest.approx(grey**GAMMA, rel=0.01)
    assert taken(flat, noise=0.02).equal(noisy)
    assert not taken(flat, noise=0.02, seed=1).equal(noisy)


def test_each_image_is_blurred_by_its_own_gaussian() -> None:
    images = photograph().repeat(2, 1, 1, 1)
    ours = blurred(images, torch.tensor([0.0, 1.2]), largest=2.0)
    theirs = gaussian_blur(images, [13, 13], [1.2, 1.2])
    torch.testing.assert_close(ours[0], images[0])
    inside = (..., slice(6, -6), slice(6, -6))  # beyond it, borders are continued in another way
    torch.testing.assert_close(ours[1][inside], theirs[1][inside], rtol=0, atol=1e-5)


@pytest.mark.parametrize("quality", [30, 50, 75, 90])
def test_compression_rounds_as_a_jpeg_file_does(quality: int) -> None:
    original = photograph()
    file = io.BytesIO()
    pixels = (original[0].permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    theirs = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float() / 255
    ours = compressed(original, torch.tensor([float(quality)]))
    lost, own, apart = (
        (one - other).square().mean().sqrt().item()
        for one, other in ((theirs, original), (ours, original), (ours, theirs))
    )
    assert own == pytest.approx(lost, rel=0.05)
    assert apart < 0.4 * lost, "a file holds whole numbers, which round some coefficients to the other side"


def test_worse_quality_loses_more() -> None:
    original = photograph()
    lost = [(taken(original, quality=quality) - original).square().mean().item() for quality in (10, 40, 80, 99, 100)]
    assert lost == sorted(lost, reverse=True)
    assert len(set(lost)) == 5


def test_a_batch_is_a_function_of_seed_and_step_and_targets_stay() -> None:
    one, again, plain = batch(3, **CAMERA), batch(3, **CAMERA), batch(3)
    assert one.image.equal(again.image)
    assert one.image.is_contiguous(memory_format=torch.channels_last)
    assert not one.image.equal(plain.image)
    assert one.image.min() >= 0 and one.image.max() <= 1
    for name, target in plain.targets.items():
        torch.testing.assert_close(one.targets[name], target, rtol=0, atol=0, equal_nan=True)
    assert not batch(4, **CAMERA).image.equal(one.image)


def test_cameras_differ_within_the_ranges_that_are_given() -> None:
    views = Augmentation(**CAMERA).plan(500, (48, 72), (32, 40), (0, 0))
    ranges = {"exposure": (-1, 1), "red": (0.8, 1.2), "blue": (0.8, 1.2), "blur": (0, 1), "noise": (0, 0.05)}
    for name, (low, high) in (ranges | {"quality": (40, 100)}).items():
        values = getattr(views, name)
        assert low <= values.min() < low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) < values.max() <= high, name
    assert not Augmentation().is_camera
    assert all(Augmentation(**{name: value}).is_camera for name, value in CAMERA.items())


@pytest.mark.parametrize(
    ("name", "value"), [("exposure", 9), ("white_balance", 1), ("blur", -1), ("noise", 1), ("jpeg", 0), ("jpeg", 101)]
)
def test_what_no_camera_does_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}.*not {value}"):
        Augmentation(**{name: value})
