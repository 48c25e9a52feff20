"""Coverage of a shape by a moved copy: closed forms, then shapely as the oracle."""

import math

import numpy as np
import pytest

from worldjepa_envs.overlap import Rectangles

SQUARE = ((0.0, 0.0, 2.0, 2.0),)


def test_same_pose_covers_all():
    assert Rectangles(SQUARE, (3.0, -1.0, 0.7)).coverage((3.0, -1.0, 0.7)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("shift", "covered"), [(0.5, 0.75), (1.0, 0.5), (2.0, 0.0), (50.0, 0.0)])
def test_shift_along_an_edge(shift, covered):
    assert Rectangles(SQUARE, (0.0, 0.0, 0.0)).coverage((shift, 0.0, 0.0)) == pytest.approx(covered, abs=1e-12)


def test_square_turned_by_45_degrees_about_its_middle():
    shape = Rectangles(((-1.0, -1.0, 1.0, 1.0),), (0.0, 0.0, 0.0))
    octagon = 2.0 * (math.sqrt(2.0) - 1.0)  # part of the square that lies in both
    assert shape.coverage((0.0, 0.0, math.pi / 4)) == pytest.approx(octagon)


def test_agrees_with_shapely_on_random_poses():
    affinity, geometry = pytest.importorskip("shapely.affinity"), pytest.importorskip("shapely.geometry")
    boxes = ((-60.0, 0.0, 60.0, 30.0), (-15.0, 30.0, 15.0, 120.0))
    shape = geometry.MultiPolygon([geometry.box(*box) for box in boxes])

    def at(pose):
        turned = affinity.rotate(shape, pose[2], origin=(0, 0), use_radians=True)
        return affinity.translate(turned, pose[0], pose[1])

    goal = (256.0, 256.0, math.pi / 4)
    rectangles, there = Rectangles(boxes, goal), at(goal)
    poses = np.random.default_rng(0).uniform([150, 150, -4], [360, 360, 4], (200, 3)).tolist()
    for pose in poses:
        assert rectangles.coverage(pose) == pytest.approx(there.intersection(at(pose)).area / there.area, abs=1e-9)
