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


def test_the_class_token_is_that_of_the_published_transformer() -> None:
    """ViT of arXiv 2010.11929 as Hugging Face has it, written plainly: learned token and positions, norms first."""
    torch.manual_seed(0)
    width, heads = 12, 3
    vit = ViT(SHAPE, channels=width, num_layers=2, num_heads=heads, readout="class", eps=1e-12)
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter, mean=0.0 if parameter.ndim > 1 else 0.5, std=0.3)
    image = torch.rand(2, 3, 32, 48)
    patches = image.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    x = patches @ vit.embed.weight.flatten(1).T + vit.embed.bias
    assert vit.token is not None
    x = torch.cat([vit.token.expand(2, 1, width), x], 1) + vit.position

    def normed(x: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
        x = x - x.mean(-1, keepdim=True)
        return x / x.square().mean(-1, keepdim=True).sqrt() * norm.weight + norm.bias  # pyright: ignore[reportOperatorIssue]

    for block in vit.blocks:
        y, part = normed(x, block.norms[0]), block.attention
        q, (k, v) = part.q(y), part.kv(y).chunk(2, -1)
        out = []
        for head in range(heads):
            here = slice(4 * head, 4 * head + 4)
            share = (q[..., here] @ k[..., here].mT / 2.0).softmax(-1)
            out.append(share @ v[..., here])
        x = x + part.out(torch.cat(out, -1))
        y = normed(x, block.norms[1])
        x = x + block.ffn[3](torch.nn.functional.gelu(block.ffn[0](y)))
    torch.testing.assert_close(vit(image), normed(x, vit.norm)[:, 0], rtol=1e-4, atol=1e-5)


def test_the_class_token_starts_small_and_learns() -> None:
    vit = ViT(SHAPE, channels=48, num_layers=1, readout="class")
    for name, parameter in vit.named_parameters():
        if parameter.ndim > 1 or name == "token":
            assert 0.01 < parameter.detach().std() < 0.03
        elif name.endswith("bias"):
            assert not parameter.any()
    (vit(torch.rand(2, 3, 32, 48)) ** 3).sum().backward()
    assert vit.token is not None
    assert vit.token.grad is not None
    assert vit.token.grad.any()


def test_an_unknown_readout_is_refused() -> None:
    with pytest.raises(ValueError, match=r'readout must be "map" or "class"'):
        ViT(SHAPE, readout="mean")  # pyright: ignore[reportArgumentType]
