"""View sets of Turntable: recorded by the collector, opened again, and actions that fit the poses."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import worldjepa_envs
from worldjepa.data import open_store
from worldjepa.data.collect import collect
from worldjepa.data.task import task
from worldjepa.evaluate.floors import evaluate_floors
from worldjepa.evaluate.manifest import make_manifest
from worldjepa.evaluate.rollout import evaluate
from worldjepa_policies.scripted import ScriptedPolicy

ENV_ID = "worldjepa/Turntable-v0"


@pytest.mark.draws
def test_recorded_actions_are_the_ways_between_recorded_poses(tmp_path):
    views = task(ENV_ID, horizon=6, image_size=32)
    assert views.success is None
    found = collect(views, ScriptedPolicy(ENV_ID), tmp_path / "views.hdf5", 12)
    assert (found.num_episodes, found.num_steps) == (12, 72)
    store = open_store(tmp_path / "views.hdf5")
    obs = {key: store.arrays[f"obs/{key}"] for key in store.spec.obs}
    assert obs["image"].shape == (12 * 7, 32, 32, 3)
    assert obs["image"].dtype == np.uint8
    assert store.spec.action_dim == 6
    for start, end in zip(store.starts.tolist(), store.ends.tolist()):
        rows = {key: np.asarray(value[start:end]) for key, value in obs.items()}
        turned = Rotation.from_quat(rows["rotation"])
        way = (turned[:-1].inv() * turned[1:]).as_quat(canonical=True)
        hues = [np.diff(rows[key], axis=0) for key in ("floor_hue", "light_hue")]
        action = store.arrays["action"][start : end - 1]
        np.testing.assert_allclose(action, np.concatenate([way, *hues], 1), atol=2e-6)
        assert (np.abs(turned.as_euler("xyz")) <= np.pi / 2 + 1e-4).all()
        assert len(np.unique(rows["label"])) == len(np.unique(rows["object"])) == 1
        assert len({image.tobytes() for image in rows["image"]}) == 7
    assert len(np.unique(obs["object"])) == 12


def test_views_do_not_depend_on_the_number_of_environments(tmp_path):
    views = task(ENV_ID, horizon=4, obs_type="state")
    for num in (1, 3):
        collect(views, ScriptedPolicy(ENV_ID), tmp_path / f"{num}.hdf5", 6, num_envs=num, seed=5)
    one, three = (open_store(tmp_path / f"{num}.hdf5") for num in (1, 3))
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, three.arrays[name])


def test_the_expert_reaches_goals_and_the_floors_do_not():
    goals = task(ENV_ID, obs_type="state", goal_obs=True, horizon=5)
    starts = make_manifest(goals, 8, seed=1)
    assert evaluate(ScriptedPolicy(ENV_ID), goals, starts, num_envs=4).rate.estimate == 1.0
    floors = evaluate_floors(goals, starts, num_envs=4)
    assert floors["noop"].rate.estimate == 0.0
    assert floors["random"].rate.estimate <= 0.25


@pytest.mark.draws
def test_what_the_expert_cannot_do_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no noise"):
        worldjepa_envs.expert(ENV_ID, noise=0.1)
    policy = ScriptedPolicy(ENV_ID)
    with pytest.raises(ValueError, match="obs_type"):
        collect(task(ENV_ID, obs_type="pixels", image_size=8), policy, tmp_path / "never.hdf5", 1)
