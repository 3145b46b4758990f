"""Batch normalisation over the whole batch where several processes have a share of it each."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mtl_seg_depth.models.network import Network
from mtl_seg_depth.system.processes import Summed
from mtl_seg_depth.system.tensors import at_least_float32


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """What torch's SyncBatchNorm is on GPUs, for CPUs, where torch has none: [B, C, H, W] -> [B, C, H, W].

    Mean and variance are of every process's values, found one after the other as the variance is a small difference
    otherwise. It is twice as many messages as need be, each as long as there are channels.
    """

    @classmethod
    def like(cls, layer: _BatchNorm) -> Self:
        """With the very parameters and buffers of a layer."""
        new = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        new._parameters, new._buffers = layer._parameters, layer._buffers
        new._modules = layer._modules  # timm's have the activation that follows inside
        return new.train(layer.training)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise by the batch in training, by the running statistics otherwise."""
        if not self.training:
            return self._followed(super().forward(values))
        wide = at_least_float32(values)
        own = wide.new_tensor([wide.numel() / wide.shape[1]])
        sums = Summed.apply(torch.cat([wide.sum(dim=(0, 2, 3)), own]))
        count, mean = sums[-1], sums[:-1] / sums[-1]
        centred = wide - mean.view(1, -1, 1, 1)
        variance = Summed.apply(centred.square().sum(dim=(0, 2, 3))) / count
        if self.track_running_stats:
            self._follow(mean.detach(), (variance * (count / (count - 1))).detach())
        normalised = centred * (variance + self.eps).rsqrt().view(1, -1, 1, 1)
        if self.affine:
            normalised = normalised * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return self._followed(normalised.to(values.dtype))

    def _followed(self, values: Tensor) -> Tensor:
        """What a layer does that is more than a normalisation: drop and activate, in timm's order."""
        for name in ("drop", "act"):
            if name in self._modules:
                values = self.get_submodule(name)(values)
        return values

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, by `momentum` or, if that is None, to their plain average."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


def synchronised(network: Network, device: torch.device) -> Network:
    """The network with every BatchNorm over all processes; parameters, buffers and their names stay as they are."""
    if device.type == "cuda":
        convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
        if any(type(module).__module__.startswith("timm.") for module in network.modules()):
            from timm import layers

            convert = layers.convert_sync_batchnorm  # type: ignore[attr-defined]  # knows those with an activation inside
        converted: Network = convert(network)
        return converted
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, SynchronisedBatchNorm.like(child))
    return network
