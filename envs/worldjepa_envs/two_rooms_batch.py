"""N episodes of TwoRooms at once: everything but the Gymnasium interface, which the one and the many share."""

from typing import Any

import numpy as np
from gymnasium import spaces

from worldjepa_envs import rooms, rooms_drawing
from worldjepa_envs.distractor import Panel
from worldjepa_envs.rooms_factors import FACTORS
from worldjepa_envs.variation import Stream, Value, Variation

TOLERANCE = 0.14
"""Distance from the goal at which it is reached: 0.07 of the square's side; less than the wall keeps two dots apart."""
_GOAL = (26, 107, 82)
_PANEL = Panel(16)  # as wide as the frame around the square


class TwoRoomsBatch:
    """State, rewards and observations of ``num`` episodes; a row depends on its own generator and actions only.

    Args:
        num: episodes.
        The rest: see `TwoRoomsEnv`.
    """

    def __init__(
        self,
        num: int,
        *,
        obs_type: str,
        image_size: int,
        random_layout: bool,
        goal_room: str,
        start_distance: tuple[float, float],
        goal_obs: bool,
        variation: Variation,
        distractor: bool,
    ) -> None:
        _check(obs_type, image_size, goal_room, start_distance)
        self.obs_type, self.image_size, self._goal_obs = obs_type, image_size, goal_obs
        self._random_layout, self._goal_room, self._distance = random_layout, goal_room, start_distance
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space: Any = self._space()
        self.agent, self.goal, self.layout, self.centre = (np.zeros((num, 2)) for _ in range(4))
        self.radius, self.wall, self.door, self.speed = (np.ones(num) for _ in range(4))
        self.square, self.noisy = np.zeros(num, bool), np.zeros(num, bool)
        self.floor_colour, self.wall_colour, self.dot_colour = (np.zeros((num, 3)) for _ in range(3))
        self._always: dict[str, Value | None] = {"distractor": 1} if distractor else {}
        self._wanted = FACTORS.check(variation)
        self.variation: list[dict[str, Value]] = [FACTORS.defaults()] * num
        self._noise = [np.random.default_rng(0)] * num
        self._patches = np.zeros((num, _PANEL.num_patches, 3), np.uint8)
        self.score, self.solved = np.zeros(num), np.zeros(num, bool)
        self._first = np.ones(num)
        self._place = rooms.rooms(self.layout, self.radius, self.wall, self.door)
        self._canvas = np.zeros((num, image_size, image_size, 3), np.uint8)
        self._goals: dict[str, np.ndarray] = {}

    def begin(self, row: int, episode: Stream, options: dict[str, Any] | None = None) -> None:
        """Start an episode in ``row``; call `settle` after the last of them.

        Raises:
            ValueError: ``options["state"]`` is not 6 numbers, or in a wall; ``options["variation"]`` is not there.
        """
        options = options or {}
        wanted = FACTORS.check(options["variation"]) if "variation" in options else self._wanted
        self._vary(row, FACTORS.choose({**self._always, **wanted}, episode))
        self._noise[row] = episode.own("noise")
        if options.get("state") is None:
            self._draw(row, episode.generator)
        else:
            self._set(row, options["state"])

    def settle(self, begun: np.ndarray) -> None:
        """Compute what holds for the whole episodes that have ``begun`` ([N] bool)."""
        self._place = self._rooms(slice(None))
        error = self._place.path(self.agent, self.goal)
        self._first = np.where(begun, np.maximum(error, 1e-6), self._first)
        self._judge()
        if self.obs_type != "state":
            self._canvas[begun] = self.rooms_image(self.image_size, begun)
        self._flicker(begun)
        if self._goal_obs:
            for key, value in self._now(self.goal).items():
                mask = begun.reshape(-1, *[1] * (value.ndim - 1))
                before = self._goals.get(f"goal_{key}", value)
                self._goals[f"goal_{key}"] = np.where(mask, value, before)
            self._flicker(begun)  # the panel of the start is not the goal's

    def step(self, action: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """Apply ``action`` [N, 2], clipped to [-1, 1], in the rows ``moving`` [N] bool; the rewards [N], else 0.

        Raises:
            ValueError: another shape, or numbers that are not finite, in a moving row.
        """
        action = np.asarray(action, np.float64)
        if action.shape != self.agent.shape or not np.isfinite(action[moving]).all():
            raise ValueError(f"action must be finite with shape {self.agent.shape}, got {action!r}")
        step = np.clip(action, -1.0, 1.0) * self.speed[:, None]
        moved = self._place.move(self.agent, step)
        self.agent = np.where(moving[:, None], moved, self.agent)
        self._flicker(moving)
        before = self.score
        self._judge()
        return np.where(moving, self.score - before + self.solved, 0.0)

    def observe(self) -> dict[str, np.ndarray]:
        """The observations now, new arrays [N, ...]."""
        return {**self._now(self.agent), **{key: value.copy() for key, value in self._goals.items()}}

    def info(self, row: int) -> dict[str, Any]:
        """The info of one row."""
        return {"is_success": bool(self.solved[row]), "score": float(self.score[row])}

    def rooms_image(self, size: int, rows: np.ndarray) -> np.ndarray:
        """Pictures [n, size, size, 3] of the empty rooms of some rows."""
        look = self.floor_colour[rows], self.wall_colour[rows]
        place = self.centre[rows], self.layout[rows], self.wall[rows], self.door[rows]
        return rooms_drawing.canvas(size, *place, *look)

    def picture(self, size: int) -> np.ndarray:
        """Pictures [N, size, size, 3] for people: with the goal."""
        everyone = np.ones(len(self.agent), bool)
        image = self.rooms_image(size, everyone)
        goal = np.tile(np.array(_GOAL, np.float64), (len(image), 1))
        rooms_drawing.add_dots(image, self.goal - self.centre, np.full(len(image), TOLERANCE), ~everyone, goal)
        rooms_drawing.add_dots(image, self.agent - self.centre, self.radius, self.square, self.dot_colour)
        _PANEL.paint(image, self._patches, self.noisy)
        return image

    def _now(self, agent: np.ndarray) -> dict[str, np.ndarray]:
        obs: dict[str, np.ndarray] = {}
        if self.obs_type != "pixels":
            parts = {"agent": agent, "goal": self.goal, "layout": self.layout}
            obs = {key: value.astype(np.float32) for key, value in parts.items()}
        if self.obs_type != "state":
            obs["image"] = self._canvas.copy()
            rooms_drawing.add_dots(obs["image"], agent - self.centre, self.radius, self.square, self.dot_colour)
            _PANEL.paint(obs["image"], self._patches, self.noisy)
        return obs

    def _vary(self, row: int, values: dict[str, Value]) -> None:
        self.variation[row] = values
        self.radius[row], self.speed[row] = values["agent_radius"], values["agent_speed"]
        self.wall[row], self.door[row] = values["wall_width"], values["door_width"]
        self.square[row], self.noisy[row] = values["agent_shape"], values["distractor"]
        self.floor_colour[row], self.wall_colour[row] = values["background_color"], values["wall_color"]
        self.dot_colour[row], self.centre[row] = values["agent_color"], values["camera_shift"]

    def _draw(self, row: int, random: np.random.Generator) -> None:
        """A random start: the same whatever varies, but for what would be in a wall."""
        one = slice(row, row + 1)
        self.layout[row] = rooms.draw_layout(random) if self._random_layout else 0.0
        ends = rooms.draw_ends(rooms.usual(self.layout[one]), random, self._goal_room, self._distance)
        self.agent[one], self.goal[one] = (self._rooms(one).pushed_out(end[None]) for end in ends)

    def _set(self, row: int, state: Any) -> None:
        numbers, one = np.asarray(state, np.float64), slice(row, row + 1)
        if numbers.shape != (6,) or not np.isfinite(numbers).all():
            raise ValueError(f"options['state'] must be 6 numbers (agent, goal, wall x, door y), got {state!r}")
        self.agent[row], self.goal[row], self.layout[row] = numbers[:2], numbers[2:4], numbers[4:]
        place = self._rooms(one)
        if place.blocked(self.agent[one])[0] or place.blocked(self.goal[one])[0]:
            raise ValueError(f"options['state'] puts agent or goal into a wall: {state!r}")

    def _flicker(self, rows: np.ndarray) -> None:
        """New colours of the distractor's patches."""
        for row in np.flatnonzero(rows & self.noisy).tolist():
            self._patches[row] = _PANEL.draw(self._noise[row])

    def _judge(self) -> None:
        x, y = self.agent[:, 0] - self.goal[:, 0], self.agent[:, 1] - self.goal[:, 1]
        self.solved = x * x + y * y < TOLERANCE**2
        self.score = np.clip(1.0 - self._place.path(self.agent, self.goal) / self._first, 0.0, 1.0)

    def _rooms(self, rows: slice) -> rooms.Rooms:
        return rooms.rooms(self.layout[rows], self.radius[rows], self.wall[rows], self.door[rows])

    def _space(self) -> spaces.Dict:
        space: dict[str, spaces.Space] = {}
        if self.obs_type != "pixels":
            space = {key: spaces.Box(-1.0, 1.0, (2,), np.float32) for key in ("agent", "goal", "layout")}
        if self.obs_type != "state":
            space["image"] = spaces.Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
        if self._goal_obs:
            space.update({f"goal_{key}": leaf for key, leaf in list(space.items())})
        return spaces.Dict(space)


def _check(obs_type: str, image_size: int, goal_room: str, start_distance: tuple[float, float]) -> None:
    if obs_type not in ("state", "pixels", "state+pixels"):
        raise ValueError(f'obs_type must be "state", "pixels" or "state+pixels", not {obs_type!r}')
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1, not {image_size}")
    if goal_room not in rooms.GOAL_ROOMS:
        raise ValueError(f"goal_room must be one of {', '.join(rooms.GOAL_ROOMS)}, not {goal_room!r}")
    low, high = start_distance
    if not 0.0 <= low < high:
        raise ValueError(f"start_distance must be (low, high) with 0 <= low < high, got {start_distance}")
