"""The contract of an encoder: decoders ask nothing else of it."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn


class Encoder(nn.Module):
    """Maps normalised images [B, 3, H, W] to features of several strides, from the finest to the deepest.

    Feature i is [B, out_channels[i], ceil(H / strides[i]), ceil(W / strides[i])]. The deepest one may have the stride
    of the one before it, where it dilates instead.

    A subclass implements `stage` if each feature is made of the one before it alone. One that cannot be taken apart so
    implements `forward` as a whole, and serves every network but those that change features between two stages.

    Attributes:
        out_channels: of every feature.
        strides: of every feature, none smaller than the one before.
        mean, std: of red, green and blue in 0..1, by which images are normalised: `(image - mean) / std`.
    """

    out_channels: Sequence[int]
    strides: Sequence[int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def has_stages(self) -> bool:
        """Whether it can be run stage by stage."""
        return type(self).stage is not Encoder.stage

    def stage(self, index: int, before: Tensor) -> Tensor:
        """Feature `index`, made of the one before it; the first is made of the image."""
        raise NotImplementedError(f"{type(self).__name__} has neither stage() nor forward()")

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of every stride."""
        features = [self.stage(0, image)]
        for index in range(1, len(self.strides)):
            features.append(self.stage(index, features[-1]))
        return features

    def layerwise_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters that pretrained weights are for, layer by layer from the image on; by default one layer.

        A smaller learning rate for the encoder, and rates that decay with the distance from the heads, are for these.
        """
        return [list(self.parameters())]

    def undecayed(self) -> list[nn.Parameter]:
        """Parameters that weight decay is not meant for beside norms and biases, such as position embeddings."""
        return []

    def freeze(self, *parts: nn.Module) -> None:
        """Keep parts of it, or all of it, as they are: without gradients, and always in evaluation mode.

        Their BatchNorm normalises by its running statistics, which stay, and nothing is dropped.
        """
        self._frozen = parts or (self,)
        for part in self._frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for what is frozen."""
        super().train(mode)
        for part in getattr(self, "_frozen", ()):
            if part is self:
                super().train(False)
            else:
                part.eval()
        return self
