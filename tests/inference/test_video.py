"""Videos that PyAV wrote, predicted and read back with PyAV: times, sound, colours, damage, interruption."""

import io
import os
import resource
import signal
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.colours import viewer
from helpers.photographs import save
from helpers.trained_runs import quiet

from mtl_seg_depth.data.files import DamagedFileError
from mtl_seg_depth.inference import video
from mtl_seg_depth.inference.camera import Camera
from mtl_seg_depth.inference.clips import FolderReader, predict_clip, sequences
from mtl_seg_depth.inference.looking import Viewer
from mtl_seg_depth.inference.photos import find_photos
from mtl_seg_depth.inference.video import Frame, VideoReader, VideoWriter
from mtl_seg_depth.system.errors import UserError

av = pytest.importorskip("av")

HEIGHT, WIDTH = 48, 64
UNIT = Fraction(1, 90_000)
UNEVEN = [0, 3003, 9009, 12_012, 30_030, 33_033]
"""Times of frames, in 1/90000 s."""
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 220), (20, 100, 200), (90, 90, 90)]


def write_video(
    path: Path, times: Sequence[int] = UNEVEN, sound: str | None = "aac", rotation: int = 0, **options: Any
) -> Path:
    """Frames of one colour each, the left half darker, and a rising tone."""
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = UNIT
        if rotation:
            stream.set_display_rotation(rotation)
        tone = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for index, time in enumerate(times):
            rgb = np.full((HEIGHT, WIDTH, 3), COLOURS[index % len(COLOURS)], np.uint8)
            rgb[:, : WIDTH // 2] //= 2
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = time, UNIT
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            wave = np.sin(np.arange(1024 * 16) ** 1.3 / 50)
            for index, part in enumerate(wave.reshape(16, 1, 1024)):
                samples = (part * 3e4).astype(np.int16) if "pcm" in str(sound) else part.astype(np.float32)
                heard = av.AudioFrame.from_ndarray(samples, "s16" if "pcm" in str(sound) else "fltp", "mono")
                heard.sample_rate, heard.pts = 48_000, 1024 * index
                container.mux(tone.encode(heard))
            container.mux(tone.encode(None))
    return path


def frames_of(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """The time in seconds and the pixels of every frame."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """The time in seconds and the bytes of every packet of sound."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]


def predicted(path: Path, seeing: Viewer | None = None) -> Path:
    with VideoReader(path) as reader:
        return predict_clip(reader, path.parent / "out" / path.stem, seeing or viewer(), quiet()).path


def test_every_frame_keeps_its_time_and_stands_beside_its_labels_and_depth(tmp_path: Path) -> None:
    source = write_video(tmp_path / "drive.mp4")
    target = predicted(source)
    assert target == tmp_path / "out" / "drive_video.mp4"
    assert [path.name for path in target.parent.iterdir()] == ["drive_video.mp4"]
    frames = frames_of(target)
    assert [time for time, _ in frames] == [time * UNIT for time in UNEVEN]
    palette, seeing = viewer().tasks["semseg"].palette, viewer()  # type: ignore[attr-defined]
    for (_, before), (_, after) in zip(frames_of(source), frames, strict=True):
        assert after.shape[0] % 2 == after.shape[1] % 2 == 0
        found = seeing.see(before).prediction
        painted = seeing.tasks["depth"].paint(found["depth"])
        labelled = 0.5 * before + 0.5 * palette[found["semseg"]]
        for column, expected in enumerate((before, labelled, painted)):
            panel = after[:HEIGHT, column * WIDTH : (column + 1) * WIDTH]
            inside = (slice(8, -8), slice(40, -8))  # where there is one colour
            np.testing.assert_allclose(panel[inside].mean((0, 1)), expected[inside].mean((0, 1)), atol=6)
    legends = [after[HEIGHT + 4 :].astype(int) for _, after in frames]
    assert max(np.abs(legend - legends[0]).mean() for legend in legends) < 2, "colours mean the same throughout"


@pytest.mark.parametrize(
    ("name", "sound", "ending"), [("a.mp4", "aac", ".mp4"), ("b.ts", "aac", ".mp4"), ("c.avi", "pcm_u8", ".mkv")]
)
def test_sound_is_copied_as_it_is_and_stays_with_the_picture(
    tmp_path: Path, name: str, sound: str, ending: str
) -> None:
    source = write_video(tmp_path / name, range(0, 18_018, 3003), sound)
    target = predicted(source)
    assert target.suffix == ending
    before, after = sound_of(source), sound_of(target)
    assert len(before) > 10
    skipped = 7 if name == "b.ts" else 0  # the header of every packet of AAC in a stream (ADTS), which an mp4 has once
    assert [bytes_[skipped:] for _, bytes_ in before] == [bytes_ for _, bytes_ in after]
    apart = [sounds[0][0] - frames_of(path)[0][0] for path, sounds in ((source, before), (target, after))]
    assert abs(apart[0] - apart[1]) < Fraction(1, 1000)


def test_without_sound_and_turned_it_is_upright(tmp_path: Path) -> None:
    source = write_video(tmp_path / "phone.mp4", UNEVEN[:2], None, rotation=-90)  # filmed upright
    with VideoReader(source) as reader:
        assert (reader.size, reader.count, reader.sound) == ((WIDTH, HEIGHT), 2, ())
        first = next(frame for frame in reader if isinstance(frame, Frame)).rgb
    assert first[:20].mean() < first[-20:].mean() - 20, "what was at the left is on top"
    _, frame = frames_of(predicted(source))[0]
    assert frame[: WIDTH // 2 - 4, :HEIGHT].mean() < frame[WIDTH // 2 + 4 : WIDTH, :HEIGHT].mean() - 20


class Counted(io.FileIO):
    taken = 0

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        found = super().read(size)
        self.taken += len(found)
        return found


def test_a_long_video_is_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some frames little of one file is read, and after more of them some of the other one is written."""
    source, copy, noise = tmp_path / "long.mp4", tmp_path / "copy.mp4", np.random.default_rng(0)
    monkeypatch.setattr(video, "QUALITY", "0")  # larger than what FFmpeg writes at once
    with VideoWriter(source, (HEIGHT, WIDTH), Fraction(25), Fraction(1, 25)) as writer:
        for time in range(160):
            writer.add(Frame(noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), time, 1))
    file, opening = Counted(source), av.open
    with monkeypatch.context() as patch:
        patch.setattr(av, "open", lambda path, options: opening(file))
        reader = VideoReader(source)
    whole = source.stat().st_size
    with reader, VideoWriter(copy, (HEIGHT, WIDTH), Fraction(25), Fraction(1, 25)) as writer:
        for index, frame in enumerate(reader):
            assert isinstance(frame, Frame)
            writer.add(frame)
            if index == 20:
                assert file.taken < 0.6 * whole
            if index == 150:
                assert copy.stat().st_size > 0.1 * whole
    assert len(frames_of(copy)) == 160


def test_what_is_no_video_or_has_no_picture_is_named(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    files = {"text.mp4": b"no video at all", "cut.mp4": whole[:-200], "empty.mkv": b""}
    files["list.mp4"] = b"ffconcat version 1.0\nfile whole.mp4\n"  # FFmpeg would open what it names
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DamagedFileError, match=rf"{name}: is no video that can be read"):
            VideoReader(tmp_path / name)
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        tone = container.add_stream("aac", rate=48_000, layout="mono")
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        heard.sample_rate = 48_000
        container.mux([*tone.encode(heard), *tone.encode(None)])
    with pytest.raises(DamagedFileError, match=r"song\.mp4: has no video in it"):
        VideoReader(tmp_path / "song.mp4")


def test_a_video_that_ends_early_or_is_damaged_inside_is_predicted_as_far_as_it_goes_and_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "whole.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    middle = len(content) // 2
    (tmp_path / "holed.mp4").write_bytes(content[:middle] + bytes(2000) + content[middle + 2000 :])
    for name, message in (
        ("cut", "ends after [0-9]+ of its 30 frames; what"),
        ("holed", "is damaged in [0-9]+ places"),
    ):
        with VideoReader(tmp_path / f"{name}.mp4") as reader:
            target = predict_clip(reader, tmp_path / "out" / name, viewer(), quiet())
            with pytest.raises(DamagedFileError, match=message):
                raise DamagedFileError(reader.path, reader.lost)
        assert 10 < len(frames_of(target.path)) == target.frames < 31


def interrupted(after: int, times: int = 1) -> Viewer:
    """A viewer in whose `after`th look Ctrl-C is pressed."""
    seeing, looks = viewer(), iter(range(10_000))

    def look(image: Any, size: Any = None) -> Any:
        if next(looks) + 1 == after:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return seeing.look(image, size)

    return Viewer(seeing.trained, look, seeing.camera, None, seeing.tile, seeing.device)


def test_what_was_written_until_ctrl_c_can_be_played(tmp_path: Path) -> None:
    source = write_video(tmp_path / "drive.mp4")
    with VideoReader(source) as reader:
        clip = predict_clip(reader, tmp_path / "out" / "drive", interrupted(after=3), quiet())
    assert (clip.stopped, clip.frames) == (True, 3)
    assert [time for time, _ in frames_of(clip.path)] == [time * UNIT for time in UNEVEN[:3]]
    with pytest.raises(KeyboardInterrupt), VideoReader(source) as reader:
        predict_clip(reader, tmp_path / "twice" / "drive", interrupted(after=3, times=2), quiet())
    assert list((tmp_path / "twice").iterdir()) == [], "nothing half done is left"


def test_a_network_without_an_answer_and_a_full_disk_leave_no_file(tmp_path: Path) -> None:
    source, seeing = write_video(tmp_path / "drive.mp4"), viewer()
    nan = Viewer(
        seeing.trained,
        lambda image, size=None: {name: each * float("nan") for name, each in seeing.look(image, size).items()},
        *(seeing.camera, None, seeing.tile, seeing.device),
    )
    with pytest.raises(UserError, match="is not finite"):
        predicted(source, nan)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, most[1]))
    try:
        with pytest.raises(UserError, match=r"drive_video\.mp4: File too large"):
            predicted(source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert list((tmp_path / "out").iterdir()) == []


def write_frames(folder: Path, names: Iterable[str]) -> Path:
    for index, name in enumerate(names):
        save(folder / name, np.full((HEIGHT, WIDTH, 3), COLOURS[index % len(COLOURS)], np.uint8))
    return folder


def test_a_folder_of_frames_is_a_video_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = write_frames(tmp_path / "frames", (f"frame{number}.png" for number in (1, 2, 10)))
    write_frames(frames / "night", ["0.png"])
    (frames / "frame3.png").write_bytes(b"broken")
    save(frames / "frame4.png", np.zeros((9, 9, 3), np.uint8))
    found = sequences(find_photos(str(frames), tmp_path / "out")[0], tmp_path / "out")
    assert [target.name for target in found] == ["frames", "night"]
    failed: list[DamagedFileError] = []
    reader = FolderReader(found[tmp_path / "out" / "frames"], Fraction(10), failed)
    written = frames_of(predict_clip(reader, tmp_path / "out" / "frames", viewer(), quiet()).path)
    assert [time for time, _ in written] == [Fraction(index, 10) for index in range(3)]
    for (_, frame), colour in zip(written, COLOURS, strict=False):
        np.testing.assert_allclose(frame[8:40, 8:56].mean((0, 1)), colour, atol=5)
    assert [error.path.name for error in failed] == ["frame3.png", "frame4.png"]
    assert "is 9 x 9 pixels, and the video 64 x 48" in failed[1].reason


def test_metres_of_a_video_follow_its_focal_length() -> None:
    rgb = np.full((HEIGHT, WIDTH, 3), 51, np.uint8)
    plain, twice = (
        Viewer(viewer().trained, viewer().look, Camera((40, 72), 0.75, focal), None, 10_000, viewer().device)
        for focal in (54.0, 108.0)
    )
    near, far = (each.see(rgb, None, (24, 32)).prediction["depth"] for each in (plain, twice))
    assert near.shape == (24, 32)
    np.testing.assert_allclose(far, 2 * near, rtol=1e-5)
