"""Sets of views: rows of one episode, none twice, all ordered choices as likely; seeded, dealt out to processes."""

from collections import Counter

import numpy as np
import pytest
import torch

from worldjepa.data import Episode, RobomimicWriter, Store, open_store
from worldjepa.data.viewsets import ViewSampler, draw_distinct
from worldjepa.types import DataSpec, ObsSpec

VIEWS = [4, 6, 5, 9, 4]
SPEC = DataSpec({"image": ObsSpec((2, 3, 3), "uint8"), "place": ObsSpec((2,), "float32")}, action_dim=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Row t of episode e: place = (e, t), image = 10 e + t."""
    path = tmp_path_factory.mktemp("viewsets") / "objects.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        for e, count in enumerate(VIEWS):
            place = np.stack([np.full(count, e), np.arange(count)], axis=1).astype(np.float32)
            image = np.broadcast_to((10 * place[:, :1, None, None] + place[:, 1:, None, None]), (count, 2, 3, 3))
            writer.append(
                Episode({"image": image.astype(np.uint8), "place": place}, np.ones((count - 1, 3), np.float32))
            )
    return open_store(path)


def sampler(store: Store, **options) -> ViewSampler:
    return ViewSampler(store, **{"episodes": range(5), "views": 4, "batch_size": 4, **options})


def test_a_set_holds_different_rows_of_one_episode(store):
    episodes = []
    views = sampler(store, episodes=[0, 1, 3], batch_size=3)
    for step in range(40):
        batch = views.batch(step)
        place = batch["obs", "place"].numpy()
        names = [name for name, _ in views.locate(views.anchors(step))]
        for row in range(3):
            (episode,) = set(place[row, :, 0])
            assert names[row] == f"demo_{episode:g}"
            assert len(set(place[row, :, 1])) == 4
            np.testing.assert_array_equal(batch["obs", "image"][row, :, 1, 2, 0], 10 * episode + place[row, :, 1])
            episodes.append(int(episode))
    assert Counter(episodes) == {0: 40, 1: 40, 3: 40}


def test_actions_are_zeros_that_are_not_valid(store):
    batch = sampler(store).batch(0)
    assert batch["valid"].all()
    assert batch["valid"].shape == (4, 4)
    assert not batch["action_valid"].any()
    torch.testing.assert_close(batch["action"], torch.zeros(4, 3, 3), rtol=0, atol=0)


def test_single_views_have_no_actions(store):
    batch = sampler(store, views=1).at(range(5))
    assert batch["action"].shape == (5, 0, 3)
    assert batch["action_valid"].shape == (5, 0)
    torch.testing.assert_close(batch["obs", "place"][:, 0, 0], torch.arange(5.0))


def test_every_ordered_choice_is_as_likely():
    drawn = draw_distinct(np.random.default_rng(0).random((24_000, 3)), np.full(24_000, 4))
    found = Counter(map(tuple, drawn.tolist()))
    assert len(found) == 24
    chi_square = sum((count - 1000) ** 2 / 1000 for count in found.values())
    assert chi_square < 49.7  # 23 degrees of freedom, p = 0.001


def test_the_edges_of_the_unit_interval_stay_in_range():
    below_one = np.nextafter(1.0, 0.0)
    drawn = draw_distinct(np.array([[0.0] * 5, [below_one] * 5]), np.array([5, 50]))
    np.testing.assert_array_equal(drawn, [[0, 1, 2, 3, 4], [49, 48, 47, 46, 45]])


def test_batches_depend_on_the_seed_and_the_step_only(store):
    one, other = sampler(store), sampler(store)
    first = one.batch(7)["obs", "place"].clone()
    one.batch(0)
    torch.testing.assert_close(one.batch(7)["obs", "place"], first, rtol=0, atol=0)
    torch.testing.assert_close(other.batch(7)["obs", "place"], first, rtol=0, atol=0)
    assert not torch.equal(sampler(store, seed=1).batch(7)["obs", "place"], first)
    again = [one.batch(step)["obs", "place"].clone() for step in range(8)]
    same = [x for x in again if torch.equal(x, first)]
    assert len(same) == 1


def test_processes_share_a_batch(store):
    views = sampler(store, draws=3)
    whole = views.batch(5)["obs", "place"].clone()
    parts = [views.batch(5, rank, 2)["obs", "place"].clone() for rank in range(2)]
    torch.testing.assert_close(torch.stack(parts, dim=1).reshape(whole.shape), whole, rtol=0, atol=0)
    with pytest.raises(ValueError, match="batch_size 4 must be a multiple of world 3"):
        views.batch(0, 0, 3)


def test_an_epoch_draws_so_many_sets_of_each_episode(store):
    views = sampler(store, draws=3, batch_size=5)
    assert len(views) == 15
    seen = [pair for step in range(3) for pair in views.locate(views.anchors(step))]
    assert sorted(seen) == sorted((f"demo_{e}", d) for e in range(5) for d in range(3))


def test_sets_by_anchor_stay_the_same(store):
    views = sampler(store, draws=2)
    whole = views.at(range(10))
    views.batch(3)
    torch.testing.assert_close(views.at([7, 2])["obs", "place"], whole["obs", "place"][[7, 2]], rtol=0, atol=0)
    first, second = whole["obs", "place"][0], whole["obs", "place"][1]
    assert first[0, 0] == second[0, 0] == 0
    assert not torch.equal(first, second)
    with pytest.raises(ValueError, match=r"each in 0\.\.9, got \[10\]"):
        views.at([10])


def test_tensors_are_reused_from_batch_to_batch(store):
    views = sampler(store, keys=["image"])
    assert views.batch(0)["obs", "image"].data_ptr() == views.batch(1)["obs", "image"].data_ptr()
    assert views.at([0])["obs", "image"].data_ptr() != views.at([0])["obs", "image"].data_ptr()
    assert list(views.batch(0)["obs"].keys()) == ["image"]


def test_an_object_with_too_few_views_is_named(store):
    with pytest.raises(ValueError, match=r"3 of 5 objects have fewer than the 6 .*'demo_0' with 4; observe at most 3"):
        sampler(store, views=6)
    assert len(sampler(store, views=6, episodes=[1, 3])) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 0}, "must be at least 1, got 0"),
        ({"episodes": []}, "expected at least one episode"),
        ({"episodes": [5]}, r"each in 0\.\.4, got \[5\]"),
        ({"keys": ["imag"]}, "did you mean 'image'"),
    ],
)
def test_what_is_out_of_range_is_said(store, options, message):
    with pytest.raises(ValueError, match=message):
        sampler(store, **options)
