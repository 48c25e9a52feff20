"""Windows against a reference written out step by step; their order; the split."""

import warnings

import numpy as np
import pytest
import torch
from recordings import SPEC, make_episode, make_full_episode

from worldjepa.data import RobomimicWriter, Store, WindowSampler, open_store, split_episodes
from worldjepa.data.store import file_bytes
from worldjepa.types import DataSpec, ObsSpec

LENGTHS = [7, 1, 12, 3, 5]


def _store(folder, last: bool) -> Store:
    path = folder / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        for number, length in enumerate(LENGTHS):
            writer.append(make_full_episode(length, number, last=last))
    return open_store(path)


@pytest.fixture(scope="module", params=[True, False], ids=["last frame", "no last frame"])
def store(request, tmp_path_factory) -> Store:
    return _store(tmp_path_factory.mktemp("windows"), request.param)


def _reference(store: Store, number: int, time: int, history: int, horizon: int) -> dict:
    """The window around action ``time`` of one episode, from the definition."""
    last = int(store.ends[number] - store.starts[number]) > LENGTHS[number]
    episode = make_full_episode(LENGTHS[number], number, last=last)
    wanted = [time + offset for offset in range(-history + 1, horizon + 1)]
    frames = [min(max(t, 0), episode.num_observations - 1) for t in wanted]
    steps = [min(max(t, 0), episode.num_actions - 1) for t in wanted[:-1]]
    window = {("obs", *key.split("/")): value[frames] for key, value in episode.obs.items()}
    for name in ("action", "reward", "terminated"):
        window[(name,)] = getattr(episode, name)[steps]
    window[("success",)] = np.array([bool(episode.success) and t == episode.num_actions - 1 for t in steps])
    window[("valid",)] = np.array([0 <= t < episode.num_observations for t in wanted])
    window[("action_valid",)] = np.array([0 <= t < episode.num_actions for t in wanted[:-1]])
    return window


@pytest.mark.parametrize(("history", "horizon"), [(1, 1), (1, 4), (3, 1), (2, 20), (5, 3)])
def test_windows_are_the_defined_ones(store, history, horizon):
    chosen = [0, 1, 2, 4]
    sampler = WindowSampler(
        store, episodes=chosen, batch_size=4, history=history, horizon=horizon, image_frames=history + horizon
    )
    places = [(number, time) for number in chosen for time in range(LENGTHS[number])]
    assert len(sampler) == len(places)
    batch = sampler.at(range(len(sampler)))
    assert sampler.locate(range(len(sampler))) == [(f"demo_{number}", time) for number, time in places]
    for row, (number, time) in enumerate(places):
        assert sampler.anchor_of(number, time) == row
        reference = _reference(store, number, time, history, horizon)
        assert set(batch.keys(include_nested=True, leaves_only=True)) == {k if len(k) > 1 else k[0] for k in reference}
        for key, value in reference.items():
            assert batch[key].numpy().dtype == value.dtype
            np.testing.assert_array_equal(batch[key][row], value, err_msg=f"{key} of {number}, {time}")


def _strided_reference(store: Store, number: int, time: int, history: int, horizon: int, stride: int) -> dict:
    """The window of frames ``stride`` steps apart around action ``time``, frame by frame and block by block."""
    last = int(store.ends[number] - store.starts[number]) > LENGTHS[number]
    episode = make_full_episode(LENGTHS[number], number, last=last)
    reward, terminated = np.asarray(episode.reward), np.asarray(episode.terminated)
    window = {("obs", *key.split("/")): [] for key in episode.obs}
    window |= {(name,): [] for name in ("action", "reward", "terminated", "success", "valid", "action_valid")}
    for offset in range(-history + 1, horizon + 1):
        frame = time + stride * offset
        for key, value in episode.obs.items():
            window["obs", *key.split("/")].append(value[min(max(frame, 0), len(value) - 1)])
        window["valid",].append(0 <= frame < episode.num_observations)
        if offset < horizon:
            block = [frame + i for i in range(stride)]
            edge = [min(max(t, 0), episode.num_actions - 1) for t in block]
            window["action",].append(np.concatenate([episode.action[t] for t in edge]))
            window["reward",].append(sum(reward[t] for t in edge))
            window["terminated",].append(any(terminated[t] for t in edge))
            window["success",].append(bool(episode.success) and edge[-1] == episode.num_actions - 1)
            window["action_valid",].append(all(0 <= t < episode.num_actions for t in block))
    return window


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize(("history", "horizon"), [(1, 1), (3, 1), (2, 4)])
def test_strided_windows_are_the_defined_ones(store, history, horizon, stride):
    size = {"history": history, "horizon": horizon, "image_frames": history + horizon, "stride": stride}
    sampler = WindowSampler(store, episodes=range(5), batch_size=4, **size)
    batch = sampler.at(range(len(sampler)))
    places = [(number, time) for number in range(5) for time in range(LENGTHS[number])]
    assert sampler.locate(range(len(sampler))) == [(f"demo_{number}", time) for number, time in places]
    assert batch["action"].shape == (len(places), history - 1 + horizon, 2 * stride)
    for row, (number, time) in enumerate(places):
        reference = _strided_reference(store, number, time, history, horizon, stride)
        assert set(batch.keys(include_nested=True, leaves_only=True)) == {k if len(k) > 1 else k[0] for k in reference}
        for key, value in reference.items():
            np.testing.assert_array_equal(batch[key][row], np.stack(value), err_msg=f"{key} of {number}, {time}")
    again = sampler.batch(3)
    torch.testing.assert_close(again["action"], batch["action"][sampler.anchors(3)], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*shorter than the window")
def test_a_strided_window_counts_images_in_its_frames_and_padding_in_steps(store):
    options = {"episodes": range(5), "batch_size": 4, "history": 2, "horizon": 2, "stride": 3}
    few = WindowSampler(store, **options, image_frames=3, unlabelled=[2])
    batch, full = few.at(range(28)), WindowSampler(store, **options, image_frames=4).at(range(28))
    torch.testing.assert_close(batch["obs", "image"], full["obs", "image"][:, :3], rtol=0, atol=0)
    hidden = torch.tensor([name == "demo_2" for name, _ in few.locate(range(28))])
    assert full["action_valid"][hidden].any()
    assert not batch["action_valid"][hidden].any()
    inside = WindowSampler(store, **options, pad_front=False, pad_back=False)
    assert inside.locate(range(len(inside))) == [("demo_2", 3), ("demo_2", 4), ("demo_2", 5), ("demo_2", 6)]
    assert inside.at(range(4))["action_valid"].all()
    front = WindowSampler(store, **options, pad_front=False)
    assert len(front) == sum(max(0, length - 3) for length in LENGTHS)
    back = WindowSampler(store, **options, pad_back=False)
    assert len(back) == sum(max(0, length - 5) for length in LENGTHS)
    with pytest.raises(ValueError, match=r"longest 12 actions, stride 7\); shorten history or horizon"):
        WindowSampler(store, **{**options, "stride": 7}, pad_back=False)


@pytest.mark.parametrize("stride", [1, 3])
def test_success_is_that_of_the_frame_that_a_transition_leads_to(tmp_path, stride):
    steps = np.array([False, True, True, False, False, True, False, False, True])
    with RobomimicWriter(tmp_path / "demos.hdf5", SPEC) as writer:
        writer.append(make_episode(9, 0, success=True, step_success=steps))
    options = {"episodes": [0], "batch_size": 4, "horizon": 2, "stride": stride, "pad_back": False}
    sampler = WindowSampler(open_store(tmp_path / "demos.hdf5"), **options)
    batch = sampler.at(range(len(sampler)))
    solved = np.array([False, *steps])  # of frames
    for time, row in enumerate(batch["success"]):
        assert row.tolist() == solved[[time + stride, time + 2 * stride]].tolist()


def test_data_that_says_nothing_of_success_gives_none(tmp_path):
    with RobomimicWriter(tmp_path / "demos.hdf5", SPEC) as writer:
        writer.append(make_episode(9, 0))
    assert "success" not in WindowSampler(
        open_store(tmp_path / "demos.hdf5"), episodes=[0], batch_size=4, horizon=2
    ).batch(0)


def test_episodes_that_are_shorter_than_a_window_are_counted_in_a_warning(store):
    options = {"episodes": range(5), "batch_size": 4, "history": 2, "stride": 2, "horizon": 2}
    with pytest.warns(
        UserWarning, match=r"3 of 5 episodes are shorter than the window of 6 steps and are not used; sho"
    ):
        whole = WindowSampler(store, **options, pad_front=False, pad_back=False)
    assert {name for name, _ in whole.locate(range(len(whole)))} == {"demo_0", "demo_2"}
    with pytest.warns(UserWarning, match=r"1 of 5 episodes are shorter than the window of 3 steps"):
        WindowSampler(store, **options, pad_front=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WindowSampler(store, **options)
        WindowSampler(store, **{**options, "episodes": [0, 2]}, pad_front=False, pad_back=False)


def test_images_have_a_window_of_their_own(store):
    options = {"episodes": range(5), "batch_size": 3, "history": 2, "horizon": 4}
    full = WindowSampler(store, **options, image_frames=6).batch(0)
    for frames in (1, 2, 3):
        batch = WindowSampler(store, **options, image_frames=frames).batch(0)
        torch.testing.assert_close(batch["obs", "image"], full["obs", "image"][:, :frames], rtol=0, atol=0)
        torch.testing.assert_close(batch["obs", "state"], full["obs", "state"], rtol=0, atol=0)
    assert WindowSampler(store, **options).batch(0)["obs", "image"].shape[1] == 2, "default: the history"
    assert "image" not in WindowSampler(store, **options, image_frames=0).batch(0)["obs"]
    with pytest.raises(ValueError, match=r"image_frames must be in 0\.\.6"):
        WindowSampler(store, **options, image_frames=7)


def test_every_epoch_deals_every_anchor_once(store):
    sampler = WindowSampler(store, episodes=range(5), batch_size=6, horizon=2)
    total = sum(LENGTHS)
    dealt = np.concatenate([sampler.anchors(step) for step in range(3 * total // 6 + 1)])
    epochs = [dealt[i * total : (i + 1) * total] for i in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(total))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], np.arange(total))


def test_a_batch_may_be_larger_than_an_epoch(store):
    sampler = WindowSampler(store, episodes=[1, 3], batch_size=10, horizon=2)
    assert sorted(sampler.anchors(0).tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3] or len(set(sampler.anchors(0))) == 4
    assert np.bincount(np.concatenate([sampler.anchors(step) for step in range(2)])).tolist() == [5, 5, 5, 5]


def test_batches_are_a_function_of_seed_and_step_alone(store):
    make = lambda seed: WindowSampler(store, episodes=range(5), batch_size=4, horizon=3, seed=seed)  # noqa: E731
    wanderer, steps = make(3), [0, 40, 7, 8, 0]
    for step in steps:
        fresh = make(3).batch(step)
        for key, value in wanderer.batch(step).items(include_nested=True, leaves_only=True):
            torch.testing.assert_close(value, fresh[key], rtol=0, atol=0)
    assert not np.array_equal(make(3).anchors(0), make(4).anchors(0))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_one_batch(store, world):
    sampler = WindowSampler(store, episodes=range(5), batch_size=6, horizon=3)
    whole = sampler.batch(5).clone()
    for rank in range(world):
        part = sampler.batch(5, rank=rank, world=world)
        torch.testing.assert_close(part["action"], whole["action"][rank::world], rtol=0, atol=0)
        torch.testing.assert_close(part["obs", "state"], whole["obs", "state"][rank::world], rtol=0, atol=0)
    with pytest.raises(ValueError, match="multiple of world 4"):
        sampler.batch(0, rank=0, world=4)
    with pytest.raises(ValueError, match="rank 2"):
        sampler.batch(0, rank=2, world=2)


def test_batches_reuse_their_memory_and_explicit_windows_do_not(store):
    sampler = WindowSampler(store, episodes=range(5), batch_size=4, horizon=3)
    first = sampler.batch(0)
    kept = first["obs", "state"].clone()
    assert sampler.batch(1)["obs", "state"].data_ptr() == first["obs", "state"].data_ptr()
    assert not torch.equal(first["obs", "state"], kept)
    one, two = sampler.at([0, 1]), sampler.at([2, 3])
    assert one["obs", "state"].data_ptr() != two["obs", "state"].data_ptr()


def test_unlabelled_episodes_keep_their_observations_only(store):
    plain = WindowSampler(store, episodes=range(5), batch_size=4, horizon=3).at(range(28))
    sampler = WindowSampler(store, episodes=range(5), batch_size=4, horizon=3, unlabelled=[2])
    batch = sampler.at(range(28))
    hidden = torch.tensor([name == "demo_2" for name, _ in sampler.locate(range(28))])
    assert not batch["action_valid"][hidden].any()
    torch.testing.assert_close(batch["action_valid"][~hidden], plain["action_valid"][~hidden])
    torch.testing.assert_close(batch["valid"], plain["valid"])


@pytest.mark.filterwarnings("ignore:.*shorter than the window")
def test_without_padding_windows_stay_inside(store):
    sampler = WindowSampler(
        store, episodes=range(5), batch_size=4, history=2, horizon=3, pad_front=False, pad_back=False
    )
    batch = sampler.at(range(len(sampler)))
    assert len(sampler) == sum(max(0, length - 3) for length in LENGTHS)
    assert batch["action_valid"].all()
    assert sampler.locate([0]) == [("demo_0", 1)]
    assert sampler.anchor_of(2, 5) == 4 + 4
    with pytest.raises(ValueError, match="no window at step 0"):
        sampler.anchor_of(2, 0)
    with pytest.raises(ValueError, match=r"longest 3 actions.*shorten history or horizon"):
        WindowSampler(store, episodes=[1, 3], batch_size=4, horizon=8, pad_back=False)


def test_only_the_asked_keys_are_loaded(store):
    batch = WindowSampler(store, episodes=range(5), batch_size=4, horizon=3, keys=["agent/pos"]).batch(0)
    assert list(batch["obs"].keys(include_nested=True, leaves_only=True)) == [("agent", "pos")]


def test_an_unknown_key_lists_the_known_ones(store):
    with pytest.raises(ValueError, match=r"no observation key 'agnet/pos'; it has \[.*\]; did you mean 'agent/pos'\?"):
        WindowSampler(store, episodes=range(5), batch_size=4, horizon=3, keys=["agnet/pos"])


@pytest.mark.parametrize("options", [{"horizon": 0}, {"history": 0}, {"batch_size": 0}, {"stride": 0}])
def test_sizes_out_of_range_are_refused(store, options):
    with pytest.raises(ValueError, match="must be at least 1"):
        WindowSampler(store, episodes=range(5), **{"batch_size": 4, "horizon": 3, **options})


def test_episodes_and_anchors_out_of_range_are_refused(store):
    with pytest.raises(ValueError, match=r"episode numbers in 0\.\.4, got 0\.\.5"):
        WindowSampler(store, episodes=range(6), batch_size=4, horizon=3)
    with pytest.raises(ValueError, match="none of the 0 episodes"):
        WindowSampler(store, episodes=[], batch_size=4, horizon=3)
    sampler = WindowSampler(store, episodes=[0, 2], batch_size=4, horizon=3)
    for anchors in ([], [19], [-1]):
        with pytest.raises(ValueError, match=r"each in 0\.\.18"):
            sampler.at(anchors)
    with pytest.raises(ValueError, match="episode 1 is not among"):
        sampler.anchor_of(1, 0)
    with pytest.raises(ValueError, match="must not be negative"):
        sampler.anchors(-1)


def test_mapped_memory_is_bounded_without_a_change_of_content(tmp_path):
    spec = DataSpec({"image": ObsSpec((64, 64, 3), "uint8")}, action_dim=2)
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, spec) as writer:
        for number in range(40):
            writer.append(make_full_episode(100, number, spec=spec))
    store = open_store(path)
    assert store.arrays["obs/image"].nbytes > 48e6
    options = {"episodes": range(40), "batch_size": 50, "horizon": 7, "image_frames": 8}
    free, bounded = WindowSampler(store, **options), WindowSampler(store, **options, max_resident=1 << 25)

    if not file_bytes():
        pytest.skip("no /proc/self/statm here: cannot tell what is resident")
    before = file_bytes()
    resident = []
    for step in range(60):
        bounded.batch(step)
        resident.append(file_bytes() - before)
    assert 1 << 20 < max(resident) < 1 << 25
    for step in range(60):
        free.batch(step)
    assert file_bytes() - before > 1 << 25, "else the bound above shows nothing"
    torch.testing.assert_close(bounded.batch(59)["obs", "image"], free.batch(59)["obs", "image"])


def test_keys_without_elements_pass(tmp_path):
    spec = DataSpec({"state": ObsSpec((3,), "float32"), "object": ObsSpec((0,), "float32")}, action_dim=2)
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, spec) as writer:
        writer.append(make_full_episode(6, 0, spec=spec))
    batch = WindowSampler(open_store(path), episodes=[0], batch_size=2, horizon=3).batch(0)
    assert batch["obs", "object"].shape == (2, 4, 0)
    np.testing.assert_array_equal(open_store(path).steps["obs", "state"].numpy(), open_store(path).arrays["obs/state"])


def test_the_split_is_by_episode_and_seeded(store):
    split = split_episodes(store, valid=0.4, seed=1)
    assert sorted([*split["train"], *split["valid"]]) == list(range(5))
    assert len(split["valid"]) == 2
    again = split_episodes(store, valid=0.4, seed=1)
    assert all(np.array_equal(split[name], again[name]) for name in split)
    assert len({tuple(split_episodes(store, valid=0.4, seed=seed)["valid"]) for seed in range(10)}) > 3
    assert len(split_episodes(store, valid=0.01)["valid"]) == 1, "at least one episode is held out"
    assert len(split_episodes(store, valid=0.0)["valid"]) == 0
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"share valid in \[0, 1\)"):
            split_episodes(store, valid=share)
    with pytest.raises(ValueError, match="nothing would be left"):
        split_episodes(store, valid=0.95)


def test_the_split_of_the_recording_is_honoured(tmp_path):
    _store(tmp_path, True)
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, SPEC, append=True) as writer:
        writer.write_mask("train", ["demo_0", "demo_3", "demo_4"])
        writer.write_mask("valid", ["demo_2"])
        writer.write_mask("overlap", ["demo_2", "demo_3"])
    store = open_store(path)
    split = split_episodes(store, valid=0.5, seed=7)
    assert (split["train"].tolist(), split["valid"].tolist()) == ([0, 3, 4], [2])
    with pytest.raises(ValueError, match=r"'train' and 'overlap' share episodes \[3\]"):
        split_episodes(store, valid_filter="overlap")
