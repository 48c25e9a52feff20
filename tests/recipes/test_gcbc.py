"""Goal-conditioned cloning: the goal reaches the action, from states and from pixels, in training and when deployed."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensordict import TensorDict

from worldjepa.data import WindowSampler, open_store
from worldjepa.data.collect import collect
from worldjepa.data.goals import GoalSampler
from worldjepa.data.store import Store
from worldjepa.evaluate.floors import RandomPolicy
from worldjepa.learner import Learner
from worldjepa.recipes import from_pretrained, gcbc, make_learner, save_pretrained
from worldjepa_policies import ChunkPolicy

PIXELS = gcbc.Config(image_keys=("image",), dim=16, trunk_width=8, hidden=(32,))
STATES = gcbc.Config(state_keys=("agent", "layout"), dim=32, hidden=(64,))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    import worldjepa_envs  # noqa: F401

    options = {"obs_type": "state+pixels", "image_size": 32, "terminate_on_success": False, "random_layout": False}
    env = gym.make_vec("worldjepa/TwoRooms-v0", 4, **options)
    path = tmp_path_factory.mktemp("rooms") / "play.hdf5"
    collect(env, RandomPolicy(env.single_action_space, hold=8), path, num_episodes=8, seed=0)
    env.close()
    return open_store(path)


def sampler(store: Store, config: gcbc.Config, batch_size: int = 8) -> WindowSampler | GoalSampler:
    return gcbc.window(config, store.spec).sampler(store, episodes=range(len(store)), batch_size=batch_size)


def learner(store: Store, config: gcbc.Config) -> Learner:
    torch.manual_seed(0)
    return make_learner("gcbc", config, store.spec, store.statistics(range(len(store))))


@pytest.mark.parametrize("config", [PIXELS, STATES], ids=["pixels", "states"])
def test_another_goal_is_another_action(store: Store, config: gcbc.Config) -> None:
    model, batch = learner(store, config).eval(), sampler(store, config).batch(0)
    obs = TensorDict({k: batch["obs"][k][:, :1] for k in gcbc.window(config, store.spec).seen}, batch_size=[8, 1])
    before = model.actions(obs)
    key = config.image_keys[0] if config.image_keys else "agent"
    obs[f"goal_{key}"] = obs[f"goal_{key}"].flip(0)
    assert (model.actions(obs) - before).abs().amax() > 1e-4
    assert torch.isfinite(model(batch)["loss"])


def test_it_learns_to_go_towards_the_goal(store: Store) -> None:
    model, source = learner(store, STATES), sampler(store, STATES, 128)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(150):
        loss = model(source.batch(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.manual_seed(1)
    now, goal = torch.rand(2, 200, 1, 2) * 1.2 - 0.6
    layout = torch.zeros(200, 1, 2)
    obs = {"agent": now, "layout": layout, "goal_agent": goal, "goal_layout": layout}
    action = model.eval().actions(TensorDict(obs, batch_size=[200, 1])).detach()
    way = (goal - now).flatten()
    assert torch.corrcoef(torch.stack([action.flatten(), way]))[0, 1] > 0.5


def test_it_survives_saving_and_acts_in_the_environment(store: Store, tmp_path: Path) -> None:
    model = learner(store, STATES).eval()
    again = from_pretrained(save_pretrained(model, tmp_path / "model"), recipe="gcbc")
    env = gym.make("worldjepa/TwoRooms-v0", goal_obs=True)
    obs, _ = env.reset(seed=1)
    seen = TensorDict({k: torch.as_tensor(np.asarray(v))[None] for k, v in obs.items()}, batch_size=[1])
    assert torch.equal(ChunkPolicy(model).act(seen), ChunkPolicy(again).act(seen))
    with pytest.raises(ValueError, match="reads observation 'goal_agent'"):
        ChunkPolicy(model).act(seen.exclude("goal_agent"))
