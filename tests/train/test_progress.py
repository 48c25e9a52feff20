"""What a person reads: an ETA that follows from what is done, lines where there is no terminal."""

import io

import pytest
from rich.console import Console

from worldjepa.train import progress
from worldjepa.train.progress import ProgressView, duration

ROW = {"loss": 0.125, "lr": 1e-3}


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_now_and_then_with_an_eta(clock):
    console = Console(file=io.StringIO(), width=200)
    with ProgressView(True, 200, done=0.25, console=console) as view:
        for second in range(51):
            clock[0] = 100.0 + second
            view.update(50 + second, 0.25 + second / 200, ROW)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 6, "at once, then every ten seconds"
    assert lines[-1] == "training  50%  step 100/200  loss 0.125  lr 0.001  ETA 1:40"


def test_a_terminal_gets_a_bar(clock):
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with ProgressView(True, None, console=console) as view:
        view.update(0, 0.0, {})
        clock[0] += 30
        view.update(7, 0.25, ROW)
    text = console.file.getvalue()
    assert "step 7  loss 0.125" in text, "without a number of steps none is shown"
    assert "ETA 1:30" in text
    assert "\x1b[" in text


def test_silence(clock):
    console = Console(file=io.StringIO())
    with ProgressView(False, 10, console=console) as view:
        view.update(10, 1.0, ROW)
    assert console.file.getvalue() == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3723, "1:02:03")])
def test_duration(seconds, text):
    assert duration(seconds) == text
