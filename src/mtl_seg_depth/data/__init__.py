"""Data sets, the packed cache, batches and augmentation; importing this room alone loads none of them, and no torch."""

from typing import TYPE_CHECKING, Final

from mtl_seg_depth.system.lazy import lazily

if TYPE_CHECKING:
    from mtl_seg_depth.data.augmentation import Augmentation
    from mtl_seg_depth.data.cityscapes import Cityscapes
    from mtl_seg_depth.data.folder import Folder
    from mtl_seg_depth.data.kitti import Kitti
    from mtl_seg_depth.data.miniscapes import Miniscapes
    from mtl_seg_depth.data.mtan import MtanCityscapes, MtanNYUv2
    from mtl_seg_depth.data.nyuv2 import NYUv2
    from mtl_seg_depth.data.rendered import Synscapes, UrbanSyn
    from mtl_seg_depth.data.streets.dataset import Streets
    from mtl_seg_depth.data.vkitti2 import VKitti2

__all__ = [
    "Augmentation",
    "Cityscapes",
    "Folder",
    "Kitti",
    "Miniscapes",
    "MtanCityscapes",
    "MtanNYUv2",
    "NYUv2",
    "Streets",
    "Synscapes",
    "UrbanSyn",
    "VKitti2",
]

_FILES: Final = {
    **{"MtanCityscapes": "mtan", "MtanNYUv2": "mtan", "Synscapes": "rendered", "UrbanSyn": "rendered"},
    "Streets": "streets.dataset",
}

__getattr__ = lazily(__name__, {name: _FILES.get(name, name.lower()) for name in __all__})
