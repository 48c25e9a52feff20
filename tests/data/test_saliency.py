"""Saliency maps: the spectral residual against its formula and on odd ones out; maps of one's own beside the images."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from worldjepa.data import open_store
from worldjepa.data.images import ImageSource
from worldjepa.data.saliency import SaliencyMaps, spectral_residual
from worldjepa.data.store import Store


def pixels(number: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_the_map_is_the_formula_written_out():
    image = pixels(0)
    light = image[..., 0] * 0.299 + image[..., 1] * 0.587 + image[..., 2] * 0.114
    spectrum = np.fft.fft2(light)
    logarithm = np.log(np.abs(spectrum))
    padded = np.pad(logarithm, 1, mode="edge")
    mean = np.array([[padded[i : i + 3, j : j + 3].mean() for j in range(64)] for i in range(64)])
    raw = np.abs(np.fft.ifft2(np.exp(logarithm - mean) * spectrum / np.abs(spectrum))) ** 2
    offsets = np.arange(-10, 11)
    weight = np.exp(-0.5 * (offsets / 2.5) ** 2)
    padded = np.pad(raw, 10, mode="symmetric")
    rows = np.array([(padded[i : i + 21] * weight[:, None]).sum(0) for i in range(64)])
    smooth = np.array([(rows[:, j : j + 21] * weight).sum(1) for j in range(64)]).T
    difference = spectral_residual(image)[..., 0].astype(int) - 255 * smooth / smooth.max()
    assert np.abs(difference).max() <= 0.51


def test_the_odd_one_out_is_looked_at():
    rows, columns = np.mgrid[:96, :80]
    light = 128 + 60 * np.sin(rows)
    light[56:76, 16:36] = (128 + 60 * np.sin(columns))[56:76, 16:36]  # stripes that stand across all others
    found = spectral_residual(np.repeat(light[..., None], 3, axis=2).astype(np.uint8))[..., 0].astype(float)
    assert found.shape == (96, 80)
    assert found.max() == 255
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 52 <= row < 80
    assert 12 <= column < 40
    assert found[56:76, 16:36].mean() > 3 * found.mean()


def test_an_image_of_one_colour_has_no_place_to_look_at():
    assert (spectral_residual(np.full((10, 12, 3), 77, np.uint8)) == 255).all()


@pytest.mark.parametrize("zipped", [False, True])
def test_maps_of_ones_own_are_read_beside_the_images(tmp_path, zipped):
    images = {"cat/a.JPEG": pixels(0, 8), "dog/b.JPEG": pixels(1, 8)}
    maps = {"cat/a.png": pixels(2, 8)[..., 0], "dog/b.png": pixels(3, 8)[..., 0]}
    for folder, files in (("images", images), ("maps", maps)):
        for name, value in files.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_bytes(png(value))
    path = tmp_path / "maps"
    if zipped:
        path = tmp_path / "maps.zip"
        with zipfile.ZipFile(path, "w") as file:
            for name, value in maps.items():
                file.writestr(name, png(value))
    with ImageSource(tmp_path / "images", saliency=path) as source:
        store = Store.convert(source, tmp_path / "made")
    assert store.spec.obs["saliency"].kind == "image"
    np.testing.assert_array_equal(store.arrays["obs/saliency"][..., 0], np.stack(list(maps.values())))
    np.testing.assert_array_equal(store.arrays["obs/image"], np.stack(list(images.values())))
    assert "saliency" not in store.statistics()
    assert open_store(tmp_path / "made").spec == store.spec


def test_computed_maps_are_kept_beside_the_images(tmp_path):
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "a.png").write_bytes(png(pixels(0, 20)))
    source = ImageSource(tmp_path / "images", saliency="spectral_residual", size=16)
    obs = source[0].obs
    np.testing.assert_array_equal(obs["saliency"][0], spectral_residual(obs["image"][0]))


def test_maps_that_are_missing_or_of_another_shape_are_named(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(png(pixels(0, 8)[..., 0]))
    maps = SaliencyMaps(tmp_path)
    with pytest.raises(ValueError, match=r"no map cat/b\.png for the image cat/b\.jpg; it has maps as \['cat/a'\]"):
        maps.read("cat/b.jpg", (8, 8))
    with pytest.raises(ValueError, match=r"cat/a\.png is of \(8, 8\) pixels, its image of \(8, 9\)"):
        maps.read("cat/a.jpg", (8, 9))
    with pytest.raises(FileNotFoundError, match="no saliency maps at"):
        SaliencyMaps(tmp_path / "none")
