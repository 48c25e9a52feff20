"""Behaviour cloning: a perceptron and a mean squared error, nothing else."""

import torch
from tensordict import TensorDict
from toys import SPEC, present, toy_batch, toy_statistics, train

from worldjepa.recipes import bc, make_learner
from worldjepa.recipes.keys import Window


def learner(**changes):
    torch.manual_seed(0)
    return make_learner("bc", bc.Config(hidden=(16,), dim=8, **changes), SPEC, toy_statistics())


def test_its_loss_is_the_mean_squared_error_of_the_first_action() -> None:
    model, batch = learner(), toy_batch()
    first = model.normalizer.normalize("action", batch["action"][:, 0])
    given = model.normalizer.normalize("action", model.actions(present(batch, 1))[:, 0])
    losses = model(batch)
    assert set(losses) == {"action_l2", "loss"}
    torch.testing.assert_close(losses["loss"], (first - given).square().mean())


def test_history_and_chunk_set_the_windows() -> None:
    config = bc.Config(history=2, chunk=3, state_keys=("block",))
    assert bc.window(config, SPEC) == Window(2, 3, 2, ("block",))
    model = make_learner("bc", config, SPEC, toy_statistics())
    batch = toy_batch(rows=2, steps=4)
    batch["obs"] = TensorDict({"block": batch["obs", "block"]}, batch_size=[2])
    assert model(batch)["loss"].isfinite()
    assert model.actions(present(batch)).shape == (2, 3, 2)


def test_the_latest_frame_and_the_one_before_are_read() -> None:
    model, batch = learner(history=2), toy_batch()
    obs = present(batch).apply(lambda x: x.clone().requires_grad_())
    (gradient,) = torch.autograd.grad(model.actions(obs).sum(), obs["block"])
    assert (gradient.abs().sum(-1) > 0).all()


def test_it_memorises_a_batch() -> None:
    model, batch = learner(), toy_batch(rows=4)
    assert train(model, [batch] * 150, lr=1e-2)[-1]["loss"] < 1e-2
