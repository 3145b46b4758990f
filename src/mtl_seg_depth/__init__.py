"""One network that sees what and how far: semantic segmentation + monocular depth, composed, swept and compared.

from mtl_seg_depth import load
load("latest").predict("street.jpg").depth
"""

from typing import TYPE_CHECKING

from mtl_seg_depth.system.lazy import lazily

if TYPE_CHECKING:
    from mtl_seg_depth.inference.loaded import load as load

__all__ = ["load"]
__getattr__ = lazily(__name__, {"load": "inference.loaded"})
