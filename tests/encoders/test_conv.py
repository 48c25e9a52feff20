"""The small CNN: sizes, what a cell sees, gradients."""

import pytest
import torch

from worldjepa.encoders import ConvTrunk


@pytest.mark.parametrize(
    ("shape", "width", "channels", "grid"),
    [
        ((64, 64, 3), 16, 64, (4, 4)),
        ((32, 32, 3), 8, 16, (4, 4)),
        ((16, 16, 1), 8, 8, (4, 4)),
        ((64, 128, 3), 4, 16, (4, 8)),
    ],
)
def test_the_map_is_about_four_by_four(shape, width: int, channels: int, grid: tuple[int, int]) -> None:
    trunk = ConvTrunk(shape, width=width)
    assert trunk(torch.rand(2, shape[2], *shape[:2])).shape == (2, channels, *grid)
    assert trunk.channels == channels


def test_a_pooled_trunk_gives_the_mean_of_its_map() -> None:
    pooled, whole = ConvTrunk((32, 32, 3), width=4, pool=True), ConvTrunk((32, 32, 3), width=4)
    whole.load_state_dict(pooled.state_dict())
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(pooled(x), whole(x).mean((2, 3)))


def test_a_cell_sees_its_own_surroundings() -> None:
    trunk = ConvTrunk((64, 64, 3), width=8)
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(trunk(image)[0, :, 0, 0].sum(), image)
    seen = gradient.abs().sum((0, 1)).nonzero().amax(0)
    assert seen.max() < 32
    assert seen.min() >= 8


def test_images_do_not_mix_and_gradients_reach_every_weight() -> None:
    trunk = ConvTrunk((32, 32, 3), width=8)
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(trunk(images)[1:2], trunk(images[1:2]))
    trunk(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trunk.parameters())
