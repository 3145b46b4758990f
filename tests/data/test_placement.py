"""The same batches bit for bit, wherever the pixels wait."""

import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.facts import tasks
from helpers.tiny_split import tiny_split

from mtl_seg_depth.data import placement
from mtl_seg_depth.data.augmentation import Augmentation
from mtl_seg_depth.data.batches import Ahead, Batch, ScoringBatches, TrainingBatches
from mtl_seg_depth.data.packed import PackedSplit
from mtl_seg_depth.data.placement import DevicePixels, HostPixels, Pixels, Place, place

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
VIEWS: dict[str, dict[str, Any]] = {
    "crop": {},
    "flip": {"flip": 0.5},
    "zoom": {"zoom": (0.9, 2.0), "tilt": 5},
    "full": {"flip": 0.5, "zoom": (0.9, 2.0), "tilt": 5, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
}


GIVEN: dict[str, Any] = {"batch_size": 2, "crop_size": (32, 40), "tasks": tasks(), "seed": 0, "device": CPU}


def training(where: Place, device: torch.device = CPU, **augmentation: Any) -> TrainingBatches:
    return TrainingBatches(tiny_split(), Augmentation(**augmentation), **GIVEN | {"device": device}, place=where)


def assert_identical(one: Batch, other: Batch) -> None:
    assert one.ids == other.ids
    assert one.targets.keys() == other.targets.keys()
    for first, second in zip(one.tensors, other.tensors, strict=True):
        assert first.stride() == second.stride()
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kept", [0, placement.KEPT_BYTES])
@pytest.mark.parametrize("views", VIEWS)
def test_training_batches_are_the_same_from_the_device_and_from_the_host(
    views: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "KEPT_BYTES", kept)
    host, device = training("host", **VIEWS[views]), training("device", **VIEWS[views])
    assert isinstance(host.pixels, HostPixels)
    assert isinstance(device.pixels, DevicePixels)
    for step in (0, 1, 2, 3, 8, 4):
        assert_identical(host[step], device[step])


@pytest.mark.parametrize("labels", [True, False])
def test_scoring_batches_are_the_same_from_the_device_and_from_the_host(labels: bool) -> None:
    split = tiny_split(labels=labels)
    host, device = (
        ScoringBatches(split, batch_size=3, tasks=tasks(), device=CPU, place=where) for where in ("host", "device")
    )
    assert isinstance(host.pixels, HostPixels)
    assert isinstance(device.pixels, DevicePixels)
    for one, other in zip(host, device, strict=True):
        assert_identical(one, other)
    assert_identical(host.rows([5, 0, 2]), device.rows([5, 0, 2]))


@pytest.mark.parametrize(("kept", "checked"), [(0, [[1], [1]]), (placement.KEPT_BYTES, [[0, 1, 2]])])
def test_a_small_split_is_checked_and_read_once(
    kept: int, checked: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "KEPT_BYTES", kept)
    array, asked = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(3, 32, 32), []
    pixels = HostPixels((array,), CPU, lambda rows: asked.append(list(rows)))
    for _ in range(2):
        np.testing.assert_array_equal(pixels.whole([1], (32, 32))[0][0], array[1])
    assert asked == checked
    assert np.shares_memory(pixels.arrays[0], array) == (kept == 0)


def test_pixels_are_uploaded_piece_by_piece_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "UPLOAD_BYTES", 2 * 48 * 72 * 3)
    split = tiny_split()
    deep = np.random.default_rng(1).integers(0, 2**16, (7, 48, 72), np.uint16)
    arrays = (split.images, split.targets["semseg"], deep)
    for array, found in zip(arrays, DevicePixels(arrays, CPU).arrays, strict=True):
        np.testing.assert_array_equal(found.numpy().view(array.dtype), array)
        assert not np.shares_memory(found.numpy(), array)


class TestWhere:
    def test_on_a_cpu_pixels_stay_mapped(self) -> None:
        assert isinstance(place((tiny_split().images,), CPU), HostPixels)

    @pytest.mark.parametrize(("free", "expected"), [(2.01, DevicePixels), (1.99, HostPixels)])
    def test_on_a_gpu_they_go_into_its_memory_if_they_take_at_most_half_of_what_is_free(
        self, free: float, expected: type, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        split = tiny_split()
        arrays = (split.images, split.targets["semseg"])
        devices = []

        class OnCpu(DevicePixels):
            """In place of a GPU."""

            def __init__(self, arrays: Any, device: torch.device, check: Any) -> None:
                devices.append(device)
                super().__init__(arrays, CPU, check)

        monkeypatch.setattr(placement, "DevicePixels", OnCpu)
        total = split.images.nbytes + split.targets["semseg"].nbytes
        found = place(arrays, CUDA, free=int(free * total))
        assert isinstance(found, expected)
        assert found.device == CUDA or devices == [CUDA]

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
            torch.AcceleratorError("CUDA error: out of memory"),
        ],
    )
    def test_if_others_take_the_memory_meanwhile_they_stay_on_the_host(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(placement, "_upload", raising(error))
        assert isinstance(place((tiny_split().images,), CUDA, free=1 << 40), HostPixels)

    def test_any_other_error_of_the_device_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(placement, "_upload", raising(torch.AcceleratorError("CUDA error: illegal memory access")))
        with pytest.raises(torch.AcceleratorError, match="illegal"):
            place((tiny_split().images,), CUDA, free=1 << 40)


def raising(error: Exception) -> Callable[..., Any]:
    def function(*_: Any) -> None:
        raise error

    return function


class TestKept:
    """What lies on a device stays there for the next trial of the process."""

    @pytest.fixture(autouse=True)
    def uploads(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
        """The bytes of every upload, to the CPU in place of a GPU."""
        sent: list[int] = []
        original = placement._upload

        def upload(array: Any, _: torch.device) -> torch.Tensor:
            sent.append(array.nbytes)
            return original(array, CPU)

        monkeypatch.setattr(placement, "_upload", upload)
        placement.forget_all_but(())
        yield sent
        placement.forget_all_but(())

    def ask(self, split: PackedSplit, *names: str, device: torch.device = CUDA, free: int = 1 << 40) -> Pixels:
        arrays = (split.images, *(split.targets[name] for name in names))
        return place(arrays, device, free=free, identity=(split.content_digest, *names))

    def test_the_same_split_is_sent_once_even_to_a_device_that_is_full_by_now(self, uploads: list[int]) -> None:
        split = replace(tiny_split(), content_digest="a")
        first = self.ask(split, "semseg", "depth")
        assert self.ask(split, "semseg", "depth", free=0) is first
        assert len(uploads) == 3

    def test_other_data_another_device_and_other_tasks_are_sent_anew(self, uploads: list[int]) -> None:
        split, other = (replace(tiny_split(seed=seed), content_digest=f"{seed}") for seed in (0, 1))
        asked = [
            self.ask(split, "semseg"),
            self.ask(other, "semseg"),
            self.ask(split, "semseg", device=torch.device("cuda:1")),
            self.ask(split, "depth"),
        ]
        assert len({id(pixels) for pixels in asked}) == 4
        assert asked[1] is self.ask(other, "semseg")
        for pixels, expected in zip(asked, (split, other, split, split), strict=True):
            np.testing.assert_array_equal(pixels.whole([1], (48, 72))[0][0], expected.images[1])

    def test_of_one_split_there_is_no_second_copy(self) -> None:
        split = replace(tiny_split(), content_digest="a")
        first = weakref.ref(self.ask(split, "semseg", "depth"))
        self.ask(split, "semseg")
        assert first() is None

    def test_a_run_on_other_data_lets_go_of_it(self) -> None:
        splits = [replace(tiny_split(seed=seed), content_digest=f"{seed}") for seed in (0, 1)]
        first, second = (weakref.ref(self.ask(split, "semseg")) for split in splits)
        placement.forget_all_but(["1", "2"])
        assert first() is None
        assert second() is self.ask(splits[1], "semseg")

    def test_arrays_that_nothing_identifies_are_nobody_elses(self) -> None:
        one, other = (
            TrainingBatches(tiny_split(seed=seed), Augmentation(), **GIVEN, place="device") for seed in (0, 1)
        )
        assert one.pixels is not other.pixels

    def test_trials_on_the_same_data_share_it(self) -> None:
        split = replace(tiny_split(), content_digest="a")
        one, other = (TrainingBatches(split, Augmentation(), **GIVEN, place="device") for _ in range(2))
        scored = ScoringBatches(split, batch_size=2, tasks=tasks(), device=CPU, place="device")
        assert one.pixels is other.pixels is scored.pixels
        assert_identical(one[1], training("device")[1])


class TestAhead:
    def test_the_next_batch_is_begun_before_it_is_asked_for(self) -> None:
        made, begun = [], threading.Event()

        def make(step: int) -> Any:
            made.append(step)
            if step == 6:
                begun.set()
            return step

        ahead = Ahead(make, CPU)
        assert ahead[5] == 5
        assert begun.wait(timeout=60)
        assert [ahead[step] for step in (6, 7, 2, 3)] == [6, 7, 2, 3]
        assert made[:6] == [5, 6, 7, 8, 2, 3]

    def test_batches_are_the_same_as_without(self) -> None:
        plain, other = (training("host", **VIEWS["full"]) for _ in range(2))
        ahead = Ahead(other.make, CPU)
        for step in (0, 1, 2, 7, 8):
            assert_identical(plain[step], ahead[step])

    def test_what_goes_wrong_in_the_thread_is_raised_where_the_batch_is_asked_for(self) -> None:
        def make(step: int) -> Any:
            raise OSError(f"no batch {step}")

        with pytest.raises(OSError, match="no batch 3"):
            Ahead(make, CPU)[3]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnCuda:
    @pytest.mark.parametrize("views", VIEWS)
    def test_batches_are_the_same_from_its_memory_and_from_the_host(self, views: str) -> None:
        host, device = (training(where, CUDA, **VIEWS[views]) for where in ("host", "device"))
        for step in (0, 1, 2, 3, 8, 4):
            assert_identical(host[step], device[step])

    def test_crops_are_those_of_a_cpu(self) -> None:
        for step in range(4):
            one, other = training("device", CUDA, flip=0.5)[step], training("host", flip=0.5)[step]
            assert one.targets["semseg"].cpu().equal(other.targets["semseg"])
            torch.testing.assert_close(
                one.targets["depth"].cpu(), other.targets["depth"], rtol=0, atol=0, equal_nan=True
            )
            torch.testing.assert_close(one.image.cpu(), other.image, rtol=1e-6, atol=0)

    @pytest.mark.parametrize("views", VIEWS)
    def test_within_an_epoch_the_host_never_waits(self, views: str) -> None:
        batches = training("device", CUDA, **VIEWS[views])
        batches[0]
        torch.cuda.set_sync_debug_mode("error")
        try:
            batches[1], batches[2]
        finally:
            torch.cuda.set_sync_debug_mode("default")
