"""Whether a data set means what its reader takes it for: what street scenes have in common, measured on a sample."""

from collections.abc import Sequence

from mtl_seg_depth.data.checks import colours, ground, layout, leaks, pairing, sky
from mtl_seg_depth.data.checks.sample import LEAST, Sample, large_enough, take
from mtl_seg_depth.data.checks.verdict import Verdict, unchecked
from mtl_seg_depth.data.dataset import DataSet

__all__ = ["Verdict", "examine", "leaks"]


def examine(data: DataSet, *, progress: bool = True) -> Sequence[Verdict]:
    """Look at a sample of a data set's images: a verdict for every check, those with nothing to go by included."""
    sample = take(data, progress=progress)
    return judge(sample)


def judge(sample: Sample) -> Sequence[Verdict]:
    """Every check on a sample.

    Labels that turn out to be read wrongly are read as they are meant from there on, so that one mistake has one
    verdict.
    """
    if not large_enough(sample):
        why = "there are no images" if not sample.looks else f"images are smaller than {LEAST[1]} x {LEAST[0]} pixels"
        return [unchecked("what it means", why)]
    labels, sample = layout.check(sample)
    return [*labels, *pairing.check(sample), *colours.check(sample), *ground.check(sample), *sky.check(sample)]
