"""What a person sees of a run: a bar with an ETA on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.5


class ProgressView:
    """Shows how far a run is. Costs a clock reading a step and starts no thread.

    Args:
        shown: False shows nothing.
        steps: steps in all, None where time alone ends the run.
        done: fraction that earlier sessions have done.
        console: where to; standard error by default.
    """

    def __init__(self, shown: bool, steps: int | None, done: float = 0.0, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._shown = shown
        self._steps = steps
        self._begin = (time.monotonic(), done)
        self._next = 0.0
        self._bar: Progress | None = None
        if shown and self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[text]}"))
            self._bar = Progress(*columns, console=self._console, auto_refresh=False)
            self._task = self._bar.add_task("training", total=1.0, text="")

    def __enter__(self) -> "ProgressView":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, step: int, done: float, row: dict[str, float]) -> None:
        """Show that ``step`` steps and the fraction ``done`` of the run are over, with the newest metrics (or none)."""
        now = time.monotonic()
        if not self._shown or (now < self._next and done < 1):
            return
        self._next = now + (BAR_EVERY_S if self._bar else LINE_EVERY_S)
        text = self._text(step, done, now, row)
        if self._bar:
            self._bar.update(self._task, completed=done, text=text, refresh=True)
        else:
            self._console.print(f"training {min(done, 1):4.0%}  {text}", highlight=False, soft_wrap=True)

    def _text(self, step: int, done: float, now: float, row: dict[str, float]) -> str:
        begin, before = self._begin
        note = f"loss {row['loss']:.4g}  lr {row['lr']:.2g}  " if row else ""
        of = f"/{self._steps}" if self._steps else ""
        left = (now - begin) * (1 - done) / (done - before) if done > before else None
        return f"step {step}{of}  {note}ETA {'?' if left is None else duration(left)}"


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    whole = max(round(seconds), 0)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
