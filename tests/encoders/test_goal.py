"""What is seen beside what is wanted."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.encoders import ConvTrunk, FrameEncoder, GoalEncoder, StateEncoder


def encoder(tokens: str = "one") -> GoalEncoder:
    trunks = {"rgb": ConvTrunk((16, 16, 3), width=4)}
    frame = FrameEncoder(StateEncoder({"arm/pos": 2}, 4), trunks, {"rgb": (16, 16, 3)}, dim=6, tokens=tokens)  # pyright: ignore[reportArgumentType]
    return GoalEncoder(frame)


def view() -> TensorDict:
    parts = {}
    for goal in ("", "goal_"):
        parts[f"{goal}rgb"] = torch.randint(0, 256, (2, 3, 16, 16, 3), dtype=torch.uint8)
        parts[f"{goal}arm"] = {"pos": torch.randn(2, 3, 2)}
    return TensorDict(parts, batch_size=[2, 3])


@pytest.mark.parametrize("tokens", ["one", "map"])
def test_the_goal_is_encoded_as_the_frame_is(tokens: str) -> None:
    net, seen = encoder(tokens), view()
    z = net(seen)
    half = net.num_tokens // 2
    assert z.shape == (2, 3, net.num_tokens, net.dim)
    torch.testing.assert_close(z[:, :, :half], net.encoder(seen))
    goal = TensorDict({"rgb": seen["goal_rgb"], "arm": seen["goal_arm"]}, batch_size=[2, 3])
    torch.testing.assert_close(z[:, :, half:], net.encoder(goal))
    assert not torch.equal(z[:, :, :half], z[:, :, half:])


@pytest.mark.parametrize("key", ["goal_rgb", "goal_arm"])
def test_a_missing_goal_is_named(key: str) -> None:
    with pytest.raises(ValueError, match=f"the goal '{key}.* is missing; make the environment with goal_obs=True"):
        encoder()(view().exclude(key))
