"""Two rooms and a dot: where the walls are, how the dot moves, and where an episode starts; many rooms at once.

Lengths are in half sides of the square, which is [-1, 1] x [-1, 1]. All functions are elementwise over the rows, so a
row's numbers do not depend on the others.
"""

import math
from dataclasses import dataclass

import numpy as np

SPEED = 0.08
"""How far the dot moves in a step at action 1, each axis."""
RADIUS = 0.1
"""Of the dot."""
WALL = 0.06
"""Half of the wall's thickness."""
DOOR = 0.24
"""Half of the door's width."""
LAYOUT_LOW, LAYOUT_HIGH = (-0.35, -0.6), (0.35, 0.6)
"""Range of a random layout: x of the wall, y of the door's middle."""
LONGEST = 4.0 * math.sqrt(2.0)
"""No way is longer."""
GOAL_ROOMS = ("other", "same", "any")
_TRIES = 10_000


@dataclass
class Rooms:
    """Walls of N squares as the dot's centre meets them: walls grown by the dot's radius."""

    layout: np.ndarray
    """[N, 2] x of the wall's middle, y of the door's."""
    limit: np.ndarray
    """[N] the centre stays within +-limit on both axes."""
    side: np.ndarray
    """[N] distance that the wall keeps the centre from its middle."""
    free: np.ndarray
    """[N] distance from the door's middle at which the centre still passes."""

    def blocked(self, position: np.ndarray) -> np.ndarray:
        """Whether the centre may not be at ``position`` [N, 2]: [N] bool."""
        x, y = position[:, 0], position[:, 1]
        left, right, bottom, top = self._edges()
        outside = (np.abs(x) > self.limit) | (np.abs(y) > self.limit)
        return outside | ((x > left) & (x < right) & ((y < bottom) | (y > top)))

    def move(self, position: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Where the centre gets from a free ``position`` by ``step`` (both [N, 2]).

        It goes along x, then along y, and stops on each leg at the first wall it meets: it slides along walls and
        gets through none, however long the step.
        """
        x, y = position[:, 0], position[:, 1]
        left, right, bottom, top = self._edges()
        target = np.clip(x + step[:, 0], -self.limit, self.limit)
        at_wall = np.where(x <= left, np.minimum(target, left), np.maximum(target, right))
        x = np.where((y >= bottom) & (y <= top), target, at_wall)
        target = np.clip(y + step[:, 1], -self.limit, self.limit)
        y = np.where((x > left) & (x < right), np.clip(target, bottom, top), target)
        return np.stack([x, y], 1)

    def pushed_out(self, position: np.ndarray) -> np.ndarray:
        """The free places [N, 2] in the same rooms nearest to ``position`` [N, 2] along each axis."""
        left, right = self._edges()[:2]
        x = position[:, 0]
        x = np.where(x < self.layout[:, 0], np.minimum(x, left), np.maximum(x, right))
        limit = self.limit[:, None]
        return np.clip(np.stack([x, position[:, 1]], 1), -limit, limit)

    def path(self, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Length [N] of the way from ``start`` to ``goal`` [N, 2], through the door's middle between two rooms."""
        wall = self.layout[:, 0]
        apart = (start[:, 0] < wall) != (goal[:, 0] < wall)
        through = _distance(start, self.layout) + _distance(self.layout, goal)
        return np.where(apart, through, _distance(start, goal))

    def _edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        wall, door = self.layout[:, 0], self.layout[:, 1]
        return wall - self.side, wall + self.side, door - self.free, door + self.free


def rooms(layout: np.ndarray, radius: np.ndarray, wall: np.ndarray, door: np.ndarray) -> Rooms:
    """The rooms of a ``layout`` [N, 2] for dots of ``radius``, with half thickness ``wall`` and half width ``door``."""
    return Rooms(layout, 1.0 - radius, wall + radius, door - radius)


def usual(layout: np.ndarray) -> Rooms:
    """The rooms of a ``layout`` [N, 2] with nothing varied."""
    one = np.ones(len(layout))
    return rooms(layout, RADIUS * one, WALL * one, DOOR * one)


def draw_layout(random: np.random.Generator) -> np.ndarray:
    """A random layout [2]."""
    return random.uniform(LAYOUT_LOW, LAYOUT_HIGH)


def draw_ends(
    place: Rooms, random: np.random.Generator, goal_room: str, distance: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Start and goal ([2] each) in the one square of ``place``, with a way between them of ``distance`` (low, high).

    Raises:
        ValueError: there is hardly any way of that length.
    """
    limit, wall, side = float(place.limit[0]), float(place.layout[0, 0]), float(place.side[0])
    spans = ((-limit, wall - side), (wall + side, limit))
    for _ in range(_TRIES):
        room = int(random.integers(2))
        other = int(random.integers(2)) if goal_room == "any" else (room + 1 if goal_room == "other" else room) % 2
        start = np.array([random.uniform(*spans[room]), random.uniform(-limit, limit)])
        goal = np.array([random.uniform(*spans[other]), random.uniform(-limit, limit)])
        if distance[0] <= float(place.path(start[None], goal[None])[0]) <= distance[1]:
            return start, goal
    raise ValueError(f"no start and goal {distance} apart were found in {_TRIES} tries; widen start_distance")


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    x, y = a[:, 0] - b[:, 0], a[:, 1] - b[:, 1]
    return np.sqrt(x * x + y * y)
