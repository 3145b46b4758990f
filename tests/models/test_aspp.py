import pytest
import torch
from torchvision.models.segmentation import deeplabv3

from mtl_seg_depth.models.aspp import ASPP, Projection


@pytest.mark.parametrize("rates", [(3, 6, 9), (12, 24, 36), (2, 4)])
def test_equals_torchvisions_with_its_weights(rates):
    theirs = deeplabv3.ASPP(24, list(rates), out_channels=16).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.data.uniform_(0.5, 2)
            for values in (module.bias, module.running_mean):
                values.data.uniform_(-1, 1)
    ours = ASPP(24, rates, out_channels=16).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    features = torch.randn(2, 24, 13, 17)
    with torch.no_grad():
        torch.testing.assert_close(ours(features), theirs(features), rtol=1e-5, atol=1e-5)


def test_the_size_stays_and_the_channels_are_as_stated():
    for module in (ASPP(8), Projection(8), Projection(8, out_channels=5)):
        assert module.eval()(torch.randn(1, 8, 5, 7)).shape == (1, module.out_channels, 5, 7)
