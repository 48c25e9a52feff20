"""IMPALA's trunk: sizes, what is residual, what is flattened how. Its values: tests/reference/test_pldm.py."""

import pytest
import torch

from worldjepa.encoders import ImpalaTrunk


@pytest.mark.parametrize(
    ("shape", "grid"), [((65, 65, 2), (9, 9)), ((64, 64, 3), (8, 8)), ((17, 30, 1), (3, 4)), ((1, 2, 3), (1, 1))]
)
def test_three_stages_halve_the_sides_and_round_up(shape: tuple[int, int, int], grid: tuple[int, int]) -> None:
    trunk = ImpalaTrunk(shape[2], width=4)
    found = trunk(torch.rand(2, shape[2], *shape[:2]))
    assert found.shape == (2, trunk.channels, *grid)
    assert trunk.channels == 8


def test_flat_is_the_map_with_channels_first() -> None:
    flat, whole = ImpalaTrunk(2, width=4, flat=True), ImpalaTrunk(2, width=4)
    whole.load_state_dict(flat.state_dict())
    x = torch.rand(3, 2, 17, 17)
    assert torch.equal(flat(x), whole(x).reshape(3, -1))


def test_blocks_without_weights_pass_what_is_positive() -> None:
    """Only the convolution and the pool before them are left then, and the activation at the end."""
    stage = ImpalaTrunk(2, width=4).stages[0]
    assert isinstance(stage, torch.nn.Sequential)
    x = torch.randn(3, 2, 9, 9)
    with torch.no_grad():
        for block in stage[2:]:
            for parameter in block.conv2.parameters():  # pyright: ignore[reportAttributeAccessIssue]
                parameter.zero_()
    torch.testing.assert_close(stage(x), stage[1](stage[0](x)).relu())


def test_images_do_not_mix_and_gradients_reach_every_weight() -> None:
    torch.manual_seed(0)
    trunk = ImpalaTrunk(3, width=8)
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(trunk(images)[1:2], trunk(images[1:2]))
    trunk(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trunk.parameters())
