import torch

from mtl_seg_depth.models.squeeze_excitation import SqueezeExcitation


def test_by_hand():
    attention = SqueezeExcitation(2, reduction=2)
    squeeze, _, excite, _ = attention.excite
    squeeze.weight.data, squeeze.bias.data = torch.tensor([[1.0, 2.0]]), torch.tensor([-3.0])
    excite.weight.data, excite.bias.data = torch.tensor([[1.0], [-1.0]]), torch.tensor([0.0, 0.5])
    features = torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]], [[[0.0, 0.0]], [[1.0, 1.0]]]])
    # Means (2, 2) give relu(2 + 4 - 3) = 3 and sigmoids of 3 and -2.5; means (0, 1) give relu(-1) = 0, of 0 and 0.5.
    scale = torch.tensor([[3.0, -2.5], [0.0, 0.5]]).sigmoid()
    torch.testing.assert_close(attention(features), features * scale[:, :, None, None])


def test_a_sixteenth_of_the_channels_between():
    attention = SqueezeExcitation(256)
    assert sum(parameter.numel() for parameter in attention.parameters()) == 256 * 16 + 16 + 16 * 256 + 256 == 8464
