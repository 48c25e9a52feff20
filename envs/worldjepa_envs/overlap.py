"""How much of a shape made of rectangles is covered by a moved copy of itself: fast, in plain floats."""

import math

Box = tuple[float, float, float, float]
"""x_low, y_low, x_high, y_high."""
Pose = tuple[float, float, float]
"""x, y, angle in rad."""
Point = tuple[float, float]


class Rectangles:
    """A shape of axis-parallel rectangles that do not overlap, fixed at a goal pose.

    Args:
        boxes: the rectangles in the shape's own frame.
        goal: pose of the shape.
    """

    def __init__(self, boxes: tuple[Box, ...], goal: Pose) -> None:
        self._boxes, self._goal = boxes, goal
        self._cos, self._sin = math.cos(goal[2]), math.sin(goal[2])
        self._area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
        self._radius = max(math.hypot(x, y) for x0, y0, x1, y1 in boxes for x in (x0, x1) for y in (y0, y1))

    def coverage(self, pose: Pose) -> float:
        """The part (0 to 1) of the area at the goal that a copy at ``pose`` covers."""
        shift_x, shift_y = pose[0] - self._goal[0], pose[1] - self._goal[1]
        if math.hypot(shift_x, shift_y) >= 2 * self._radius:
            return 0.0
        x = self._cos * shift_x + self._sin * shift_y  # the copy's pose in the frame of the goal
        y = self._cos * shift_y - self._sin * shift_x
        cos, sin = math.cos(pose[2] - self._goal[2]), math.sin(pose[2] - self._goal[2])
        covered = 0.0
        for x0, y0, x1, y1 in self._boxes:
            corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
            moved = [(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in corners]
            covered += sum(_area(_clip(moved, box)) for box in self._boxes)
        return min(covered / self._area, 1.0)


def _clip(polygon: list[Point], box: Box) -> list[Point]:
    """The part of a convex polygon within a box (Sutherland-Hodgman)."""
    for axis, bound, sign in ((0, box[0], 1.0), (0, box[2], -1.0), (1, box[1], 1.0), (1, box[3], -1.0)):
        inside = [sign * (point[axis] - bound) for point in polygon]
        if all(depth >= 0.0 for depth in inside):
            continue
        clipped: list[Point] = []
        for i, (point, depth) in enumerate(zip(polygon, inside)):
            before, depth_before = polygon[i - 1], inside[i - 1]
            if (depth >= 0.0) != (depth_before >= 0.0):
                part = depth_before / (depth_before - depth)
                clipped.append((before[0] + part * (point[0] - before[0]), before[1] + part * (point[1] - before[1])))
            if depth >= 0.0:
                clipped.append(point)
        if not clipped:
            return clipped
        polygon = clipped
    return polygon


def _area(polygon: list[Point]) -> float:
    """Area of a convex polygon, 0 for none (shoelace formula)."""
    return 0.5 * abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1])))
