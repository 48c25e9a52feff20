"""robomimic 0.3.0 as a peer: its SequenceDataset opens our files and yields the windows that our sampler yields."""

import warnings

import numpy as np
import pytest
from recordings import make_full_episode

from worldjepa.data import RobomimicWriter, WindowSampler, open_store
from worldjepa.types import DataSpec, ObsSpec

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dataset = pytest.importorskip(
        "robomimic.utils.dataset", reason="robomimic is not installed: pip install --no-deps robomimic==0.3.0"
    )

# robomimic splits keys at "/" and so has no nested ones
SPEC = DataSpec({"state": ObsSpec((3,), "float32"), "image": ObsSpec((4, 5, 3), "uint8")}, action_dim=2)
LENGTHS = [9, 6, 12, 7]


@pytest.fixture(scope="module", params=[True, False], ids=["last frame", "no last frame"])
def recorded(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("peer") / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        for number, length in enumerate(LENGTHS):
            writer.append(make_full_episode(length, number, last=request.param, spec=SPEC))
        writer.write_mask("some", ["demo_0", "demo_3"])
    return path, request.param


def _peer(path, frame_stack, seq_length, pad_front, pad_back, cache, filter=None, next_obs=False):
    return dataset.SequenceDataset(
        hdf5_path=str(path),
        obs_keys=tuple(SPEC.obs),
        dataset_keys=("actions", "rewards", "dones"),
        frame_stack=frame_stack,
        seq_length=seq_length,
        pad_frame_stack=pad_front,
        pad_seq_length=pad_back,
        get_pad_mask=True,
        hdf5_cache_mode=cache,
        hdf5_use_swmr=False,
        filter_by_attribute=filter,
        load_next_obs=next_obs,
    )


def _sampler(path, history, horizon, **options):
    store = open_store(path)
    options = {"episodes": range(len(store)), **options}
    return WindowSampler(
        store, batch_size=4, history=history, horizon=horizon, image_frames=history + horizon, **options
    )


@pytest.mark.parametrize("pad_back", [True, False])
@pytest.mark.parametrize("pad_front", [True, False])
@pytest.mark.parametrize(("frame_stack", "seq_length"), [(1, 1), (1, 4), (3, 1), (2, 5), (4, 3)])
def test_windows_are_equal(recorded, frame_stack, seq_length, pad_front, pad_back):
    path, has_last = recorded
    peer = _peer(path, frame_stack, seq_length, pad_front, pad_back, "all", next_obs=has_last)
    sampler = _sampler(path, frame_stack, seq_length, pad_front=pad_front, pad_back=pad_back)
    assert len(peer) == len(sampler)
    ours = sampler.at(range(len(sampler)))
    for index in range(len(peer)):
        theirs = peer[index]
        np.testing.assert_array_equal(ours["action"][index], theirs["actions"])
        np.testing.assert_array_equal(ours["reward"][index], theirs["rewards"])
        # their mask is over transitions: our action_valid
        mask = theirs["obs"]["pad_mask"][:, 0]
        np.testing.assert_array_equal(ours["action_valid"][index], mask)
        for key in SPEC.obs:
            _compare_frames(ours["obs", key][index].numpy(), theirs, key, mask, has_last)


def _compare_frames(ours, theirs, key, mask, has_last):
    """Our T + 1 frames against their T frames of obs and, with a last frame, T frames of next_obs.

    Behind the end of an episode with a last frame, robomimic's obs repeat the last but one while ours go on to the
    last, as its next_obs do; before the start its next_obs repeat the second frame while ours repeat the first, as its
    obs do.
    """
    first, last = np.flatnonzero(mask)[[0, -1]]
    if not has_last:
        np.testing.assert_array_equal(ours[:-1], theirs["obs"][key])
        return
    np.testing.assert_array_equal(ours[: last + 1], theirs["obs"][key][: last + 1])
    np.testing.assert_array_equal(ours[first + 1 :], theirs["next_obs"][key][first:])


@pytest.mark.parametrize("cache", ["all", "low_dim", None])
def test_every_cache_mode_and_filters(recorded, cache, monkeypatch):
    path, _ = recorded
    monkeypatch.setattr(
        dataset.ObsUtils, "key_is_obs_modality", lambda key, name: (key == "state") == (name == "low_dim")
    )
    peer = _peer(path, 2, 3, True, True, cache, filter="some")
    store = open_store(path)
    sampler = _sampler(path, 2, 3, episodes=store.episodes("some"))
    assert len(peer) == len(sampler) == LENGTHS[0] + LENGTHS[3]
    ours = sampler.at(range(len(sampler)))
    for index in range(len(peer)):
        item = peer[index]
        np.testing.assert_array_equal(ours["action"][index], item["actions"])
        mask = item["obs"]["pad_mask"][:, 0]
        np.testing.assert_array_equal(ours["obs", "image"][index][:-1].numpy()[mask], item["obs"]["image"][mask])
    peer.close_and_delete_hdf5_handle()
