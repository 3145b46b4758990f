import numpy as np
import torch
from helpers.facts import CLASS_NAMES

from mtl_seg_depth.drawing.confusion import confusion
from mtl_seg_depth.tasks.task import Confusion


def drawn_of(matrix, names=CLASS_NAMES):
    return confusion(Confusion(torch.from_numpy(matrix), names))


def corner(drawn, row, column):
    """The colour of a cell of a confusion matrix, beside its number."""
    return drawn.getpixel((150 + 40 * column + 3, 50 + 40 * row + 3))


def test_a_confusion_matrix_has_a_cell_for_every_label_and_prediction():
    matrix = np.diag(np.arange(19) * 1000)  # of class 0 there is nothing
    matrix[3, 5] = 3000
    drawn = drawn_of(matrix)
    white, whole, half = corner(drawn, 0, 0), corner(drawn, 18, 18), corner(drawn, 3, 5)
    assert sum(white) > sum(half) > sum(whole)
    assert corner(drawn, 3, 3) == half
    assert corner(drawn, 5, 3) == corner(drawn, 0, 18) == white
    written = np.asarray(drawn.crop((150 + 5 * 40, 50 + 3 * 40, 150 + 6 * 40, 50 + 4 * 40))).reshape(-1, 3)
    assert len(np.unique(written, axis=0)) > 5, "its share stands in it"


def test_a_confusion_matrix_of_nothing_can_be_drawn():
    assert drawn_of(np.zeros((19, 19), np.int64)).size == drawn_of(np.eye(19, dtype=np.int64)).size


def test_fewer_classes_have_fewer_cells():
    three = drawn_of(np.eye(3, dtype=np.int64), ("grass", "rock", "snow"))
    assert three.width == drawn_of(np.eye(19, dtype=np.int64)).width - 16 * 40
