"""Closed forms of the learning rate; what the clock counts."""

import dataclasses
import math
import time

import pytest

from worldjepa.train.config import FitConfig
from worldjepa.train.schedule import Clock, learning_rate

CONFIG = FitConfig(steps=100, lr=2.0, warmup=10, lr_final=0.1)


def test_warmup_rises_linearly_to_the_peak():
    rates = [learning_rate(CONFIG, step, 0.0) for step in range(12)]
    assert rates == pytest.approx([0.2 * (step + 1) for step in range(10)] + [2.0, 2.0])


@pytest.mark.parametrize(("done", "factor"), [(0.0, 1.0), (0.5, 0.55), (1.0, 0.1), (1.3, 0.1)])
def test_cosine_follows_what_is_done(done, factor):
    assert learning_rate(CONFIG, 50, done) == pytest.approx(2.0 * factor)
    assert learning_rate(dataclasses.replace(CONFIG, warmup=0), 0, 1 / 3) == pytest.approx(
        2.0 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 3)))
    )


def test_whichever_ends_first():
    clock = Clock(dataclasses.replace(CONFIG, max_seconds=1e6))
    assert clock.done(50) == pytest.approx(0.5)
    clock = Clock(dataclasses.replace(CONFIG, max_seconds=100.0), seconds=80.0)
    assert clock.done(50) == pytest.approx(0.8, abs=1e-3)
    assert clock.done(90) == pytest.approx(0.9)
    assert Clock(dataclasses.replace(CONFIG, steps=None, max_seconds=10.0), seconds=10.0).done(1) >= 1


def test_a_pause_is_not_counted():
    clock = Clock(CONFIG, seconds=5.0)
    with clock.paused():
        time.sleep(0.2)
    assert 5.0 <= clock.seconds < 5.1


def test_the_cpu_clock_does_not_count_waiting():
    clock = Clock(dataclasses.replace(CONFIG, clock="cpu"))
    time.sleep(0.2)
    assert clock.seconds < 0.1
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert clock.seconds >= 0.1
