"""3DIEBench in miniature, written as its own generator writes it: poses, transformations, lists, damage."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldjepa.commands import convert
from worldjepa.data import open_source, open_store, split_episodes
from worldjepa.data.threedie import ThreeDIESource
from worldjepa.data.viewsets import ViewSampler

OBJECTS = ["/02691156/aa", "/02691156/bb", "/03001627/cc", "/03001627/dd"]
VIEWS = 12


def latent(item: int, view: int) -> np.ndarray:
    rng = np.random.default_rng([item, view])
    angles = rng.uniform(-math.pi / 2, math.pi / 2, 3)
    return np.array([*angles, rng.uniform(), rng.uniform(0, math.pi / 4), rng.uniform(0, 2 * math.pi), rng.uniform()])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "3DIEBench"
    for item, name in enumerate(OBJECTS):
        place = path / name[1:]
        place.mkdir(parents=True)
        for view in range(VIEWS):
            Image.new("RGB", (16, 16), (20 * item, 20 * view, 99)).save(place / f"image_{view}.jpg", quality=100)
            np.save(place / f"latent_{view}.npy", latent(item, view))
    (path / "LICENSE").write_text("terms")
    return path


def write_lists(folder: Path, train: list[str], valid: list[str], labels: dict[str, int]) -> None:
    for name, members in (("train", train), ("val", valid)):
        np.save(folder / f"{name}_images.npy", np.array(members))
        np.save(folder / f"{name}_labels.npy", np.array([labels[x.split("/")[1]] for x in members]))


def matrix(quaternion: np.ndarray) -> np.ndarray:
    x, y, z, w = quaternion.astype(np.float64)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def extrinsic(angles: np.ndarray) -> np.ndarray:
    """Rotations about the fixed axes x, then y, then z."""
    (a, b, c), (s, t, u) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, a, -s], [0, s, a]])
    about_y = np.array([[b, 0, t], [0, 1, 0], [-t, 0, b]])
    about_z = np.array([[c, -u, 0], [u, c, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def test_objects_are_episodes_of_views(folder):
    source = open_source(folder)
    assert isinstance(source, ThreeDIESource)
    assert source.names == [name[1:] for name in OBJECTS]
    assert source.spec.obs["image"].shape == (128, 128, 3)
    for item, episode in enumerate(source):
        latents = np.stack([latent(item, view) for view in range(VIEWS)])
        np.testing.assert_array_equal(episode.obs["label"], np.full((VIEWS, 1), item // 2))
        np.testing.assert_array_equal(episode.obs["object"], np.full((VIEWS, 1), item))
        np.testing.assert_allclose(episode.obs["floor_hue"][:, 0], latents[:, 3], atol=1e-6)
        np.testing.assert_allclose(episode.obs["light_hue"][:, 0], latents[:, 6], atol=1e-6)
        green = episode.obs["image"][:, 64, 64, 1].astype(int)
        np.testing.assert_allclose(green, 20 * np.arange(VIEWS), atol=3)
        assert (episode.obs["rotation"][:, 3] >= 0).all()
        for view in range(VIEWS):
            np.testing.assert_allclose(matrix(episode.obs["rotation"][view]), extrinsic(latents[view, :3]), atol=1e-6)


def test_actions_lead_from_view_to_view(folder):
    episode = ThreeDIESource(folder, size=None)[1]
    assert episode.obs["image"].shape == (VIEWS, 16, 16, 3)
    assert episode.action.shape == (VIEWS - 1, 6)
    assert (episode.action[:, 3] >= 0).all()
    for view in range(VIEWS - 1):
        before, after = (matrix(episode.obs["rotation"][view + k]) for k in (0, 1))
        np.testing.assert_allclose(before @ matrix(episode.action[view, :4]), after, atol=1e-5)
        hues = latent(1, view + 1)[[3, 6]] - latent(1, view)[[3, 6]]
        np.testing.assert_allclose(episode.action[view, 4:], hues, atol=1e-6)


def test_the_published_lists_are_filters_and_number_the_classes(folder):
    write_lists(folder, [OBJECTS[3], OBJECTS[0]], [OBJECTS[1], OBJECTS[2]], {"02691156": 1, "03001627": 0})
    source = ThreeDIESource(folder, size=8)
    assert source.filters == {"train": ["03001627/dd", "02691156/aa"], "valid": ["02691156/bb", "03001627/cc"]}
    assert source.classes == ["03001627", "02691156"]
    assert [int(episode.obs["label"][0, 0]) for episode in source] == [1, 1, 0, 0]
    chosen = ThreeDIESource(folder, size=8, filter="valid")
    assert [int(episode.obs["object"][0, 0]) for episode in chosen] == [1, 2]


def test_the_command_line_takes_lists_from_elsewhere(folder, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    write_lists(folder, [OBJECTS[0], "/02691156/zz"], [OBJECTS[1]], {"02691156": 0})  # of more than is there
    write_lists(lists, OBJECTS[:3], OBJECTS[3:], {"02691156": 1, "03001627": 0})
    source = convert.open_with(convert.Options(folder, tmp_path / "out", filter="train", lists=lists))
    assert source.names == [name[1:] for name in OBJECTS[:3]]
    assert [int(episode.obs["label"][0, 0]) for episode in source] == [1, 1, 0]
    assert source[0].obs["image"].shape[1:3] == (128, 128)
    options = convert.Options(folder, tmp_path / "out", lists=lists, fit="stretch")
    with pytest.raises(ValueError, match=r"no options \['fit'\] .*ThreeDIESource, which has \['size', 'lists'\]"):
        convert.open_with(options)


def test_a_store_of_views_is_sampled(folder, tmp_path):
    write_lists(folder, OBJECTS[:3], OBJECTS[3:], {"02691156": 0, "03001627": 1})
    store = open_store(folder, cache_dir=tmp_path / "cache")
    split = split_episodes(store)
    sampler = ViewSampler(store, episodes=split["train"], views=4, batch_size=3)
    batch = sampler.batch(0)
    objects = batch["obs", "object"][:, :, 0]
    assert (objects == objects[:, :1]).all()
    assert sorted(objects[:, 0].tolist()) == [0, 1, 2]
    assert store.steps["action"].shape == (4 * VIEWS, 6)


def test_an_object_with_too_few_views_is_named(folder):
    for file in (folder / "03001627" / "cc").glob("image_*"):
        if file.name != "image_3.jpg":
            file.unlink()
    source = ThreeDIESource(folder, size=8)
    with pytest.raises(ValueError, match=r"object .*03001627/cc has 1 views .* at least 2; .* leave it out"):
        source[2]
    with pytest.raises(ValueError, match=r"02691156/aa has 12 views .* at least 13"):
        ThreeDIESource(folder, size=8, min_views=13)
    with pytest.raises(ValueError, match="min_views must be at least 2"):
        ThreeDIESource(folder, min_views=1)


def test_a_class_with_too_few_objects_is_named(folder):
    shutil.rmtree(folder / "03001627" / "cc")
    with pytest.raises(ValueError, match=r"classes \{'03001627': 1\} have fewer than 2 objects"):
        open_source(folder)
    assert len(ThreeDIESource(folder, min_objects=1, size=8)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(3), r"latent_5\.npy holds \[0.0, 0.0, 0.0\], expected 7"),
        (np.array([0, 0, np.nan, 0, 0, 0, 0]), r"latent_5\.npy .* expected 7 finite"),
        (np.array([0, 0, 0, 1.5, 0, 0, 0]), r"latent_5\.npy: the hues must lie in \[0, 1\], got \[1.5, 0.0\]"),
        (np.array([{"angle": 1}], dtype=object), r"latent_5\.npy is not an array .* can be read .*pickle"),
        (None, r"latent_5\.npy is not there"),
    ],
)
def test_damaged_latents_are_named(folder, content, message):
    file = folder / OBJECTS[0][1:] / "latent_5.npy"
    file.unlink()
    if content is not None:
        np.save(file, content)
    with pytest.raises(ValueError, match=message):
        open_source(folder)


def test_images_that_do_not_decode_are_named(folder):
    (folder / "03001627" / "dd" / "image_11.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"dd/image_11\.jpg is not an image"):
        open_source(folder)[3]


def test_lists_must_fit_the_folders(folder):
    write_lists(folder, [OBJECTS[0], "/02691156/zz"], [OBJECTS[1]], {"02691156": 0})
    with pytest.raises(ValueError, match=r"train_images\.npy names 1 objects that .* '02691156/zz'"):
        open_source(folder)
    write_lists(folder, OBJECTS[:1], OBJECTS[2:], {"02691156": 0, "03001627": 2})
    with pytest.raises(ValueError, match=r"from 0 without a gap, got \{'02691156': 0, '03001627': 2\}"):
        open_source(folder)
    np.save(folder / "train_labels.npy", np.array([0, 1]))
    with pytest.raises(ValueError, match=r"1 in train_images\.npy, 2 in train_labels\.npy"):
        open_source(folder)
