"""Labels and depths of people's own images and videos, of any size and without any truth to compare with.

What is written of an image stands in products.py, of a video in clips.py.
"""

import errno
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from pydantic import Field, PositiveFloat
from rich.console import Console
from rich.progress import track

from mtl_seg_depth.data.files import DamagedFileError
from mtl_seg_depth.inference.clips import FolderReader, predict_clip, sequences
from mtl_seg_depth.inference.looking import SMALLER, LookingSettings, Viewer, load_viewer
from mtl_seg_depth.inference.photos import Photo, find_photos, read_focal, read_photo
from mtl_seg_depth.inference.products import (
    DEFAULT,
    TASK_OF,
    DepthFormat,
    Product,
    product_path,
    refuse_overwriting,
    write_products,
)
from mtl_seg_depth.inference.video import VideoReader
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.system.memory import is_shortage


class PredictionSettings(LookingSettings):
    """What `predict.py` composes.

    A `write` of None is `DEFAULT` of images and a video of videos; `fps` are the frames a second of a video that is
    made of images.
    """

    input: str | list[str] | None
    output: str
    depth: DepthFormat
    write: tuple[Product, ...] | None = Field(min_length=1)
    fps: PositiveFloat


@dataclass
class Summary:
    """What came of a prediction.

    Attributes:
        run, fingerprint, scores: the network's, and how good it is on its validation split.
        done: how many images there are predictions of.
        frames: how many frames of videos.
        seconds: that one of either took, on average, all included.
        first: a file to look at; None if none was written.
        failed: what is wrong with the others.
        beyond: the images with depths beyond what the 16-bit file holds.
        left_out: the files in the folders that are not read, by the ending of their names.
    """

    run: str
    fingerprint: str
    scores: dict[str, float]
    left_out: Counter[str]
    done: int = 0
    frames: int = 0
    seconds: float = 0.0
    first: Path | None = None
    failed: list[DamagedFileError] = field(default_factory=list)
    beyond: int = 0

    @property
    def what(self) -> str:
        """What was predicted, in words."""
        parts = [f"{self.done} image{'' if self.done == 1 else 's'}"] if self.done or not self.frames else []
        return " and ".join([*parts, *([f"{self.frames} frames"] if self.frames else [])])


def predict(settings: PredictionSettings, console: Console) -> Summary:
    """Predict everything that the settings mean; what cannot be done is reported, and the rest done.

    Raises UserError for a mistake in the settings, and where the output cannot be written.
    """
    if settings.input is None:
        raise UserError("input=<an image, a video, a folder, or a pattern such as 'frames/*.png'>: which images?")
    output = Path(settings.output).expanduser()
    found, left_out = find_photos(settings.input, output)
    videos, photos = ([each for each in found if each.moves is moves] for moves in (True, False))
    _check_write(settings.write, videos)
    viewer = load_viewer(settings, settings.run)
    write = [product for product in settings.write or DEFAULT if TASK_OF.get(product) in (None, *viewer.tasks)]
    if not write:
        raise UserError(
            f"write={list(settings.write or DEFAULT)}: this network predicts {' and '.join(viewer.tasks)} alone"
        )
    sequence = sequences(photos, output) if "video" in write else {}
    targets = [*sequence, *(output / each.name for each in found)]
    refuse_overwriting([each.path for each in found], targets, output, settings.depth)
    trained = viewer.trained
    summary = Summary(trained.name, trained.fingerprint, trained.scores, left_out)
    began = time.monotonic()
    try:
        if photos and not sequence:
            _predict_photos(photos, [*write], output, settings.depth, viewer, summary, console)
        for video in videos:
            with _told(video.path, summary.failed), VideoReader(video.path) as reader:
                _predict_clip(reader, output / video.name, viewer, summary, console)
        for target, frames in sequence.items():
            with _told(frames[0].path.parent, summary.failed):
                rate = Fraction(settings.fps).limit_denominator(1001)
                _predict_clip(FolderReader(frames, rate, summary.failed), target, viewer, summary, console)
    except OSError as error:
        raise UserError(f"{error.filename or output}: {error.strerror or error}") from error
    summary.seconds = (time.monotonic() - began) / max(1, summary.done + summary.frames)
    return summary


def _check_write(write: Sequence[Product] | None, videos: Sequence[Photo]) -> None:
    """Raise UserError for what cannot be made of videos, or of anything beside one."""
    asked = f"write=[{','.join(write or ())}]"
    if write is not None and "video" in write and len(write) > 1:
        raise UserError(f"{asked}: of images there is either a video, write=[video], or the rest for each of them")
    if videos and write is not None and "video" not in write:
        raise UserError(f"{asked}: of {videos[0].path.name} there is a video, write=[video], and nothing else")


def _predict_photos(
    photos: Sequence[Photo],
    write: Sequence[Product],
    output: Path,
    form: DepthFormat,
    viewer: Viewer,
    summary: Summary,
    console: Console,
) -> None:
    pending: deque[tuple[Photo, Future[bool]]] = deque()
    done: list[Photo] = []
    said = focal = ""

    def written() -> None:
        photo, future = pending.popleft()
        with _told(photo.path, summary.failed):
            summary.beyond += future.result()
            done.append(photo)

    with ThreadPoolExecutor(2) as executor:  # PNGs are compressed while the network looks at the next image
        for photo in track(photos, "predicting", console=console, transient=True, disable=not console.is_terminal):
            with _told(photo.path, summary.failed):
                rgb = read_photo(photo.path)
                if not said:
                    said = viewer.said((rgb.shape[0], rgb.shape[1]))
                    console.print(said, highlight=False, soft_wrap=True)
                seen = viewer.see(rgb, read_focal(photo.path))
                if "ply" in write and focal != (focal := f"{seen.focal[0]:.0f} px ({seen.focal[1]})"):
                    console.print(f"Points of {photo.path.name} by a focal length of {focal}", soft_wrap=True)
                job = executor.submit(write_products, rgb, seen, viewer.tasks, output / photo.name, write, form)
                pending.append((photo, job))
            if len(pending) > 2:
                written()
        while pending:
            written()
    summary.done = len(done)
    if done:
        summary.first = product_path(output / done[0].name, "sheet" if "sheet" in write else write[0], form)


def _predict_clip(
    reader: VideoReader | FolderReader, target: Path, viewer: Viewer, summary: Summary, console: Console
) -> None:
    """Predict a video; KeyboardInterrupt, after it was said what there is of it, if that was asked for."""
    console.print(viewer.said(reader.size), soft_wrap=True)
    clip = predict_clip(reader, target, viewer, console)
    summary.frames += clip.frames
    summary.first = summary.first or clip.path
    if clip.stopped:
        whole = f" of {reader.count}" if reader.count else ""
        console.print(f"Stopped after {clip.frames}{whole} frames, which can be played:\n  {clip.path}", soft_wrap=True)
        raise KeyboardInterrupt
    if reader.lost:
        raise DamagedFileError(reader.path, reader.lost)


@contextmanager
def _told(path: Path, failed: list[DamagedFileError]) -> Iterator[None]:
    """Note what is wrong with one image alone, so that the rest are done."""
    try:
        yield
    except Exception as error:
        if is_shortage(error):
            reason = f"does not fit into memory; {SMALLER}"
        elif isinstance(error, UserError):
            reason = error.reason if isinstance(error, DamagedFileError) else str(error)
        elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            reason = "its name is too long for the files that are made of it"
        else:
            raise
        failed.append(DamagedFileError(path, reason))
