"""Normalisation: exact inverses, closed forms, statistics that travel, errors."""

import dataclasses

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from toys import SPEC, ToyStatistics, toy_batch, toy_statistics

from worldjepa.normalize import Normalizer


def of(values: np.ndarray) -> ToyStatistics:
    return ToyStatistics(values.mean(0), values.std(0), values.min(0), values.max(0))


VALUES = np.random.default_rng(0).normal([3.0, -1.0], [0.1, 20.0], (500, 2))


def test_zscore_gives_mean_zero_and_deviation_one() -> None:
    z = Normalizer({"action": of(VALUES)}).normalize("action", torch.as_tensor(VALUES))
    torch.testing.assert_close(z.mean(0), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(2))


def test_minmax_reaches_exactly_minus_one_and_one() -> None:
    z = Normalizer({"action": of(VALUES)}, mode="minmax").normalize("action", torch.as_tensor(VALUES))
    torch.testing.assert_close(z.amin(0), -torch.ones(2))
    torch.testing.assert_close(z.amax(0), torch.ones(2))


def test_identity_changes_no_bit_and_modes_can_differ_by_key() -> None:
    statistics = {"a": of(VALUES), "action": of(VALUES)}
    normalizer = Normalizer(statistics, mode="minmax", modes={"a": "identity"})
    x = torch.randn(7, 2)
    assert torch.equal(normalizer.normalize("a", x), x)
    assert not torch.allclose(normalizer.normalize("action", x), x)


@pytest.mark.parametrize("mode", ["zscore", "minmax", "identity"])
def test_denormalising_inverts(mode) -> None:
    normalizer = Normalizer({"action": of(VALUES)}, mode=mode)
    x = torch.as_tensor(VALUES, dtype=torch.float32)
    torch.testing.assert_close(normalizer.denormalize("action", normalizer.normalize("action", x)), x)


@pytest.mark.parametrize("mode", ["zscore", "minmax"])
def test_constant_dimensions_are_only_shifted(mode) -> None:
    values = np.stack([np.full(50, 100.0), np.arange(50.0)], 1)
    normalizer = Normalizer({"action": of(values)}, mode=mode)
    z = normalizer.normalize("action", torch.tensor([[100.0, 0.0], [101.0, 0.0]]))
    assert z[:, 0].tolist() == [0.0, 1.0]


def test_a_batch_is_normalised_by_key_and_not_changed() -> None:
    normalizer, batch = Normalizer(toy_statistics()), toy_batch(images=True)
    before = batch.clone()
    result = normalizer(batch)
    for key in (("obs", "agent", "pos"), ("obs", "block")):
        statistics = toy_statistics()["/".join(key[1:])]
        expected = (batch[key].numpy() - statistics.mean) / statistics.std
        np.testing.assert_allclose(result[key].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(result["action"], normalizer.normalize("action", batch["action"]))
    for key in ("valid", "action_valid", ("obs", "image")):
        assert torch.equal(result[key], batch[key])
    assert (batch == before).all()


def test_bytes_are_images_unless_they_have_statistics() -> None:
    normalizer = Normalizer({"gripper": of(VALUES), "action": of(VALUES)})
    raw = TensorDict({"gripper": torch.tensor([[3, 1]]), "image": torch.zeros(1, 2, 2, 3)}, batch_size=[1])
    result = normalizer.observations(raw.to(torch.uint8))
    assert result["image"].dtype == torch.uint8
    assert torch.equal(result["gripper"], normalizer.normalize("gripper", torch.tensor([[3.0, 1.0]])))


def test_statistics_travel_in_the_state() -> None:
    full = Normalizer(toy_statistics())
    empty = Normalizer.empty({key: value.mean.shape for key, value in toy_statistics().items()})
    assert not torch.isfinite(empty.normalize("block", torch.zeros(3))).any()
    empty.load_state_dict(full.state_dict())
    batch = toy_batch()
    assert (empty(batch) == full(batch)).all()


def test_numbers_become_the_models_type() -> None:
    normalizer = Normalizer({"action": of(VALUES)})
    assert normalizer.normalize("action", torch.zeros(2, dtype=torch.float64)).dtype == torch.float32
    assert normalizer.double().normalize("action", torch.zeros(2)).dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normalizer({"state": of(VALUES)}), '"action" are missing'),
        (lambda: Normalizer({"action": of(VALUES)}, mode="max"), "mode must be"),  # pyright: ignore
        (lambda: Normalizer({"action": dataclasses.replace(of(VALUES), mean=np.array([0, np.nan]))}), "not finite"),
        (lambda: Normalizer({"action": of(VALUES)}).normalize("state", torch.zeros(2)), "no normalisation statistics"),
        (lambda: Normalizer(dict.fromkeys(("action", "a/b", "a__b"), of(VALUES))), "differ only in dots"),
        (
            lambda: Normalizer({"action": of(VALUES)})(toy_batch(spec=SPEC)),
            "no normalisation statistics for 'agent/pos'",
        ),
    ],
)
def test_missing_or_broken_statistics_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
