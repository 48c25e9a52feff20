"""What the objects of Turntable are made of: boxes, ellipsoids, cylinders and capsules in three tints.

An object stands upright on z. Parts have the object's own units; `assemble` brings every object to the same size.
"""

import colorsys
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy import ndarray

from worldjepa_envs.turntable_rotation import from_euler, rotate

Point = tuple[float, float, float]
MAIN, SECOND, ACCENT = range(3)
"""The tints of an object; the accent is near white or near black, whichever stands out from the main one."""


class Draw:
    """The random numbers of one object: ``u(low, high)``."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def __call__(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return float(self._random.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """A whole number, ``high`` included."""
        return int(self._random.integers(low, high + 1))


@dataclass(frozen=True)
class Part:
    """One geom."""

    kind: str
    """box, ellipsoid, cylinder or capsule."""
    size: Point
    """Half sizes of a box or ellipsoid; radius, half length, 0 of a cylinder or capsule, which lie along their z."""
    centre: Point
    turn: ndarray
    """[4] quaternion x, y, z, w."""
    tint: int


@dataclass(frozen=True)
class Solid:
    """An object of P parts around the origin, within a sphere of radius 1."""

    kind: tuple[str, ...]
    """P kinds."""
    size: ndarray
    """[P, 3]."""
    centre: ndarray
    """[P, 3]."""
    turn: ndarray
    """[P, 4] quaternions x, y, z, w."""
    colour: ndarray
    """[P, 3] red, green, blue in [0, 1]."""


Generator = Callable[[Draw], list[Part]]
"""Makes the parts of one object of a class."""


def box(centre: Point, half: Point, tint: int = MAIN, turn: Point = (0.0, 0.0, 0.0)) -> Part:
    """A box of half sizes ``half``, turned by angles about x, y, z (rad)."""
    return Part("box", half, centre, from_euler(np.array(turn)), tint)


def egg(centre: Point, radii: Point, tint: int = MAIN, turn: Point = (0.0, 0.0, 0.0)) -> Part:
    """An ellipsoid, turned by angles about x, y, z (rad)."""
    return Part("ellipsoid", radii, centre, from_euler(np.array(turn)), tint)


def ball(centre: Point, radius: float, tint: int = MAIN) -> Part:
    """A sphere."""
    return egg(centre, (radius, radius, radius), tint)


def rod(start: Point, end: Point, radius: float, tint: int = MAIN) -> Part:
    """A rounded stick between the centres of its ends."""
    return _between("capsule", start, end, radius, tint)


def tube(start: Point, end: Point, radius: float, tint: int = MAIN) -> Part:
    """A cylinder between the centres of its faces."""
    return _between("cylinder", start, end, radius, tint)


def arc(
    centre: Point, radius: float, thickness: float, tint: int = MAIN, *, ends: tuple[float, float], num: int
) -> list[Part]:
    """Part of a ring about the y axis: ``num`` rods between two angles (rad, from +x towards +z)."""
    angles = np.linspace(*ends, num + 1)
    x, y, z = centre
    points = [(x + radius * math.cos(angle), y, z + radius * math.sin(angle)) for angle in angles.tolist()]
    return [rod(start, end, thickness, tint) for start, end in pairwise(points)]


def ring(centre: Point, radius: float, thickness: float, tint: int = MAIN, num: int = 12) -> list[Part]:
    """A ring about the y axis."""
    return arc(centre, radius, thickness, tint, ends=(0.0, 2 * math.pi), num=num)


def mirrored(part: Part) -> list[Part]:
    """The part and its mirror image at the plane y = 0."""
    x, y, z = part.centre
    return [part, Part(part.kind, part.size, (x, -y, z), part.turn * np.array([-1.0, 1.0, -1.0, 1.0]), part.tint)]


def assemble(parts: Iterable[Part], palette: ndarray) -> Solid:
    """The parts moved and scaled so that the object is in the middle and reaches radius 1.

    Args:
        parts: of one object.
        palette: [3, 3] colours of the tints, red, green, blue in [0, 1].
    """
    listed = list(parts)
    size = np.array([part.size for part in listed])
    centre = np.array([part.centre for part in listed])
    turn = np.array([part.turn for part in listed])
    points = np.concatenate([rotate(part.turn, _outline(part)) + part.centre for part in listed])
    middle = (points.min(0) + points.max(0)) / 2
    scale = 1.0 / np.linalg.norm(points - middle, axis=1).max()
    colour = palette[[part.tint for part in listed]]
    return Solid(tuple(part.kind for part in listed), size * scale, (centre - middle) * scale, turn, colour)


def draw_palette(u: Draw) -> ndarray:
    """Colours [3, 3] of the tints, whatever the class."""
    hue, value = u(0.0, 1.0), u(0.55, 1.0)
    main = colorsys.hsv_to_rgb(hue, u(0.45, 0.95), value)
    second = colorsys.hsv_to_rgb((hue + u(0.15, 0.85)) % 1.0, u(0.3, 0.9), u(0.4, 0.95))
    bright = np.dot(main, (0.3, 0.59, 0.11)) > 0.5
    accent = colorsys.hsv_to_rgb(u(0.0, 1.0), u(0.0, 0.25), u(0.1, 0.22) if bright else u(0.88, 1.0))
    return np.array([main, second, accent])


def _between(kind: str, start: Point, end: Point, radius: float, tint: int) -> Part:
    a, b = np.array(start), np.array(end)
    length = float(np.linalg.norm(b - a))
    x, y, z = (b - a) / length
    half_way = np.array([-y, x, 0.0, 1.0 + z])  # from the z axis to the direction, along the shortest way
    norm = np.linalg.norm(half_way)
    turn = half_way / norm if norm > 1e-6 else np.array([1.0, 0.0, 0.0, 0.0])
    middle = (a + b) / 2
    return Part(kind, (radius, length / 2, 0.0), (middle[0], middle[1], middle[2]), turn, tint)


_SIGNS = np.array(
    [[x, y, z] for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0) for z in (-1.0, 0.0, 1.0) if x or y or z]
)
_DIRECTIONS = _SIGNS / np.linalg.norm(_SIGNS, axis=1, keepdims=True)
_CIRCLE = np.array([[math.cos(k * math.pi / 6), math.sin(k * math.pi / 6), 0.0] for k in range(12)])


def _outline(part: Part) -> ndarray:
    """Points [N, 3] on the surface, in the frame of the part, that tell how far it reaches."""
    if part.kind == "box":
        return _SIGNS * part.size
    if part.kind == "ellipsoid":
        return _DIRECTIONS * part.size
    radius, half, _ = part.size
    shape = _CIRCLE if part.kind == "cylinder" else _DIRECTIONS
    return np.concatenate([radius * shape + (0.0, 0.0, sign * half) for sign in (-1.0, 1.0)])
