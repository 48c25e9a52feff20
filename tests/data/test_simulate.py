"""Running episodes side by side: a policy may rest where nothing is left to run, and no result depends on it."""

import numpy as np
import tiny_envs  # noqa: F401  (registers)
import torch

from worldjepa.data.simulate import RestingPolicy, Start, simulate
from worldjepa.data.task import task


class Homing:
    """Walks to the origin."""

    def reset(self, done):
        pass

    def act(self, obs):
        return -obs["place", "x"].float().clamp(-1, 1)


class Resting(Homing):
    """Says nothing useful for rows that rest."""

    def __init__(self):
        self.told = []

    def rest(self, done):
        self.told.append(done.clone())

    def act(self, obs):
        return torch.where(self.told[-1][:, None], torch.nan, super().act(obs))


def test_rows_rest_when_nothing_is_left_for_them_and_no_result_changes() -> None:
    walk = task("tiny/Walk-v0")
    starts = [Start(i, 100 + i) for i in range(9)]
    resting = Resting()
    assert isinstance(resting, RestingPolicy)
    assert not isinstance(Homing(), RestingPolicy)
    found, expected = (
        {r.index: r for r in simulate(policy, walk, starts, num_envs=4)} for policy in (resting, Homing())
    )
    assert found.keys() == expected.keys() == set(range(9))
    for index, rollout in found.items():
        np.testing.assert_array_equal(rollout.action, expected[index].action)
        np.testing.assert_array_equal(rollout.obs["place/x"], expected[index].obs["place/x"])
    counts = [int(done.sum()) for done in resting.told]
    assert counts[0] == 0
    assert max(counts) == 3
    assert counts[:-1] == sorted(counts[:-1])
    assert counts[-1] == 0  # at the end nobody rests
