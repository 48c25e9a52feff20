"""Conversion keeps every number."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.recordings import SPEC, assert_same, make_full_episode
from worldjepa import cli
from worldjepa.commands import convert
from worldjepa.data import RobomimicWriter, Store, open_source
from worldjepa.data.saliency import spectral_residual


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "demos.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        names = [writer.append(make_full_episode(length, length)) for length in (4, 7, 5)]
        writer.write_mask("long", names[1:])
    return path


def test_to_hdf5_and_back_is_the_same(recording: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sub" / "copy.hdf5"
    assert cli.main(["convert", str(recording), str(copy)]) == 0
    before, after = open_source(recording), open_source(copy)
    assert after.spec == before.spec
    assert after.filters == before.filters
    for one, two in zip(before, after, strict=True):
        assert_same(one, two)


def test_a_filter_chooses_the_episodes(recording: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.hdf5"
    assert cli.main(["convert", str(recording), str(copy), "--filter", "long"]) == 0
    found = open_source(copy)
    assert [x.num_actions for x in found] == [7, 5]
    assert found.filters == {"long": ["demo_0", "demo_1"]}


def test_to_a_store(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", str(recording), str(tmp_path / "fast")]) == 0
    assert "3 episodes" in capsys.readouterr().out
    store, source = Store.open(tmp_path / "fast"), open_source(recording)
    np.testing.assert_array_equal(store.num_actions, [4, 7, 5])
    np.testing.assert_array_equal(store.arrays["obs/image"][:5], source[0].obs["image"])


def test_images_take_a_size_and_saliency_maps(tmp_path: Path, recording: Path) -> None:
    for name, size in (("cat/a.png", (20, 30)), ("dog/b.png", (24, 24))):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 50).convert("RGB").save(tmp_path / "images" / name)
    options = ["--size", "16", "--fit", "stretch", "--saliency", "spectral_residual"]
    assert cli.main(["convert", str(tmp_path / "images"), str(tmp_path / "fast"), *options]) == 0
    store = Store.open(tmp_path / "fast")
    with Image.open(tmp_path / "images" / "cat" / "a.png") as file:
        expected = np.asarray(file.resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(store.arrays["obs/image"][0], expected)
    np.testing.assert_array_equal(store.arrays["obs/saliency"][0], spectral_residual(expected))
    assert store.spec.env == {"classes": ["cat", "dog"]}


def test_options_that_a_kind_of_recording_lacks_are_refused(recording: Path, tmp_path: Path) -> None:
    options = convert.Options(recording, tmp_path / "fast", size=16, saliency="spectral_residual")
    with pytest.raises(ValueError, match=r"has no options \['saliency', 'size'\] .*RobomimicSource, which has none"):
        convert.open_with(options)


@pytest.mark.data
def test_push_t_becomes_robomimic(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "robot" / "pusht_cchi_v7_replay.zarr.zip"
    copy = tmp_path / "pusht.hdf5"
    assert cli.main(["convert", str(source), str(copy)]) == 0
    before, after = open_source(source), open_source(copy)
    assert len(after) == len(before) == 206
    for index in (0, 100, 205):
        assert_same(before[index], after[index])
