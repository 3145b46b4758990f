"""Whether red, green and blue are in their order: the sky is bluer than the leaves, and leaves are green."""

from itertools import permutations
from typing import Final

import numpy as np

from mtl_seg_depth.data.checks.sample import Sample
from mtl_seg_depth.data.checks.verdict import FEWEST, LOOK, Verdict, unchecked

ABOUT: Final = "colours"

_LEAST_SHARE: Final = 0.005
"""Of the pixels, to have a colour."""
_SURE: Final = 3.0
"""Standard errors."""
_LEAST: Final = 4.0
"""Steps of 255 that it comes to."""
_LEAVES: Final = ("vegetation", "nature", "tree")
_NAMES: Final = ("red", "green", "blue")


def check(sample: Sample) -> list[Verdict]:
    """The verdict on the order of the channels."""
    if not sample.named("sky") and not sample.named(*_LEAVES):
        return [unchecked(ABOUT, "neither sky nor vegetation is among the classes")]
    found = []
    for look, sky, leaves in zip(sample.looks, sample.masks("sky"), sample.masks(*_LEAVES), strict=True):
        if sky is None or leaves is None:
            continue
        usual = look.image.reshape(-1, 3).mean(axis=0)
        parts = [look.image[mask].mean(axis=0) - usual for mask in (sky, leaves) if mask.mean() > _LEAST_SHARE]
        if len(parts) == 2:
            found.append((parts[0] - parts[1], parts[1]))
    if len(found) < FEWEST:
        return [unchecked(ABOUT, f"{len(found)} images show both sky and vegetation; it takes {FEWEST}")]
    between, leaves_colour = (np.array(each) for each in zip(*found, strict=True))
    scores = {order: _natural(between[:, order], leaves_colour[:, order]) for order in permutations(range(3))}
    here = scores[0, 1, 2]
    best = max(scores, key=lambda order: scores[order].mean())
    gain = scores[best] - here
    bluer = float((between[:, 2] - between[:, 0]).mean())
    greener = float((leaves_colour[:, 1] - (leaves_colour[:, 0] + leaves_colour[:, 2]) / 2).mean())
    measured = (
        f"blue less red is {abs(bluer):.0f} {'higher' if bluer > 0 else 'lower'} in the sky than in vegetation, and "
        f"vegetation is {'greener' if greener > 0 else 'less green'} than the rest by {abs(greener):.0f} of 255"
    )
    if gain.mean() > _LEAST and gain.mean() > _SURE * gain.std() / np.sqrt(len(gain)):
        order = ", ".join(_NAMES[channel] for channel in np.argsort(best))
        swapped = "red and blue are swapped" if best == (2, 1, 0) else f"the channels look like {order}"
        return [Verdict(LOOK, ABOUT, f"{swapped}: {measured}")]
    if here.mean() < _SURE * here.std() / np.sqrt(len(here)):
        return [unchecked(ABOUT, f"sky and vegetation have too little colour: {measured}")]
    return [Verdict("ok", ABOUT, measured)]


def _natural(between: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """How much bluer the sky is than vegetation, and greener vegetation than the rest, float64 [N]."""
    green: np.ndarray = leaves[:, 1] - (leaves[:, 0] + leaves[:, 2]) / 2
    blue: np.ndarray = between[:, 2] - between[:, 0]
    return np.asarray(blue + green)
