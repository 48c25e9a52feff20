"""What a data set holds, counted in one pass over its episodes; a damaged episode is noted and passed over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from worldjepa.data.episodes import Episode, EpisodeSource


class Running:
    """Minimum, maximum, mean and standard deviation of rows that arrive in parts, in float64 (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.min = self.max = self.mean = self._squares = np.zeros(0)

    def add(self, rows: np.ndarray) -> None:
        """Take in rows [n >= 1, ...]; every call with the same trailing shape."""
        rows = rows.astype(np.float64)
        mean = rows.mean(0)
        squares = ((rows - mean) ** 2).sum(0)
        if self.count == 0:
            self.min, self.max, self.mean, self._squares = rows.min(0), rows.max(0), mean, squares
        else:
            apart, total = mean - self.mean, self.count + len(rows)
            self.min, self.max = np.minimum(self.min, rows.min(0)), np.maximum(self.max, rows.max(0))
            self._squares = self._squares + squares + apart**2 * self.count * len(rows) / total
            self.mean = self.mean + apart * len(rows) / total
        self.count += len(rows)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over all rows."""
        return np.sqrt(self._squares / max(self.count, 1))


@dataclass
class Summary:
    """Counts over the episodes that could be read."""

    lengths: list[int] = field(default_factory=list)
    """Actions of each episode."""
    with_last_frame: int = 0
    """Episodes that hold the observation after the last action."""
    values: dict[str, Running] = field(default_factory=dict)
    """By state key and "action": one row a step. By image key: one row a frame, the mean of each channel."""
    pixels: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By image key: smallest and largest pixel."""
    plain_frames: dict[str, int] = field(default_factory=dict)
    """By image key: frames of a single colour, such as black ones."""
    still_steps: int = 0
    """Steps whose action equals the one before."""
    returns: list[float] = field(default_factory=list)
    """Sum of rewards of each episode that has rewards."""
    successes: list[bool] = field(default_factory=list)
    """Flag of each episode that has one."""
    num_seeds: int = 0
    """Episodes whose seed was recorded."""
    faults: dict[str, str] = field(default_factory=dict)
    """By episode name: why it cannot be read."""


def summarize(
    source: EpisodeSource, indices: Sequence[int] | None = None, progress: Callable[[int], None] | None = None
) -> Summary:
    """Count what is in a recording.

    Args:
        source: the recording.
        indices: episodes to read; None: all.
        progress: called with 1 after each episode.
    """
    found = Summary()
    for index in range(len(source)) if indices is None else indices:
        try:
            episode = source[index]
        except (ValueError, OSError) as error:
            found.faults[source.names[index]] = str(error)
        else:
            _add(found, episode)
        if progress:
            progress(1)
    return found


def _add(found: Summary, episode: Episode) -> None:
    found.lengths.append(episode.num_actions)
    found.with_last_frame += episode.num_observations == episode.num_actions + 1
    found.values.setdefault("action", Running()).add(episode.action)
    found.still_steps += int((episode.action[1:] == episode.action[:-1]).all(1).sum())
    if episode.reward is not None:
        found.returns.append(float(episode.reward.sum()))
    if episode.success is not None:
        found.successes.append(episode.success)
    found.num_seeds += episode.seed is not None
    for key, value in episode.obs.items():
        running = found.values.setdefault(key, Running())
        if value.dtype != np.uint8 or value.ndim != 4:
            running.add(value)
            continue
        running.add(value.mean((1, 2)))
        low, high = value.min((1, 2, 3)), value.max((1, 2, 3))
        before = found.pixels.get(key, (255, 0))
        found.pixels[key] = (min(before[0], int(low.min())), max(before[1], int(high.max())))
        found.plain_frames[key] = found.plain_frames.get(key, 0) + int((low == high).sum())
