"""What an episode may hold, and how a path's format is found."""

from dataclasses import replace

import numpy as np
import pytest
from recordings import SPEC, make_episode

from worldjepa.data.episodes import Episode, as_observation, check_fits, open_source, select_names


def test_every_key_needs_the_same_number_of_frames(tmp_path):
    episode = make_episode(5, 0)
    short = {**episode.obs, "state": episode.obs["state"][:-2]}
    with pytest.raises(ValueError, match=r"'demo_0' has 5 actions, so every observation key needs 6 .*'state': 4"):
        replace(episode, obs=short)


@pytest.mark.parametrize("frames", [4, 7])
def test_observations_must_match_the_actions(frames):
    with pytest.raises(ValueError, match="has 5 actions"):
        Episode({"state": np.zeros((frames, 2), np.float32)}, np.zeros((5, 1), np.float32))


@pytest.mark.parametrize("frames", [5, 6])
def test_the_last_observation_may_be_missing(frames):
    episode = Episode({"state": np.zeros((frames, 2), np.float32)}, np.zeros((5, 1), np.float32))
    assert (episode.num_actions, episode.num_observations) == (5, frames)


@pytest.mark.parametrize("field", ["reward", "terminated", "truncated", "step_success"])
def test_vectors_have_one_entry_for_each_action(field):
    dtype = np.float32 if field == "reward" else np.bool_
    with pytest.raises(ValueError, match=rf"expected {field} of shape \[5\].* got \[6\]"):
        make_episode(5, 0, **{field: np.zeros(6, dtype)})


def test_a_solved_episode_is_solved_by_its_last_action_unless_the_steps_say_more():
    steps = np.array([False, True, True, False])
    assert make_episode(4, 0).solved is None
    found = [make_episode(4, 0, **fields).solved for fields in ({"success": True}, {"success": False})]
    assert [x.tolist() for x in found if x is not None] == [[False, False, False, True], [False] * 4]
    assert make_episode(4, 0, success=True, step_success=steps).solved is steps


def test_nan_actions_are_named_by_step_and_dimension():
    episode = make_episode(5, 3)
    action = episode.action.copy()
    action[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"'demo_3': action holds 1 .* step 2, dimension \[1\] \(nan\); repair"):
        replace(episode, action=action)


def test_infinite_observations_are_named_by_key():
    episode = make_episode(5, 3)
    state = episode.obs["state"].copy()
    state[4, 0] = -np.inf
    with pytest.raises(ValueError, match=r"observation 'state' holds 1 .* step 4, dimension \[0\] \(-inf\)"):
        replace(episode, obs={**episode.obs, "state": state})


@pytest.mark.parametrize("action", [np.zeros((0, 2), np.float32), np.zeros(4, np.float32)])
def test_actions_are_a_table_with_rows(action):
    with pytest.raises(ValueError, match="actions of shape"):
        Episode({"state": np.zeros((1, 2), np.float32)}, action)


def test_an_episode_needs_observations():
    with pytest.raises(ValueError, match="no observations"):
        Episode({}, np.zeros((4, 2), np.float32))


def test_observations_keep_images_and_turn_the_rest_into_float32():
    image = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    assert as_observation(image).dtype == np.uint8
    np.testing.assert_array_equal(as_observation(np.array([True, False])), np.array([[1.0], [0.0]], np.float32))
    assert as_observation(np.zeros((2, 3), np.float64)).dtype == np.float32
    with pytest.raises(ValueError, match="expected numbers"):
        as_observation(np.array(["text"]))


def test_an_episode_with_other_keys_does_not_fit(tmp_path):
    episode = make_episode(5, 0)
    other = replace(episode, obs={"state": episode.obs["state"], "extra": episode.obs["state"]})
    with pytest.raises(ValueError, match=r"lacks the observation keys \['agent/pos', 'image'\] and adds \['extra'\]"):
        check_fits(other, SPEC, tmp_path)


def test_an_episode_of_other_sizes_does_not_fit(tmp_path):
    episode = make_episode(5, 0)
    check_fits(episode, SPEC, tmp_path)
    with pytest.raises(ValueError, match="observation 'state' is"):
        check_fits(replace(episode, obs={**episode.obs, "state": episode.obs["state"][:, :2]}), SPEC, tmp_path)
    with pytest.raises(ValueError, match="actions of size 1, the rest 2"):
        check_fits(replace(episode, action=episode.action[:, :1]), SPEC, tmp_path)


def test_filters_keep_the_order_of_the_file(tmp_path):
    names = ["demo_0", "demo_1", "demo_2"]
    assert select_names(names, {"some": ["demo_2", "demo_0"]}, "some", tmp_path) == ["demo_0", "demo_2"]
    assert select_names(names, {}, None, tmp_path) == names
    with pytest.raises(ValueError, match=r"no filter 'none'; it has \['some'\]"):
        select_names(names, {"some": ["demo_0"]}, "none", tmp_path)
    with pytest.raises(ValueError, match="'empty' names no episode"):
        select_names(names, {"empty": []}, "empty", tmp_path)
    with pytest.raises(ValueError, match=r"not in the file: \['demo_9'\]"):
        select_names(names, {"wrong": ["demo_9"]}, "wrong", tmp_path)


def test_a_missing_path_lists_the_formats(tmp_path):
    with pytest.raises(FileNotFoundError, match="robomimic HDF5"):
        open_source(tmp_path / "nothing.hdf5")


def test_a_file_of_another_kind_says_what_it_begins_with(tmp_path):
    path = tmp_path / "demos.hdf5"
    path.write_text("<html>Not found</html>")
    with pytest.raises(
        ValueError, match=r"neither an HDF5 nor a zip file \(it begins with b'<html>No'\).*fetch it again"
    ):
        open_source(path)


def test_an_unknown_folder_says_what_it_holds(tmp_path):
    (tmp_path / "videos").mkdir()
    with pytest.raises(ValueError, match=r"\(holding videos\) is none of these formats"):
        open_source(tmp_path)
