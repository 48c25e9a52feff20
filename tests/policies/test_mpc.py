"""Model predictive control: when it plans, what it is given, what it executes, and that it reaches goals."""

from dataclasses import replace

import pytest
import torch
import toys
from point_world import PLANNER, SPEC, Script, drive, look, point_learner, points
from torch import Tensor

from worldjepa.data.task import task
from worldjepa.evaluate.manifest import make_manifest
from worldjepa.evaluate.rollout import evaluate
from worldjepa.plan import ICEM, GradientPlanner, Plan
from worldjepa.recipes import bc, make_learner
from worldjepa.types import Policy
from worldjepa_policies.mpc import MPCPolicy


@pytest.mark.parametrize("planner", [PLANNER, ICEM(num_samples=64, num_elites=8), GradientPlanner(iterations=30)])
@pytest.mark.parametrize("history", [1, 3])
def test_goals_are_reached(planner, history) -> None:
    place, goal = points(3)
    policy = MPCPolicy(point_learner(history=history), planner, execute=2)
    _, places = drive(policy, place, goal, 24)
    assert isinstance(policy, Policy)
    assert (places[-1] - goal).norm(dim=-1).max() < 0.05
    assert (place - goal).norm(dim=-1).min() > 0.3


@pytest.mark.parametrize(("execute", "expected"), [(None, 5), (1, 1), (3, 3)])
def test_it_plans_again_when_the_executed_blocks_are_over(execute, expected) -> None:
    script = Script()
    policy = MPCPolicy(point_learner(stride=2), script, execute=execute)
    drive(policy, *points(1), 12)
    assert len(script.inits) == -(-12 // (2 * expected))


def test_blocks_are_executed_in_time_order_and_raw_units() -> None:
    learner = point_learner(stride=2)
    block = torch.tensor([0.1, -0.2, 0.3, -0.4])

    class One(Script):
        def plan(self, cost, init, generators, **kwargs) -> Plan:
            return Plan(block.expand_as(init), torch.zeros(len(init)), 1)

    actions, _ = drive(MPCPolicy(learner, One()), *points(1), 2)
    mean, std = torch.tensor([0.05, -0.1]), torch.tensor([0.6, 0.5])
    assert torch.allclose(actions[0, 0], block[:2] * std + mean)
    assert torch.allclose(actions[1, 0], block[2:] * std + mean)


def test_the_model_is_given_its_own_past_and_no_invented_frames() -> None:
    learner = point_learner(stride=2, history=3)
    policy = MPCPolicy(learner, PLANNER, execute=1)
    rehearsed = len(learner.model.predictor.asked)
    actions, places = drive(policy, *points(1), 10)
    normalizer = learner.normalizer
    blocks = normalizer.normalize("action", actions[:, 0].reshape(5, 4))
    frames = normalizer.normalize("place/x", places[::2, 0])
    asked = learner.model.predictor.asked[rehearsed:]
    per_plan = len(asked) // 5
    for n in range(5):
        z, action = asked[n * per_plan]
        frames_now = min(n + 1, 3)
        assert torch.allclose(z[0, :, 0], frames[n + 1 - frames_now : n + 1], atol=1e-5)
        past = action[0, :, : frames_now - 1]
        assert action.shape[2] == frames_now - 1 + 5
        assert torch.allclose(past, blocks[n + 1 - frames_now : n].expand_as(past), atol=1e-5)


def test_the_goal_is_encoded_as_an_observation() -> None:
    learner = point_learner()
    place, goal = points(1)
    MPCPolicy(learner, PLANNER).act(look(place, goal))
    seen = []
    MPCPolicy(learner, PLANNER, make_cost=lambda model, z, aim, past: seen.append((z, aim)) or _nothing).act(
        look(place, goal)
    )
    assert torch.equal(seen[0][0][0, 0], learner.normalizer.normalize("place/x", place))
    assert torch.equal(seen[0][1][0, 0], learner.normalizer.normalize("place/x", goal))


def _nothing(action: Tensor) -> Tensor:
    return 0.0 * action.sum((2, 3))


def test_a_search_begins_at_what_is_left_of_the_last_plan() -> None:
    script = Script(elites=2)
    drive(MPCPolicy(point_learner(), script, execute=2), *points(1), 6)
    assert script.inits[0].abs().max() == 0
    assert script.candidates[0].shape == (1, 0, 5, 4)
    assert script.inits[1][0, :, 0].tolist() == pytest.approx([0.3, 0.4, 0.5, 0, 0])
    assert script.candidates[1][0, :, :, 0].tolist() == [
        pytest.approx([100.3, 100.4, 100.5, 0, 0]),
        pytest.approx([200.3, 200.4, 200.5, 0, 0]),
    ]


def test_nothing_is_left_of_a_plan_that_was_executed() -> None:
    script = Script(elites=2)
    drive(MPCPolicy(point_learner(), script), *points(1), 20)
    assert script.inits[1].abs().max() == 0
    assert script.candidates[1].shape[1] == 0


def test_bounds_are_the_action_spaces_in_the_models_units() -> None:
    script = Script()
    learner = point_learner(stride=2)
    drive(MPCPolicy(learner, script), *points(1), 1)
    for bound, raw in zip(script.bounds[0], (-1.0, 1.0)):
        assert torch.allclose(learner.normalizer.denormalize("action", bound), torch.full((4,), raw))


@pytest.mark.parametrize("limit", [1.0, 0.25])
def test_actions_stay_within_the_bounds(limit) -> None:
    bounds = {} if limit == 1.0 else {"low": [-limit] * 2, "high": [limit] * 2}
    place, _ = points(3)
    actions, _ = drive(MPCPolicy(point_learner(), PLANNER, **bounds), place, place + 50.0, 10)
    assert actions.abs().max() <= limit
    assert actions.abs().max() > 0.9 * limit


def test_a_row_does_not_depend_on_the_others_to_the_last_bit() -> None:
    place, goal = points(3)

    def run(rows: list[int]) -> Tensor:
        policy = MPCPolicy(point_learner(history=2), PLANNER, execute=1)
        for i, row in enumerate(rows):
            policy.seed(i, row)
        return drive(policy, place[rows], goal[rows], 8)[0]

    together = run([0, 1, 2])
    assert torch.equal(run([2, 0, 1]), together[:, [2, 0, 1]])
    for row in range(3):
        assert torch.equal(run([row])[:, 0], together[:, row])


def test_together_is_the_same_in_one_batch() -> None:
    place, goal = points(3)
    apart, together = point_learner(), point_learner()
    expected = drive(MPCPolicy(apart, PLANNER, execute=2), place, goal, 8)[0]
    found = drive(MPCPolicy(together, PLANNER, execute=2, together=True), place, goal, 8)[0]
    assert torch.allclose(found, expected, atol=1e-5)
    assert 3 * (len(together.model.predictor.asked) - 1) == len(apart.model.predictor.asked) - 1


def test_an_episode_that_ends_in_the_middle_of_a_plan_is_forgotten() -> None:
    place, goal = points(3)
    learner = point_learner(history=3)

    def run(policy: MPCPolicy, first: Tensor, steps: int) -> Tensor:
        for row in range(3):
            policy.seed(row, 10 + row)
        return drive(policy, first, goal, steps)[0]

    policy = MPCPolicy(learner, PLANNER, execute=3, together=True)
    drive(policy, place, goal, 5)  # in the middle of a block, in the middle of a plan
    assert policy.plan_of(1) is not None
    policy.reset(torch.tensor([True, True, True]))
    assert policy.plan_of(1) is None
    fresh = MPCPolicy(learner, PLANNER, execute=3, together=True)
    assert torch.equal(run(policy, place, 7), run(fresh, place, 7))


def test_rows_out_of_step_are_planned_apart_even_together() -> None:
    """A row that was reset has less history than the others and asks at other times."""
    place, goal = points(2)
    policies = [MPCPolicy(point_learner(history=3), PLANNER, execute=1, together=x) for x in (False, True)]
    found = []
    for policy in policies:
        for row in range(2):
            policy.seed(row, row)
        actions = [drive(policy, place, goal, 3)[0]]
        policy.reset(torch.tensor([False, True]))
        actions.append(drive(policy, place, goal, 6)[0])
        found.append(torch.cat(actions))
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_a_seed_decides_an_episode() -> None:
    place, goal = points(1)

    def run(seed: int) -> Tensor:
        policy = MPCPolicy(point_learner(), PLANNER)
        policy.seed(0, seed)
        return drive(policy, place, goal, 4)[0]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_rows_that_nobody_seeds_draw_apart() -> None:
    place, goal = points(1)
    actions, _ = drive(MPCPolicy(point_learner(), PLANNER), place.expand(2, 2), goal.expand(2, 2), 1)
    assert not torch.equal(actions[:, 0], actions[:, 1])


def test_an_audited_evaluation_reaches_goals_whatever_the_number_of_environments() -> None:
    world = task("tiny/Point-v0", drift=0.01)
    starts = make_manifest(world, 8, seed=3)
    policy = MPCPolicy(point_learner(history=2), PLANNER, execute=2)
    alone = evaluate(policy, world, starts)
    together = evaluate(policy, world, starts, num_envs=3)
    assert [e.to_json() for e in alone.episodes] == [e.to_json() for e in together.episodes]
    assert alone.rate.estimate == 1.0
    assert len({e.steps for e in alone.episodes}) > 2


def test_the_cost_may_be_the_users() -> None:
    """Away from the goal instead of to it."""
    place, goal = points(1)

    def flee(model, z, aim, past):
        return lambda action: -(model.rollout(z, action) - aim[:, None]).square().sum((2, 3, 4))

    _, places = drive(MPCPolicy(point_learner(), PLANNER, make_cost=flee), place, goal, 10)
    assert (places[-1] - goal).norm() > (place - goal).norm() + 0.5


def test_a_penalty_makes_actions_small() -> None:
    place, goal = points(3)
    free, _ = drive(MPCPolicy(point_learner(), PLANNER), place, goal, 4)
    held, _ = drive(MPCPolicy(point_learner(), PLANNER, penalty=100.0), place, goal, 4)
    mean = torch.tensor([0.05, -0.1])
    assert (held - mean).square().mean() < 0.3 * (free - mean).square().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon of at least 1"),
        ({"execute": 6}, r"execute in 1..horizon, got 5 and 6"),
        ({"execute": 0}, r"execute in 1..horizon"),
        ({"horizon": 6}, "beyond the context of 5"),
        ({"low": [0.0]}, "low must be 2 numbers"),
        ({"low": [0.0, 2.0]}, "low must not exceed high"),
        ({"high": [0.0, torch.nan]}, "high must be 2 numbers"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        MPCPolicy(point_learner(), PLANNER, **options)


@pytest.mark.parametrize("low", [None, (-1.0, -torch.inf)])
def test_an_action_space_without_bounds_needs_some(low) -> None:
    learner = point_learner(spec=replace(SPEC, action_low=low))
    with pytest.raises(ValueError, match=r"no finite bound 'low' .* pass low=\[...\] in raw units"):
        MPCPolicy(learner, PLANNER)
    actions, _ = drive(MPCPolicy(learner, PLANNER, low=[-0.5, -0.5]), *points(2), 4)
    assert actions.min() >= -0.5


def test_a_learner_without_statistics_is_refused() -> None:
    learner = point_learner()
    learner.normalizer.scale_action.fill_(torch.nan)
    with pytest.raises(ValueError, match="no action statistics"):
        MPCPolicy(learner, PLANNER)


def test_a_learner_that_cannot_be_rolled_out_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be rolled out: planning needs a world model"):
        MPCPolicy(make_learner("bc", bc.Config(hidden=(16,), dim=8), toys.SPEC, toys.toy_statistics()), PLANNER)


def test_an_environment_without_goals_is_told_how_to_be_made() -> None:
    world = task("tiny/Point-v0", goal_obs=False)
    with pytest.raises(ValueError, match=r"'goal_place/x'; the environment gives \['place/x'\].*goal_obs=True"):
        evaluate(MPCPolicy(point_learner(), PLANNER), world, n=1)


def test_goals_of_another_modality_are_refused() -> None:
    place, goal = points(2)
    policy = MPCPolicy(point_learner(), PLANNER)
    obs = look(place, goal)
    del obs["goal_place"]
    obs["goal_image"] = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"goals of another modality: \['goal_image'\]"):
        policy.act(obs)
    for wrong in (torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="goals must be of the modality of the observations"):
            policy.act(look(place, wrong))


def test_an_observation_that_is_missing_is_named() -> None:
    obs = look(*points(1))
    del obs["place"]
    with pytest.raises(ValueError, match="the policy reads observation 'place/x'"):
        MPCPolicy(point_learner(), PLANNER).act(obs)


def test_a_goal_that_is_not_finite_is_refused() -> None:
    place, goal = points(2)
    goal[1] = torch.nan
    with pytest.raises(ValueError, match="sample 0 in row 0 of iteration 0 is nan"):
        MPCPolicy(point_learner(), PLANNER).act(look(place, goal))


def test_an_environment_may_reuse_its_memory() -> None:
    place, goal = points(1)
    policy = MPCPolicy(point_learner(history=2, stride=1), PLANNER, execute=1)
    asked = policy.learner.model.predictor.asked
    memory = look(place.clone(), goal)
    policy.act(memory)
    memory["place", "x"] += 1.0
    policy.act(memory)
    expected = policy.learner.normalizer.normalize("place/x", torch.cat([place, place + 1.0]))
    assert torch.allclose(asked[-1][0][0, :, 0], expected)


def test_no_plans_are_made_for_rows_that_rest() -> None:
    place, goal = points(3)
    script = Script()
    policy = MPCPolicy(point_learner(stride=2), script, execute=1)
    policy.rest(torch.tensor([False, True, True]))
    actions, _ = drive(policy, place, goal, 4)
    assert len(script.inits) == 2
    assert actions[:, 1:].abs().max() == 0
    alone, _ = drive(MPCPolicy(point_learner(stride=2), Script(), execute=1), place[:1], goal[:1], 4)
    assert torch.equal(actions[:, 0], alone[:, 0])
    policy.rest(torch.tensor([False, False, True]))
    policy.act(look(place, goal))
    assert len(script.inits) == 4


def test_an_evaluation_makes_no_plans_for_episodes_that_are_over() -> None:
    world = task("tiny/Point-v0")
    starts = make_manifest(world, 5, seed=3)

    class Counting:
        def __init__(self):
            self.num_plans = 0

        def plan(self, cost, init, generators, **options) -> Plan:
            self.num_plans += len(init)
            return PLANNER.plan(cost, init, generators, **options)

    counts, steps = [], []
    for num_envs in (1, 5):
        planner = Counting()
        found = evaluate(MPCPolicy(point_learner(), planner, execute=1), world, starts, num_envs=num_envs)
        counts.append(planner.num_plans)
        steps.append([e.steps for e in found.episodes])
    assert steps[0] == steps[1]
    assert len(set(steps[0])) > 2
    assert counts == [sum(-(-n // 2) for n in steps[0])] * 2
