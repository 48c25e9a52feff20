"""Inverse dynamics and time similarity: the published losses over real transitions, blind to padding."""

import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import nn

from worldjepa.objectives import InverseDynamics, TimeSimilarity
from worldjepa.types import Prediction

VALID = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [False] * 2 + [True] * 3])
ACTED = VALID[:, 1:] & VALID[:, :-1]
WHOLE = torch.ones_like(VALID)


def given(seed: int = 0, valid: torch.Tensor = VALID) -> tuple[torch.Tensor, TensorDict]:
    generator = torch.Generator().manual_seed(seed)
    z, action = torch.randn(3, 5, 2, 4, generator=generator), torch.randn(3, 4, 3, generator=generator)
    acted = valid[:, 1:] & valid[:, :-1]
    return z, TensorDict({"action": action, "action_valid": acted, "valid": valid.clone()}, batch_size=[3])


def head(**settings) -> InverseDynamics:
    torch.manual_seed(1)
    return InverseDynamics(4, 3, (8,), num_tokens=2, **settings)


def loss(term: nn.Module, z: torch.Tensor, batch: TensorDict) -> torch.Tensor:
    (value,) = term(Prediction(z, None, None, None), batch).values()
    return value


def test_the_right_actions_cost_nothing() -> None:
    z, batch = given()
    term = head()
    batch["action"] = term.actions(z).detach()
    assert loss(term, z, batch) == 0.0


def test_it_is_the_published_loss() -> None:
    """PLDM: ``F.mse_loss(predictor(cat([z[t], z[t + 1]])), action)``, latents flattened."""
    z, batch = given(valid=WHOLE)
    term = head()
    pairs = torch.cat([z.flatten(2)[:, :-1], z.flatten(2)[:, 1:]], dim=-1)
    torch.testing.assert_close(loss(term, z, batch), F.mse_loss(term.net(pairs), batch["action"]))


def test_only_real_actions_between_real_frames_count() -> None:
    z, batch = given()
    batch["action_valid"][0, 2] = False
    term = head()
    error = (term.actions(z) - batch["action"])[ACTED & batch["action_valid"]]
    torch.testing.assert_close(loss(term, z, batch), error.square().mean())
    del batch["action_valid"]
    batch["valid"] = WHOLE
    torch.testing.assert_close(loss(term, z, batch), F.mse_loss(term.actions(z), batch["action"]))


@pytest.mark.parametrize("max_gap", [2, 4, 9])
def test_a_gap_asks_for_the_first_action_of_an_unbroken_way(max_gap) -> None:
    z, batch = given()
    acted = batch["action_valid"]
    acted[0, 1] = False  # an unrecorded action between recorded frames
    term = head(max_gap=max_gap)
    errors = []
    for row in range(3):
        for start in range(5):
            for stop in range(start + 1, min(start + max_gap, 4) + 1):
                if VALID[row, start : stop + 1].all() and acted[row, start:stop].all():
                    found = term.between(z[row, start][None, None], z[row, stop][None, None])[0, 0]
                    errors.append((found - batch["action"][row, start]).square().mean())
    torch.testing.assert_close(loss(term, z, batch), torch.stack(errors).mean())


def test_learned_it_begins_the_way_to_a_goal() -> None:
    """Latents are positions and actions are changes of at most 1: the way to a far goal begins with a step to it."""
    generator = torch.Generator().manual_seed(0)
    action = torch.rand(256, 4, 1, generator=generator).sign() * torch.randn(256, 1, 1, generator=generator).sign()
    action = action * torch.rand(256, 1, 1, generator=generator)
    z = torch.cat([torch.zeros(256, 1, 1), action.cumsum(1)], dim=1)[:, :, None]
    batch = TensorDict({"action": action, "valid": torch.ones(256, 5, dtype=torch.bool)}, batch_size=[256])
    torch.manual_seed(0)
    term = InverseDynamics(1, 1, (32,), max_gap=4)
    optimizer = torch.optim.Adam(term.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        loss(term, z, batch).backward()
        optimizer.step()
    here = torch.zeros(1, 1, 1)
    right, left = (term.actions(torch.stack([here, here + goal], dim=1)).item() for goal in (2.0, -2.0))
    assert right > 0.4
    assert left < -0.4


def test_detached_latents_are_read_and_not_shaped() -> None:
    z, batch = given()
    z.requires_grad_()
    term = head(detach=True)
    loss(term, z, batch).backward()
    assert z.grad is None
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in term.parameters())


@pytest.mark.parametrize("make", [head, lambda: head(max_gap=3), TimeSimilarity], ids=["inverse", "gaps", "similarity"])
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(make, junk) -> None:
    results = []
    for filler in (0.5, junk):
        z, batch = given()
        z = z.masked_fill(~VALID[..., None, None], filler).requires_grad_()
        batch["action"][~ACTED] = filler
        term = make()
        value = loss(term, z, batch)
        value.backward()
        results.append([value.detach(), z.grad, *(parameter.grad for parameter in term.parameters())])
    for same, junky in zip(*results):
        assert torch.equal(same, junky)
    assert not results[1][1][~VALID].any()
    assert results[1][1][VALID].any()


def test_latents_that_stand_still_are_similar() -> None:
    z, batch = given()
    assert loss(TimeSimilarity(), z[:, :1].expand_as(z), batch) == 0.0


def test_similarity_is_the_published_loss() -> None:
    """PLDM and EB-JEPA: ``(encodings[1:] - encodings[:-1]).pow(2).mean()``."""
    z, batch = given(valid=WHOLE)
    torch.testing.assert_close(loss(TimeSimilarity(), z, batch), (z[:, 1:] - z[:, :-1]).pow(2).mean())
    z, batch = given()
    torch.testing.assert_close(loss(TimeSimilarity(), z, batch), (z[:, 1:] - z[:, :-1])[ACTED].pow(2).mean())


def test_small_steps_far_from_the_origin_count_in_half_precision() -> None:
    z = torch.tensor([1.0, 1.0078125]).bfloat16()[None, :, None, None].expand(3, 2, 2, 4)  # neighbours in bfloat16
    distance = loss(TimeSimilarity(), z, TensorDict({}, batch_size=[3]))
    assert distance == 0.0078125**2
    assert distance.dtype == torch.float32


def test_terms_of_one_kind_have_names() -> None:
    z, batch = given()
    prediction = Prediction(z, z, z, torch.ones(3, 5, 2))
    assert set(head(name="readout")(prediction, batch)) == {"readout_inverse"}
    assert set(TimeSimilarity("predicted", name="next")(prediction, batch)) == {"next_time_similarity"}


def test_what_does_not_fit_is_refused() -> None:
    z, batch = given()
    with pytest.raises(ValueError, match="at least 2 frames"):
        loss(head(), z[:, :1], batch)
    with pytest.raises(ValueError, match="5 frames and 2 actions"):
        loss(head(), z, TensorDict({"action": batch["action"][:, :2]}, batch_size=[3]))
    with pytest.raises(ValueError, match=r"expected two latents of 2 x 4, got \(3, 4, 1, 4\)"):
        head().actions(z[:, :, :1])
    with pytest.raises(ValueError, match="max_gap"):
        head(max_gap=0)
    with pytest.raises(ValueError, match="widths of at least 1"):
        InverseDynamics(4, 0)
    with pytest.raises(ValueError, match="at least 2 frames of context latents, got 1"):
        loss(TimeSimilarity(), z[:, :1], batch)
