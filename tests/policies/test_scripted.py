"""The scripted policy, evaluated as any other."""

import pytest

from worldjepa.evaluate.floors import evaluate_floors
from worldjepa.evaluate.manifest import make_manifest
from worldjepa.evaluate.rollout import evaluate, task
from worldjepa_policies.scripted import ScriptedPolicy


@pytest.mark.parametrize("env_id", ["worldjepa/Push-v0", "worldjepa/Reach-v0"])
def test_the_expert_solves_what_the_floors_do_not(env_id: str) -> None:
    found = task(env_id)
    starts = make_manifest(found, 8, seed=4)
    expert = evaluate(ScriptedPolicy(env_id), found, starts, num_envs=4)
    assert expert.rate.estimate >= 7 / 8
    assert max(floor.rate.estimate for floor in evaluate_floors(found, starts, num_envs=4).values()) <= 2 / 8


def test_its_noise_belongs_to_the_episode() -> None:
    found = task("worldjepa/Reach-v0")
    starts = make_manifest(found, 5, seed=0)
    one, three, other = (
        evaluate(ScriptedPolicy("worldjepa/Reach-v0", noise=0.2, seed=seed), found, starts, num_envs=num)
        for num, seed in ((1, 0), (3, 0), (3, 1))
    )
    assert one.episodes == three.episodes
    assert one.episodes != other.episodes


def test_an_environment_without_an_expert_is_named() -> None:
    with pytest.raises(ValueError, match="CartPole-v1"):
        ScriptedPolicy("CartPole-v1")
