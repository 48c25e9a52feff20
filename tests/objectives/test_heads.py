"""Reward and success heads: mean squared error and cross-entropy over real transitions, clear about missing labels."""

import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict

from worldjepa.objectives import RewardHead, SuccessHead
from worldjepa.types import Prediction

VALID = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [False] + [True] * 3])


def given(valid: torch.Tensor = VALID) -> tuple[torch.Tensor, torch.Tensor, TensorDict]:
    generator = torch.Generator().manual_seed(0)
    predicted, target = torch.randn(2, 3, 4, 2, 5, generator=generator)
    reward = torch.randn(3, 4, generator=generator)
    labels = {"reward": reward, "success": reward > 0, "terminated": reward > 1}
    return predicted, target, TensorDict(labels | {"action_valid": valid.clone()}, batch_size=[3])


def made(kind=RewardHead, **settings):
    torch.manual_seed(1)
    return kind(5, (8,), num_tokens=2, **settings)


def loss(term, predicted, target, batch) -> torch.Tensor:
    weight = batch["action_valid"].float()[..., None].expand(3, 4, 2)
    (value,) = term(Prediction(target, target, predicted, weight), batch).values()
    return value


def test_the_right_reward_costs_nothing() -> None:
    predicted, target, batch = given()
    term = made()
    batch["reward"] = term.reward(predicted).detach()
    assert loss(term, predicted, target, batch) == 0.0


def test_the_reward_loss_is_the_mean_squared_error_of_the_next_frames_latents() -> None:
    predicted, target, batch = given()
    term = made()
    found = term.net(predicted.flatten(2))[..., 0]
    expected = F.mse_loss(found[VALID], batch["reward"][VALID])
    torch.testing.assert_close(loss(term, predicted, target, batch), expected)
    both = made(of=("predicted", "target"))
    errors = [(both.reward(z) - batch["reward"])[VALID].square() for z in (predicted, target)]
    torch.testing.assert_close(loss(both, predicted, target, batch), torch.cat(errors).mean())


@pytest.mark.parametrize("key", ["success", "terminated"])
def test_the_success_loss_is_the_cross_entropy(key) -> None:
    predicted, target, batch = given()
    term = made(SuccessHead, key=key)
    found, label = term.probability(predicted)[VALID], batch[key][VALID].float()
    torch.testing.assert_close(loss(term, predicted, target, batch), F.binary_cross_entropy(found, label))
    weighted = made(SuccessHead, key=key, positive_weight=3.0)
    entropy = F.binary_cross_entropy(found, label, reduction="none") * (1 + 2 * label)
    torch.testing.assert_close(loss(weighted, predicted, target, batch), entropy.mean())


def test_a_head_that_knows_nothing_pays_one_bit() -> None:
    predicted, target, batch = given()
    term = made(SuccessHead)
    torch.nn.init.zeros_(term.net[-1].weight)
    torch.nn.init.zeros_(term.net[-1].bias)
    torch.testing.assert_close(loss(term, predicted, target, batch), torch.tensor(2.0).log())


def test_a_head_reads_rollouts_of_samples() -> None:
    z, reward, success = torch.randn(3, 7, 4, 2, 5), made(), made(SuccessHead)
    torch.testing.assert_close(reward.reward(z)[1, 2], reward.reward(z[1, 2]))
    torch.testing.assert_close(success.probability(z)[1, 2], success.logit(z[1, 2]).sigmoid())
    assert reward.reward(z).shape == (3, 7, 4)


def test_labels_keep_their_precision_in_half_precision() -> None:
    predicted, target, batch = given()
    batch["reward"] = batch["reward"] + 1000.0  # 1000.1 has no bfloat16
    term = made()
    torch.nn.init.zeros_(term.net[-1].weight)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(term, predicted.bfloat16(), target, batch)
    torch.testing.assert_close(found, (batch["reward"] - term.net[-1].bias)[VALID].square().mean(), rtol=1e-5, atol=0)


def test_detached_latents_are_read_and_not_shaped() -> None:
    predicted, target, batch = given()
    predicted.requires_grad_()
    shaping, reading = made(), made(detach=True)
    loss(reading, predicted, target, batch).backward()
    assert predicted.grad is None
    loss(shaping, predicted, target, batch).backward()
    assert predicted.grad.any()
    for a, b in zip(reading.parameters(), shaping.parameters()):
        assert torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("kind", [RewardHead, SuccessHead])
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -1e38])
def test_padding_may_hold_anything(kind, junk) -> None:
    results = []
    for filler in (0.5, junk):
        predicted, target, batch = given()
        batch["success"] = batch["success"].float()
        for label in ("reward", "success"):
            batch[label][~VALID] = filler
        predicted = predicted.masked_fill(~VALID[..., None, None], filler).requires_grad_()
        term = made(kind)
        value = loss(term, predicted, target, batch)
        value.backward()
        results.append([value.detach(), predicted.grad, *(parameter.grad for parameter in term.parameters())])
    for same, junky in zip(*results):
        assert torch.equal(same, junky)
    assert not results[1][1][~VALID].any()
    assert results[1][1][VALID].any()


def test_data_without_labels_is_refused() -> None:
    predicted, target, batch = given()
    with pytest.raises(ValueError, match="needs data with rewards; the batch has"):
        loss(made(), predicted, target, batch.exclude("reward"))
    with pytest.raises(ValueError, match=r"needs data with 'success'.*key=.terminated"):
        loss(made(SuccessHead), predicted, target, batch.exclude("success"))


def test_what_does_not_fit_is_refused() -> None:
    predicted, target, batch = given()
    with pytest.raises(ValueError, match=r"expected latents of 2 x 5, got \(1, 5\)"):
        made().reward(predicted[:, :, :1])
    with pytest.raises(ValueError, match="predictor and a target"):
        made()(Prediction(target, None, None, None), batch)
    batch["reward"] = batch["reward"][:, :2]
    with pytest.raises(ValueError, match="labels have 2 steps"):
        loss(made(), predicted, target, batch)
    with pytest.raises(ValueError, match="of must be one of"):
        made(of=("context",))
    with pytest.raises(ValueError, match="of must name"):
        made(of=())
    with pytest.raises(ValueError, match="positive_weight"):
        made(SuccessHead, positive_weight=0.0)
    with pytest.raises(ValueError, match="key must be one of"):
        made(SuccessHead, key="done")
