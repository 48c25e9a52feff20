"""Frames to latents: tokens, pixels, frozen trunks, and what is refused."""

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.encoders import ConvTrunk, FrameEncoder, StateEncoder

SHAPE = (16, 32, 3)


class Patches(nn.Module):
    """Mean colour of 8 x 8 patches, in one of the forms that a trunk may return."""

    def __init__(self, form: str = "map"):
        super().__init__()
        self.form, self.seen = form, torch.zeros(0)
        self.drop, self.scale = nn.Dropout(0.5), nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.clone()
        cells = nn.functional.avg_pool2d(x, 8) * self.scale
        if self.form == "tokens":
            cells = cells.flatten(2).transpose(1, 2)
        return self.drop(cells.flatten(1) if self.form == "vector" else cells)


def encoder(trunk: nn.Module | None = None, *, state: bool = True, **options) -> FrameEncoder:
    torch.manual_seed(0)
    trunks = {} if trunk is None else {"front/rgb": trunk}
    return FrameEncoder(StateEncoder({"arm": 3}, 5) if state else None, trunks, {"front/rgb": SHAPE}, dim=7, **options)


def view(rows: int = 2, steps: int = 3) -> TensorDict:
    image = torch.randint(0, 256, (rows, steps, *SHAPE), dtype=torch.uint8)
    parts = {"front": {"rgb": image}, "arm": torch.randn(rows, steps, 3)}
    return TensorDict(parts, batch_size=[rows, steps])


@pytest.mark.parametrize("form", ["map", "tokens"])
def test_tokens_of_a_map_are_its_cells_with_the_state_beside_them(form: str) -> None:
    net, seen = encoder(Patches(form), tokens="map", project=None).eval(), view()
    z = net(seen)
    assert (net.num_tokens, net.dim) == (8, 8)
    patch = seen["front", "rgb"][1, 2, 8:16, 16:24].float().mean((0, 1)) / 255  # row 1, column 2 of 2 x 4
    torch.testing.assert_close(z[1, 2, 6, :3], patch)
    arm = net.state(seen)[1, 2, 0]  # pyright: ignore[reportOptionalCall]
    torch.testing.assert_close(z[1, 2, :, 3:], arm.expand(8, 5))


@pytest.mark.parametrize("form", ["map", "tokens", "vector"])
def test_one_token_is_all_cells_and_the_state_projected(form: str) -> None:
    net, seen = encoder(Patches(form)).eval(), view()
    z = net(seen)
    assert z.shape == (2, 3, 1, 7)
    cells = nn.functional.avg_pool2d(seen["front", "rgb"].flatten(0, 1).permute(0, 3, 1, 2) / 255, 8)
    cells = cells.flatten(1) if form == "vector" else cells.flatten(2).transpose(1, 2).flatten(1)
    whole = torch.cat([cells, net.state(seen).flatten(0, 2)], dim=-1)  # pyright: ignore[reportOptionalCall]
    expected = whole @ net.project.weight.T + net.project.bias  # pyright: ignore[reportOperatorIssue, reportAttributeAccessIssue]
    torch.testing.assert_close(z.flatten(0, 2), expected)


@pytest.mark.parametrize("options", [{}, {"tokens": "map"}, {"norm": True}])
def test_a_frame_is_encoded_alone(options: dict) -> None:
    net, seen = encoder(ConvTrunk(SHAPE, width=4), **options), view()
    torch.testing.assert_close(net(seen)[1:, 2:], net(seen[1:, 2:]))


def test_the_state_alone_is_one_token() -> None:
    net, seen = encoder(project=None), view()
    assert torch.equal(net(seen), net.state(seen))  # pyright: ignore[reportOptionalCall]
    assert net.keys == ("arm",)


@pytest.mark.parametrize(
    ("pixels", "mean", "std"),
    [
        ("unit", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("signed", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_pixels_are_standardised_as_named(pixels, mean, std) -> None:
    trunk, seen = Patches(), view()
    encoder(trunk, pixels=pixels)(seen)
    image = seen["front", "rgb"].flatten(0, 1) / 255
    expected = ((image - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)
    torch.testing.assert_close(trunk.seen, expected, rtol=1e-5, atol=1e-5)


def test_a_norm_standardises_each_latent() -> None:
    z = encoder(Patches(), norm=True)(view())
    torch.testing.assert_close(z.mean(-1), torch.zeros(2, 3, 1), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.var(-1, unbiased=False), torch.ones(2, 3, 1), rtol=0, atol=1e-2)


def test_a_frozen_trunk_stays_as_it_is_while_the_rest_learns() -> None:
    trunk = Patches()
    net = encoder(trunk, frozen=True).train()
    assert net.training
    assert not any(module.training for module in trunk.modules())
    assert not trunk.scale.requires_grad
    z = net(view())
    z.square().sum().backward()
    assert trunk.scale.grad is None
    assert all(p.grad is not None for name, p in net.named_parameters() if "trunks" not in name)
    assert encoder(Patches()).train().trunks["front__rgb"].training


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: encoder(state=False), "encode at least one observation"),
        (lambda: encoder(tokens="map"), "cameras whose maps have equally many cells"),
        (lambda: encoder(Patches(), tokens="two"), "tokens must be"),
        (lambda: encoder(Patches(), pixels="bytes"), r"pixels in \[.*'imagenet'.*'unit'\].*'bytes'"),
        (lambda: encoder(Patches())(view().exclude(("front", "rgb"))), "'front/rgb' is missing; the view has"),
        (lambda: encoder(Patches())(view().exclude("arm")), "'arm' is missing"),
        (lambda: encoder(Patches())(view().apply(lambda x: x.float())), "expected uint8 images"),
        (lambda: ConvTrunk((20, 32, 3)), "multiples of 16, got 20 x 32"),
    ],
)
def test_what_cannot_be_encoded_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
