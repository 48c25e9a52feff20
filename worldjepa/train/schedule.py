"""When a run ends and how fast it learns until then."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from worldjepa.train.config import FitConfig


def learning_rate(config: FitConfig, step: int, done: float) -> float:
    """Linear warm-up times cosine decay.

    The warm-up counts steps; the cosine follows the part of the run that is done, so that a run with a time budget
    reaches the same final rate as one with a number of steps.

    Args:
        step: steps already made, from 0.
        done: fraction of the run that is over, in [0, 1].
    """
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.lr * warm * (config.lr_final + (1 - config.lr_final) * cosine)


class Clock:
    """Training time: runs from its making, stands still while paused.

    Args:
        config: says which clock and what the budget is.
        seconds: time already spent, from a checkpoint.
    """

    def __init__(self, config: FitConfig, seconds: float = 0.0):
        self._config = config
        self._now = time.process_time if config.clock == "cpu" else time.perf_counter
        self._start = self._now() - seconds

    @property
    def seconds(self) -> float:
        """Training time so far, over all sessions of the run."""
        return self._now() - self._start

    @property
    def timed(self) -> bool:
        """Whether time can end the run."""
        return self._config.max_seconds is not None

    def done(self, step: int) -> float:
        """Fraction of the run that is over after ``step`` steps; at least 1 when it has to end."""
        by_steps = step / self._config.steps if self._config.steps else 0.0
        by_time = self.seconds / self._config.max_seconds if self._config.max_seconds else 0.0
        return max(by_steps, by_time)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside this block is not training time."""
        begin = self._now()
        try:
            yield
        finally:
            self._start += self._now() - begin
