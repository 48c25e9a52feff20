"""The vision transformer: order of patches, positions, sizes."""

import pytest
import torch

from worldjepa.encoders import ViT

SHAPE = (32, 48, 3)


def test_the_grid_lies_as_the_image_does() -> None:
    """Without blocks each cell depends on its own patch alone."""
    vit = ViT(SHAPE, channels=12, num_layers=0)
    image = torch.rand(1, 3, 32, 48)
    before = vit(image)
    for row in range(2):
        for column in range(3):
            other = image.clone()
            other[:, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] += 0.5
            changed = (vit(other) != before).any(1)[0]
            assert changed.nonzero().tolist() == [[row, column]]


def test_equal_patches_are_told_apart_by_their_place() -> None:
    cells = ViT(SHAPE, channels=12, num_layers=1)(torch.full((1, 3, 32, 48), 0.5)).flatten(2)[0].T
    assert torch.pdist(cells).min() > 1e-2


def test_patches_exchange_what_they_see() -> None:
    vit = ViT(SHAPE, channels=12, num_layers=1)
    image = torch.rand(1, 3, 32, 48, requires_grad=True)
    (gradient,) = torch.autograd.grad(vit(image)[0, :, 0, 0].square().sum(), image)
    assert gradient[..., -1, -1].abs().sum() > 0


def test_images_in_a_batch_do_not_mix() -> None:
    vit = ViT(SHAPE, channels=12, num_layers=2)
    image = torch.rand(3, 3, 32, 48)
    other = image.clone()
    other[1] = 0.0
    torch.testing.assert_close(vit(image)[[0, 2]], vit(other)[[0, 2]])


def test_patches_must_tile_the_image() -> None:
    with pytest.raises(ValueError, match="patches of 10 pixels do not tile an image of 32 x 48"):
        ViT(SHAPE, patch=10)
