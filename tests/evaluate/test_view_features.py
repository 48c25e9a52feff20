from pathlib import Path

import numpy as np
import pytest
import torch
from view_world import POSES, view_learner, write_views

from worldjepa.data import Store
from worldjepa.evaluate.view_features import (
    ViewTable,
    draw_sequences,
    encode_views,
    online_features,
    pixel_features,
    target_features,
)
from worldjepa.evaluate.view_sets import ConsecutiveViews, MadeViews, RecordedViews, find_view_sets
from worldjepa.types import nested
from worldjepa.views import PairViews, Poses, SequenceViews, TransitionViews
from worldjepa.views.augment import AugmentedViews


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_views(tmp_path_factory.mktemp("views") / "objects.hdf5", objects=6, views=8)


@pytest.fixture(scope="module")
def table(store: Store) -> ViewTable:
    learner = view_learner()
    models = {"encoder": online_features(learner, "image"), "target": target_features(learner, "image")}
    return encode_views(models, RecordedViews(store, [0, 1, 2, 4], image_key="image", poses=POSES), batch_size=3)


def test_every_view_is_encoded_once_and_keeps_its_pose(table: ViewTable, store: Store) -> None:
    """The first pixels are the pose: features and poses agree view by view, and no view is there twice."""
    assert table.features["encoder"].shape == (4, 8, 12)
    torch.testing.assert_close(table.features["encoder"][..., :4], table.pose[..., :4], atol=0.01, rtol=0)
    torch.testing.assert_close(table.features["encoder"][..., 4:6], 2 * table.pose[..., 4:] - 1, atol=0.01, rtol=0)
    assert table.group.tolist() == [0, 1, 2, 4]
    assert table.label is not None
    assert table.label.tolist() == [0, 1, 2, 1]
    recorded = store.arrays["obs/rotation"][store.starts[1] : store.ends[1]]
    np.testing.assert_array_equal(np.sort(table.pose[1, :, 0]), np.sort(recorded[:, 0]))


def test_encoding_does_not_depend_on_the_batch(table: ViewTable, store: Store) -> None:
    sets = RecordedViews(store, [0, 1, 2, 4], image_key="image", poses=POSES)
    again = encode_views({"encoder": online_features(view_learner(), "image")}, sets, batch_size=1)
    assert torch.equal(again.features["encoder"], table.features["encoder"])
    assert torch.equal(again.pose, table.pose)


def test_sequences_hold_different_views_of_one_set(table: ViewTable) -> None:
    found = draw_sequences(table, 5, draws=7, seed=1)
    assert found.row.tolist() == [row for row in range(4) for _ in range(7)]
    assert all(len(set(views)) == 5 for views in found.view.tolist())
    assert len({tuple(x) for x in found.view.tolist()}) > 20
    for i in (0, 9, 27):
        assert torch.equal(found.pose[i], table.pose[found.row[i], found.view[i]])
        assert torch.equal(found.features("encoder")[i], table.features["encoder"][found.row[i], found.view[i]])
        assert int(found.group[i]) == [0, 1, 2, 4][int(found.row[i])]


def test_sequences_are_those_of_their_seed(table: ViewTable) -> None:
    first, again, other = (draw_sequences(table, 3, draws=4, seed=s).view for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fewer_views_than_the_length_needs(table: ViewTable, store: Store) -> None:
    with pytest.raises(ValueError, match=r"9 views .* 8 of each object"):
        draw_sequences(table, 9)
    with pytest.raises(ValueError, match="fewer than the 9 views"):
        RecordedViews(store, [0, 1], image_key="image", poses=POSES, num_views=9)


def test_relative_poses_are_those_between_the_views(table: ViewTable) -> None:
    pose = draw_sequences(table, 3, draws=2).pose
    found = table.transformations.relative(pose)
    torch.testing.assert_close(found[..., 4:], pose[:, 1:, 4:] - pose[:, :-1, 4:])
    assert (found[..., 3] >= 0).all()
    single = table.transformations.single(-pose[:, 0])
    torch.testing.assert_close(single[:, :4], pose[:, 0, :4])  # q and -q are one orientation
    assert [g.name for g in table.transformations.groups] == ["rotation", "floor_hue", "light_hue"]


def test_consecutive_frames_keep_their_order_and_their_actions(store: Store) -> None:
    sets = ConsecutiveViews(store, [1, 3], image_key="image", num_views=5, stride=1)
    table = encode_views({"pixels": pixel_features("image")}, sets)
    assert set(table.group.tolist()) == {1, 3}
    found = draw_sequences(table, 3, draws=5)
    assert (found.view.diff() == 1).all()
    told = table.transformations.told(table.pose)
    first = store.starts[1]
    torch.testing.assert_close(told[0], torch.from_numpy(np.array(store.arrays["action"][first : first + 4])))
    with pytest.raises(ValueError, match="no pose of their own"):
        table.transformations.single(table.pose[:, 0])


def test_pixels_are_averaged(store: Store) -> None:
    sets = RecordedViews(store, [0], image_key="image", poses=POSES)
    obs = sets.at([0]).obs
    features = pixel_features("image")(obs)
    wanted = obs[nested("image")].permute(0, 1, 4, 2, 3).flatten(2).float() / 255
    torch.testing.assert_close(features, wanted)  # 4 x 4 pixels are fewer than 16 x 16: as they are


def test_views_are_made_as_the_model_was_trained(store: Store) -> None:
    options = {"keys": ("image",), "longest": 3, "most": 2}
    recorded = find_view_sets(PairViews(SequenceViews(("image",), 1, POSES)), store, range(6), **options)
    assert isinstance(recorded, RecordedViews)
    assert len(recorded) == 2
    assert recorded.at([0]).pose.shape == (1, 8, 6)
    frames = find_view_sets(SequenceViews(("image",), 3), store, range(6), **options)
    assert isinstance(frames, ConsecutiveViews)
    assert frames.at([0]).pose.shape == (1, 4, 6)
    with pytest.raises(ValueError, match="seq_jepa"):
        find_view_sets(TransitionViews(("image",)), store, range(6), **options)


def test_what_the_model_is_not_told_can_be_read_all_the_same(store: Store) -> None:
    told = Poses("rotation", ())
    options = {"keys": ("image",), "longest": 3}
    views = SequenceViews(("image",), 1, told)
    sets = find_view_sets(views, store, range(6), also=("light_hue", "rotation"), **options)
    found, pose = sets.transformations, sets.at([0, 1]).pose
    assert [group.name for group in found.groups] == ["rotation", "light_hue"]
    plain = find_view_sets(views, store, range(6), **options)
    assert torch.equal(found.told(pose), plain.transformations.told(plain.at([0, 1]).pose))
    torch.testing.assert_close(found.relative(pose)[..., 4], pose[:, 1:, 4] - pose[:, :-1, 4])
    with pytest.raises(ValueError, match="no states"):
        find_view_sets(views, store, range(6), also=("image",), **options)
    with pytest.raises(ValueError, match="recorded views"):
        find_view_sets(SequenceViews(("image",), 3), store, range(6), also=("light_hue",), **options)


def test_views_are_made_of_each_picture_by_itself(tmp_path: Path) -> None:
    """Other pictures beside it change nothing; all views follow the law of observed ones, which are always blurred."""
    views = AugmentedViews("image", 3, normalize=True)
    store = write_views(tmp_path / "pictures.hdf5", objects=6, views=1)
    sets = [MadeViews(store, rows, views=views, keys=("image",), num_views=5) for rows in ([0, 2, 5], [5])]
    every, alone = sets[0].at([0, 1, 2]), sets[1].at([0])
    assert torch.equal(every.obs["image"][2], alone.obs["image"][0])
    assert torch.equal(every.pose[2], alone.pose[0])
    assert not torch.equal(every.pose[0], every.pose[1])
    assert (every.pose[..., 8] > 0).all()
    assert every.label is not None
    assert every.label.tolist() == [0, 2, 2]
    transformations = sets[0].transformations
    assert [g.name for g in transformations.groups] == ["crop", "jitter", "blur"]
    torch.testing.assert_close(transformations.relative(every.pose), every.pose.diff(dim=1))
    torch.testing.assert_close(transformations.told(every.pose), views.relative(every.pose))
    assert not torch.allclose(transformations.told(every.pose), every.pose.diff(dim=1))


def test_a_model_without_a_target_says_so(tmp_path: Path) -> None:
    learner = view_learner()
    learner.model.target = None
    with pytest.raises(ValueError, match="no target"):
        target_features(learner, "image")
