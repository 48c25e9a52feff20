"""A saved world model is planned with, a saved chunk learner is not."""

import pytest
import torch
from point_world import PLANNER, SPEC, drive, point_statistics, points
from toys import toy_learner

from worldjepa.recipes import ac_jepa, make_learner, save_pretrained
from worldjepa_policies.chunk import ChunkPolicy
from worldjepa_policies.load import load_policy
from worldjepa_policies.mpc import MPCPolicy


def test_a_saved_world_model_is_planned_with(tmp_path) -> None:
    config = ac_jepa.Config(state_keys=("place/x",), stride=2, horizon=5, dim=16, predictor_layers=1)
    learner = make_learner("ac_jepa", config, SPEC, point_statistics())
    folder = save_pretrained(learner, tmp_path)
    loaded = load_policy(folder, planner=PLANNER, horizon=3, execute=1)
    assert isinstance(loaded, MPCPolicy)
    place, goal = points(2)
    expected = drive(MPCPolicy(learner, PLANNER, horizon=3, execute=1), place, goal, 4)[0]
    assert torch.equal(drive(loaded, place, goal, 4)[0], expected)
    with pytest.raises(ValueError, match=r"world models are planned with: leave out \['n_action_steps'\]"):
        load_policy(folder, n_action_steps=2)


def test_a_saved_chunk_learner_is_not_planned_with(tmp_path) -> None:
    folder = save_pretrained(toy_learner(), tmp_path)
    assert isinstance(load_policy(folder, n_action_steps=2), ChunkPolicy)
    with pytest.raises(ValueError, match=r"'act_jepa' has an action head .* leave out \['horizon', 'planner'\]"):
        load_policy(folder, planner=PLANNER, horizon=3)


@pytest.mark.parametrize(("sliding", "horizon", "expected"), [(False, 3, 3), (False, 8, 5), (True, 1, 5)])
def test_without_a_horizon_it_plans_as_far_as_the_model_imagines(tmp_path, sliding, horizon, expected) -> None:
    config = ac_jepa.Config(
        state_keys=("place/x",), history=2, horizon=horizon, dim=16, predictor_layers=1, sliding=sliding
    )
    folder = save_pretrained(make_learner("ac_jepa", config, SPEC, point_statistics()), tmp_path)
    policy = load_policy(folder, planner=PLANNER)
    assert isinstance(policy, MPCPolicy)
    assert (policy.horizon, policy.execute) == (expected, expected)
    drive(policy, *points(1), 2)


def test_a_longer_rollout_than_was_trained_is_refused_at_once(tmp_path) -> None:
    config = ac_jepa.Config(state_keys=("place/x",), horizon=4, history=2, dim=16, predictor_layers=1)
    learner = make_learner("ac_jepa", config, SPEC, point_statistics())
    MPCPolicy(learner, PLANNER, horizon=4)
    with pytest.raises(ValueError, match="a rollout of 5 steps from 2 frames"):
        MPCPolicy(learner, PLANNER, horizon=5)
