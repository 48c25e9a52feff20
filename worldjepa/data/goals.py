"""Goals from recordings: a later frame of the same episode, as the goal of a start or of every window.

`draw_start_goals` picks pairs to be reached; `GoalSampler` adds hindsight goals to windows, for goal-conditioned
training: whatever an episode came to later is what its actions were good for (Andrychowicz et al. 2017, "future").
Offsets are counted in recorded steps, uniform or geometric; an offset beyond the last frame of the episode is cut
down to that frame, as in OGBench (Park et al. 2025).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy import ndarray
from tensordict import TensorDict

from worldjepa.data.statistics import Statistics
from worldjepa.data.store import Store
from worldjepa.data.windows import WindowSampler, choose_keys
from worldjepa.types import DataSpec, nested

GOAL_STREAM, FIXED_STREAM = 11, 12
"""Numbers of one seed are drawn apart from the order of the windows, and the goals of `GoalSampler.at` apart again."""


@dataclass(frozen=True)
class GoalOffset:
    """How many recorded steps after the present a goal lies.

    Raises:
        ValueError: offsets out of range, an unknown kind, a mean below ``low``.
    """

    kind: Literal["uniform", "geometric"] = "uniform"
    low: int = 1
    """Smallest offset, >= 1."""
    high: int | None = None
    """Largest offset; None: the last frame of the episode."""
    mean: float | None = None
    """Of a geometric offset before it is cut at ``high``; 1 / (1 - discount) + low - 1 for a discount."""

    def __post_init__(self):
        if self.low < 1 or (self.high is not None and self.high < self.low):
            raise ValueError(f"expected 1 <= low <= high, got low {self.low} and high {self.high}")
        if self.kind not in ("uniform", "geometric"):
            raise ValueError(f'expected the kind "uniform" or "geometric", got {self.kind!r}')
        if (self.kind == "geometric") != (self.mean is not None):
            raise ValueError(f"a geometric offset needs a mean and a uniform one has none, got {self.mean}")
        if self.mean is not None and not self.low < self.mean < np.inf:
            raise ValueError(f"expected a finite mean above low {self.low}, got {self.mean}")

    def from_uniform(self, number: ndarray, remaining: ndarray) -> ndarray:
        """Offsets by the inverse distribution function.

        Args:
            number: [N] in [0, 1).
            remaining: [N] steps to the last frame of the episode.

        Returns:
            [N] int64, at least ``low`` and at most ``high``, but never more than ``remaining``.
        """
        high = remaining if self.high is None else np.minimum(remaining, self.high)
        if self.mean is None:
            drawn = self.low + np.floor(number * np.maximum(high - self.low + 1, 1))
        else:
            drawn = self.low + np.floor(np.log1p(-number) / np.log1p(-1 / (self.mean - self.low + 1)))
        return np.minimum(drawn, high).astype(np.int64)


@dataclass(frozen=True)
class StartGoals:
    """Starts, each with a goal later in the same episode."""

    store: Store
    episode: ndarray
    """[N] int64: numbers in the store."""
    start: ndarray
    """[N] int64: steps in the episode."""
    goal: ndarray
    """[N] int64: steps in the episode, after the start."""

    def __len__(self) -> int:
        """N."""
        return len(self.episode)

    def start_obs(self, keys: Sequence[str], history: int = 1, stride: int = 1) -> TensorDict:
        """The frames up to the starts: TensorDict [N, history], nested by key; before the first frame it is repeated.

        Raises:
            ValueError: an unknown key.
        """
        return self._frames(keys, self.start[:, None] + stride * np.arange(-history + 1, 1))

    def goal_obs(self, keys: Sequence[str]) -> TensorDict:
        """The frames of the goals: TensorDict [N, 1], nested by key.

        Raises:
            ValueError: an unknown key.
        """
        return self._frames(keys, self.goal[:, None])

    def _frames(self, keys: Sequence[str], steps: ndarray) -> TensorDict:
        rows = self.store.starts[self.episode, None] + np.maximum(steps, 0)
        arrays = {key: self.store.arrays[f"obs/{key}"] for key in choose_keys(self.store, keys)}
        return TensorDict({nested(key): torch.from_numpy(value[rows]) for key, value in arrays.items()}, steps.shape)


def draw_start_goals(
    store: Store,
    episodes: Sequence[int] | ndarray,
    num: int,
    *,
    offset: GoalOffset = GoalOffset(),
    seed: int = 0,
) -> StartGoals:
    """Draw ``num`` pairs with different starts, all starts alike that have a frame ``offset.low`` steps later.

    Args:
        store: the data.
        episodes: numbers of the episodes to draw from, as a rule held out from training.
        num: of pairs.
        offset: of the goals. Where an episode ends sooner than ``high``, the offset is drawn from what is left.
        seed: of the draw.

    Raises:
        ValueError: there are fewer starts than ``num``.
    """
    chosen = np.asarray(episodes, dtype=np.int64)
    lasts = store.ends[chosen] - store.starts[chosen] - 1
    counts = np.maximum(lasts - offset.low + 1, 0)
    if not 1 <= num <= counts.sum():
        raise ValueError(
            f"expected 1..{counts.sum()} pairs, the starts of {len(chosen)} episodes with a frame {offset.low} steps "
            f"later; got {num}: ask for fewer, or lower the offset"
        )
    rng = np.random.default_rng([seed, GOAL_STREAM])
    places = rng.permutation(int(counts.sum()))[:num]
    row = np.searchsorted(np.cumsum(counts), places, side="right")
    start = places - (np.cumsum(counts) - counts)[row]
    goal = start + offset.from_uniform(rng.random(num), lasts[row] - start)
    return StartGoals(store, chosen[row], start, goal)


class GoalSampler:
    """A `WindowSampler` whose batches hold a goal for each window: a frame after its present, of the same episode.

    Adds ``obs["goal_<key>"]``, with as many frames as ``obs[key]`` and at least ``history``, all alike, as an
    environment with ``goal_obs=True`` gives. Goals of `batch` are a pure function of (seed, step), those of `at` of
    (seed, anchor). Where the recording left out the last observation, the present may be its own goal at the end.

    Args:
        sampler: cuts the windows.
        keys: observations to make goals of; a recorded "goal_<key>" is replaced.
        offset: of the goal from the present in recorded steps, whatever the stride of the windows.
        seed: of the offsets; None: the sampler's.

    Raises:
        ValueError: no key, or an unknown one.
    """

    def __init__(
        self,
        sampler: WindowSampler,
        keys: Sequence[str],
        *,
        offset: GoalOffset = GoalOffset(),
        seed: int | None = None,
    ):
        if not keys:
            raise ValueError(f"give the keys to make goals of; the data has {sorted(sampler.store.spec.obs)}")
        self.keys = choose_keys(sampler.store, keys)
        self.sampler, self.offset = sampler, offset
        self.seed = sampler.seed if seed is None else seed
        self._fixed: ndarray | None = None
        self._buffers: dict[tuple[str, int], ndarray] = {}

    def __len__(self) -> int:
        """Number of anchors: windows in an epoch."""
        return len(self.sampler)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> TensorDict:
        """`WindowSampler.batch` with goals; the tensors are reused: they hold until the next call."""
        batch = self.sampler.batch(step, rank, world).copy()
        batch["obs"] = batch["obs"].copy()
        number = np.random.default_rng([self.seed, GOAL_STREAM, step]).random(self.sampler.batch_size)
        return self._add(batch, self.sampler.anchors(step)[rank::world], number[rank::world], reuse=True)

    def at(self, anchors: Sequence[int] | ndarray) -> TensorDict:
        """`WindowSampler.at` with goals, the same ones at every call."""
        if self._fixed is None:
            self._fixed = np.random.default_rng([self.seed, FIXED_STREAM]).random(len(self))
        chosen = np.asarray(anchors, dtype=np.int64)
        return self._add(self.sampler.at(chosen), chosen, self._fixed[chosen], reuse=False)

    def anchors(self, step: int) -> ndarray:
        """See `WindowSampler.anchors`."""
        return self.sampler.anchors(step)

    def locate(self, anchors: Sequence[int] | ndarray) -> list[tuple[str, int]]:
        """See `WindowSampler.locate`."""
        return self.sampler.locate(anchors)

    def _add(self, batch: TensorDict, anchors: ndarray, number: ndarray, reuse: bool) -> TensorDict:
        store = self.sampler.store
        episode, time = self.sampler.place(anchors)
        present = store.starts[episode] + time
        rows = present + self.offset.from_uniform(number, store.ends[episode] - 1 - present)
        for key in self.keys:
            array = store.arrays[f"obs/{key}"]
            if not reuse:
                goal = array[rows]
            else:
                shape = (len(rows), *array.shape[1:])
                goal = self._buffers.setdefault((key, len(rows)), np.empty(shape, array.dtype))
                np.take(array, rows, axis=0, out=goal, mode="clip")
            loaded = batch["obs"].get(nested(key), None)
            frames = self.sampler.history if loaded is None else max(self.sampler.history, loaded.shape[1])
            repeated = torch.from_numpy(goal)[:, None].expand(-1, frames, *goal.shape[1:])
            batch["obs"][nested(f"goal_{key}")] = repeated
        return batch


def goal_spec(spec: DataSpec, keys: Sequence[str]) -> DataSpec:
    """The specification of data with goals of ``keys`` beside its observations."""
    return replace(spec, obs={**spec.obs, **{f"goal_{key}": spec.obs[key] for key in keys}})


def goal_statistics(statistics: dict[str, Statistics], keys: Sequence[str]) -> dict[str, Statistics]:
    """Statistics of data with goals of ``keys``: a goal is scaled as the observation that it is compared with."""
    return {**statistics, **{f"goal_{key}": statistics[key] for key in keys if key in statistics}}
