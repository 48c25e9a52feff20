"""Pictures of imagined futures: what stands where, and that the error is that of the rollout."""

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from worlds import SIDE, world_model, write_world

from worldjepa.data import Store
from worldjepa.evaluate.decode import ImageDecoder, shrink
from worldjepa.evaluate.films import Film, film_frames, latent_spread, make_films, plot_film, save_film
from worldjepa.evaluate.probe import ProbeWindows, probe_windows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_world(tmp_path_factory.mktemp("films") / "points.hdf5", images=True)


@pytest.fixture(scope="module")
def windows(store: Store) -> ProbeWindows:
    found = probe_windows(
        store, range(9, 12), state_keys=("p",), keys=("image",), history=1, horizon=3, stride=2, images=True
    )
    return found.rows([0, 20])


def film(store: Store, windows: ProbeWindows, **options) -> Film:
    learner = world_model(store, ensemble=2)
    decoder = ImageDecoder(16, 1, {"image": (SIDE, SIDE, 3)})
    return make_films(learner, decoder, windows, ["one", "two"], 2.0, **options)[1]


def test_a_film_holds_the_recorded_frames_and_the_rollouts_error(store: Store, windows: ProbeWindows) -> None:
    found = film(store, windows)
    learner = world_model(store, ensemble=2)
    with torch.no_grad():
        true = learner.encode(windows.future.select("image"))[1]
        imagined = learner.rollout(windows.obs, windows.action)[1]
    np.testing.assert_array_equal(found.real, shrink(windows.future["image"][1], SIDE))
    assert found.imagined.shape == (4, SIDE, SIDE, 3)
    assert found.error is not None
    assert found.copy is not None
    expected = (imagined - true[1:]).square().mean((1, 2)).sqrt() / 2
    np.testing.assert_allclose(found.error, expected.numpy(), rtol=1e-4)
    copied = (true[:1] - true[1:]).square().mean((1, 2)).sqrt() / 2
    np.testing.assert_allclose(found.copy, copied.numpy(), rtol=1e-4)
    assert found.disagreement is not None
    assert (found.disagreement > 0).all()


def test_under_other_actions_nothing_real_is_claimed(store: Store, windows: ProbeWindows) -> None:
    blocks = torch.ones(4, 4)
    found = film(store, windows, action=blocks)
    assert (len(found.imagined), len(found.real), found.error, found.copy) == (5, 1, None, None)
    frames = film_frames(found)
    assert (frames[1:, :, : 4 * SIDE].astype(int) > frames[0, :, : 4 * SIDE]).mean() > 0.9
    with pytest.raises(ValueError, match="imagination of 9"):
        film(store, windows, action=torch.ones(9, 4))


def test_real_stands_left_of_imagined(store: Store, windows: ProbeWindows) -> None:
    found = film(store, windows)
    frames = film_frames(found)[:, ::4, ::4]
    np.testing.assert_array_equal(frames[:, :, :SIDE], found.real)
    np.testing.assert_array_equal(frames[:, :, -SIDE:], found.imagined)


def test_the_grid_has_a_column_for_each_step_and_the_curves_below(store: Store, windows: ProbeWindows) -> None:
    figure = plot_film(film(store, windows))
    assert len(figure.axes) == 2 * 4 + 1
    labels = [line.get_label() for line in figure.axes[-1].lines]
    assert labels == ["copy of the present", "imagined", "disagreement of the ensemble"]
    plain = plot_film(replace(film(store, windows, action=torch.ones(3, 4)), disagreement=None))
    assert len(plain.axes) == 2 * 4


def test_it_is_written_as_a_picture_and_a_film(store: Store, windows: ProbeWindows, tmp_path: Path) -> None:
    picture, video = save_film(film(store, windows), tmp_path / "new" / "one", fps=10.0)
    assert iio.imread(picture).std() > 10
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(video))
    assert (frames, seconds) == (4, pytest.approx(4 / 5))


def test_the_spread_is_the_root_of_the_mean_variance(store: Store, windows: ProbeWindows) -> None:
    learner = world_model(store)
    with torch.no_grad():
        z = learner.encode(windows.obs).flatten(1)
    assert latent_spread(learner, windows) == pytest.approx(float(((z[0] - z[1]) / 2).square().mean().sqrt()), rel=1e-4)
