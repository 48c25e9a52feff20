"""Quaternions against scipy's rotations and the identities of a group."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from worldjepa.views.rotation import canonical, check_unit, compose, invert, known_unit, relative_rotation


def random_unit(*shape: int, seed: int = 0) -> torch.Tensor:
    q = torch.randn(*shape, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return q / q.norm(dim=-1, keepdim=True)


def same_rotation(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(canonical(a), canonical(b))


def test_products_and_relative_rotations_are_scipys() -> None:
    a, b = random_unit(7), random_unit(7, seed=1)
    ra, rb = Rotation.from_quat(a.numpy()), Rotation.from_quat(b.numpy())
    same_rotation(compose(a, b), torch.from_numpy((ra * rb).as_quat()))
    same_rotation(relative_rotation(a, b), torch.from_numpy((ra.inv() * rb).as_quat()))


def test_the_group() -> None:
    a, b, c = (random_unit(2, 5, seed=seed) for seed in range(3))
    torch.testing.assert_close(compose(a, compose(b, c)), compose(compose(a, b), c))
    identity = torch.tensor([0.0, 0, 0, 1], dtype=torch.float64).expand(2, 5, 4)
    torch.testing.assert_close(compose(a, invert(a)), identity)
    torch.testing.assert_close(compose(a, relative_rotation(a, b)), b)
    torch.testing.assert_close(
        compose(relative_rotation(a, b), relative_rotation(b, c)), relative_rotation(a, c), msg="steps add up"
    )


def test_canonical_chooses_one_of_two() -> None:
    q = random_unit(50)
    assert (q[:, 3] < 0).any()
    torch.testing.assert_close(canonical(q), canonical(-q))
    assert (canonical(q)[:, 3] >= 0).all()
    torch.testing.assert_close(canonical(q).abs(), q.abs())


def test_quaternions_that_are_no_rotations() -> None:
    q = random_unit(3, 2)
    check_unit(q)
    for wrong in (2.0, 0.0, float("nan")):
        bad = q.clone()
        bad[1, 0] *= wrong
        with pytest.raises(ValueError, match=r"'pose/rotation' must hold unit quaternions .*1 of 6 are not"):
            check_unit(bad, "pose/rotation")


def test_on_an_accelerator_they_are_not_waited_for() -> None:
    q = torch.empty(3, 4, device="meta")
    assert known_unit(q).shape == (3, 4), "no value is looked at"
    fine = random_unit(3)
    assert known_unit(fine) is fine
    with pytest.raises(ValueError, match="'pose' must hold unit quaternions"):
        known_unit(2 * fine, "pose")
