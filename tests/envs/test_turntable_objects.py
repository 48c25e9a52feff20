"""Objects of Turntable: the same ones again, others of the same class, in the sphere, and no two sides alike."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from worldjepa_envs.turntable_objects import CLASSES, MOST_PARTS, colours_of, make_object
from worldjepa_envs.turntable_parts import mirrored, rod, tube
from worldjepa_envs.turntable_rotation import canonical, compose, from_euler, rotate
from worldjepa_envs.turntable_stage import Stage

TURNS = [canonical(q) for q in Rotation.create_group("O").as_quat() if abs(q[3]) < 0.999]
"""The 23 rotations that map a cube onto itself."""


@pytest.mark.parametrize("name", CLASSES)
def test_objects_repeat_by_number_differ_and_fit(name):
    first, again = make_object(name, 3), make_object(name, 3)
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(again).values()))
    others = [make_object(name, number) for number in range(12)]
    assert len({other.size.tobytes() + other.colour.tobytes() for other in others}) == 12
    for solid in others:
        assert len(solid.kind) <= MOST_PARTS
        assert (np.linalg.norm(solid.centre, axis=1) < 1.0).all()
        assert (solid.size[[kind in ("box", "ellipsoid") for kind in solid.kind]] > 0).all()
        np.testing.assert_allclose(np.linalg.norm(solid.turn, axis=1), 1.0, atol=1e-9)


def test_colours_are_alike_for_all_classes():
    means = np.array([np.mean([colours_of(name, k)[:2] for k in range(150)], (0, 1)) for name in CLASSES])
    assert means.std(0).max() < 0.04


def test_sticks_go_between_their_ends():
    for start, end in (((0, 0, 0), (0, 0, 2)), ((0, 0, 2), (0, 0, 0)), ((1, -1, 0.5), (-2, 0.3, 0.1))):
        for part in (rod(start, end, 0.1), tube(start, end, 0.1)):
            axis = rotate(part.turn, np.array([[0, 0, part.size[1]]]))[0]
            np.testing.assert_allclose(part.centre - axis, start, atol=1e-9)
            np.testing.assert_allclose(part.centre + axis, end, atol=1e-9)


def test_the_mirror_image_of_a_stick_is_the_stick_between_the_mirrored_ends():
    image = mirrored(rod((0.1, 0.2, 0.3), (1.0, -0.4, 0.7), 0.1))[1]
    expected = rod((0.1, -0.2, 0.3), (1.0, 0.4, 0.7), 0.1)
    axes = [rotate(p.turn, np.array([[0, 0, 1.0]]))[0] for p in (image, expected)]
    np.testing.assert_allclose(axes[0], axes[1], atol=1e-9)
    assert image.centre == pytest.approx(expected.centre)


@pytest.mark.draws
def test_no_object_looks_the_same_after_a_turn():
    """So that its rotation can be read from the image: at least 80 of 4096 pixels change clearly."""
    stage = Stage()
    poses = [from_euler(np.array(angles)) for angles in ((0.3, 0.2, 0.5), (-0.6, 0.4, -0.9))]
    changed = {}
    for name in CLASSES:
        stage.put(make_object(name, 0))
        shares = [[] for _ in TURNS]
        for pose in poses:
            before = picture(stage, pose)
            for share, turn in zip(shares, TURNS):
                share.append((np.abs(picture(stage, compose(pose, turn)) - before).max(-1) > 20).mean())
        changed[name] = min(np.mean(share) for share in shares)
    assert min(changed.values()) > 0.02, changed
    stage.close()


@pytest.mark.draws
def test_hues_can_be_read_from_the_floor():
    stage = Stage()
    stage.put(make_object("key", 0))
    colours = []
    for floor in range(8):
        for light in range(8):
            stage.pose(from_euler(np.zeros(3)), floor / 8, light / 8)
            image = stage.picture(64).astype(float)
            colours.append(np.concatenate([image[:4, :4].mean((0, 1)), image[-4:, -4:].mean((0, 1))]))
    distance = np.linalg.norm(np.array(colours)[:, None] - np.array(colours), axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 8.0
    stage.close()


@pytest.mark.draws
def test_a_turn_about_the_vertical_moves_the_front_to_the_right():
    """Object to world, x to the right and z up in the image: a hammer's head is where the rotation puts it."""
    stage = Stage()
    stage.put(make_object("hammer", 0))
    tops = []
    for angle in (0.0, np.pi / 2, -np.pi / 2):  # about y: the handle's end, z, goes to +x or -x
        stage.pose(from_euler(np.array([0.0, angle, 0.0])), 0.3, 0.1)
        image = picture(stage, from_euler(np.array([0.0, angle, 0.0])))
        rows, columns = np.nonzero(np.abs(image - np.median(image, (0, 1))).max(-1) > 60)
        tops.append((rows.mean() - 31.5, columns.mean() - 31.5))
    assert tops[0][0] < -6
    assert tops[1][1] > 6
    assert tops[2][1] < -6
    stage.close()


def picture(stage: Stage, pose: np.ndarray) -> np.ndarray:
    stage.pose(pose, 0.1, 0.6)
    return stage.picture(64).astype(int)
