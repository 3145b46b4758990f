"""Videos as streams: however long one is, a few frames of it are in memory.

PyAV reads and writes them, the extra `video`; it brings FFmpeg's libraries.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mtl_seg_depth.data.files import MAX_PIXELS, DamagedFileError
from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.resize import Size

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream

FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc"
"""What is read, whatever a file is called: FFmpeg's playlists would name other files to read, or servers."""

SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".wmv", ".ogv"}
)
"""Which inputs count as videos."""

USUAL_RATE = Fraction(25)
"""Frames a second of a video that does not say how many it has."""

QUALITY = "20"
"""Of x264's constant quality: 0 is without loss, 51 the worst."""

BT709 = 1
"""The number that HDTV's primaries, transfer function and matrix have in ITU-T H.273."""


@dataclass(frozen=True)
class Frame:
    """An image uint8 [H, W, 3], the time it is shown at, and for how long, in units of its source."""

    rgb: NDArray[np.uint8]
    time: int
    duration: int


def library() -> Any:
    """PyAV; UserError if it is not installed."""
    try:
        import av
    except ImportError:
        raise UserError("videos take PyAV: pip install 'mtl_seg_depth[video]'") from None
    return av


class VideoReader:
    """The frames and the sound of a file, in the order in which they lie there.

    Frames are upright, if the file says how it was rotated, and have square pixels. Times are the file's own, so that a
    varying frame rate stays what it is.

    Attributes:
        path: of the file.
        size: height and width of a frame.
        unit: of times, in seconds.
        rate: frames a second, on average.
        count: how many frames there are, as far as the file says so.
        damaged: how many parts of those read so far could not be decoded.

    Raises:
        DamagedFileError: for a file that cannot be read, or has no frame in it.
    """

    focal: float | None = None
    """Nothing in a video says it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = self.parts = 0
        self._av = library()
        try:
            # A name with a colon would be taken for that of a protocol, if it were not absolute.
            whitelists = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
            self._container = self._av.open(str(path.absolute()), options=whitelists)
        except self._av.FFmpegError as error:
            raise DamagedFileError(path, f"is no video that can be read: {error.strerror}") from None
        try:
            if not self._container.streams.video:
                raise DamagedFileError(path, "has no video in it")
            self._stream = self._container.streams.video[0]
            if self._stream.codec_context.width * self._stream.codec_context.height > MAX_PIXELS:
                raise DamagedFileError(path, f"has frames of over {MAX_PIXELS // 1_000_000} million pixels")
            self._stream.thread_type = "AUTO"
            self.unit: Fraction = self._stream.time_base
            self.rate: Fraction = self._stream.average_rate or USUAL_RATE
            self.count: int | None = self._stream.frames or self._guessed_count()
            self._last, self._end = -(2**62), 0
            self._shown: Size | None = None
            self._rest = self._read()
            self._ahead = self._until_a_frame()
        except BaseException:
            self._container.close()
            raise

    @property
    def sound(self) -> tuple["AudioStream", ...]:
        """The streams of sound."""
        return tuple(self._container.streams.audio)

    @property
    def lost(self) -> str:
        """What of the file read so far, all of it, is missing, in words; "" if nothing is."""
        if self._stream.frames > self.parts:
            return f"ends after {self.parts} of its {self._stream.frames} frames; what is there was predicted"
        return f"is damaged in {self.damaged} places; the rest was predicted" if self.damaged else ""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._container.close()

    def __iter__(self) -> Iterator["Frame | Packet[AudioStream]"]:
        """Frames, and packets of sound as they are; once. A part that cannot be decoded is left out and counted."""
        while self._ahead:
            yield self._ahead.pop(0)
        yield from self._rest

    def _guessed_count(self) -> int | None:
        if self._stream.duration is not None:
            return int(self._stream.duration * self.unit * self.rate)
        if self._container.duration is not None:
            return int(self._container.duration * self.rate / self._av.time_base)
        return None

    def _until_a_frame(self) -> list["Frame | Packet[AudioStream]"]:
        """What lies before the first frame, and that."""
        ahead = []
        for each in self._rest:
            ahead.append(each)
            if isinstance(each, Frame):
                self.size: Size = (each.rgb.shape[0], each.rgb.shape[1])
                return ahead
        raise DamagedFileError(self.path, "has no frame that can be decoded")

    def _read(self) -> Iterator["Frame | Packet[AudioStream]"]:
        packets = self._container.demux(self._stream, *self.sound)
        while True:
            frames = []
            try:
                packet = next(packets)
                if packet.stream is not self._stream:
                    if packet.size:
                        yield packet
                    continue
                self.parts += bool(packet.size)
                frames = packet.decode()
            except StopIteration:
                return
            except self._av.FFmpegError:
                self.damaged += 1
            for frame in frames:
                self.damaged += frame.is_corrupt
                yield self._upright(frame)

    def _upright(self, frame: Any) -> Frame:
        duration = frame.duration or max(1, round(1 / (self.rate * self.unit)))
        # Times that do not grow cannot be written.
        time: int = max(self._end if frame.pts is None else frame.pts, self._last + 1)
        self._last, self._end = time, time + duration
        if self._shown is None:
            self._shown = frame.height, max(1, round(frame.width * (self._stream.sample_aspect_ratio or 1)))
        rgb = frame.to_ndarray(format="rgb24", width=self._shown[1], height=self._shown[0])
        return Frame(np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90))), time, duration)


class VideoWriter:
    """An H.264 video with the sound of another one, as it is there.

    Args:
        path: ending in .mp4, or in .mkv for sound that an mp4 does not hold; see `ending_for`.
        size: height and width of the frames, even.
        rate: frames a second, on average.
        unit: of frames' times, in seconds.
        sound: the streams whose packets are to come.

    Raises UserError where the file cannot be written.
    """

    def __init__(
        self, path: Path, size: Size, rate: Fraction, unit: Fraction, sound: Sequence["AudioStream"] = ()
    ) -> None:
        self._unit, self._begun = unit, False
        self._av = library()
        self._container = self._av.open(str(path.absolute()), "w")
        self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": QUALITY, "preset": "fast"})
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = unit
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = 1  # as televisions have it
        self._copies = {stream.index: self._container.add_stream_from_template(stream) for stream in sound}

    def add(self, frame: Frame) -> None:
        """Append an image."""
        image = self._av.VideoFrame.from_ndarray(frame.rgb, "rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        image.pts, image.time_base, image.duration = frame.time, self._unit, frame.duration
        self._container.mux(self._stream.encode(image))
        self._begun = True

    def add_sound(self, packet: "Packet[AudioStream]") -> None:
        """Append what was said meanwhile."""
        packet.stream = self._copies[packet.stream.index]
        self._container.mux(packet)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file: what was appended until an error can be played."""
        try:
            if self._begun:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def ending_for(sound: Sequence["AudioStream"]) -> str:
    """`.mp4`, or `.mkv` for sound that an mp4 does not hold."""
    with library().open(io.BytesIO(), "w", format="mp4") as container:
        held: set[str] = container.supported_codecs
    return ".mp4" if all(stream.codec_context.name in held for stream in sound) else ".mkv"
