"""The chunk policy: when it asks, what it executes, and that rows know nothing of each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from toys import IMAGES, SPEC, TINY, toy_batch, toy_learner, toy_statistics

from worldjepa.recipes import bc, make_learner, save_pretrained
from worldjepa.types import Policy
from worldjepa_policies.chunk import ChunkPolicy
from worldjepa_policies.load import load_policy

CHUNK, A = TINY.chunk, SPEC.action_dim


class Script:
    """A stand-in for a learner: chunk number k says 100 k + i for its action i; counts what it is asked."""

    def __init__(self, chunk: int = CHUNK, history: int = 1):
        self.origin = toy_learner(replace(TINY, chunk=chunk, history=history)).origin
        self.chunk, self.asked = chunk, []

    def to(self, device):
        return self

    def eval(self):
        return self

    def actions(self, obs):
        self.asked.append(obs.clone())
        step = 100.0 * len(self.asked) - 100 + torch.arange(self.chunk)
        return step[None, :, None].expand(1, -1, A)


def observations(rows: int, step: int = 0, images: bool = False) -> TensorDict:
    """One frame for each row."""
    return toy_batch(rows, 6, seed=step, images=images)["obs"].apply(lambda x: x[:, 0])


def run(policy: ChunkPolicy, frames: list[TensorDict]) -> torch.Tensor:
    """Actions [steps, rows, A]."""
    return torch.stack([policy.act(obs) for obs in frames])


@pytest.mark.parametrize("steps", range(1, CHUNK + 1))
def test_it_asks_when_the_executed_part_of_a_chunk_is_over(steps) -> None:
    script = Script()
    actions = run(ChunkPolicy(script, n_action_steps=steps), [observations(1)] * 9)
    expected = [100 * (t // steps) + t % steps for t in range(9)]
    assert actions[:, 0, 0].tolist() == expected
    assert len(script.asked) == -(-9 // steps)


def test_by_default_it_executes_whole_chunks() -> None:
    script = Script()
    run(ChunkPolicy(script), [observations(1)] * (2 * CHUNK))
    assert len(script.asked) == 2


def act_ensembling(chunks: np.ndarray, t: int, k: float) -> np.ndarray:
    """tonyzhaozh/act imitate_episodes.py, lines of ``temporal_agg``: chunks[i] is the answer at step i."""
    num_steps, chunk, dim = chunks.shape
    all_time_actions = np.zeros([num_steps, num_steps + chunk, dim])
    for i in range(t + 1):
        all_time_actions[[i], i : i + chunk] = chunks[i]
    actions_for_curr_step = all_time_actions[:, t]
    actions_populated = np.all(actions_for_curr_step != 0, axis=1)
    actions_for_curr_step = actions_for_curr_step[actions_populated]
    exp_weights = np.exp(-k * np.arange(len(actions_for_curr_step)))
    exp_weights = exp_weights / exp_weights.sum()
    return (actions_for_curr_step * exp_weights[:, None]).sum(axis=0)


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.5])
def test_ensembling_is_acts(decay) -> None:
    learner = toy_learner(replace(TINY, history=1))
    frames = [observations(1, step) for step in range(10)]
    chunks = np.stack([learner.eval().actions(obs[:, None])[0].detach().numpy() for obs in frames])
    actions = run(ChunkPolicy(learner, temporal_ensemble=decay), frames)
    for t in range(10):
        np.testing.assert_allclose(actions[t, 0].numpy(), act_ensembling(chunks, t, decay), rtol=1e-5, atol=1e-6)
    assert np.ptp(chunks[:, 0]) > 1e-2


def test_ensembling_asks_at_every_step_and_forgets_old_chunks() -> None:
    script = Script()
    actions = run(ChunkPolicy(script, temporal_ensemble=0.0), [observations(1)] * 7)
    assert len(script.asked) == 7
    # At step t the chunks of steps t - 3 to t say 100 i + (t - i).
    expected = [np.mean([100 * i + t - i for i in range(max(t - CHUNK + 1, 0), t + 1)]) for t in range(7)]
    np.testing.assert_allclose(actions[:, 0, 0].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"n_action_steps": 2}, {"temporal_ensemble": 0.01}], ids=str)
@pytest.mark.parametrize("config", [TINY, IMAGES], ids=["states", "images"])
def test_a_row_does_not_depend_on_the_others_to_the_last_bit(options, config) -> None:
    learner = toy_learner(config)
    frames = [observations(3, step, images=True) for step in range(6)]
    together = run(ChunkPolicy(learner, **options), frames)
    order = torch.tensor([2, 0, 1])
    permuted = run(ChunkPolicy(learner, **options), [obs[order] for obs in frames])
    assert torch.equal(permuted, together[:, order])
    for row in range(3):
        alone = run(ChunkPolicy(learner, **options), [obs[row : row + 1] for obs in frames])
        assert torch.equal(alone[:, 0], together[:, row])
    assert not torch.equal(together[:, 0], together[:, 1])


@pytest.mark.parametrize("options", [{}, {"temporal_ensemble": 0.01}], ids=["queue", "ensemble"])
def test_resetting_rows_forgets_theirs_and_only_theirs(options) -> None:
    learner = toy_learner()
    frames = [observations(3, step) for step in range(7)]
    undisturbed = run(ChunkPolicy(learner, **options), frames)
    policy = ChunkPolicy(learner, **options)
    run(policy, frames[:3])
    policy.reset(torch.tensor([False, True, False]))
    after = run(policy, frames[3:])
    fresh = run(ChunkPolicy(learner, **options), frames[3:])
    assert torch.equal(after[:, [0, 2]], undisturbed[3:, [0, 2]])
    assert torch.equal(after[:, 1], fresh[:, 1])
    assert not torch.equal(after[:, 1], undisturbed[3:, 1])


def test_history_begins_with_the_first_frame_repeated_as_in_training() -> None:
    script = Script(history=3)
    policy = ChunkPolicy(script, n_action_steps=1)
    frames = [observations(1, step) for step in range(5)]
    run(policy, frames)
    for t, asked in enumerate(script.asked):
        assert asked.batch_size == (1, 3)
        for key in (("agent", "pos"), "block"):
            expected = torch.stack([frames[max(t - back, 0)][key] for back in (2, 1, 0)], dim=1)
            assert torch.equal(asked[key], expected)


def test_frames_are_seen_while_a_chunk_is_executed() -> None:
    """The history is of steps, not of questions."""
    script = Script(history=2)
    frames = [observations(1, step) for step in range(4)]
    run(ChunkPolicy(script, n_action_steps=3), frames)
    assert torch.equal(script.asked[1]["block"][0], torch.cat([frames[2]["block"], frames[3]["block"]]))


def test_an_environment_may_reuse_its_memory() -> None:
    script = Script(history=2)
    policy, obs = ChunkPolicy(script, n_action_steps=1), observations(1)
    first = obs["block"].clone()
    policy.act(obs)
    obs["block"] += 1.0
    policy.act(obs)
    assert torch.equal(script.asked[1]["block"][0], torch.cat([first, first + 1.0]))


def test_the_answer_to_training_windows_is_the_answer_in_deployment() -> None:
    """The chunk for the present of a window that begins before the episode does."""
    learner = toy_learner().eval()
    frame = observations(1)
    window = frame.apply(lambda x: x[:, None].repeat(1, 2, *[1] * (x.ndim - 1)))
    expected = learner.actions(window)[0, 0]
    assert torch.equal(ChunkPolicy(learner).act(frame)[0], expected)


def test_actions_are_in_raw_units_and_bounds() -> None:
    learner = toy_learner()
    with torch.no_grad():
        learner.objective.terms[0].head.out.bias.fill_(100.0)
    assert ChunkPolicy(learner).act(observations(2)).tolist() == [[2.0, 3.0]] * 2


def test_double_and_extra_observations_are_fine() -> None:
    policy = ChunkPolicy(toy_learner())
    obs = observations(2)
    expected = policy.act(obs)
    policy.reset(torch.ones(2, dtype=torch.bool))
    other = obs.apply(lambda x: x.double())
    other["temperature"] = torch.zeros(2, 1)
    assert torch.equal(policy.act(other), expected)
    assert expected.dtype == torch.float32


def test_it_is_a_policy_of_any_chunked_recipe() -> None:
    learner = make_learner("bc", bc.Config(hidden=(16,), dim=8), SPEC, toy_statistics())
    policy = ChunkPolicy(learner)
    assert isinstance(policy, Policy)
    assert policy.act(observations(3)).shape == (3, A)


def test_a_saved_model_acts_as_the_one_in_memory(tmp_path) -> None:
    learner = toy_learner()
    frames = [observations(2, step) for step in range(5)]
    loaded = load_policy(save_pretrained(learner, tmp_path), n_action_steps=2)
    assert torch.equal(run(loaded, frames), run(ChunkPolicy(learner, n_action_steps=2), frames))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_action_steps": 0}, r"must lie in 1\.\.4"),
        ({"n_action_steps": 5}, r"must lie in 1\.\.4"),
        ({"n_action_steps": 2, "temporal_ensemble": 0.1}, "asks at every step"),
        ({"temporal_ensemble": -0.1}, "at least 0"),
    ],
)
def test_contradictions_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ChunkPolicy(Script(), **options)


def test_a_missing_observation_is_named() -> None:
    with pytest.raises(ValueError, match="reads observation 'agent/pos'; the environment gives"):
        ChunkPolicy(toy_learner()).act(observations(1).exclude(("agent", "pos")))


def test_nothing_is_asked_for_rows_that_rest() -> None:
    script = Script()
    policy = ChunkPolicy(script, n_action_steps=1)
    policy.rest(torch.tensor([True, False]))
    actions = run(policy, [observations(2)] * 3)
    assert len(script.asked) == 3
    assert actions[:, 0].abs().max() == 0
    assert actions[:, 1, 0].tolist() == [0, 100, 200]
    policy.rest(torch.tensor([False, False]))
    assert run(policy, [observations(2)])[0, :, 0].tolist() == [300, 400]
