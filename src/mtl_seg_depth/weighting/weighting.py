"""What the loop asks of any way to balance tasks."""

from collections.abc import Mapping

from torch import Tensor, nn


class Weighting(nn.Module):
    """Base: folds the losses of the tasks into one and sends it backward.

    A method with a formula for the combined loss implements `forward`; one that works on gradients overrides
    `backward`. Its parameters are trained with the network's; its state is saved with the checkpoint.
    """

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The scalar to descend, from each task's scalar loss."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def backward(self, losses: Mapping[str, Tensor]) -> None:
        """Add the gradients of this step to the parameters' `.grad`."""
        self(losses).backward()

    def logged(self) -> dict[str, Tensor]:
        """What to write beside the losses: each task's weight, as scalars on the device."""
        return {}
