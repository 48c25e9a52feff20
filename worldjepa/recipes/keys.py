"""Which observation keys a policy reads, and what windows of data a recipe needs."""

import math
from dataclasses import dataclass
from typing import Any

from worldjepa.data import GoalOffset, GoalSampler, Store, ViewSampler, WindowSampler
from worldjepa.types import DataSpec


@dataclass(frozen=True)
class Window:
    """The windows of data that a recipe is trained on."""

    history: int
    """Frames up to and including the present."""
    horizon: int
    """Transitions after the present."""
    image_frames: int
    """Frames for which images are loaded, from the first on."""
    keys: tuple[str, ...]
    """Observation keys to load."""
    stride: int = 1
    """Control steps from one frame to the next; an action is a block of so many."""
    pad: bool = True
    """Whether windows may reach over the ends of an episode."""
    goal_keys: tuple[str, ...] = ()
    """Observations whose goal, "goal_<key>", is given beside them (`GoalSampler`)."""
    goal_steps: float = 1.0
    """Mean of the geometric distribution of how many control steps a goal lies ahead."""
    distinct: bool = False
    """Whether a window is history + horizon different steps of an episode in any order, instead of consecutive ones
    (`ViewSampler`); a horizon of 0 is allowed then. Recorded actions are not loaded."""
    advice: str | None = None
    """What to do where all episodes are too short, in the words of the recipe; None: as `WindowSampler` says it."""

    @property
    def seen(self) -> tuple[str, ...]:
        """Observation keys that a policy reads, goals included."""
        return (*self.keys, *(f"goal_{key}" for key in self.goal_keys))

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `WindowSampler`."""
        names = ("history", "horizon", "stride", "image_frames", "keys")
        options = {**{name: getattr(self, name) for name in names}, "pad_front": self.pad, "pad_back": self.pad}
        return options if self.advice is None else {**options, "advice": self.advice}

    def sampler(self, store: Store, **options: Any) -> WindowSampler | GoalSampler | ViewSampler:
        """The windows of ``store``, with goals where they are wanted; options as of `WindowSampler` (episodes, ...)."""
        if self.distinct:
            options.pop("unlabelled", None)  # no recorded action is learned from
            return ViewSampler(store, views=self.history + self.horizon, keys=self.keys, **options)
        windows = WindowSampler(store, **self.options(), **options)
        if not self.goal_keys:
            return windows
        offset = GoalOffset(kind="geometric", mean=self.goal_steps)
        return GoalSampler(windows, self.goal_keys, offset=offset)


def resolve_states(wanted: tuple[str, ...], spec: DataSpec) -> tuple[str, ...]:
    """``wanted``, or all state keys of the data if it is empty; checked.

    Goals recorded beside observations ("goal_agent" beside "agent") are taken only when they are named.
    """
    goals = {f"goal_{k}" for k in spec.obs}
    states = wanted or tuple(k for k, v in spec.obs.items() if v.kind == "state" and k not in goals)
    check_keys(states, "state", spec)
    return states


def check_relative(key: str | None, states: tuple[str, ...], spec: DataSpec) -> None:
    """Raises ValueError where actions cannot be counted from observation ``key``."""
    if key is None:
        return
    if key not in states:
        raise ValueError(f"relative_to names {key!r}, which is none of the policy's states {list(states)}")
    if spec.obs[key].shape != (spec.action_dim,):
        raise ValueError(
            f"actions of size {spec.action_dim} cannot be counted from {key!r} of shape {spec.obs[key].shape}: "
            "relative_to needs an observation of the action's shape"
        )


def check_keys(keys: tuple[str, ...], kind: str, spec: DataSpec) -> None:
    """Raises ValueError where a key is not in the data or of another kind ("state" or "image")."""
    for key in keys:
        if key not in spec.obs:
            raise ValueError(f"the data has no observation {key!r}; it has {sorted(spec.obs)}")
        if spec.obs[key].kind != kind:
            raise ValueError(
                f"observation {key!r} is of kind {spec.obs[key].kind}, the configuration uses it as {kind}"
            )


def sizes(keys: tuple[str, ...], spec: DataSpec) -> dict[str, int]:
    """Number of values of each key."""
    return {key: math.prod(spec.obs[key].shape) for key in keys}
