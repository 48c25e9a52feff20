"""Audited evaluation: what is success, whose randomness, exactly which episodes."""

import logging
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import tiny_envs
import torch

from worldjepa.data.episodes import open_source
from worldjepa.evaluate.floors import RandomPolicy, evaluate_floors
from worldjepa.evaluate.manifest import Manifest, make_manifest
from worldjepa.evaluate.results import Evaluation
from worldjepa.evaluate.rollout import Task, evaluate, task


@pytest.fixture(scope="module")
def walk() -> Task:
    return task("tiny/Walk-v0")


@pytest.fixture(scope="module")
def starts(walk: Task) -> Manifest:
    return make_manifest(walk, 13, seed=5)


def episodes(found: Evaluation) -> list[dict]:
    return [episode.to_json() for episode in found.episodes]


def test_cartpole_falling_over_is_not_success() -> None:
    def upright(env: gym.Env, info: dict) -> bool:
        return env.get_wrapper_attr("_elapsed_steps") >= 150

    cartpole = task("CartPole-v1", success=upright, horizon=150)
    policy = RandomPolicy(cartpole.action_space)
    found = evaluate(policy, cartpole, n=20, name="random")
    assert all(episode.steps < 150 for episode in found.episodes), "the pole fell, the environment terminated"
    assert found.rate.estimate == 0.0


def test_without_a_success_predicate_the_error_says_how_to_give_one() -> None:
    with pytest.raises(ValueError, match=r"`terminated` is not success.*task\('CartPole-v1', success=lambda env, info"):
        evaluate(tiny_envs.Constant([0.0]), task("CartPole-v1"), n=2)


@pytest.mark.parametrize(("num_envs", "parallel"), [(3, False), (8, False), (2, True)])
def test_results_do_not_depend_on_the_number_of_environments(
    walk: Task, starts: Manifest, num_envs: int, parallel: bool
) -> None:
    alone = evaluate(tiny_envs.Restless(), walk, starts)
    together = evaluate(tiny_envs.Restless(), walk, starts, num_envs=num_envs, parallel=parallel)
    assert episodes(together) == episodes(alone)
    lengths = {episode.steps for episode in alone.episodes}
    assert len(lengths) > 3, "episodes of one length would not show a reset that disturbs others"
    assert 0 < alone.rate.estimate < 1


def test_the_random_policy_does_not_depend_on_the_number_of_environments(walk: Task, starts: Manifest) -> None:
    runs = [evaluate(RandomPolicy(walk.action_space), walk, starts, num_envs=num) for num in (1, 4)]
    assert episodes(runs[0]) == episodes(runs[1])


def test_every_start_is_run_exactly_once_and_in_order(walk: Task, starts: Manifest) -> None:
    found = evaluate(tiny_envs.Homing(), walk, starts, num_envs=5)
    assert [(e.index, e.seed) for e in found.episodes] == list(enumerate(starts.seeds))
    assert found.manifest == {"path": None, "sha256": starts.sha256, "n": 13}
    assert found.num_dropped == len(starts.dropped) > 0


def test_more_environments_than_starts(walk: Task, starts: Manifest) -> None:
    assert len(evaluate(tiny_envs.Homing(), walk, starts.first(2), num_envs=6).episodes) == 2


def test_the_numbers_of_an_episode_are_those_of_a_plain_loop(walk: Task, starts: Manifest) -> None:
    found = evaluate(tiny_envs.Homing(), walk, starts, num_envs=3)
    env = gym.make("tiny/Walk-v0")
    for episode in found.episodes:
        obs, info = env.reset(seed=episode.seed)
        places, actions, rewards, scores, over = [obs["place"]["x"]], [], [], [info["score"]], False
        while not over:
            x = torch.tensor(obs["place"]["x"], dtype=torch.float32)
            actions.append((-x / 0.3).clamp(-1, 1).numpy())
            obs, reward, terminated, truncated, info = env.step(actions[-1])
            places.append(obs["place"]["x"])
            rewards.append(reward)
            scores.append(info["score"])
            over = terminated or truncated
        assert episode.steps == len(rewards)
        assert episode.success == info["is_success"]
        assert episode.steps_to_success == (len(rewards) if info["is_success"] else None)
        assert episode.return_ == pytest.approx(sum(rewards))
        assert episode.score_max == pytest.approx(max(scores))
        assert episode.path_length == pytest.approx(np.abs(np.diff(np.concatenate(places))).sum(), rel=1e-5)
        if len(actions) > 2:
            second = np.abs(np.diff(np.stack(actions)[:, 0].astype(float), n=2)).mean()
            assert episode.smoothness == pytest.approx(second, rel=1e-5)


def test_holding_is_harder_than_touching(starts: Manifest, walk: Task) -> None:
    touch, hold = (evaluate(tiny_envs.Homing(), walk, starts, hold=k, num_envs=4) for k in (1, 7))
    assert hold.rate.estimate < touch.rate.estimate
    for episode in hold.episodes:
        assert episode.steps_to_success is None or episode.steps_to_success >= 7
    lasting = task("tiny/Walk-v0", terminate=False)
    again = evaluate(tiny_envs.Homing(), lasting, make_manifest(lasting, 13, seed=5), hold=7)
    assert [e.success for e in again.episodes] == [e.success for e in hold.episodes]


def test_an_episode_may_go_on_after_success(walk: Task) -> None:
    lasting = task("tiny/Walk-v0", terminate=False)
    found = evaluate(tiny_envs.Homing(), lasting, n=5, stop_on_success=False)
    assert [e.steps for e in found.episodes] == [25] * 5
    assert any(e.steps_to_success is not None and e.steps_to_success < 25 for e in found.episodes)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (tiny_envs.Constant([1.5]), r"outside the action space: component 0 is 1.5, allowed \[-1, 1\].*clip"),
        (tiny_envs.Constant([float("nan")]), "not finite"),
        (tiny_envs.Constant([0.0, 0.0]), r"shape \[1, 2\], expected \[1, 1\]"),
        (tiny_envs.Constant(0.0), r"shape \[1\], expected \[1, 1\]"),
    ],
)
def test_bad_actions_are_named(walk: Task, policy: tiny_envs.Constant, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(policy, walk, n=2)


def test_clipped_actions_are_counted_and_warned_of(walk: Task, caplog: pytest.LogCaptureFixture) -> None:
    manifest = make_manifest(walk, 4, seed=0)
    with caplog.at_level(logging.WARNING):
        clipped = evaluate(tiny_envs.Constant([1.5]), walk, manifest, out_of_bounds="clip", num_envs=3)
    at_bound = evaluate(tiny_envs.Constant([1.0]), walk, manifest)
    steps = sum(e.steps for e in at_bound.episodes)
    assert clipped.to_json()["clipped_actions"] == steps
    assert f"{steps} steps were clipped" in caplog.text
    assert [e.return_ for e in clipped.episodes] == [e.return_ for e in at_bound.episodes]


def test_rounding_of_the_bounds_is_no_error(walk: Task) -> None:
    assert evaluate(tiny_envs.Constant([1.000001]), walk, n=2).to_json()["clipped_actions"] == 0


def test_an_environment_that_changed_is_noticed(starts: Manifest) -> None:
    with pytest.raises(ValueError, match=r"differs from it in \['place/x'\].*changed the environment"):
        evaluate(tiny_envs.Homing(), _moved(0.05), starts)


def _moved(offset: float) -> Task:
    """The walk as another version of its package might make it, under the same name."""
    return task("tiny/Walk-v0", make=lambda render_mode=None: tiny_envs.Walk(offset=offset), horizon=25)


def test_an_environment_whose_reset_ignores_its_seed_is_noticed() -> None:
    class Unseeded(tiny_envs.Walk):
        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
            return super().reset(seed=None, options=options)

    loose = task("loose", make=lambda render_mode=None: Unseeded(), horizon=9)
    with pytest.raises(ValueError, match="not determined by its seed"):
        evaluate(tiny_envs.Homing(), loose, n=5)


def test_floors_stand_on_the_same_starts(walk: Task, starts: Manifest) -> None:
    floors = evaluate_floors(walk, starts, num_envs=4)
    homing = evaluate(tiny_envs.Homing(), walk, starts)
    assert set(floors) == {"random", "noop"}
    assert {f.manifest["sha256"] for f in floors.values()} == {homing.manifest["sha256"]}
    assert max(f.rate.estimate for f in floors.values()) < homing.rate.estimate
    assert floors["noop"].episodes[0].smoothness == 0.0


def test_an_evaluation_survives_its_file(walk: Task, starts: Manifest, tmp_path: Path) -> None:
    found = evaluate(tiny_envs.Homing(), walk, starts, name="homing")
    path = found.save(tmp_path)
    assert path == tmp_path / "evaluations" / "homing.json"
    assert Evaluation.load(path) == found
    value = found.to_json()
    assert value["num_episodes"] == 13
    assert value["success"]["count"] == sum(e["success"] for e in value["episodes"])
    assert value["success"]["low"] < value["success"]["rate"] <= value["success"]["high"]
    assert value["score"]["name"] == "closeness"
    assert found.summary().startswith("homing: ")
    path.write_text("{}")
    with pytest.raises(ValueError, match="is not an evaluation"):
        Evaluation.load(path)


def test_success_at_a_threshold_of_the_score(walk: Task, starts: Manifest) -> None:
    found = evaluate(tiny_envs.Restless(), walk, starts)
    strict, loose = found.at_threshold(0.95), found.at_threshold(0.5)
    assert strict.successes.tolist() == (found.scores >= 0.95).tolist()
    assert strict.rate.estimate < loose.rate.estimate
    assert loose.to_json()["success_threshold"] == 0.5
    with pytest.raises(ValueError, match="had to hold for 2 steps"):
        evaluate(tiny_envs.Homing(), walk, starts, hold=2).at_threshold(0.5)


def test_videos_are_of_the_first_starts(walk: Task, starts: Manifest, tmp_path: Path) -> None:
    import imageio_ffmpeg

    plain = evaluate(tiny_envs.Homing(), walk, starts, num_envs=4)
    found = evaluate(tiny_envs.Homing(), walk, starts, num_envs=4, videos=3, run_dir=tmp_path, name="homing")
    assert episodes(found) == episodes(plain), "filming changes nothing"
    assert found.videos == tuple(f"videos/homing_{i:03d}.mp4" for i in range(3))
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == [Path(v).name for v in found.videos]
    for video, episode in zip(found.videos, found.episodes, strict=False):
        frames, _ = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / video))
        assert frames == episode.steps + 1
    with pytest.raises(ValueError, match="run_dir"):
        evaluate(tiny_envs.Homing(), walk, starts, videos=1)


def test_rollouts_become_a_data_set(walk: Task, starts: Manifest, tmp_path: Path) -> None:
    found = evaluate(tiny_envs.Restless(), walk, starts, num_envs=4, record=tmp_path / "rollouts.hdf5")
    source = open_source(tmp_path / "rollouts.hdf5")
    assert [(e.seed, e.success, e.num_actions) for e in source] == [
        (e.seed, e.success, e.steps) for e in found.episodes
    ]
    assert source[0].num_observations == source[0].num_actions + 1
    assert len(open_source(tmp_path / "rollouts.hdf5", filter="success")) == found.successes.sum()


def test_progress_tells_of_every_episode(walk: Task, starts: Manifest) -> None:
    calls: list[tuple[int, int, int]] = []
    tell: Callable[[int, int, int], None] = lambda done, total, success: calls.append((done, total, success))  # noqa: E731
    found = evaluate(tiny_envs.Homing(), walk, starts, progress=tell)
    assert [call[:2] for call in calls] == [(i + 1, 13) for i in range(13)]
    assert calls[-1][2] == found.successes.sum()
