"""Whether labels and depth belong to their images: edges of one lie on edges of the other.

Two maps of edges agree by their correlation, after what all images have in common is taken out: so those of different
images agree by 0, and any other number is a finding. What does not fit is tried with other images' targets, mirrored,
moved and in other sizes.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mtl_seg_depth.data.checks.sample import RUN, Sample
from mtl_seg_depth.data.checks.verdict import FEWEST, LOOK, Verdict, unchecked

Maps = NDArray[np.float32]
"""[N, H, W], each of mean 0 and length 1."""

ENOUGH: Final = 16
"""Images of which to say that they fit nothing."""
_SURE: Final = 5.0
"""Standard errors."""
_CLEARER: Final = 1.3
"""By which another fit has to be better than the one as it is."""
_LEAST: Final = 0.03
"""Of a correlation to be spoken of; the embedded scenes' labels have 0.36 and their depth 0.32 with their images."""
_DENSE: Final = 0.4
"""Share of the pixels with depth, below which edges are holes."""
_MOVED: Final = 64
"""Images that are moved and resized, which takes long."""
_SIZES: Final = (0.5, 0.67, 0.75, 0.8, 0.9, 1.1, 1.25, 1.33, 1.5, 2.0)
_MIRRORED: Final = {
    "mirrored, left for right": np.s_[:, :, ::-1],
    "upside down": np.s_[:, ::-1],
    "turned by 180 degrees": np.s_[:, ::-1, ::-1],
}


def check(sample: Sample) -> list[Verdict]:
    """Labels and depth, each against the images."""
    found = []
    if sample.classes is not None:
        pairs = [
            (_image_edges(look.image), _label_edges(look.stored)) for look in sample.looks if look.stored is not None
        ]
        found.append(_verdict("labels", pairs))
    if sample.depth is not None:
        dense = [look for look in sample.looks if look.metres is not None and np.isfinite(look.metres).mean() > _DENSE]
        pairs = [(_image_edges(look.image), _depth_edges(look.metres)) for look in dense if look.metres is not None]
        found.append(_verdict("depth", pairs, " with dense depth"))
    return found


def _verdict(what: str, pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], kind: str = "") -> Verdict:
    about = f"images, {what}"
    pairs = [(image, target) for image, target in pairs if image.std() > 0 and target.std() > 0]
    if len(pairs) < FEWEST:
        return unchecked(about, f"{len(pairs)} images{kind} have edges; it takes {FEWEST}")
    images, targets = (_normalised([pair[side] for pair in pairs]) for side in (0, 1))
    count = len(pairs)
    between = images.reshape(count, -1) @ targets.reshape(count, -1).T
    own = between.diagonal()
    others = between[~np.eye(count, dtype=bool)]
    error = float(others.std() / np.sqrt(count))
    fit = float(own.mean())
    verb = "fit" if what == "labels" else "fits"
    needed = max(_CLEARER * fit, fit + _LEAST, _SURE * error, _LEAST)
    best, words = max(_alternatives(images, targets, between, what), default=(0.0, ""))
    if best > needed:
        return Verdict(LOOK, about, f"{words}: edges agree by {best:.2f}, as they are by {fit:.2f}")
    if fit - others.mean() < max(_SURE * error, _LEAST):
        if count < ENOUGH:
            return unchecked(about, f"edges of {count} images agree by {fit:.2f}: too little to go by")
        return Verdict(LOOK, about, f"{what} {verb} other images as well as their own: edges agree by {fit:.2f}")
    odd = _odd(between)
    if odd:
        return Verdict(LOOK, about, f"the {what} of {odd} of {count} images {verb} another image better than their own")
    return Verdict(
        "ok",
        about,
        f"edges of {what} lie on edges of their images: they agree by {fit:.2f}, with others by "
        f"{others.mean() + 0:.2f}",
    )


def _alternatives(images: Maps, targets: Maps, between: NDArray[np.float32], what: str) -> Iterator[tuple[float, str]]:
    """How well something else fits, and what that would mean."""
    belong, lie = ("belong", "lie") if what == "labels" else ("belongs", "lies")
    look = "look" if what == "labels" else "looks"
    for step in range(-RUN + 1, RUN):
        if step and abs(step) < len(between) - 1:
            neighbour = f"{abs(step)} place{'s' if abs(step) > 1 else ''} {'before' if step > 0 else 'after'}"
            yield (
                float(between.diagonal(step).mean()),
                f"{what} {belong} to the image {neighbour} in the order of names",
            )
    shuffled = between - np.diag(np.full(len(between), np.inf, np.float32))
    noise = between[~np.eye(len(between), dtype=bool)].std()
    best = float(np.median(shuffled.max(axis=1)))
    if best > 8 * noise:
        # By a fraction less, for a shift that is the same for all says more.
        yield 0.8 * best, f"{what} {belong} to other images of the sample"
    for words, turn in _MIRRORED.items():
        yield float((images * targets[turn]).sum(axis=(1, 2)).mean()), f"{what} {look} {words}"
    some = np.linspace(0, len(images) - 1, min(_MOVED, len(images))).round().astype(int)
    first, second = images[some], targets[some]
    agreement, down, right = _moved(first, second)
    if max(abs(down), abs(right)) > 1:
        ways = [
            f"{abs(amount)} {way[amount > 0]}"
            for amount, way in ((down, ("above", "below")), (right, ("left", "right")))
            if amount
        ]
        height, width = images.shape[1:]
        yield agreement, f"{what} {lie} {' and '.join(ways)} of the image, in pixels of {width} x {height}"
    for size in _SIZES:
        resized = _resized(second, size)
        fit = float((first * resized).sum(axis=(1, 2)).mean() / max(1e-9, _length(resized)))
        yield fit, f"{what} {look} {1 / size:.2g} times as large as the image"


def _moved(first: Maps, second: Maps) -> tuple[float, int, int]:
    """The best agreement within a quarter of the image, and by how much the second lies lower and farther right."""
    height, width = first.shape[1:]
    padded = (2 * height, 2 * width)
    total = np.zeros(padded, np.float64)
    for one, other in zip(first, second, strict=True):
        total += np.fft.irfft2(np.conj(np.fft.rfft2(one, padded)) * np.fft.rfft2(other, padded), padded)
    reach = (height // 4, width // 4)
    near = np.roll(total, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1] / len(first)
    down, right = np.unravel_index(near.argmax(), near.shape)
    return float(near.max()), int(down) - reach[0], int(right) - reach[1]


def _resized(maps: Maps, size: float) -> Maps:
    """About the middle, in the same frame; what lies outside is 0."""
    height, width = maps.shape[1:]
    rows, columns = ((np.arange(n) + 0.5 - n / 2) / size + n / 2 for n in (height, width))
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    rows, columns = (np.clip(at.astype(int), 0, n - 1) for at, n in ((rows, height), (columns, width)))
    return np.asarray(maps[:, rows[:, None], columns] * inside, np.float32)


def _length(maps: Maps) -> float:
    return float(np.sqrt((maps**2).sum(axis=(1, 2))).mean())


def _odd(between: NDArray[np.float32]) -> int:
    """How many fit another one, and not their own."""
    own = between.diagonal()
    usual = float(np.median(own))
    other = (between - np.diag(np.full(len(own), np.inf, np.float32))).max(axis=1)
    return int(((own < 0.3 * usual) & (other > 0.5 * usual)).sum())


def _normalised(maps: Sequence[NDArray[np.float32]]) -> Maps:
    stacked = np.stack(maps)
    stacked -= stacked.mean(axis=0)
    stacked -= stacked.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt((stacked**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(stacked / np.maximum(lengths, 1e-9), np.float32)


def _image_edges(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How steep brightness is, against what is around it: an edge in a shadow is one as well."""
    grey = ndimage.gaussian_filter(image.astype(np.float32).mean(axis=2), 0.7)
    steep = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    return np.asarray(steep / (ndimage.uniform_filter(steep, 31) + 4), np.float32)


def _label_edges(labels: NDArray[np.int64] | None) -> NDArray[np.float32]:
    assert labels is not None
    return _borders(labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1])


def _depth_edges(metres: NDArray[np.float64]) -> NDArray[np.float32]:
    """Where depth jumps; no depth is far."""
    valid = metres[np.isfinite(metres)]
    logs = np.log(np.where(np.isfinite(metres), metres, 2 * valid.max()))
    return _borders(np.abs(np.diff(logs, axis=1)) > 0.1, np.abs(np.diff(logs, axis=0)) > 0.25)


def _borders(across: NDArray[np.bool_], down: NDArray[np.bool_]) -> NDArray[np.float32]:
    """On both sides of every change along a row or a column."""
    edges = np.zeros((across.shape[0], down.shape[1]), np.float32)
    edges[:, 1:][across] = edges[:, :-1][across] = 1
    edges[1:][down] = edges[:-1][down] = 1
    return np.asarray(ndimage.gaussian_filter(edges, 0.7), np.float32)
