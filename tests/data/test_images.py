"""Folders and zips of class folders: layouts, parts, sizes, damage, conversion, the real Tiny-ImageNet."""

import io
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldjepa.data import Store, open_source, open_store, split_episodes
from worldjepa.data.images import ImageSource
from worldjepa.data.pictures import decode
from worldjepa.data.viewsets import ViewSampler


def pixels(number: int, rows: int = 6, columns: int = 6) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write(root: Path, files: dict[str, bytes], zipped: bool = False) -> Path:
    if zipped:
        with zipfile.ZipFile(root, "w") as file:
            for name, content in files.items():
                file.writestr(name, content)
        return root
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


SPLIT = {
    "train/dog/a.png": png(pixels(0)),
    "train/cat/b.png": png(pixels(1)),
    "train/dog/c.png": png(pixels(2)),
    "val/cat/d.png": png(pixels(3)),
    "classes.txt": b"cat dog",
    "__MACOSX/train/dog/._a.png": b"?",
    "train/.hidden.png": b"?",
}


@pytest.mark.parametrize("zipped", [False, True])
def test_class_folders_in_parts(tmp_path, zipped):
    source = open_source(write(tmp_path / "data", SPLIT, zipped))
    assert isinstance(source, ImageSource)
    assert source.names == ["train/cat/b.png", "train/dog/a.png", "train/dog/c.png", "val/cat/d.png"]
    assert source.filters == {"train": source.names[:3], "valid": source.names[3:]}
    assert source.spec.env == {"classes": ["cat", "dog"]}
    assert source.spec.action_dim == 0
    for episode, number, label in zip(source, [1, 0, 2, 3], [0, 1, 1, 0], strict=True):
        np.testing.assert_array_equal(episode.obs["image"], pixels(number)[None])
        np.testing.assert_array_equal(episode.obs["label"], [[label]])
        assert episode.action.shape == (1, 0)
    chosen = open_source(source.path, filter="valid")
    assert chosen.names == ["val/cat/d.png"]
    assert chosen[0].obs["label"] == 0
    source.close()


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["cat/a.png", "dog/a.png"], ["cat", "dog"]),
        (["set/cat/a.png", "set/dog/a.png"], ["cat", "dog"]),
        (["one/two/train/cat/a.png", "one/two/val/cat/a.png"], ["cat"]),
        (["one/train/cat/images/a.png", "one/train/cat/images/b.png"], ["cat"]),
        (["cat/images/a.png"], ["cat"]),
        (["cat/a.png", "dog/deep/deeper/a.JPEG"], ["cat", "dog"]),
        (["Test/cat/a.png"], ["cat"]),
    ],
)
def test_the_class_is_the_first_folder_that_tells_images_apart(tmp_path, names, classes):
    source = open_source(write(tmp_path / "data.zip", {name: png(pixels(0)) for name in names}, zipped=True))
    assert source.spec.env == {"classes": classes}
    labels = [classes.index(next(c for c in classes if c in name)) for name in sorted(names)]
    assert [int(episode.obs["label"][0, 0]) for episode in source] == labels


def test_tiny_imagenet_as_distributed(tmp_path):
    files = {
        "tiny-imagenet-200/train/n02/images/n02_0.JPEG": png(pixels(0)),
        "tiny-imagenet-200/train/n01/images/n01_0.JPEG": png(pixels(1)),
        "tiny-imagenet-200/val/images/val_0.JPEG": png(pixels(2)),
        "tiny-imagenet-200/val/images/val_1.JPEG": png(pixels(3)),
        "tiny-imagenet-200/val/val_annotations.txt": b"val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t5\t5\t6\t6\n",
        "tiny-imagenet-200/test/images/test_0.JPEG": png(pixels(4)),
        "tiny-imagenet-200/words.txt": b"n01\tgoldfish",
    }
    source = open_source(write(tmp_path / "tiny", files))
    assert source.spec.env == {"classes": ["n01", "n02"]}
    labels = {Path(name).name: int(source[i].obs["label"][0, 0]) for i, name in enumerate(source.names)}
    assert labels == {"n01_0.JPEG": 0, "n02_0.JPEG": 1, "val_0.JPEG": 1, "val_1.JPEG": 0, "test_0.JPEG": -1}
    assert {key: len(value) for key, value in source.filters.items()} == {"train": 2, "valid": 2, "test": 1}


def test_what_does_not_decode_is_named(tmp_path):
    whole = png(pixels(0, 60, 60))
    files = {"cat/a.png": png(pixels(1)), "cat/b.png": whole[: len(whole) // 2], "dog/c.jpg": b"<html>not found</html>"}
    source = open_source(write(tmp_path / "data", files))
    with pytest.raises(ValueError, match="of no known format"):
        source[2]
    for index, name in [(1, "cat/b.png"), (2, "dog/c.jpg")]:
        with pytest.raises(ValueError, match=rf"data: {name} is not an image that can be read \(.*mend it or take it"):
            source[index]
    with pytest.raises(ValueError, match=r"cat/b\.png is not an image"):
        open_store(source.path)
    assert not list(tmp_path.glob(".*partial*"))


def test_a_member_that_cannot_be_unpacked_is_named(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cat/a.png", png(pixels(0)))
        file.writestr("cat/b.png", png(pixels(1, 60, 60)))
        place = file.getinfo("cat/b.png").header_offset + 30 + len("cat/b.png")
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes([255]) * 40
    path.write_bytes(content)
    with zipfile.ZipFile(path) as file, pytest.raises(zlib.error):
        file.read("cat/b.png")
    source = open_source(path)
    with pytest.raises(ValueError, match=r"data\.zip: cat/b\.png cannot be unpacked \(.*make the zip anew"):
        source[1]
    source.close()


def test_sixteen_bits_are_not_cut_to_eight():
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(file, "PNG")
    with pytest.raises(ValueError, match=r"depth\.png is not .* more than 8 bits"):
        decode(file.getvalue(), "depth.png")


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "LA", "1"])
def test_every_mode_becomes_rgb(mode):
    image = Image.fromarray(pixels(0)).convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF")
    np.testing.assert_array_equal(decode(file.getvalue(), "x"), np.array(image.convert("RGB")))


def test_images_of_several_sizes_need_a_common_one(tmp_path):
    files = {"cat/a.png": png(pixels(0, 8, 8)), "cat/b.png": png(pixels(1, 8, 12))}
    path = write(tmp_path / "data", files)
    with pytest.raises(ValueError, match=r"cat/b\.png is of 8x12 pixels, cat/a\.png of 8x8; .* --size 8"):
        open_store(path)
    crop, stretch = (ImageSource(path, size=8, fit=fit)[1].obs["image"][0] for fit in ("crop", "stretch"))
    np.testing.assert_array_equal(crop, pixels(1, 8, 12)[:, 2:10])
    assert stretch.shape == (8, 8, 3)
    assert not np.array_equal(crop, stretch)
    small = ImageSource(path, size=4)
    assert [episode.obs["image"].shape for episode in small] == [(1, 4, 4, 3)] * 2
    with pytest.raises(ValueError, match="size of at least 1"):
        ImageSource(path, size=0)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train/a.png": b""}, "train/a.png lies in no class folder"),
        ({"train/cat/a.png": b"", "dog/b.png": b""}, r"parts \['train'\] beside dog/b.png"),
    ],
)
def test_layouts_that_are_unclear_are_refused(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path / "data", files))


def test_other_zips_and_folders_are_what_they_were(tmp_path):
    with pytest.raises(ValueError, match="it is not Push-T style zarr"):
        open_source(write(tmp_path / "data.zip", {"readme.txt": b""}, zipped=True))
    with pytest.raises(ValueError, match="none of these formats"):
        open_source(write(tmp_path / "data", {"a.txt": b""}))


@pytest.mark.parametrize("zipped", [False, True])
def test_images_without_a_folder_are_told_where_to_go(tmp_path, zipped):
    path = write(tmp_path / "data.zip", {"b.png": b"", "notes.txt": b""}, zipped=zipped)
    with pytest.raises(ValueError, match=r"\(b\.png, \.\.\.\) lie in no class folder: .* all/b\.png"):
        open_source(path)


def test_a_store_of_images_serves_single_views(tmp_path):
    store = open_store(write(tmp_path / "data.zip", SPLIT, zipped=True))
    split = split_episodes(store)
    assert [store.names[i] for i in split["valid"]] == ["val/cat/d.png"]
    statistics = store.statistics(split["train"])
    np.testing.assert_allclose(statistics["label"].mean, [2 / 3])
    assert statistics["action"].mean.shape == statistics["action"].max.shape == (0,)
    sampler = ViewSampler(store, episodes=split["train"], views=1, batch_size=3)
    batch = sampler.at(range(3))
    assert batch["action"].shape == (3, 0, 0)
    np.testing.assert_array_equal(batch["obs", "image"][:, 0], np.stack([pixels(i) for i in (1, 0, 2)]))
    np.testing.assert_array_equal(batch["obs", "label"][:, 0, 0], [0, 1, 1])
    assert store.steps["action"].shape == (4, 0)
    assert open_store(store.source).folder == store.folder
    assert Store(store.folder).spec == store.spec


@pytest.mark.data
def test_the_real_tiny_imagenet(data_dir, tmp_path):
    path = data_dir / "images" / "tiny_imagenet20.zip"
    start = time.process_time()
    store = open_store(path, cache_dir=tmp_path)
    assert time.process_time() - start < 30
    assert store.spec.obs["image"].shape == (64, 64, 3)
    assert len(store) == 11_000
    split = split_episodes(store)
    assert {key: len(value) for key, value in split.items()} == {"train": 10_000, "valid": 1_000}
    labels = np.asarray(store.arrays["obs/label"])[:, 0]
    np.testing.assert_array_equal(np.bincount(labels.astype(int)), [550] * 20)
    with zipfile.ZipFile(path) as file:
        for index in (0, 5_123, 10_999):
            expected = np.array(Image.open(io.BytesIO(file.read(store.names[index]))).convert("RGB"))
            np.testing.assert_array_equal(store.arrays["obs/image"][index], expected)
            assert store.spec.env["classes"][int(labels[index])] == Path(store.names[index]).parent.name
