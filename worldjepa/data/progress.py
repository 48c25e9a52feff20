"""Progress of a number of episodes: a bar with the time left, a function, or nothing."""

from collections.abc import Callable
from typing import Any

ProgressOption = bool | Callable[[int, int, int], None]
"""True: a bar on standard error; a function: called with (episodes done, all episodes, successes); False: nothing."""


class Progress:
    """A context manager that is told of every finished episode."""

    def __init__(self, option: ProgressOption, total: int, text: str):
        self._option, self._total, self._text = option, total, text
        self._done = 0
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> "Progress":
        if self._option is True:
            from rich import progress
            from rich.console import Console

            columns = (
                *("[progress.description]{task.description}", progress.BarColumn(), progress.MofNCompleteColumn()),
                *("{task.fields[rate]}", progress.TimeElapsedColumn(), "left", progress.TimeRemainingColumn()),
            )
            self._bar = progress.Progress(*columns, console=Console(stderr=True))
            self._row = self._bar.add_task(self._text, total=self._total, rate="")
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, num_successes: int | None) -> None:
        """One more episode is done; ``num_successes`` of all so far were solved, None where nobody says."""
        self._done += 1
        if self._bar is not None:
            rate = "" if num_successes is None else f"success {num_successes / self._done:.0%}"
            self._bar.update(self._row, advance=1, rate=rate)
        elif callable(self._option):
            self._option(self._done, self._total, num_successes or 0)
