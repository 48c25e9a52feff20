"""Environments by what a recording says of them: robosuite's description is kept, so that they can be made again."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import tiny_envs

import worldjepa_envs.robosuite
from worldjepa.commands.tasks import find_task
from worldjepa.data import RobomimicSource
from worldjepa.evaluate.floors import RandomPolicy
from worldjepa.evaluate.manifest import make_manifest
from worldjepa.evaluate.rollout import evaluate
from worldjepa_envs import make_from_env_args

ARGUMENTS = {"robots": ["Panda"], "control_freq": 20, "horizon": 500, "controller_configs": {"kp": 150}}
LIFT = {"env_name": "Lift", "type": 1, "env_version": "1.5.1", "env_kwargs": ARGUMENTS}


class Imitation(tiny_envs.Walk):
    """Takes robosuite's arguments and remembers them."""

    def __init__(self, env_name: str, *, render_mode: str | None = None, **env_kwargs: Any) -> None:
        super().__init__(render_mode=render_mode)
        self.name, self.arguments = env_name, env_kwargs


@pytest.fixture
def imitation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worldjepa_envs.robosuite, "RobosuiteEnv", Imitation)


def recorded_env_args(task: Any, path: Path) -> dict[str, Any]:
    """The description in a file of rollouts of a random policy."""
    evaluate(RandomPolicy(task.action_space), task, n=2, record=path)
    with RobomimicSource(path) as source:
        return source.spec.env


def test_a_recorded_evaluation_on_robosuite_can_be_made_again(imitation: None, tmp_path: Path) -> None:
    task = find_task(None, LIFT, {"control_freq": 10})
    assert (task.env_id, task.horizon) == ("Lift", 400)
    found = recorded_env_args(task, tmp_path / "rollouts.hdf5")
    assert found == LIFT | {"env_kwargs": ARGUMENTS | {"control_freq": 10}}
    again: Any = make_from_env_args(found)
    assert (again.name, again.arguments) == ("Lift", ARGUMENTS | {"control_freq": 10})
    assert find_task(None, found, {}).spec == task.spec


def test_starts_belong_to_a_controller_and_to_no_camera(imitation: None) -> None:
    manifest = make_manifest(find_task(None, LIFT, {}), 2, seed=0)
    assert manifest.kwargs == ARGUMENTS
    manifest.check_task(find_task(None, LIFT, {"use_camera_obs": True, "camera_names": ["agentview"]}))
    with pytest.raises(ValueError, match="manifest is for the arguments"):
        manifest.check_task(find_task(None, LIFT, {"controller_configs": {"kp": 300}}))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # robosuite and numba deprecations
def test_robosuite_is_made_again(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("robosuite")
    task = find_task(None, {**LIFT, "env_kwargs": {"robots": ["Panda"], "use_camera_obs": False}}, {}, horizon=3)
    found = recorded_env_args(task, tmp_path / "rollouts.hdf5")
    assert json.loads(json.dumps(found)) == task.spec.env
    env = make_from_env_args(found)
    obs, _ = env.reset(seed=0)
    assert {key: value.shape for key, value in obs.items()} == {key: x.shape for key, x in task.spec.obs.items()}
    env.close()
