"""A video of what is predicted of another one, or of a folder of its frames: side by side, with its sound."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mtl_seg_depth.data.files import DamagedFileError
from mtl_seg_depth.drawing.side_by_side import SideBySide
from mtl_seg_depth.inference.looking import Viewer
from mtl_seg_depth.inference.photos import Photo, read_focal, read_photo
from mtl_seg_depth.inference.video import Frame, VideoReader, VideoWriter, ending_for, library
from mtl_seg_depth.system import atomic
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.interruption import Interruption


class FolderReader:
    """Images as the frames of a video, at a steady rate; what `VideoReader` is of a file.

    One that cannot be read, or is of another size than the first, is left out and noted in `failed`.

    Args:
        photos: the images, in their order.
        rate: frames a second.
        failed: to add to what is wrong with an image.

    Raises:
        DamagedFileError: where none can be read.
    """

    sound = ()
    lost = ""

    def __init__(self, photos: Sequence[Photo], rate: Fraction, failed: list[DamagedFileError]) -> None:
        self.path, self.count = photos[0].path.parent, len(photos)
        self.rate, self.unit = rate, 1 / rate
        self._failed = failed
        self._frames = self._read(photos)
        self.focal: float | None = None
        try:
            self._first = next(self._frames)
        except StopIteration:
            raise DamagedFileError(self.path, "has no image that can be read") from None
        self.size = (self._first.rgb.shape[0], self._first.rgb.shape[1])

    def __iter__(self) -> Iterator[Frame]:
        """The frames, once."""
        yield self._first
        yield from self._frames

    def _read(self, photos: Sequence[Photo]) -> Iterator[Frame]:
        size: tuple[int, ...] | None = None
        time = 0
        for photo in photos:
            try:
                rgb = read_photo(photo.path)
                if size not in (None, rgb.shape):
                    own, first = (f"{each[1]} x {each[0]}" for each in (rgb.shape, size or ()))
                    raise DamagedFileError(photo.path, f"is {own} pixels, and the video {first}")
            except DamagedFileError as error:
                self._failed.append(error)
                continue
            if size is None:
                size, self.focal = rgb.shape, read_focal(photo.path)
            yield Frame(rgb, time, 1)
            time += 1


def sequences(photos: Sequence[Photo], output: Path) -> dict[Path, list[Photo]]:
    """Images by the video that they become: those of a folder are one, in the order of the numbers in their names.

    Raises UserError for two folders of one name.
    """
    folders: dict[Path, list[Photo]] = defaultdict(list)
    for photo in photos:
        folders[photo.path.parent].append(photo)
    found: dict[Path, list[Photo]] = {}
    for folder, frames in folders.items():
        below = frames[0].name.parent
        target = output / (below if below.name else folder.resolve().name or "frames")
        if target in found:
            raise UserError(f"several folders of frames are called {target.name}; predict them one by one")
        found[target] = sorted(frames, key=_by_number)
    return found


def _by_number(photo: Photo) -> list[tuple[int, str]]:
    """So that frame 10 comes after frame 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", photo.path.name)]


@dataclass(frozen=True)
class Clip:
    """A video that was written: where, how many frames it has, and whether it was stopped before its end."""

    path: Path
    frames: int
    stopped: bool


def predict_clip(reader: VideoReader | FolderReader, target: Path, viewer: Viewer, console: Console) -> Clip:
    """Predict every frame and write `<target>_video.mp4`: frame, overlay and depth side by side, at the same times.

    Asked to stop, it finishes the file with what there is.

    Raises UserError for a network whose answer is not finite, and where the file cannot be written; there is none then.
    """
    ratio = viewer.camera.ratio_of(reader.size, viewer.seen_size(reader.size), reader.focal)
    drawn = SideBySide(reader.size, viewer.tasks, ratio[1] if "depth" in viewer.tasks else "")
    path = target.with_name(f"{target.name}_video{ending_for(reader.sound)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = 0
    with (
        Interruption() as stop,
        _writing(path),
        atomic.replacing(path) as temporary,
        VideoWriter(temporary, drawn.size, reader.rate, reader.unit, reader.sound) as writer,
        _progress(console) as progress,
    ):
        shown = progress.add_task(target.name, total=reader.count)
        for each in reader:
            if stop.requested:
                break
            if not isinstance(each, Frame):
                writer.add_sound(each)
                continue
            found = viewer.see(each.rgb, reader.focal, drawn.panel)
            writer.add(Frame(drawn.draw(each.rgb, found.prediction), each.time, each.duration))
            frames += 1
            progress.update(shown, completed=frames)
        if not frames:
            raise KeyboardInterrupt
    return Clip(path, frames, stop.requested)


def _progress(console: Console) -> Progress:
    columns: list[Any] = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()]
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Whoever reads answers for what is wrong with the input: what comes here is of the output."""
    try:
        yield
    except library().FFmpegError as error:
        raise UserError(f"{path}: {error.strerror}") from error
