"""Whether the sky has no depth, or lies far away."""

from typing import Final

import numpy as np

from mtl_seg_depth.data.checks.sample import Sample
from mtl_seg_depth.data.checks.verdict import FEWEST, LOOK, Verdict, unchecked

ABOUT: Final = "depth of sky"

_LEAST_SHARE: Final = 0.01


def check(sample: Sample) -> list[Verdict]:
    """The verdict on the sky's depth."""
    if sample.depth is None:
        return []
    if not sample.named("sky"):
        return [unchecked(ABOUT, "sky is not among the classes")]
    valid, skies, rests = [], [], []
    for look, sky in zip(sample.looks, sample.masks("sky"), strict=True):
        if sky is None or look.metres is None or sky.mean() < _LEAST_SHARE:
            continue
        here = look.metres[sky]
        rest = look.metres[~sky]
        rest = rest[~np.isnan(rest)]
        valid.append((~np.isnan(here)).mean())
        if len(rest) and valid[-1] > 0.5:
            skies.append(float(np.nanmedian(here)))
            rests.append(float(np.median(rest)))
    if len(valid) < FEWEST:
        return [unchecked(ABOUT, f"{len(valid)} images show sky and depth; it takes {FEWEST}")]
    share = float(np.mean(valid))
    if share <= 0.5 or not skies:
        return [Verdict("ok", ABOUT, f"{1 - share:.0%} of the sky has no depth")]
    near = float(np.mean(np.array(skies) < np.array(rests)))
    words = f"the sky is {np.median(skies):.3g} m away, and half of the rest farther than {np.median(rests):.3g} m"
    if near > 0.5:
        return [Verdict(LOOK, ABOUT, f"{words}: is that number one for no depth?")]
    return [Verdict("ok", ABOUT, words)]
