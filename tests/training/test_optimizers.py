import pytest
import torch

from mtl_seg_depth.training.optimizers import adam, adamw, sgd


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (sgd, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4)),
        (adam, lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.9, 0.999), weight_decay=1e-4)),
        (adamw, lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.9, 0.999), weight_decay=1e-2)),
    ],
)
def test_defaults_are_the_report_s_and_the_rate_comes_from_outside(ours, theirs):
    parameters = [torch.ones(3, requires_grad=True) for _ in range(2)]
    optimizers = [make([parameter]) for make, parameter in zip((ours, theirs), parameters, strict=True)]
    assert optimizers[0].param_groups[0]["lr"] == 0
    optimizers[0].param_groups[0]["lr"] = 0.1
    for step in range(3):
        for parameter, optimizer in zip(parameters, optimizers, strict=True):
            parameter.grad = torch.tensor([1.0, -2.0, 0.1]) * (step + 1)
            optimizer.step()
    torch.testing.assert_close(*parameters)


@pytest.mark.parametrize("optimizer", [adam, adamw])
def test_betas_come_from_a_config_as_a_list_of_two(optimizer):
    parameter = torch.zeros(1, requires_grad=True)
    assert optimizer([parameter], betas=[0.8, 0.9]).param_groups[0]["betas"] == (0.8, 0.9)
    with pytest.raises(ValueError, match=r"betas are two numbers, not \[0.9\]"):
        optimizer([parameter], betas=[0.9])
