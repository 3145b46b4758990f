from typing import Any

import numpy as np
import pytest

from mtl_seg_depth.tasks.semseg.classes import Classes

SKY = {"names": ("sky", "road"), "colours": ((1, 2, 3), (4, 5, 6))}


def test_the_palette_has_the_classes_colours_and_black() -> None:
    classes = Classes(**SKY, ignore_index=7)
    assert len(classes) == 2
    palette = classes.palette()
    assert palette.dtype == np.uint8
    assert palette.shape == (256, 3)
    assert palette[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not palette[2:].any()


@pytest.mark.parametrize(
    "nonsense",
    [
        {"names": (), "colours": ()},
        {"names": ("sky",), "colours": ((1, 2, 3),)},
        {"names": ("sky", "sky")},
        {"names": ("sky", "road", "car")},
        {"colours": ((1, 2, 3),)},
    ],
)
def test_fewer_than_two_classes_and_those_without_a_name_or_colour_are_refused(nonsense: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="two or more, each with a name and a colour of its own"):
        Classes(**(SKY | nonsense))


@pytest.mark.parametrize("ignored", [-1, 0, 1, 256])
def test_an_ignored_id_that_is_a_class_or_takes_more_than_8_bits_is_refused(ignored: int) -> None:
    with pytest.raises(ValueError, match=rf"ignore_index is within 2\.\.255, not {ignored}"):
        Classes(**SKY, ignore_index=ignored)


def test_more_classes_than_8_bits_tell_apart_are_refused() -> None:
    names = tuple(map(str, range(256)))
    with pytest.raises(ValueError, match="ignore_index"):
        Classes(names, ((0, 0, 0),) * 256)
    assert len(Classes(names[:255], ((0, 0, 0),) * 255)) == 255
