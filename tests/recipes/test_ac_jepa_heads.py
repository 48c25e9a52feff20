"""Heads of world models on recorded data: reward, success, and inverse dynamics over several frames."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_envs
import torch
from worlds import write_world

from worldjepa.data import Store, WindowSampler, open_store
from worldjepa.data.collect import collect
from worldjepa.learner import Learner
from worldjepa.objectives import InverseDynamics, RewardHead, SuccessHead
from worldjepa.recipes import ac_jepa, fit_statistics, from_pretrained, make_learner, save_pretrained
from worldjepa_policies.amortised import InverseDynamicsPolicy

SMALL: dict[str, Any] = {"dim": 16, "state_dim": 16, "state_hidden": 32, "predictor": "recurrent", "horizon": 2}


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Episodes of a point on a line that end where it is solved: reward -|x|, success |x| < 0.1."""
    path = tmp_path_factory.mktemp("walks") / "walks.hdf5"
    collect("tiny/Walk-v0", tiny_envs.Restless(), path, 60, seed=5, num_envs=4)
    return open_store(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Recorded play without reward and without success."""
    return write_world(tmp_path_factory.mktemp("world") / "data.hdf5")


def made(store: Store, **changes: Any) -> tuple[Learner, WindowSampler]:
    """A learner, and the windows that it is trained on."""
    config = ac_jepa.Config(**{**SMALL, **changes})
    torch.manual_seed(0)
    learner = make_learner("ac_jepa", config, store.spec, fit_statistics(config, store, range(len(store))))
    options = ac_jepa.window(config, store.spec).options()
    return learner, WindowSampler(store, episodes=range(len(store)), batch_size=128, **options)


@pytest.mark.filterwarnings("ignore:.*shorter than the window")
def test_heads_are_trained_on_what_was_collected(walks: Store) -> None:
    learner, windows = made(walks, state_keys=("place/x",), reward=1.0, success=1.0)
    losses = learner(windows.batch(0))
    assert {"latent_l2", "reward", "success", "loss"} == set(losses)
    assert all(torch.isfinite(value) for value in losses.values())
    losses["loss"].backward()
    for kind in (RewardHead, SuccessHead):
        assert all(p.grad is not None and p.grad.any() for p in learner.objective.term(kind).parameters())


@pytest.mark.filterwarnings("ignore:.*shorter than the window")
def test_trained_heads_know_reward_and_success_of_a_frame(walks: Store) -> None:
    learner, windows = made(walks, state_keys=("place/x",), reward=1.0, success=1.0, sigreg=0.1, sigreg_slices=16)
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    for step in range(200):
        loss = learner(windows.batch(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch = windows.at(range(len(windows)))
    with torch.no_grad():
        z = learner.eval().encode(batch["obs"])[:, 1:]
        odds = learner.objective.term(SuccessHead).logit(z)
        reward = learner.objective.term(RewardHead).reward(z)
    away = batch["obs", "place", "x"][:, 1:, 0].abs()
    solved, acted = batch["success"], batch["action_valid"]
    assert acted.all()
    assert torch.equal(solved, away < 0.1)
    assert solved.sum() > 20
    above = odds[solved][:, None] > odds[~solved][None]
    assert above.float().mean() > 0.95, "of pairs of a solved and an unsolved frame, chance is a half"
    assert (reward + away).square().mean() < 0.2 * away.var()


def test_data_without_labels_is_refused(world: Store) -> None:
    for name, message in (("success", "needs data with 'success'.*record it"), ("reward", "needs data with rewards")):
        learner, windows = made(world, **{name: 1.0})
        with pytest.raises(ValueError, match=message):
            learner(windows.batch(0))


def gap_loss(learner: Learner, windows: WindowSampler, gap: int) -> float:
    """Mean squared error of the first action between all frames up to ``gap`` apart, written out."""
    batch, head = learner.normalizer(windows.batch(0)), learner.objective.term(InverseDynamics)
    z, errors = learner.model.encode(batch["obs"]), []
    for first in range(z.shape[1] - 1):
        for last in range(first + 1, min(first + gap, z.shape[1] - 1) + 1):
            found = head.between(z[:, first : first + 1], z[:, last : last + 1])
            errors.append((found[:, 0] - batch["action"][:, first]).square().mean())
    return float(torch.stack(errors).mean())


@pytest.mark.parametrize("gap", [1, 2, 4])
def test_inverse_dynamics_is_trained_on_pairs_up_to_the_gap(world: Store, gap: int) -> None:
    learner, windows = made(world, inverse=1.0, inverse_gap=gap, horizon=4, stride=2)
    assert learner.objective.term(InverseDynamics).max_gap == gap
    with torch.no_grad():
        found = float(learner(windows.batch(0))["inverse"])
        assert found == pytest.approx(gap_loss(learner, windows, gap), rel=1e-5)
        plain, _ = made(world, inverse=1.0, horizon=4, stride=2)
        assert (float(plain(windows.batch(0))["inverse"]) == found) == (gap == 1), "1 is the default"


@pytest.mark.parametrize("gap", [0, 4])
def test_a_gap_beyond_the_window_is_refused(world: Store, gap: int) -> None:
    with pytest.raises(ValueError, match=rf"inverse_gap must be in 1\.\.3, .*got {gap}: lengthen the horizon"):
        made(world, inverse=1.0, inverse_gap=gap, history=2)


def test_an_amortised_planner_has_learned_goals_as_far_as_the_gap(world: Store) -> None:
    """After training on neighbours alone it does not know how a goal four blocks away is approached."""
    errors = {}
    for gap in (1, 4):
        learner, windows = made(world, inverse=1.0, inverse_gap=gap, horizon=4)
        optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
        for step in range(100):
            loss = learner(windows.batch(step))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        policy = InverseDynamicsPolicy(learner)
        batch = windows.at(range(0, len(windows), 5))
        seen = batch["obs"].apply(lambda x: x[:, 0])
        seen["goal_p"] = batch["obs", "p"][:, 4]
        errors[gap] = float((policy.act(seen) - batch["action"][:, 0]).square().mean())
    assert errors[4] < 0.8 * errors[1]
    assert errors[4] < 0.8 * float(batch["action"][:, 0].square().mean()), "the best that knows nothing"


def test_a_model_of_before_the_gap_loads(world: Store, tmp_path: Path) -> None:
    learner, _ = made(world, inverse=1.0)
    folder = save_pretrained(learner, tmp_path)
    saved = json.loads((folder / "config.json").read_text())
    del saved["config"]["inverse_gap"]
    (folder / "config.json").write_text(json.dumps(saved))
    loaded = from_pretrained(folder, recipe="ac_jepa")
    assert loaded.origin.config.inverse_gap == 1
    assert loaded.origin == learner.origin
    theirs = loaded.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in learner.state_dict().items())
