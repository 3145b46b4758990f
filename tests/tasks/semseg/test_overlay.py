import numpy as np

from mtl_seg_depth.tasks.semseg.overlay import overlay


def test_an_image_under_half_of_its_classes_colours_with_darker_borders():
    image = np.full((2, 4, 3), 100, np.uint8)
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    painted = np.where(labels[..., None] == 0, [200, 0, 50], [0, 200, 150]).astype(np.uint8)
    mixed = overlay(image, labels, painted)
    assert mixed.dtype == np.uint8
    assert mixed[0].tolist() == [[150, 50, 75], [150, 50, 75], [30, 90, 75], [50, 150, 125]]
    np.testing.assert_array_equal(overlay(image, labels * 0, painted, opacity=0), image)
    np.testing.assert_array_equal(overlay(image, labels * 0, painted, opacity=1), painted)
