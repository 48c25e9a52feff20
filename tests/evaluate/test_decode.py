"""The decoder of pictures: it learns from frozen latents, and the model never notices."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from worlds import SIDE, draw, world_model, write_world

from worldjepa.data import Store
from worldjepa.evaluate.decode import (
    ImageDecoder,
    decodable,
    encoder_hash,
    fit_decoder,
    load_decoder,
    save_decoder,
    shrink,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_world(tmp_path_factory.mktemp("decode") / "points.hdf5", images=True)


def test_no_gradient_reaches_the_latents() -> None:
    decoder = ImageDecoder(8, 2, {"image": (16, 16, 3)})
    z = torch.randn(3, 2, 8, requires_grad=True)
    decoder(z).square().sum().backward()
    assert z.grad is None
    assert decoder.cells.weight.grad is not None


def test_fitting_changes_nothing_of_the_model_nor_of_the_random_numbers(store: Store) -> None:
    learner = world_model(store).train()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    state = torch.get_rng_state()
    fit_decoder(learner, store, range(9), steps=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert learner.training
    assert all(p.grad is None for p in learner.parameters())
    for name, value in learner.state_dict().items():
        assert torch.equal(before[name], value), name


def test_a_fitted_decoder_shows_where_the_dot_is(store: Store) -> None:
    learner = world_model(store)
    told: list[tuple[int, int, float]] = []
    fitted = fit_decoder(learner, store, range(9), steps=150, lr=5e-3, progress=lambda *x: told.append(x))
    where = np.array([[-0.7, 0.6], [0.7, -0.6], [0.0, 0.7]], np.float32)
    images = torch.from_numpy(draw(where))

    with torch.no_grad():
        z = learner.encode(TensorDict({"image": images[:, None]}, batch_size=[3, 1]))
    seen = fitted.decoder.pictures(z)["image"][:, 0].astype(float)
    assert seen.shape == (3, SIDE, SIDE, 3)
    error = np.abs(seen[:, None] - images.numpy()[None]).mean((2, 3, 4))
    assert (error.argmin(1) == np.arange(3)).all()
    assert [x[:2] for x in told] == [(i + 1, 150) for i in range(150)]
    assert fitted.loss < 0.5 * told[0][2]


def test_the_same_seed_gives_the_same_decoder_and_time_ends_the_fit(store: Store) -> None:
    learner = world_model(store)
    one, two = (fit_decoder(learner, store, range(9), steps=4, seed=1).decoder.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert fit_decoder(learner, store, range(9), steps=1000, seconds=1e-6).steps == 0
    with pytest.raises(ValueError, match="at least one step"):
        fit_decoder(learner, store, range(9), steps=0)


def test_it_is_saved_and_belongs_to_one_encoder(store: Store, tmp_path: Path) -> None:
    learner = world_model(store)
    fitted = fit_decoder(learner, store, range(9), steps=3)
    save_decoder(fitted, tmp_path / "new")
    loaded = load_decoder(tmp_path / "new", learner)
    assert loaded is not None
    z = torch.randn(2, 5, 1, 16)
    np.testing.assert_array_equal(loaded.decoder.pictures(z)["image"], fitted.decoder.pictures(z)["image"])
    assert (loaded.steps, loaded.loss, loaded.encoder) == (3, fitted.loss, encoder_hash(learner))
    with torch.no_grad():
        next(learner.model.encoder.parameters()).add_(1e-3)  # pyright: ignore[reportAttributeAccessIssue]
    assert load_decoder(tmp_path / "new", learner) is None
    assert load_decoder(tmp_path, learner) is None
    (tmp_path / "new" / "decoder.json").write_text("{}")
    with pytest.raises(ValueError, match="remove it"):
        load_decoder(tmp_path / "new", learner)


@pytest.mark.parametrize(("shape", "side"), [((96, 96, 3), 64), ((20, 30, 1), 16), ((4, 4, 3), 4)])
def test_pictures_are_squares_of_at_most_64_pixels(shape: tuple[int, int, int], side: int) -> None:
    decoder = ImageDecoder(6, 3, {"a": shape, "b": shape})
    found = decoder.pictures(torch.randn(2, 4, 3, 6))
    assert found["a"].shape == found["b"].shape == (2, 4, side, side, 3)
    image = torch.full((2, *shape), 77, dtype=torch.uint8)
    np.testing.assert_array_equal(shrink(image, side), np.full((2, side, side, 3), 77))


def test_models_without_images_have_no_pictures(store: Store) -> None:
    with pytest.raises(ValueError, match="sees no images"):
        decodable(world_model(store, image_keys=(), state_keys=("p",)))
    with pytest.raises(ValueError, match="at least 4 x 4"):
        ImageDecoder(4, 1, {})
