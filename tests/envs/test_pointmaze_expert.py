"""The expert of the point mazes: shortest ways, the ball that gets there, and errors that say what is missing."""

import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensordict import TensorDict

import worldjepa_envs
from worldjepa_envs.pointmaze_expert import MazeLaw
from worldjepa_policies.scripted import ScriptedPolicy

UMAZE = [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, "r", 0, "g", 1], [1, 1, 1, 1, 1]]
ISLANDS = [[0, 1, 0]]
robotics = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*is out of date")


@pytest.fixture
def _robotics() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("gymnasium_robotics")


def observe(position: list[list[float]], goal: list[float], velocity: tuple[float, float] = (0.0, 0.0)):
    """Observations of balls at ``position`` with one goal."""
    state = np.array([[*point, *velocity] for point in position])
    return {"observation": state, "desired_goal": np.tile(np.array(goal, float), (len(state), 1))}


def distances(maze: list, goal: tuple[int, int]) -> np.ndarray:
    """Steps from each cell to ``goal``, infinite where there is no way: Bellman's equation, iterated."""
    free = np.array([[cell != 1 for cell in row] for row in maze])
    far = np.where(np.indices(free.shape).transpose(1, 2, 0) == goal, 0, 1).any(-1)
    steps = np.where(far, np.inf, 0.0)
    for _ in range(free.size):
        padded = np.pad(steps, 1, constant_values=np.inf)
        around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
        steps = np.where(free, np.minimum(steps, 1 + around.min(0)), np.inf)
    return steps


def test_each_step_is_on_a_shortest_way():
    random = np.random.default_rng(0)
    for _ in range(5):
        maze = (random.uniform(size=(7, 9)) < 0.35).astype(int)
        free = np.argwhere(maze == 0)
        there = tuple(random.permutation(free)[0].tolist())
        steps = distances(maze.tolist(), there)
        reached = np.argwhere(np.isfinite(steps) & (steps > 0))
        middles = np.stack([reached[:, 1] - 4.0, 3.0 - reached[:, 0]], 1)
        law = MazeLaw(maze.tolist())
        force = law(observe(middles.tolist(), [there[1] - 4.0, 3.0 - there[0]]))
        moves = np.rint(np.stack([-force[:, 1], force[:, 0]], 1) / 4.0).astype(int)  # rows down, columns right
        assert (np.abs(moves).sum(1) == 1).all()
        following = reached + moves
        np.testing.assert_array_equal(steps[tuple(following.T)], steps[tuple(reached.T)] - 1)


def test_near_the_goal_it_heads_for_the_goal_and_brakes():
    law = MazeLaw(UMAZE)
    np.testing.assert_allclose(law(observe([[0.9, -0.9]], [1.2, -1.1])), [[1.2, -0.8]])  # in its cell
    np.testing.assert_allclose(law(observe([[0.0, -1.0]], [1.2, -1.1])), [[4.8, -0.4]])  # beside it
    np.testing.assert_allclose(law(observe([[1.2, -1.1]], [1.2, -1.1], (0.5, -2.0))), [[-0.5, 2.0]])


def test_rows_do_not_depend_on_each_other():
    law = MazeLaw(UMAZE)
    balls = [[-1.0, 1.0], [1.1, 0.2], [0.3, -1.2]]
    together = law(observe(balls, [-1.0, -1.0]))
    for row, ball in enumerate(balls):
        np.testing.assert_array_equal(MazeLaw(UMAZE)(observe([ball], [-1.0, -1.0]))[0], together[row])


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        (observe([[-1.0, 0.0]], [1.0, 0.0]), "no way leads"),
        (observe([[0.2, 0.0]], [1.0, 0.0]), "the ball at .* no free cell .* env_kwargs"),
        (observe([[-1.0, 0.0]], [5.0, 0.0]), "the goal at .* no free cell"),
    ],
)
def test_what_it_cannot_do_is_said(obs, message):
    with pytest.raises(ValueError, match=message):
        MazeLaw(ISLANDS)(obs)


@pytest.mark.parametrize(("maze_map", "message"), [([[0, 1], [0]], "one length"), ([[1, 1]], "free cell")])
def test_maps_that_are_none_are_refused(maze_map, message):
    with pytest.raises(ValueError, match=message):
        MazeLaw(maze_map)


def test_without_gymnasium_robotics_the_extra_is_named_and_a_map_is_enough(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    with pytest.raises(ModuleNotFoundError, match=r"worldjepa\[robotics\]"):
        worldjepa_envs.expert("worldjepa/PointMaze-UMaze-v0")
    worldjepa_envs.expert("worldjepa/PointMaze-UMaze-v0", env_kwargs={"maze_map": UMAZE})
    with pytest.raises(ValueError, match="Open, UMaze, Medium, Large"):
        worldjepa_envs.expert("worldjepa/PointMaze-UMaze-v0", env_kwargs={"maze": "Tiny"})
    with pytest.raises(ValueError, match="no scripted expert"):
        worldjepa_envs.expert("worldjepa/PointMaze-Tiny-v0")


def solve(env_id: str, num: int, noise: float, **kwargs) -> tuple[np.ndarray, list[bytes]]:
    """Whether each of ``num`` starts is solved within the time limit, and the actions of each."""
    env, policy = gym.make(env_id, **kwargs), ScriptedPolicy(env_id, noise=noise, env_kwargs=kwargs)
    solved, actions = [], []
    for seed in range(num):
        obs, info = env.reset(seed=seed)
        policy.reset(torch.ones(1, dtype=torch.bool))
        ended, taken = info["is_success"], []
        while not ended:
            batch = TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])
            taken.append(policy.act(batch)[0].numpy())
            obs, _, terminated, truncated, info = env.step(taken[-1])
            ended = terminated or truncated
        solved.append(info["is_success"])
        actions.append(np.array(taken).tobytes())
    return np.array(solved), actions


@robotics
@pytest.mark.usefixtures("_robotics")
@pytest.mark.parametrize("maze", worldjepa_envs.POINT_MAZES)
def test_it_solves_at_least_95_percent(maze):
    assert solve(f"worldjepa/PointMaze-{maze}-v0", 20, 0.0)[0].mean() >= 0.95
    assert solve(f"worldjepa/PointMaze-{maze}-v0", 5, 0.5)[0].mean() >= 0.8


@robotics
@pytest.mark.usefixtures("_robotics")
def test_it_finds_its_way_in_another_map_and_is_deterministic():
    kwargs = {"maze_map": [[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]}
    first, second = (solve("worldjepa/PointMaze-UMaze-v0", 4, 0.3, **kwargs) for _ in range(2))
    assert first[0].all()
    assert first[1] == second[1]
    assert solve("worldjepa/PointMaze-Open-v0", 4, 0.0, maze="Medium")[0].all()


@robotics
@pytest.mark.usefixtures("_robotics")
def test_it_rests_at_the_goal():
    env_id = "worldjepa/PointMaze-UMaze-v0"
    env, policy = gym.make(env_id, terminate_on_success=False), worldjepa_envs.expert(env_id)
    obs, _ = env.reset(seed=0, options={"reset_cell": [1, 1], "goal_cell": [3, 1]})
    for _ in range(290):
        batch = TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])
        obs = env.step(policy.act(batch)[0].numpy())[0]
    np.testing.assert_allclose(obs["observation"], [*obs["desired_goal"], 0.0, 0.0], atol=0.01)


@robotics
@pytest.mark.usefixtures("_robotics")
def test_random_expert_and_noisy_expert_are_collected(tmp_path: Path):
    from worldjepa.data.collect import collect
    from worldjepa.data.task import task
    from worldjepa.evaluate.floors import RandomPolicy

    maze = task("worldjepa/PointMaze-UMaze-v0", obs_type="state", goal_obs=True)
    policies = {
        "random": RandomPolicy(maze.action_space),
        "expert": ScriptedPolicy(maze.env_id, env_kwargs=maze.kwargs),
        "noisy": ScriptedPolicy(maze.env_id, noise=0.5, env_kwargs=maze.kwargs),
    }
    found = {name: collect(maze, policy, tmp_path / f"{name}.hdf5", 4, num_envs=2) for name, policy in policies.items()}
    assert found["expert"].num_success == found["noisy"].num_success == 4
    assert found["random"].num_steps > found["expert"].num_steps
