"""Quaternions against scipy, and the two sets of rotations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from worldjepa_envs import turntable_rotation as rotation


def random_quaternions(num: int, seed: int = 0) -> np.ndarray:
    return rotation.canonical(Rotation.random(num, random_state=seed).as_quat())


def test_it_agrees_with_scipy():
    p, q = random_quaternions(50), random_quaternions(50, 1)
    left, right = Rotation.from_quat(p), Rotation.from_quat(q)
    np.testing.assert_allclose(rotation.compose(p, q), (left * right).as_quat(canonical=True), atol=1e-12)
    np.testing.assert_allclose(rotation.relative(p, q), (left.inv() * right).as_quat(canonical=True), atol=1e-12)
    np.testing.assert_allclose(rotation.angle_between(p, q), (left.inv() * right).magnitude(), atol=1e-12)
    np.testing.assert_allclose(rotation.to_euler(p), left.as_euler("xyz"), atol=1e-9)
    points = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(rotation.rotate(p[0], points), left[0].apply(points), atol=1e-12)
    angles = np.random.default_rng(1).uniform(-4, 4, (20, 3))
    expected = Rotation.from_euler("xyz", angles).as_quat(canonical=True)
    np.testing.assert_allclose(rotation.from_euler(angles), expected, atol=1e-12)


def test_the_way_from_one_to_the_other_leads_there():
    p, q = random_quaternions(50), random_quaternions(50, 1)
    np.testing.assert_allclose(rotation.compose(p, rotation.relative(p, q)), q, atol=1e-12)


def test_the_complement_of_all_three_angles_is_no_other_set():
    angles = np.random.default_rng(0).uniform(-np.pi / 2, np.pi / 2, (100, 3))
    outer = np.stack([angles[:, 0] + np.pi, np.pi - angles[:, 1], angles[:, 2] + np.pi], 1)
    assert (np.abs((outer + np.pi) % (2 * np.pi) - np.pi) >= np.pi / 2).all()
    assert rotation.is_inside(rotation.from_euler(outer)).all()


def test_near_draws_are_uniform_within_45_degrees():
    random = np.random.default_rng(3)
    angles = np.array([rotation.to_euler(rotation.draw(random, "near")) for _ in range(4000)])
    assert np.abs(angles).max() <= np.pi / 4 + 1e-6
    np.testing.assert_allclose(angles.std(0), np.pi / 2 / np.sqrt(12), rtol=0.05)


@pytest.mark.parametrize("name", ["inside", "outside"])
def test_draws_are_uniform_in_their_set(name):
    random = np.random.default_rng(3)
    angles = np.array([rotation.to_euler(rotation.draw(random, name)) for _ in range(4000)])
    assert ((np.abs(angles) <= np.pi / 2 + 1e-6).all(1) == (name == "inside")).all()
    np.testing.assert_allclose(angles.std(0)[1], np.pi / np.sqrt(12), rtol=0.05)
    # outside, twice in three draws the first angle is beyond a right one
    beyond = (np.abs(angles[:, [0, 2]]) > np.pi / 2).mean(0)
    np.testing.assert_allclose(beyond, 0.0 if name == "inside" else 2 / 3, atol=0.03)
