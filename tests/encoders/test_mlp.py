"""The state encoder: linear in the state, one token, weights that are shared by restriction."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.encoders import StateEncoder

KEYS = {"a/x": 2, "b": 6}


def view(rows: int = 3, steps: int = 4) -> TensorDict:
    parts = {"a": {"x": torch.randn(rows, steps, 2)}, "b": torch.randn(rows, steps, 2, 3)}
    return TensorDict(parts, batch_size=[rows, steps])


def test_it_is_a_linear_map_of_the_concatenated_state() -> None:
    encoder, v = StateEncoder(KEYS, 5), view()
    state = torch.cat([v["a", "x"], v["b"].flatten(2)], -1)
    weight = torch.cat([encoder.embed["a__x"].weight, encoder.embed["b"].weight], 1)
    bias = encoder.embed["a__x"].bias + encoder.embed["b"].bias
    torch.testing.assert_close(encoder(v), (state @ weight.T + bias)[:, :, None])


def test_the_hidden_layer_makes_it_nonlinear() -> None:
    def bend(encoder: StateEncoder) -> torch.Tensor:
        v = view()
        return (encoder(v) + encoder(-v) - 2 * encoder(0 * v)).abs().max()

    assert bend(StateEncoder(KEYS, 5)) < 1e-5
    assert bend(StateEncoder(KEYS, 5, hidden=7)) > 1e-3


@pytest.mark.parametrize("hidden", [None, 7])
def test_a_restricted_encoder_shares_weights_and_adds_up(hidden) -> None:
    encoder, v = StateEncoder(KEYS, 5, hidden=hidden), view()
    part = encoder.restrict(("b",))
    assert part.keys == ("b",)
    theirs = {p.data_ptr() for p in encoder.parameters()}
    assert {p.data_ptr() for p in part.parameters()} < theirs
    if hidden is None:
        other = encoder.restrict(("a/x",))
        torch.testing.assert_close(part(v) + other(v), encoder(v))
    whole = encoder.restrict(("a/x", "b"))
    assert torch.equal(whole(v), encoder(v))


def test_keys_are_checked() -> None:
    with pytest.raises(ValueError, match="at least one"):
        StateEncoder({}, 4)
    with pytest.raises(ValueError, match="differ only in dots"):
        StateEncoder({"a/x": 1, "a__x": 1}, 4)
    with pytest.raises(ValueError, match=r"no keys \['c'\]"):
        StateEncoder(KEYS, 4).restrict(("b", "c"))
    with pytest.raises(ValueError, match="'b' is missing"):
        StateEncoder(KEYS, 4)(view().exclude("b"))
