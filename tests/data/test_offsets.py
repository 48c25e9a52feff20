"""Actions counted from an observation: statistics, and the way there and back."""

import numpy as np
import pytest
import torch

from worldjepa.data import Episode, RobomimicWriter, WindowSampler, open_store
from worldjepa.recipes import bc, fit_statistics, make_learner
from worldjepa.types import DataSpec, ObsSpec


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    spec = DataSpec({"p": ObsSpec((2,), "float32"), "q": ObsSpec((3,), "float32")}, 2)
    with RobomimicWriter(tmp_path / "a.hdf5", spec) as writer:
        for length in (5, 9, 3):
            p = rng.normal(100, 10, (length + 1, 2)).astype(np.float32)
            obs = {"p": p, "q": rng.normal(size=(length + 1, 3)).astype(np.float32)}
            action = p[:-1] + rng.normal(3, 1, (length, 2)).astype(np.float32)
            writer.append(Episode(obs, action, None, None, None, None, None, "x"))
    return open_store(tmp_path / "a.hdf5")


def test_statistics_are_those_of_all_real_offsets_of_a_chunk(store):
    chunk = 4
    sampler = WindowSampler(store, episodes=[0, 1], batch_size=1, horizon=chunk)
    batch = sampler.at(range(len(sampler)))
    offsets = (batch["action"] - batch["obs", "p"][:, :1])[batch["action_valid"]].double().numpy()
    found = store.offset_statistics("p", chunk, [0, 1])
    np.testing.assert_allclose(found.mean, offsets.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.std, offsets.std(0), rtol=1e-5)
    assert found.count == len(offsets)


def test_the_model_sees_offsets_and_the_policy_gives_positions(store):
    config = bc.Config(relative_to="p", history=2, chunk=3)
    learner = make_learner("bc", config, store.spec, fit_statistics(config, store, [0, 1, 2])).eval()
    batch = WindowSampler(store, episodes=[0, 1, 2], batch_size=1, history=2, horizon=3).at(range(6))
    z = learner.normalizer(batch)["action"]
    statistics = store.offset_statistics("p", 3)
    expected = (batch["action"] - batch["obs", "p"][:, 1:2] - torch.tensor(statistics.mean)) / torch.tensor(
        statistics.std
    )
    torch.testing.assert_close(z.double(), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(learner.normalizer.denormalize_action(z, batch["obs"]), batch["action"])
    with torch.no_grad():
        obs = batch["obs"].apply(lambda x: x[:, :2], batch_size=[6, 2])
        shifted = obs.clone()
        moved = learner.actions(shifted).mean() - learner.actions(obs).mean()
        assert moved == 0
        assert (learner.actions(obs) - obs["p"][:, 1:]).abs().max() < 50


def test_an_observation_of_another_shape_is_refused(store):
    with pytest.raises(ValueError, match="counted"):
        store.offset_statistics("q", 2)
    config = bc.Config(relative_to="q")
    with pytest.raises(ValueError, match="shape"):
        fit_statistics(config, store, [0])
    with pytest.raises(ValueError, match="none of the policy's states"):
        fit_statistics(bc.Config(relative_to="q", state_keys=("p",)), store, [0])
