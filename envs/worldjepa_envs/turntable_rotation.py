"""Rotations as unit quaternions (x, y, z, w) with w >= 0, and the sets that Turntable draws them from.

Arrays [..., 4], float64. Angles are extrinsic about x, y, z in this order, scipy's "xyz", as in 3DIEBench (Garrido et
al. 2023, arXiv 2302.10283).
"""

import math

import numpy as np
from numpy import ndarray

RANGES = ("inside", "outside", "near")
HALF = math.pi / 2
_INVERSE = np.array([-1.0, -1.0, -1.0, 1.0])


def canonical(quaternion: ndarray) -> ndarray:
    """The one of q and -q, which are the same rotation, that has w >= 0."""
    return np.where(quaternion[..., 3:] < 0.0, -quaternion, quaternion)


def compose(left: ndarray, right: ndarray) -> ndarray:
    """The rotation ``left right``: first ``right``, then ``left``."""
    x, y, z, w = (left[..., k] for k in range(4))
    a, b, c, d = (right[..., k] for k in range(4))
    product = np.empty(np.broadcast_shapes(left.shape, right.shape))
    product[..., 0] = w * a + x * d + y * c - z * b
    product[..., 1] = w * b - x * c + y * d + z * a
    product[..., 2] = w * c + x * b - y * a + z * d
    product[..., 3] = w * d - x * a - y * b - z * c
    return canonical(product)


def relative(start: ndarray, end: ndarray) -> ndarray:
    """start^-1 end: composed with ``start`` from the right it gives ``end``."""
    return compose(start * _INVERSE, end)


def angle_between(left: ndarray, right: ndarray) -> ndarray:
    """The angle [...] in rad, in [0, pi], of the rotation from one to the other."""
    difference = relative(left, right)
    return 2.0 * np.arctan2(np.linalg.norm(difference[..., :3], axis=-1), difference[..., 3])


def rotate(quaternion: ndarray, points: ndarray) -> ndarray:
    """``points`` [N, 3] turned by a ``quaternion`` [4]."""
    axis, w = quaternion[:3], quaternion[3]
    across = 2.0 * np.cross(axis, points)
    return points + w * across + np.cross(axis, across)


def from_euler(angles: ndarray) -> ndarray:
    """Quaternions [..., 4] of ``angles`` [..., 3] in rad."""
    half = np.asarray(angles, np.float64) / 2
    (a, b, c), (p, q, r) = (np.moveaxis(part, -1, 0) for part in (np.sin(half), np.cos(half)))
    quaternion = np.empty((*half.shape[:-1], 4))
    quaternion[..., 0] = a * q * r - p * b * c
    quaternion[..., 1] = p * b * r + a * q * c
    quaternion[..., 2] = p * q * c - a * b * r
    quaternion[..., 3] = p * q * r + a * b * c
    return canonical(quaternion)


def to_euler(quaternion: ndarray) -> ndarray:
    """The angles [..., 3] in rad with the second one in [-pi/2, pi/2], which every rotation has."""
    x, y, z, w = (quaternion[..., k] for k in range(4))
    first = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    second = np.arcsin(np.clip(2 * (w * y - z * x), -1.0, 1.0))
    third = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return np.stack([first, second, third], -1)


def is_inside(quaternion: ndarray) -> ndarray | np.bool:
    """Whether [...] bool all three angles are in [-pi/2, pi/2]: a quarter of the rotations drawn with free angles."""
    return np.all(np.abs(to_euler(quaternion)) <= HALF + 1e-6, axis=-1)


def draw(random: np.random.Generator, rotations: str) -> ndarray:
    """A quaternion [4].

    "inside": each angle uniform in [-pi/2, pi/2]. "outside": the rotations that "inside" never gives: the second angle
    as before, first and third uniform in [-pi, pi] but not both in [-pi/2, pi/2]. (Taking the complement of all three
    angles, as one might, gives the "inside" rotations again: turning by x, y, z is turning by x+pi, pi-y, z+pi.)
    "near": each angle uniform in [-pi/4, pi/4], for small models and few views.
    """
    if rotations == "near":
        return from_euler(random.uniform(-1.0, 1.0, 3) * HALF / 2)
    while True:
        angles = random.uniform(-1.0, 1.0, 3) * (HALF if rotations == "inside" else 2 * HALF)
        angles[1] = angles[1] if rotations == "inside" else angles[1] / 2
        if rotations == "inside" or np.abs(angles[[0, 2]]).max() > HALF:
            return from_euler(angles)
