"""The scripted expert of the point mazes: breadth-first search over the cells, a PD law to the next; without memory."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from worldjepa_envs.missing import require

_STIFFNESS = 4.0  # force per m from where the ball is to where it should be: at full force from 0.25 m on
_DAMPING = 1.0  # force per m/s: the ball settles without overshooting
_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))
_WALL = 1

Cell = tuple[int, int]


class MazeLaw:
    """Heads for the middle of the next cell on a shortest way to the goal, and from a cell beside it for the goal.

    A function of the observation alone, the same in every run. Cells are squares of 1 m around the origin, as in
    Gymnasium-Robotics: the first row lies at the largest y, the first column at the smallest x.

    Args:
        maze_map: rows of cells; 1 is a wall, all else is free.

    Raises:
        ValueError: no rows of one length, or no free cell.
    """

    def __init__(self, maze_map: Sequence[Sequence[Any]]) -> None:
        if len({len(row) for row in maze_map}) != 1:
            raise ValueError(f"maze_map must be rows of one length, got {maze_map!r}")
        self._free = np.array([[cell != _WALL for cell in row] for row in maze_map])
        if not self._free.any():
            raise ValueError(f"maze_map has no free cell: {maze_map!r}")
        self._ways: dict[Cell, dict[Cell, Cell]] = {}

    def __call__(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Forces [B, 2], to be clipped to [-1, 1].

        Args:
            obs: "observation" [B, 4] position and velocity, "desired_goal" [B, 2], as observed.

        Raises:
            ValueError: a ball or goal that is in no free cell, or no way between them.
        """
        position, velocity, goal = obs["observation"][:, :2], obs["observation"][:, 2:], obs["desired_goal"]
        target = np.stack([self._target(here, there) for here, there in zip(position, goal)])
        return _STIFFNESS * (target - position) - _DAMPING * velocity

    def _target(self, position: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """The point [2] to head for from ``position`` [2]."""
        here, there = self._cell(position, "ball"), self._cell(goal, "goal")
        if there not in self._ways:
            self._ways[there] = self._search(there)
        if here not in self._ways[there]:
            raise ValueError(f"no way leads from cell {here} of the maze to the goal in cell {there}")
        following = self._ways[there][here]
        return goal if following == there else self._middle(following)

    def _search(self, goal: Cell) -> dict[Cell, Cell]:
        """Each cell from which a way leads to ``goal``, with the cell that follows on a shortest one."""
        ways, queue = {goal: goal}, deque([goal])
        while queue:
            row, column = cell = queue.popleft()
            for down, right in _NEIGHBOURS:
                neighbour = row + down, column + right
                if neighbour not in ways and self._is_free(neighbour):
                    ways[neighbour] = cell
                    queue.append(neighbour)
        return ways

    def _is_free(self, cell: Cell) -> bool:
        (row, column), (rows, columns) = cell, self._free.shape
        return 0 <= row < rows and 0 <= column < columns and bool(self._free[cell])

    def _cell(self, point: np.ndarray, what: str) -> Cell:
        rows, columns = self._free.shape
        cell = int(np.floor(rows / 2 - point[1])), int(np.floor(point[0] + columns / 2))
        if not self._is_free(cell):
            raise ValueError(
                f"the {what} at {point.tolist()} m is in no free cell of the maze that the expert knows: where the "
                "environment is made with a maze or maze_map of its own, the expert needs it in env_kwargs"
            )
        return cell

    def _middle(self, cell: Cell) -> np.ndarray:
        rows, columns = self._free.shape
        return np.array([cell[1] + 0.5 - columns / 2, rows / 2 - cell[0] - 0.5])


def maze_law(maze: str, env_kwargs: Mapping[str, Any]) -> MazeLaw:
    """The law for the map that the environment is made with: ``maze_map`` or ``maze`` of its arguments, else ``maze``.

    Args:
        maze: name of the maze that is registered, one of `worldjepa_envs.POINT_MAZES`.
        env_kwargs: what the environment is made with.

    Raises:
        ValueError: an unknown maze, whose map cannot be found; lists the names.
        ModuleNotFoundError: Gymnasium-Robotics, which has the maps, is not installed; names the extra.
    """
    from worldjepa_envs import POINT_MAZES

    if env_kwargs.get("maze_map") is not None:
        return MazeLaw(env_kwargs["maze_map"])
    maze = env_kwargs.get("maze", maze)
    if maze not in POINT_MAZES:
        raise ValueError(f"unknown maze {maze!r}; there are {', '.join(POINT_MAZES)}")
    gym.register_envs(require("gymnasium_robotics", "robotics"))
    return MazeLaw(gym.spec(f"PointMaze_{maze}-v3").kwargs["maze_map"])


def maze_of(env_id: str) -> str | None:
    """The maze of an id "worldjepa/PointMaze-<maze>-v0", None for other ids."""
    from worldjepa_envs import POINT_MAZES

    return next((maze for maze in POINT_MAZES if env_id == f"worldjepa/PointMaze-{maze}-v0"), None)
