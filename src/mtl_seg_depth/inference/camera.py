"""What it takes to say how far things are in somebody else's image, and where."""

from dataclasses import dataclass

from mtl_seg_depth.system.errors import UserError
from mtl_seg_depth.tasks.resize import Size


@dataclass(frozen=True)
class Camera:
    """The camera of somebody else's images beside the one of the training.

    To a network a thing is as far as it is small, in pixels. Seen with a focal length of as many pixels as in training,
    it is as far as predicted; with twice as many, twice as far.

    Attributes:
        trained_size: height and width of the training images; None if they are not known.
        trained_focal: focal length of the training camera in image widths; None if it is not known.
        focal: of every image, in pixels of its own size; None for what each says of itself.
        ratio: what depths are multiplied by in any case; None for what follows from the focal lengths.
    """

    trained_size: Size | None = None
    trained_focal: float | None = None
    focal: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        """UserError for what is no length, and for one that nothing is known to compare with."""
        for name, value in (("focal", self.focal), ("focal_ratio", self.ratio)):
            if value is not None and not value > 0:
                raise UserError(f"{name}={value:g}: should be above 0")
        if self.focal is not None and self.ratio is None and None in (self.trained_size, self.trained_focal):
            raise UserError(
                f"focal={self.focal:g}: the training camera's is not known; focal_ratio=<the images' over it>"
            )

    def ratio_of(self, size: Size, seen: Size, exif: float | None) -> tuple[float, str]:
        """What depths of an image of this size are multiplied by if the network sees it in that one, and why.

        Without a focal length the camera counts as one with the training camera's field of view.
        """
        if self.ratio is not None:
            return self.ratio, f"metres are the network's times {self.ratio:g} (focal_ratio)"
        focal = self.focal or exif
        if self.trained_size is None:
            return 1.0, "metres are the network's: its training images' size is not known, and focal_ratio not given"
        if focal is None or self.trained_focal is None:
            ratio = max(seen) / max(self.trained_size)
            lacking = "no focal length is known" if focal is None else "the training camera's is not known"
            return ratio, f"metres hold for a camera with the training camera's field of view: {lacking}"
        ratio = focal * seen[1] / size[1] / (self.trained_focal * self.trained_size[1])
        source = "focal" if self.focal else "EXIF"
        return ratio, f"metres are the network's times {ratio:.2f}, by the focal length: {focal:.0f} px ({source})"

    def focal_of(self, size: Size, seen: Size, exif: float | None) -> tuple[float, str]:
        """The focal length of an image, in pixels of its own size, that its points are laid out by, and where from.

        In this order: `focal`, what `ratio` means, EXIF, and a guess: the training camera's field of view, or one of
        53 degrees along the longer side if that is not known.
        """
        if self.focal is not None:
            return self.focal, "focal"
        trained = None
        if self.trained_focal is not None and self.trained_size is not None:
            trained = self.trained_focal * self.trained_size[1]  # pixels of the training images
        if self.ratio is not None and trained is not None:
            return self.ratio * trained * size[1] / seen[1], "focal_ratio"
        if exif is not None:
            return exif, "EXIF"
        if trained is not None and self.trained_size is not None:
            return trained * max(size) / max(self.trained_size), "guessed: the training camera's field of view"
        return float(max(size)), "guessed: a field of view of 53 degrees along the longer side"
