"""robomimic HDF5: round trips, the variants in the wild, damaged files, interrupted recordings."""

import json
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from forked import Forked
from recordings import SPEC, assert_same, make_episode, make_full_episode

from worldjepa.data import RobomimicSource, RobomimicWriter, open_source
from worldjepa.data.robomimic import env_args

LENGTHS = [7, 1, 12, 3, 5]


@pytest.fixture
def recorded(tmp_path) -> Path:
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        for number, length in enumerate(LENGTHS):
            writer.append(make_full_episode(length, number))
    return path


@pytest.mark.parametrize("last", [True, False])
def test_what_is_written_is_read_back_exactly(tmp_path, last):
    path = tmp_path / "demos.hdf5"
    full = [make_full_episode(length, number, last=last) for number, length in enumerate(LENGTHS)]
    steps = np.array([False, True, True, False])
    bare = [make_episode(4, 9, last=last), make_episode(4, 10, last=last, success=True, step_success=steps)]
    with RobomimicWriter(path, SPEC) as writer:
        names = [writer.append(episode) for episode in full + bare]
    with open_source(path) as source:
        assert source.names == names == [f"demo_{i}" for i in range(7)]
        assert source.spec == SPEC
        for written, read in zip(full + bare, source, strict=True):
            assert_same(written, read)


def test_the_file_has_what_robomimic_expects(recorded):
    with h5py.File(recorded) as file:
        data = file["data"]
        assert data.attrs["total"] == sum(LENGTHS)
        assert json.loads(data.attrs["env_args"]) == SPEC.env
        demo = data["demo_2"]
        assert demo.attrs["num_samples"] == 12
        assert set(demo) == {"actions", "obs", "next_obs", "rewards", "dones", "terminated", "truncated"}
        np.testing.assert_array_equal(demo["obs/agent/pos"][1:], demo["next_obs/agent/pos"][:-1])
        assert demo["dones"][:].tolist() == [1] + [0] * 10 + [1]
        assert demo["obs/image"].chunks is None, "contiguous: fastest to read at random"


def test_gymnasium_specs_become_env_args():
    made = env_args({"id": "worldjepa/Push-v0", "kwargs": {"obs_type": "state"}, "max_episode_steps": 200})
    assert made["env_name"] == "worldjepa/Push-v0"
    assert (made["type"], made["env_kwargs"]) == (2, {"obs_type": "state"})
    assert env_args({"env_name": "Lift", "type": 1, "env_kwargs": {"a": 1}})["type"] == 1


def test_demos_come_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        for number in range(12):
            writer.append(make_episode(2, number))
    with RobomimicSource(path) as source:
        assert source.names == [f"demo_{i}" for i in range(12)]
        np.testing.assert_array_equal(source[10].action, make_episode(2, 10).action)


def test_masks_select_demos(recorded):
    with RobomimicWriter(recorded, SPEC, append=True) as writer:
        writer.write_mask("train", ["demo_4", "demo_0"])
        writer.write_mask("valid", ["demo_1"])
    with RobomimicSource(recorded, filter="train") as source:
        assert source.names == ["demo_0", "demo_4"]
        assert source.filters == {"train": ["demo_4", "demo_0"], "valid": ["demo_1"]}
        assert_same(source[1], make_full_episode(5, 4))


def test_an_empty_mask_is_refused_when_written_and_when_read(recorded):
    with RobomimicWriter(recorded, SPEC, append=True) as writer:
        with pytest.raises(ValueError, match="'none' would be empty"):
            writer.write_mask("none", [])
        with pytest.raises(ValueError, match=r"not in .*\['demo_77'\]"):
            writer.write_mask("wrong", ["demo_77"])
    with h5py.File(recorded, "a") as file:
        file["mask/none"] = np.array([], dtype="S8")
    with pytest.raises(ValueError, match="'none' names no episode; write its list anew"):
        RobomimicSource(recorded, filter="none")


def test_isaac_lab_files_nest_and_leave_the_rest_out(tmp_path):
    path = tmp_path / "isaac.hdf5"
    rng = np.random.default_rng(0)
    policy = {"joint_pos": rng.normal(size=(6, 7)), "gripper": rng.normal(size=(6, 1))}
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps({"env_name": "Isaac-Lift-Franka-v0", "type": 2})
        for name, value in policy.items():
            file[f"data/demo_0/obs/policy/{name}"] = value.astype(np.float32)
        file["data/demo_0/obs/subtask/grasp"] = np.array([0, 0, 1, 1, 1, 1], dtype=bool)
        file["data/demo_0/actions"] = rng.normal(size=(6, 8)).astype(np.float32)
        file["data/demo_0/states/articulation/robot/joint_position"] = np.zeros((6, 9))
        file["data/demo_0/initial_state/articulation/robot/root_pose"] = np.zeros((1, 7))
        file["data/demo_0"].attrs.update(num_samples=6, success=True, seed=11)
    with RobomimicSource(path) as source:
        episode = source[0]
        assert source.filters == {}
        assert source.spec.env == {"env_name": "Isaac-Lift-Franka-v0", "type": 2}
    assert set(episode.obs) == {"policy/joint_pos", "policy/gripper", "subtask/grasp"}
    np.testing.assert_array_equal(episode.obs["policy/joint_pos"], policy["joint_pos"].astype(np.float32))
    assert episode.obs["subtask/grasp"][:, 0].tolist() == [0, 0, 1, 1, 1, 1]
    assert (episode.num_actions, episode.num_observations) == (6, 6)
    assert (episode.reward, episode.terminated, episode.success, episode.seed) == (None, None, True, 11)


def test_robosuite_files_give_the_control_rate(recorded):
    with h5py.File(recorded, "a") as file:
        del file["data"].attrs["worldjepa_spec"]
        kwargs = {"control_freq": 20, "robots": ["Panda"]}
        file["data"].attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": kwargs})
    with RobomimicSource(recorded) as source:
        assert source.spec.fps == 20.0
        assert source.spec.env["env_name"] == "Lift"
        assert source.spec.action_low is None


def test_dones_are_read_where_nothing_tells_more(recorded):
    with h5py.File(recorded, "a") as file:
        for name in ("terminated", "truncated"):
            del file[f"data/demo_0/{name}"]
    with RobomimicSource(recorded) as source:
        assert source[0].terminated is not None
        assert source[0].terminated.tolist() == [True] + [False] * 5 + [True]
        assert source[0].truncated is None


def test_next_obs_that_tells_another_story_is_not_merged(recorded):
    with h5py.File(recorded, "a") as file:
        file["data/demo_2/next_obs/state"][3, 1] += 0.01
    source = RobomimicSource(recorded)
    with pytest.raises(ValueError, match=r"demo_2: next_obs/state of step 3 is not obs/state of step 4; .*'ignore'"):
        source[2]
    source.close()
    with RobomimicSource(recorded, next_obs="ignore") as source:
        assert (source[2].num_actions, source[2].num_observations) == (12, 12)
        np.testing.assert_array_equal(source[2].obs["image"], make_full_episode(12, 2).obs["image"][:-1])


def test_next_obs_of_other_keys_is_not_merged(recorded):
    with h5py.File(recorded, "a") as file:
        del file["data/demo_0/next_obs/image"]
    with pytest.raises(ValueError, match=r"'obs' has .*'image'.* but 'next_obs' .*'ignore'"):
        RobomimicSource(recorded)
    with pytest.raises(ValueError, match='expected next_obs "check" or "ignore"'):
        RobomimicSource(recorded, next_obs="merge")


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_truncated_file_says_so(recorded, keep):
    content = recorded.read_bytes()
    recorded.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"cannot be read as HDF5 \(.*truncated.*fetch or record it again"):
        open_source(recorded)


def test_hdf5_of_another_layout_says_what_it_has(tmp_path):
    path = tmp_path / "aloha.hdf5"
    with h5py.File(path, "w") as file:
        file["action"] = np.zeros((3, 14))
        file["observations/qpos"] = np.zeros((3, 14))
    with pytest.raises(ValueError, match=r"no group 'data' \(it has \['action', 'observations'\]\)"):
        open_source(path)


def _damage(recorded: Path, change) -> str:
    """The message of reading demo_1 after ``change`` was applied to its group."""
    with h5py.File(recorded, "a") as file:
        change(file["data/demo_2"])
    with RobomimicSource(recorded) as source, pytest.raises(ValueError) as caught:
        source[2]
    return str(caught.value)


def _replace(name: str, value: np.ndarray):
    def change(demo):
        del demo[name]
        demo[name] = value

    return change


def test_missing_keys_are_named(recorded):
    assert "demo_2 has no 'actions', only [" in _damage(recorded, lambda demo: demo.pop("actions"))


def test_missing_observations_say_how_to_make_them(recorded):
    assert "dataset_states_to_obs" in _damage(recorded, lambda demo: demo.pop("obs"))


def test_a_missing_observation_key_is_named(recorded):
    def change(demo):
        del demo["obs/state"], demo["next_obs/state"]

    assert "'demo_2' lacks the observation keys ['state']" in _damage(recorded, change)


def test_mismatched_lengths_are_named(recorded):
    message = _damage(recorded, _replace("actions", np.zeros((9, 2), np.float32)))
    assert "declares num_samples 12 but holds 9 actions" in message
    assert "leave it out with a filter" in message


def test_a_short_observation_is_named(recorded):
    def change(demo):
        del demo["next_obs"], demo["obs/state"]
        demo["obs/state"] = np.zeros((8, 3), np.float32)

    assert "'demo_2' has 12 actions, so every observation key needs 13 frames" in _damage(recorded, change)


def test_nan_actions_are_named(recorded):
    action = np.zeros((12, 2), np.float32)
    action[5, 0] = np.nan
    assert "'demo_2': action holds 1 values that are not finite, the first at step 5" in _damage(
        recorded, _replace("actions", action)
    )


def test_demo_names_without_number_are_refused(recorded):
    with h5py.File(recorded, "a") as file:
        file["data"].move("demo_1", "demo_one")
    with pytest.raises(ValueError, match=r"named demo_<number> in 'data', got \['demo_one'\]"):
        RobomimicSource(recorded)


def test_env_args_that_are_not_json_are_refused(recorded):
    with h5py.File(recorded, "a") as file:
        file["data"].attrs["env_args"] = "{'env_name': 'Lift'}"
    with pytest.raises(ValueError, match="'env_args' of 'data' is not JSON"):
        RobomimicSource(recorded)


def test_a_file_without_demos_is_refused(tmp_path):
    RobomimicWriter(tmp_path / "empty.hdf5", SPEC).close()
    with pytest.raises(ValueError, match="holds no demos"):
        open_source(tmp_path / "empty.hdf5")


def test_a_recording_is_not_overwritten_but_may_go_on(recorded):
    with pytest.raises(FileExistsError, match="append=True"):
        RobomimicWriter(recorded, SPEC)
    with RobomimicWriter(recorded, SPEC, append=True) as writer:
        assert writer.append(make_full_episode(2, 5)) == "demo_5"
    with pytest.raises(ValueError, match="cannot be appended"):
        RobomimicWriter(recorded, replace(SPEC, action_dim=3), append=True)
    with RobomimicSource(recorded) as source:
        assert len(source) == 6
        assert_same(source[5], make_full_episode(2, 5))


def test_an_episode_that_does_not_fit_leaves_no_trace(recorded):
    episode = make_full_episode(4, 1)
    with RobomimicWriter(recorded, SPEC, append=True) as writer:
        with pytest.raises(ValueError, match=r"lacks the observation keys \['state'\]"):
            writer.append(replace(episode, obs={k: v for k, v in episode.obs.items() if k != "state"}))
        assert writer.append(episode) == "demo_5"


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.1, 0.25])
def test_what_was_recorded_before_a_kill_stays_readable(tmp_path, delay_s):
    path = tmp_path / "demos.hdf5"

    def record(tell):
        with RobomimicWriter(path, SPEC) as writer:
            for number in range(100000):
                tell(writer.append(make_full_episode(3 + number % 40, number)))

    recorder = Forked(record)
    first = recorder.line()
    time.sleep(delay_s)
    written = [first, *recorder.kill()]
    with RobomimicSource(path) as source:
        assert source.names[: len(written)] == written
        for number, episode in enumerate(source):
            assert_same(episode, make_full_episode(3 + number % 40, number))


@pytest.mark.data
def test_real_adroit_demonstrations(data_dir):
    with open_source(data_dir / "robot" / "adroit_door_human_dapg.hdf5") as source:
        assert len(source) == 25
        assert sum(episode.num_actions for episode in source) == 6729
        assert all(episode.num_observations == episode.num_actions + 1 for episode in source)
        assert source.spec.obs["state"].shape == (39,)
        assert source.spec.action_dim == 28
        assert len(source.filters["valid"]) == 3


def test_a_file_that_is_being_recorded_is_locked(tmp_path):
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        writer.append(make_full_episode(3, 0))
        with pytest.raises(BlockingIOError, match="is being written by another process; wait"):
            RobomimicSource(path)
    assert len(RobomimicSource(path)) == 1
