"""The fused encoder: what each latent may depend on, and restriction to fewer keys."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.encoders import FusedEncoder, ImageEncoder, ResNet, StateEncoder

SHAPE = (32, 64, 3)  # 1 x 2 tokens


def encoder(*, images: bool = True, **options) -> FusedEncoder:
    cameras = {"front/rgb": ImageEncoder(ResNet(width=4), SHAPE, 12)} if images else None
    state = StateEncoder({"a/x": 2, "b": 3}, 12)
    options = {"num_layers": 2, "num_heads": 3, "ffn_dim": 16, "dropout": 0.0} | options
    return FusedEncoder(state, cameras, **options).eval()


def view(rows: int = 3, steps: int = 4) -> TensorDict:
    image = torch.randint(0, 256, (rows, steps, *SHAPE), dtype=torch.uint8)
    parts = {"a": {"x": torch.randn(rows, steps, 2)}, "b": torch.randn(rows, steps, 3), "front": {"rgb": image}}
    return TensorDict(parts, batch_size=[rows, steps])


def disturb(v: TensorDict, *where) -> TensorDict:
    """The view with other values at an index of [B, T]."""
    other = v.clone()
    other["a", "x"][where] += 3.0
    other["b"][where] -= 1.0
    other["front", "rgb"][where] = 255 - other["front", "rgb"][where]
    return other


@pytest.mark.parametrize("options", [{}, {"within_step": True}, {"norm": "pre"}, {"num_layers": 0}])
def test_rows_are_encoded_alone(options) -> None:
    net, v = encoder(**options), view()
    before, after = net(v), net(disturb(v, 1))
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1])


def test_tokens_are_the_state_then_the_cameras() -> None:
    net, v = encoder(num_layers=0), view()
    assert net.num_tokens == 3
    moved = (net(disturb(v, slice(None), 2)) != net(v)).any(-1).any(0)
    assert moved.tolist() == [[False] * 3, [False] * 3, [True] * 3, [False] * 3]
    state_only = v.clone()
    state_only["b"] += 1.0
    assert (net(state_only) != net(v)).any(-1)[0, 0].tolist() == [True, False, False]


def test_steps_mix_unless_told_otherwise() -> None:
    v = view()
    for within_step in (False, True):
        net = encoder(within_step=within_step)
        moved = (net(disturb(v, slice(None), 2)) - net(v)).abs().amax((0, 2, 3)) > 1e-4
        assert moved.tolist() == ([False, False, True, False] if within_step else [True] * 4)


def test_within_a_step_a_latent_is_that_of_the_frame_alone() -> None:
    net, v = encoder(within_step=True), view()
    v["time"] = torch.arange(4).expand(3, 4)
    torch.testing.assert_close(net(v)[:, 1:3], net(v[:, 1:3]))


def test_the_last_step_is_the_present_if_no_time_is_given() -> None:
    net, v = encoder(), view()
    timed = v.clone()
    timed["time"] = torch.arange(-3, 1).expand(3, 4)
    torch.testing.assert_close(net(v), net(timed))
    timed["time"] = timed["time"] + 1
    assert not torch.allclose(net(v), net(timed), atol=1e-3)


@pytest.mark.parametrize("junk", [0.0, 1e30, torch.nan, torch.inf])
def test_padding_never_reaches_a_valid_latent(junk) -> None:
    net, v = encoder(), view()
    v["valid"] = torch.tensor([[True] * 4, [True, True, False, False], [False, True, True, True]])
    other = v.clone()
    other["a", "x"][~v["valid"]] = junk
    other["b"][~v["valid"]] = junk
    other["front", "rgb"][~v["valid"]] = 7
    assert torch.equal(net(v)[v["valid"]], net(other)[v["valid"]])
    assert torch.isfinite(net(other)).all()
    short = {"rtol": 1e-5, "atol": 1e-5}
    v["time"] = torch.arange(4).expand(3, 4)
    torch.testing.assert_close(net(v)[1, :2], net(v[1:2, :2])[0], **short)


def test_restriction_to_states_shares_weights_and_gives_their_latents() -> None:
    net = encoder()
    part, alone, v = net.restrict(("b", "a/x")), encoder(images=False), view()
    alone.load_state_dict(part.state_dict())
    torch.testing.assert_close(part(v), alone(v), rtol=0, atol=1e-6)
    mine = {p.data_ptr() for p in part.parameters()}
    assert mine < {p.data_ptr() for p in net.parameters()}
    assert part.num_tokens == 1
    assert not [name for name, _ in part.named_parameters() if "images" in name]


def test_restriction_to_all_keys_changes_nothing() -> None:
    net, v = encoder(), view()
    whole = net.restrict(net.keys)
    assert torch.equal(whole(v), net(v))
    assert {n: p.data_ptr() for n, p in whole.named_parameters()} == {
        n: p.data_ptr() for n, p in net.named_parameters()
    }


def test_restriction_to_a_camera_reads_no_state() -> None:
    net, v = encoder(within_step=True), view()
    part = net.restrict(("front/rgb",))
    assert (part.keys, part.num_tokens) == (("front/rgb",), 2)
    assert torch.equal(part(v), part(v.exclude(("a", "x"), "b")))


def test_a_restricted_encoder_is_trained_with_the_whole() -> None:
    net, v = encoder(), view()
    part = net.restrict(("a/x",))
    part(v).square().sum().backward()
    assert net.state.embed["a__x"].weight.grad is not None
    assert net.state.embed["b"].weight.grad is None


def test_gradients_reach_every_weight() -> None:
    net = encoder()
    (net(view()) ** 3).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FusedEncoder(None), "at least one"),
        (
            lambda: FusedEncoder(StateEncoder({"b": 1}, 8), {"c": ImageEncoder(ResNet(width=4), SHAPE, 12)}),
            r"\[8, 12\]",
        ),
        (lambda: encoder().restrict(("c",)), r"cannot restrict this encoder to \['c'\]"),
        (lambda: encoder().restrict(()), "cannot restrict"),
        (lambda: encoder()(view().exclude(("front", "rgb"))), "'front/rgb' is missing"),
    ],
)
def test_what_cannot_be_encoded_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
