"""Whether splits share what they must not: images, images that are nearly the same, and sequences."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtl_seg_depth.data.checks.verdict import LOOK, Verdict, unchecked
from mtl_seg_depth.data.files import Entry, Pixels
from mtl_seg_depth.data.patterns import order

SAME: Final = "images in splits"
SEQUENCES: Final = "sequences"

SIDE: Final = 16
"""Pixels of a thumbnail."""
_NEARLY: Final = 0.96
"""Correlation of thumbnails without what all share. 24 embedded scenes have at most 0.54 with each other, and at least
0.98 with themselves as a JPEG of quality 60, darker by a fifth or at half the size."""
_ALIKE: Final = 0.5
"""The same, on average, of neighbours by number that are one drive."""
_NEIGHBOURS: Final = 4
"""Pairs that it takes to say so."""
_FEWEST: Final = 8
"""Images whose mean is what all share."""
_AT_ONCE: Final = 2048


@dataclass(frozen=True)
class Glance:
    """What is kept of every image: a hash of its pixels, and a thumbnail in grey, uint8 [SIDE, SIDE]."""

    entry: Entry
    digest: bytes
    thumbnail: NDArray[np.uint8]


def glance(entry: Entry, pixels: Pixels) -> Glance:
    """At uint8 [H, W, 3]."""
    digest = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).digest()
    small = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return Glance(entry, digest, np.asarray(small))


def check(glances: Mapping[str, Sequence[Glance]], sequences: Mapping[str, set[str]]) -> list[Verdict]:
    """Verdicts on the images, and on the sequences by name, of each split."""
    splits = [split for split, seen in glances.items() if seen]
    if len(splits) < 2:
        return [unchecked(SAME, "there is one split")]
    vectors = _vectors(glances)
    return [_images(glances, splits, vectors), _sequences(glances, splits, vectors, sequences)]


def _vectors(glances: Mapping[str, Sequence[Glance]]) -> dict[str, NDArray[np.float32]]:
    """Thumbnails without their mean over all images, of mean 0 and length 1, float32 [N, SIDE * SIDE]."""
    every = {
        split: np.stack([each.thumbnail for each in seen]).reshape(len(seen), -1).astype(np.float32)
        for split, seen in glances.items()
        if seen
    }
    mean = np.concatenate(list(every.values())).mean(axis=0)
    found = {}
    for split, thumbnails in every.items():
        off = thumbnails - mean
        off -= off.mean(axis=1, keepdims=True)
        found[split] = off / np.maximum(np.sqrt((off**2).sum(axis=1, keepdims=True)), 1e-6)
    return found


def _images(
    glances: Mapping[str, Sequence[Glance]], splits: Sequence[str], vectors: Mapping[str, NDArray[np.float32]]
) -> Verdict:
    """On those that are in two splits, as they are or nearly."""
    same, nearly = [], []
    for first, second in combinations(splits, 2):
        known = {each.digest: each for each in glances[first]}
        same += [(known[each.digest], each) for each in glances[second] if each.digest in known]
        if sum(map(len, glances.values())) < _FEWEST:
            continue
        others = [each.digest not in known for each in glances[second]]
        for start in range(0, len(vectors[first]), _AT_ONCE):
            alike = vectors[first][start : start + _AT_ONCE] @ vectors[second].T
            best = alike.argmax(axis=0)
            for column in np.flatnonzero((alike.max(axis=0) > _NEARLY) & others):
                nearly.append((glances[first][start + int(best[column])], glances[second][int(column)]))
    told = []
    for pairs, how in ((same, "the same"), (nearly, "nearly the same")):
        if pairs:
            (one, other), count = pairs[0], len(pairs)
            more = f"{count} images are {how}" if count > 1 else f"one image is {how}"
            told.append(f"{more} in two splits, such as {other.entry} and {one.entry}")
    if told:
        return Verdict(LOOK, SAME, "; ".join(told))
    count = sum(map(len, glances.values()))
    return Verdict("ok", SAME, f"none of {count} images is in two splits, none nearly")


def _sequences(
    glances: Mapping[str, Sequence[Glance]],
    splits: Sequence[str],
    vectors: Mapping[str, NDArray[np.float32]],
    sequences: Mapping[str, set[str]],
) -> Verdict:
    """On sequences that are in two splits: by name, or as images with neighbouring numbers that look alike."""
    for first, second in combinations(splits, 2):
        shared = sorted(sequences[first] & sequences[second])
        if shared:
            names = ", ".join(shared[:3]) + (", ..." if len(shared) > 3 else "")
            words = f"{first} and {second} share {len(shared)} of their sequences: {names}"
            return Verdict(LOOK, SEQUENCES, words)
    alike = list(_neighbours(glances, vectors))
    if len(alike) >= _NEIGHBOURS:
        mean = float(np.mean(alike))
        words = f"images with neighbouring numbers in different splits agree by {mean:.2f}, where any two do by 0"
        if mean > _ALIKE:
            return Verdict(LOOK, SEQUENCES, f"{words}: splits share drives, whose images should stay together")
        return Verdict("ok", SEQUENCES, words)
    if any(sequences.values()):
        counts = ", ".join(f"{len(sequences[split])} in {split}" for split in splits)
        return Verdict("ok", SEQUENCES, f"every sequence is of one split ({counts})")
    return unchecked(SEQUENCES, "no sequences are to be seen in the names")


def _neighbours(glances: Mapping[str, Sequence[Glance]], vectors: Mapping[str, NDArray[np.float32]]) -> Iterator[float]:
    """How alike images are that differ in a number alone, follow each other by it, and are of different splits."""
    every = [
        (str(each.entry), split, vector)
        for split, seen in glances.items()
        if seen
        for each, vector in zip(seen, vectors[split], strict=True)
    ]
    if len(every) < _FEWEST:
        return
    every.sort(key=lambda each: order((each[0],)))
    for (name, split, vector), (next_name, next_split, next_vector) in pairwise(every):
        if split != next_split and re.sub(r"\d+", "0", name) == re.sub(r"\d+", "0", next_name):
            yield float(vector @ next_vector)
