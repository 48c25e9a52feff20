"""Residual trunks and image tokens."""

import pytest
import torch
import torch.nn.functional as F

from worldjepa.blocks import sincos_2d
from worldjepa.encoders import ImageEncoder, ResNet, ViT


def frames(rows: int = 2, steps: int = 2, shape=(64, 96, 3)) -> torch.Tensor:
    return torch.randint(0, 256, (rows, steps, *shape), dtype=torch.uint8)


def test_the_default_trunk_is_resnet_18() -> None:
    """11,176,512 parameters: torchvision's resnet18 (11,689,512) less its classifier (513,000)."""
    trunk = ResNet()
    assert sum(p.numel() for p in trunk.parameters()) == 11_176_512
    assert (trunk.channels, trunk.stride) == (512, 32)


@pytest.mark.parametrize(("stem", "stride", "grid"), [("standard", 32, (2, 3)), ("small", 8, (8, 12))])
def test_the_stride_is_what_it_says(stem, stride, grid) -> None:
    trunk = ResNet(width=4, stem=stem).eval()
    assert trunk.stride == stride
    assert trunk(torch.rand(1, 3, 64, 96)).shape == (1, 32, *grid)


def test_a_block_is_convolutions_norms_and_a_shortcut() -> None:
    block = ResNet(width=4).stages[2].eval()
    x = torch.randn(2, 4, 8, 8)
    y = F.relu(block.norm1(F.conv2d(x, block.conv1.weight, stride=2, padding=1)))
    y = block.norm2(F.conv2d(y, block.conv2.weight, padding=1))
    convolution, norm = block.shortcut
    torch.testing.assert_close(block(x), F.relu(y + norm(F.conv2d(x, convolution.weight, stride=2))))


def test_a_pooled_trunk_gives_the_mean_of_its_map() -> None:
    pooled = ResNet(width=4, pool=True).eval()
    whole = ResNet(width=4).eval()
    whole.load_state_dict(pooled.state_dict())
    x = torch.rand(2, 3, 64, 96)
    torch.testing.assert_close(pooled(x), whole(x).mean((2, 3)))


def test_blocks_may_start_as_the_identity() -> None:
    torch.manual_seed(0)
    trunk = ResNet(width=8, identity=True).eval()
    x = torch.rand(2, 8, 6, 6)
    assert torch.equal(trunk.stages[1](x), x)
    weight = trunk.stages[1].conv1.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (8 * 9)) ** 0.5, rel=0.1)  # by the outputs, for ReLU


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(ValueError, match="stem"):
        ResNet(stem="large")  # pyright: ignore[reportArgumentType]


def test_tokens_are_row_major_and_know_their_place() -> None:
    """With a trunk that averages 32 x 32 patches, token (r, c) is that patch's mean, projected, plus its position."""

    class Patches(torch.nn.Module):
        channels = 3

        def forward(self, x):
            return F.avg_pool2d(x, 32)

    encoder = ImageEncoder(Patches(), (64, 96, 3), 8)
    image = frames(1, 1)
    tokens = encoder(image)[0, 0]
    assert encoder.num_tokens == 6
    for row in range(2):
        for column in range(3):
            patch = image[0, 0, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
            mean = patch.float().mean((0, 1)) / 255
            projected = encoder.project.weight[:, :, 0, 0] @ mean + encoder.project.bias
            torch.testing.assert_close(tokens[3 * row + column], projected + sincos_2d(2, 3, 8)[3 * row + column])


TRUNKS = {"resnet": lambda: ResNet(width=4), "vit": lambda: ViT((64, 96, 3), channels=12, num_layers=1)}


@pytest.mark.parametrize("trunk", TRUNKS.values(), ids=TRUNKS)
@pytest.mark.parametrize("pool", [False, True])
def test_frames_are_encoded_alone(trunk, pool) -> None:
    encoder = ImageEncoder(trunk(), (64, 96, 3), 8, pool=pool).eval()
    image = frames()
    other = image.clone()
    other[0, 1] = 255 - other[0, 1]
    before, after = encoder(image), encoder(other)
    assert before.shape == (2, 2, 1 if pool else encoder.num_tokens, 8)
    same = torch.tensor([[True, False], [True, True]])
    torch.testing.assert_close(before[same], after[same])
    assert not torch.allclose(before[~same], after[~same])


def test_pooling_is_the_mean_of_the_grid() -> None:
    trunk = ResNet(width=4).eval()
    grid, pooled = ImageEncoder(trunk, (64, 96, 3), 8), ImageEncoder(trunk, (64, 96, 3), 8, pool=True)
    pooled.load_state_dict(grid.state_dict())
    image = frames()
    torch.testing.assert_close(pooled(image)[:, :, 0], (grid(image) - grid.position).mean(2))
    assert pooled.num_tokens == 1


@pytest.mark.parametrize(
    "image",
    [frames(shape=(96, 64, 3)), frames(shape=(64, 96, 1)), frames().float() / 255],
    ids=["size", "grey", "float"],
)
def test_other_images_are_refused(image) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 images of shape \(64, 96, 3\)"):
        ImageEncoder(ResNet(width=4), (64, 96, 3), 8)(image)


def test_building_leaves_the_trunk_as_it_was() -> None:
    trunk = ResNet(width=4)
    ImageEncoder(trunk, (64, 96, 3), 8)
    assert trunk.training
    assert trunk.stem[1].num_batches_tracked == 0
