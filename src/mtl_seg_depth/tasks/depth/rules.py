"""The rules of depth evaluation that papers share, by name, and what people ask for in place of a data set's own.

What each is for, and which papers have it: docs/scores.md.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import PlainValidator

from mtl_seg_depth.config import Section
from mtl_seg_depth.tasks.depth.codec import DepthRules

Crop = tuple[float, float, float, float]

CROPS: Final[Mapping[str, Crop]] = {
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
    "nyuv2": (45 / 480, 471 / 480, 41 / 640, 601 / 640),
}
"""Top, bottom, left and right, as shares. KITTI: Garg et al., ECCV 2016, and Eigen et al., NeurIPS 2014; NYUv2: Eigen
et al., of 480 x 640."""

PROTOCOLS: Final[Mapping[str, DepthRules]] = {
    "kitti_garg": DepthRules(min=1e-3, cap=80.0, crop=CROPS["garg"], clamp=True),
    "kitti_eigen": DepthRules(min=1e-3, cap=80.0, crop=CROPS["eigen"], clamp=True),
    "cityscapes": DepthRules(min=1e-3, cap=80.0, clamp=True),
    "nyuv2_eigen": DepthRules(min=1e-3, cap=10.0, crop=CROPS["nyuv2"], clamp=True),
    "nyuv2_multitask": DepthRules(mean_over="pixels"),
}

Protocol = Literal["kitti_garg", "kitti_eigen", "cityscapes", "nyuv2_eigen", "nyuv2_multitask"]


def _limit(value: Any) -> Any:
    """Metres, or `none`."""
    if value is None or value == "none":
        return value
    if type(value) in (int, float) and 0 < value < float("inf"):
        return float(value)
    raise ValueError("should be metres above 0, or none")


def _crop(value: Any) -> Any:
    """A crop's name, its shares, or `none`."""
    if value is None or (isinstance(value, str) and value in {*CROPS, "none"}):
        return value
    if isinstance(value, list | tuple) and len(value) == 4 and all(type(share) in (int, float) for share in value):
        return tuple(map(float, value))
    raise ValueError(f"should be {', '.join(CROPS)}, none, or the shares [top,bottom,left,right]")


class RuleChoices(Section):
    """What is asked for in place of given rules; None, for anything, leaves it as it is.

    `protocol` is one of `PROTOCOLS`, which the others then change; `none` takes a limit or a crop away.
    """

    protocol: Protocol | None = None
    cap: Annotated[float | Literal["none"] | None, PlainValidator(_limit)] = None
    min: Annotated[float | Literal["none"] | None, PlainValidator(_limit)] = None
    crop: Annotated[Crop | str | None, PlainValidator(_crop)] = None
    clamp: bool | None = None
    median_scaling: bool | None = None
    mean_over: Literal["images", "pixels"] | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked for, by name."""
        return self.model_dump(exclude_none=True)

    def applied(self, rules: DepthRules) -> DepthRules:
        """The rules with what is asked for; ValueError for what does not go together."""
        asked = self.asked
        if (protocol := asked.pop("protocol", None)) is not None:
            rules = PROTOCOLS[protocol]
        if isinstance(crop := asked.get("crop"), str):
            asked["crop"] = CROPS.get(crop)
        changes: dict[str, Any] = {key: None if each == "none" else each for key, each in asked.items()}
        return dataclasses.replace(rules, **changes)


def differences(rules: DepthRules, own: DepthRules) -> list[str]:
    """What sets rules apart from a run's own, as parts of the name of their scores: `cap_80`, `crop_garg`, ..."""
    parts = {
        "min": f"min_{_number(rules.min)}",
        "cap": f"cap_{_number(rules.cap)}",
        "crop": f"crop_{crop_name(rules.crop, '_')}",
        "clamp": "clamped" if rules.clamp else "unclamped",
        "median_scaling": "median_scaled" if rules.median_scaling else "unscaled",
        "mean_over": f"over_{rules.mean_over}",
    }
    return [part for name, part in parts.items() if getattr(rules, name) != getattr(own, name)]


def described(rules: DepthRules) -> str:
    """The rules in words: `0.001 to 80 m; crop garg; predictions clamped; image by image`."""
    words = []
    if rules.min is not None or rules.cap is not None:
        words.append(f"{_number(rules.min or 0.0)} m to {'any' if rules.cap is None else f'{_number(rules.cap)} m'}")
    if rules.crop is not None:
        words.append(f"crop {crop_name(rules.crop, ', ')}")
    words += ["predictions scaled by medians"] if rules.median_scaling else []
    words += ["predictions clamped"] if rules.clamp else []
    words.append("image by image" if rules.mean_over == "images" else "over all pixels")
    return "; ".join(words)


def crop_name(crop: Crop | None, between: str) -> str:
    """A crop's name, or its four shares."""
    if crop is None:
        return "none"
    return next((name for name, known in CROPS.items() if known == crop), between.join(map(_number, crop)))


def _number(value: float | None) -> str:
    """All digits of a number, so that two are never called the same."""
    return "none" if value is None else repr(float(value)).removesuffix(".0")
