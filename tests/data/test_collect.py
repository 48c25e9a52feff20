"""Collection: exactly the episodes asked for, whole, whatever the vector environment does and whoever interrupts."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import h5py
import numpy as np
import pytest
import tiny_envs
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldjepa.data.collect import Noisy, collect
from worldjepa.data.episodes import Episode, open_source
from worldjepa.data.task import task
from worldjepa.evaluate.floors import RandomPolicy


def read(path: Path, filter: str | None = None) -> list[Episode]:
    return list(open_source(path, filter=filter))


def same(one: list[Episode], other: list[Episode]) -> bool:
    return len(one) == len(other) and all(
        a.seed == b.seed
        and a.success == b.success
        and np.array_equal(a.action, b.action)
        and all(np.array_equal(a.obs[key], b.obs[key]) for key in a.obs)
        for a, b in zip(one, other, strict=True)
    )


def test_a_recording_replays_in_the_environment(tmp_path: Path) -> None:
    found = collect("tiny/Walk-v0", tiny_envs.Restless(), tmp_path / "a.hdf5", 12, seed=3, num_envs=4)
    episodes = read(tmp_path / "a.hdf5")
    assert found.num_episodes == found.num_tried == len(episodes) == 12
    assert found.num_success == sum(e.success is True for e in episodes)
    assert found.num_steps == sum(e.num_actions for e in episodes)
    env = gym.make("tiny/Walk-v0")
    for episode in episodes:
        assert episode.num_observations == episode.num_actions + 1
        obs, info = env.reset(seed=episode.seed)
        assert not info["is_success"], "a solved start is not recorded"
        assert episode.reward is not None
        for t, action in enumerate(episode.action):
            assert episode.obs["place/x"][t] == pytest.approx(obs["place"]["x"], abs=1e-6)
            obs, reward, terminated, truncated, info = env.step(action)
            assert episode.reward[t] == pytest.approx(reward, abs=1e-6)
        assert episode.obs["place/x"][-1] == pytest.approx(obs["place"]["x"], abs=1e-6)
        assert episode.success == info["is_success"]
        assert episode.step_success is not None
        assert episode.step_success.tolist() == [False] * (episode.num_actions - 1) + [episode.success]
        assert episode.terminated is not None
        assert episode.truncated is not None
        assert (episode.terminated[-1], episode.truncated[-1]) == (terminated, truncated)


def test_the_file_does_not_depend_on_the_number_of_environments(tmp_path: Path) -> None:
    for num, parallel in ((1, False), (5, False), (2, True)):
        collect("tiny/Walk-v0", tiny_envs.Restless(), tmp_path / f"{num}.hdf5", 9, num_envs=num, parallel=parallel)
    assert same(read(tmp_path / "1.hdf5"), read(tmp_path / "5.hdf5"))
    assert same(read(tmp_path / "1.hdf5"), read(tmp_path / "2.hdf5"))


def test_noise_belongs_to_the_episode_and_is_recorded(tmp_path: Path) -> None:
    for num in (1, 3):
        collect("tiny/Walk-v0", tiny_envs.Homing(), tmp_path / f"{num}.hdf5", 6, num_envs=num, noise=0.4)
    noisy = read(tmp_path / "1.hdf5")
    assert same(noisy, read(tmp_path / "3.hdf5"))
    off = [a + np.clip(x / 0.3, -1, 1) for e in noisy for a, x in zip(e.action, e.obs["place/x"], strict=False)]
    assert 0.15 < np.std(off) < 0.5
    assert max(np.abs(e.action).max() for e in noisy) <= 1
    with pytest.raises(ValueError, match="bounded Box"):
        Noisy(tiny_envs.Homing(), gym.spaces.Discrete(2), 0.1)


def test_only_solved_episodes_are_kept(tmp_path: Path) -> None:
    found = collect("tiny/Walk-v0", tiny_envs.Restless(), tmp_path / "a.hdf5", 15, num_envs=3, only_success=True)
    assert [e.success for e in read(tmp_path / "a.hdf5")] == [True] * 15
    assert found.num_tried > found.num_success == 15
    again = collect("tiny/Walk-v0", tiny_envs.Restless(), tmp_path / "b.hdf5", 15, only_success=True)
    assert same(read(tmp_path / "a.hdf5"), read(tmp_path / "b.hdf5"))
    assert again.num_tried == found.num_tried


def test_an_episode_may_go_on_after_success(tmp_path: Path) -> None:
    options = {"num_episodes": 6, "seed": 1, "stop_on_success": False}
    found = collect(task("tiny/Walk-v0", terminate=False), tiny_envs.Homing(), tmp_path / "a.hdf5", **options)
    assert (found.num_ended, found.num_steps) == (0, 6 * 25)
    for episode in read(tmp_path / "a.hdf5"):
        assert episode.step_success is not None
        away = np.abs(episode.obs["place/x"][1:, 0])
        assert np.array_equal(episode.step_success, away < 0.1)
        assert episode.success == episode.step_success.any()
    assert not all(
        episode.step_success[-1] for episode in read(tmp_path / "a.hdf5") if episode.step_success is not None
    )
    ending = collect("tiny/Walk-v0", tiny_envs.Homing(), tmp_path / "b.hdf5", **options)
    assert ending.num_ended == ending.num_success > 0


def test_giving_up_keeps_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"of 8 episodes were solved, 500 are wanted"):
        collect("tiny/Walk-v0", tiny_envs.Homing(), tmp_path / "a.hdf5", 500, only_success=True, max_tries=8)
    assert len(read(tmp_path / "a.hdf5")) == 8
    with pytest.raises(ValueError, match="success=lambda env, info"):
        collect("CartPole-v1", tiny_envs.Constant([0.0]), tmp_path / "b.hdf5", 2, only_success=True)


def test_success_is_marked_and_unknown_success_is_not_failure(tmp_path: Path) -> None:
    found = collect("tiny/Walk-v0", tiny_envs.Restless(), tmp_path / "a.hdf5", 12)
    assert len(read(tmp_path / "a.hdf5", "success")) == found.num_success
    assert len(read(tmp_path / "a.hdf5", "failure")) == 12 - found.num_success
    collect("CartPole-v1", tiny_envs.Constant([1.0]), tmp_path / "b.hdf5", 2)
    assert [e.success for e in read(tmp_path / "b.hdf5")] == [None, None]


def test_a_file_is_never_written_over_but_may_grow(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.hdf5"
    collect("tiny/Walk-v0", tiny_envs.Homing(), path, 2)
    with pytest.raises(FileExistsError):
        collect("tiny/Walk-v0", tiny_envs.Homing(), path, 2)
    collect("tiny/Walk-v0", tiny_envs.Homing(), path, 3, seed=1, append=True)
    assert len(read(path)) == len({e.seed for e in read(path)}) == 5
    assert len(read(path, "success")) == sum(e.success is True for e in read(path))


def test_the_environment_is_written_into_the_file(tmp_path: Path) -> None:
    collect(task("tiny/Walk-v0", terminate=False), tiny_envs.Homing(), tmp_path / "a.hdf5", 1)
    with h5py.File(tmp_path / "a.hdf5") as file:
        args = json.loads(str(file["data"].attrs["env_args"]))
    assert args["env_name"] == "tiny/Walk-v0"
    assert args["env_kwargs"] == {"terminate": False}
    spec = open_source(tmp_path / "a.hdf5").spec
    assert (spec.action_low, spec.action_high, spec.fps) == ((-1.0,), (1.0,), 20.0)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_vector_environment_may_reset_itself_as_it_likes(tmp_path: Path, mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([lambda: gym.make("tiny/Walk-v0")] * 3, autoreset_mode=mode)
    collect(envs, tiny_envs.Homing(), tmp_path / "a.hdf5", 10, seed=2)
    episodes = read(tmp_path / "a.hdf5")
    assert len(episodes) == 10
    for episode in episodes:
        assert np.array_equal(episode.obs["time"][:, 0], np.arange(episode.num_actions + 1)), "no step of another one"
        assert episode.success == (abs(episode.obs["place/x"][-1, 0]) < 0.1)
        assert episode.terminated is not None
        assert bool(episode.terminated[-1]) == episode.success
        assert np.allclose(episode.action, np.clip(-episode.obs["place/x"][:-1] / 0.3, -1, 1))
    known = [episode.seed for episode in episodes if episode.seed is not None]
    assert len(known) == (10 if mode == AutoresetMode.DISABLED else 3)


def test_a_vector_environment_of_its_own_kind(tmp_path: Path) -> None:
    envs = gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point")
    found = collect(envs, tiny_envs.Constant([1.0]), tmp_path / "a.hdf5", 7)
    episodes = read(tmp_path / "a.hdf5")
    assert found.num_episodes == len(episodes) == 7
    for episode in episodes:
        assert 7 <= episode.num_actions <= 12, "pushing right only, the pole falls soon"
        assert abs(episode.obs["state"][-1, 2]) > 0.2, "the last observation is the fallen pole, not the next start"
        assert abs(episode.obs["state"][0, 2]) < 0.05


SLOW = """
import os, random, signal, sys, time
sys.path[:0] = {paths!r}
import tiny_envs, torch
from worldjepa.data.collect import collect

class Slow(tiny_envs.Homing):
    def act(self, obs):
        time.sleep(0.0005)
        return super().act(obs)

torch.set_num_threads(1)
"""
# A shell that starts the tests in the background leaves SIGINT ignored, and children inherit that.
COLLECT = """
signal.signal(signal.SIGINT, signal.default_int_handler)
collect("tiny/Walk-v0", Slow(), {path!r}, 100000, num_envs=4, progress=lambda *row: print(*row, flush=True))
"""
KILL = """
random.seed(0)
for trial in range(6):
    child = os.fork()
    if not child:
        collect("tiny/Walk-v0", Slow(), {folder!r} + f"/{{trial}}.hdf5", 100000, num_envs=1 + trial % 3)
    time.sleep(0.2 + random.random() / 2)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def script(repository: Path, text: str, **values: str) -> list[str]:
    paths = [str(repository), str(repository / "tests/support")]
    return [sys.executable, "-c", SLOW.format(paths=paths) + text.format(**values)]


def test_a_killed_collection_stays_readable(tmp_path: Path, repository: Path) -> None:
    subprocess.run(script(repository, KILL, folder=str(tmp_path)), check=True)
    paths = sorted(tmp_path.glob("*.hdf5"))
    assert len(paths) == 6
    found = [read(path) for path in paths]
    assert min(len(episodes) for episodes in found) >= 1
    longest = max(len(episodes) for episodes in found)
    collect("tiny/Walk-v0", tiny_envs.Homing(), tmp_path / "whole", longest)
    whole = read(tmp_path / "whole")
    assert all(same(episodes, whole[: len(episodes)]) for episodes in found)


def test_an_interrupted_collection_stays_readable_and_goes_on(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "a.hdf5"
    with subprocess.Popen(
        script(repository, COLLECT, path=str(path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            if line.startswith("5 "):
                break
        child.send_signal(signal.SIGINT)
        told = 5 + len(child.stdout.read().splitlines())
        assert "KeyboardInterrupt" in child.stderr.read()
    assert child.returncode != 0
    written = len(read(path))
    assert written >= told
    collect("tiny/Walk-v0", tiny_envs.Homing(), path, 5, append=True)
    collect("tiny/Walk-v0", tiny_envs.Homing(), tmp_path / "whole.hdf5", written + 5)
    by_seed = {e.seed: e for e in read(path)}
    whole = read(tmp_path / "whole.hdf5")
    assert len(by_seed) == written + 5
    assert same([by_seed[e.seed] for e in whole if e.seed in by_seed], [e for e in whole if e.seed in by_seed])
    assert len([e for e in whole if e.seed in by_seed]) >= written


def test_a_vectorised_environment_is_recorded_with_seeds_and_can_be_made_again(tmp_path: Path) -> None:
    import worldjepa_envs  # noqa: F401

    envs = gym.make_vec("worldjepa/TwoRooms-v0", 3, autoreset_mode="Disabled", max_episode_steps=7, goal_room="same")
    path = collect(envs, RandomPolicy(envs.single_action_space), tmp_path / "rooms.hdf5", num_episodes=5, seed=0).path
    envs.close()
    source = open_source(path)
    seeds = [source[i].seed for i in range(5)]
    assert None not in seeds
    assert len(set(seeds)) == 5
    again = gym.make(source.spec.env["env_name"], **source.spec.env["env_kwargs"])
    for i in range(5):
        obs, _ = again.reset(seed=seeds[i])
        assert np.array_equal(obs["agent"], source[i].obs["agent"][0])
    again.close()
