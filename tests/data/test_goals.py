"""Goals: later frames of the same episode, offsets as defined, the same for the same seed."""

import numpy as np
import pytest
import torch

from worldjepa.data import Episode, GoalOffset, GoalSampler, RobomimicWriter, Store, WindowSampler, open_store
from worldjepa.data.goals import draw_start_goals, goal_spec, goal_statistics
from worldjepa.types import DataSpec, ObsSpec

LENGTHS = [30, 1, 12, 3, 50]
SPEC = DataSpec({"agent/at": ObsSpec((2,), "float32"), "image": ObsSpec((2, 2, 3), "uint8")}, action_dim=1)


def _store(folder, last: bool) -> Store:
    """Each frame says its episode and its step."""
    with RobomimicWriter(folder / "demos.hdf5", SPEC) as writer:
        for number, length in enumerate(LENGTHS):
            at = np.stack([np.full(length + last, number), np.arange(length + last)], axis=1).astype(np.float32)
            image = np.broadcast_to(at[:, 1, None, None, None], (len(at), 2, 2, 3)).astype(np.uint8)
            writer.append(Episode({"agent/at": at, "image": image}, np.zeros((length, 1), np.float32)))
    return open_store(folder / "demos.hdf5")


@pytest.fixture(scope="module", params=[True, False], ids=["last frame", "no last frame"])
def store(request, tmp_path_factory) -> Store:
    return _store(tmp_path_factory.mktemp("goals"), request.param)


def _sampler(store: Store, **options) -> WindowSampler:
    return WindowSampler(store, episodes=[0, 1, 2, 3, 4], **{"batch_size": 16, "horizon": 3, "history": 2, **options})


@pytest.mark.parametrize("offset", [GoalOffset(), GoalOffset(low=3, high=5), GoalOffset("geometric", mean=4.0)])
@pytest.mark.parametrize("stride", [1, 4])
def test_goals_lie_ahead_in_the_same_episode(store, offset, stride):
    sampler = GoalSampler(_sampler(store, stride=stride, image_frames=3), ["agent/at", "image"], offset=offset)
    for batch, anchors in ((sampler.batch(2), sampler.anchors(2)), (sampler.at(range(96)), range(96))):
        goal = batch["obs", "goal_agent", "at"]
        assert goal.shape == (len(anchors), 5, 2)
        assert batch["obs", "goal_image"].shape == (len(anchors), 3, 2, 2, 3)
        assert (goal == goal[:, :1]).all(), "constant over the window"
        np.testing.assert_array_equal(batch["obs", "goal_image"][:, 0, 0, 0, 0], goal[:, 0, 1], "one goal for all keys")
        for row, (name, time) in enumerate(sampler.locate(anchors)):
            episode, step = goal[row, 0].int().tolist()
            last = int(store.ends[episode] - store.starts[episode]) - 1
            assert f"demo_{episode}" == name
            assert min(time + offset.low, last) <= step <= min(time + (offset.high or last), last)


def test_windows_are_those_of_the_sampler(store):
    plain, sampler = _sampler(store), GoalSampler(_sampler(store), ["agent/at"])
    assert len(sampler) == len(plain) == sum(LENGTHS)
    for batch, whole in ((sampler.batch(3, 1, 2), plain.batch(3, 1, 2)), (sampler.at([4, 9]), plain.at([4, 9]))):
        for key in whole.keys(include_nested=True, leaves_only=True):
            torch.testing.assert_close(batch[key], whole[key], rtol=0, atol=0)
        assert ("obs", "goal_agent", "at") in batch.keys(include_nested=True)
    assert "goal_agent" not in sampler.sampler.batch(0)["obs"], "the sampler's own batch is left as it was"


def test_goals_are_a_function_of_seed_and_step(store):
    make = lambda seed: GoalSampler(_sampler(store), ["agent/at"], seed=seed)  # noqa: E731
    read = lambda batch: batch["obs", "goal_agent", "at"].clone()  # noqa: E731
    sampler = make(1)
    whole = [read(sampler.batch(step)) for step in (5, 0, 5)]
    torch.testing.assert_close(whole[0], whole[2], rtol=0, atol=0)
    torch.testing.assert_close(whole[1], read(make(1).batch(0)), rtol=0, atol=0)
    assert not torch.equal(whole[1], read(make(2).batch(0)))
    for rank in range(4):
        torch.testing.assert_close(read(sampler.batch(5, rank, 4)), whole[0][rank::4], rtol=0, atol=0)
    some = read(sampler.at([7, 90, 3]))
    torch.testing.assert_close(some, read(make(1).at(range(96)))[[7, 90, 3]], rtol=0, atol=0)
    epochs = [[], []]
    for step in range(12):  # 96 anchors: six batches an epoch
        goal = read(sampler.batch(step))[:, 0]
        epochs[step // 6] += list(zip(sampler.anchors(step).tolist(), map(tuple, goal.tolist()), strict=True))
    assert sorted(epochs[0]) != sorted(epochs[1]), "an anchor has another goal in the next epoch"


def test_offsets_have_the_defined_distributions():
    rng = np.random.default_rng(0)
    number, remaining = rng.random(200_000), np.full(200_000, 1000)
    uniform = GoalOffset(low=2, high=6).from_uniform(number, remaining)
    np.testing.assert_allclose(np.bincount(uniform)[2:] / len(uniform), 0.2, atol=0.005)
    geometric = GoalOffset("geometric", low=3, mean=12.0).from_uniform(number, remaining)
    assert geometric.min() == 3
    assert geometric.mean() == pytest.approx(12.0, rel=0.01)
    assert (geometric == 3).mean() == pytest.approx(0.1, abs=0.005)
    ends = np.array([0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(GoalOffset(low=4).from_uniform(np.full(6, 0.999), ends), ends)


def test_pairs_cover_all_starts_once(store):
    frames = (store.ends - store.starts)[[0, 2, 3]]
    starts = [(episode, step) for episode, num in zip((0, 2, 3), frames) for step in range(max(0, num - 10))]
    offset = GoalOffset(low=10)
    pairs = draw_start_goals(store, [0, 2, 3], len(starts), offset=offset)
    assert sorted(zip(pairs.episode.tolist(), pairs.start.tolist(), strict=True)) == starts
    few = draw_start_goals(store, [0, 2, 3], 9, offset=offset, seed=4)
    again, other = (draw_start_goals(store, [0, 2, 3], 9, offset=offset, seed=seed) for seed in (4, 5))
    np.testing.assert_array_equal((few.episode, few.start, few.goal), (again.episode, again.start, again.goal))
    assert not np.array_equal(few.start, other.start)
    with pytest.raises(ValueError, match=rf"expected 1\.\.{len(starts)} pairs"):
        draw_start_goals(store, [0, 2, 3], len(starts) + 1, offset=offset)


def test_pairs_show_the_frames_they_name(store):
    pairs = draw_start_goals(store, [0, 2, 4], 40, offset=GoalOffset(low=2, high=9), seed=1)
    assert set(pairs.episode.tolist()) <= {0, 2, 4}
    assert ((pairs.goal - pairs.start >= 2) & (pairs.goal - pairs.start <= 9)).all()
    goal = pairs.goal_obs(["agent/at", "image"])
    np.testing.assert_array_equal(goal["agent", "at"][:, 0], np.stack([pairs.episode, pairs.goal], axis=1))
    np.testing.assert_array_equal(goal["image"][:, 0, 0, 0, 0], pairs.goal)
    start = pairs.start_obs(["agent/at"], history=3, stride=2)["agent", "at"]
    wanted = np.maximum(pairs.start[:, None] + np.array([-4, -2, 0]), 0)
    np.testing.assert_array_equal(start[..., 1], wanted)
    np.testing.assert_array_equal(start[..., 0], np.repeat(pairs.episode[:, None], 3, axis=1))


def test_goals_keep_the_scale_of_their_key(store):
    spec = goal_spec(SPEC, ["image", "agent/at"])
    assert spec.obs["goal_agent/at"] == SPEC.obs["agent/at"]
    statistics = goal_statistics(store.statistics(), ["image", "agent/at"])
    assert statistics["goal_agent/at"] is statistics["agent/at"]
    assert "goal_image" not in statistics


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0}, "1 <= low <= high"),
        ({"low": 4, "high": 3}, "1 <= low <= high"),
        ({"kind": "poisson"}, '"uniform" or "geometric"'),
        ({"kind": "geometric"}, "needs a mean"),
        ({"mean": 3.0}, "needs a mean"),
        ({"kind": "geometric", "low": 5, "mean": 5.0}, "finite mean above low 5"),
    ],
)
def test_offsets_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GoalOffset(**options)


def test_unknown_keys_are_refused(store):
    with pytest.raises(ValueError, match="no observation key 'agent'"):
        GoalSampler(_sampler(store), ["agent"])
    with pytest.raises(ValueError, match="give the keys"):
        GoalSampler(_sampler(store), [])
