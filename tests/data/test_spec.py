import pytest
from helpers.miniatures import opened, write

from mtl_seg_depth.data.spec import in_words


def test_a_data_set_s_own_account_is_told_in_words(tmp_path):
    spec = opened(tmp_path, *write("vkitti2", tmp_path / "data")).spec
    assert in_words(spec.as_dict()) == "14 classes; depth 1 to 80 m; depth scored with mean over images"


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"targets": [1]},
        {"targets": {"depth": 3}},
        {"targets": {"depth": {"statistics": {"min": "near"}, "rules": ["all"], "names": 4}}},
        {"targets": {"depth": {"rules": {}}}},
    ],
)
def test_of_anything_else_nothing_is_told(stored):
    assert in_words(stored) == ""
