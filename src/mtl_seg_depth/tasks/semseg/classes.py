"""What a data set says of its classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, in the order of their ids, which are 0, 1, 2, ...

    Attributes:
        names: of the classes.
        colours: red, green and blue in 0..255, one for each class.
        ignore_index: the id of a pixel that is neither trained on nor scored, above those of the classes.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    ignore_index: int = 255

    def __post_init__(self) -> None:
        """Refuse what cannot be stored in 8 bits."""
        if not 2 <= len(self.names) == len(self.colours) == len(set(self.names)):
            raise ValueError("classes are two or more, each with a name and a colour of its own")
        if not len(self.names) <= self.ignore_index <= 255:
            raise ValueError(f"ignore_index is within {len(self.names)}..255, not {self.ignore_index}")

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.names)

    def palette(self) -> NDArray[np.uint8]:
        """The colour of every 8-bit id, uint8 [256, 3]; ids without a class are black."""
        colours = np.zeros((256, 3), np.uint8)
        colours[: len(self)] = self.colours
        return colours
