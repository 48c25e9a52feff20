"""Metrics: means over the interval, both files, and cutting back to a step."""

import json

import pytest
import torch

from worldjepa.train.log import Means, MetricsLog, read_metrics


def test_means_are_over_the_interval_and_start_anew():
    means = Means()
    for value in (1.0, 2.0, 6.0):
        means.add({"loss": torch.tensor(value, requires_grad=True), "b": torch.tensor(-value)})
    names, values = means.take()
    assert names == ["b", "loss"]
    assert values.tolist() == [-3.0, 3.0]
    assert not values.requires_grad
    means.add({"loss": torch.tensor(5.0)})
    assert means.take()[1].tolist() == [5.0]


def test_resuming_cuts_both_logs_back(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        for step in (5, 10, 15):
            log.write({"step": step, "time_s": 0.5 * step, "loss": 1.0 / step, "collapse/std": 0.5})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "lo')
    with MetricsLog(tmp_path, 10) as log:
        log.write({"step": 15, "time_s": 9.0, "loss": 7.0})
    rows = read_metrics(tmp_path)
    assert [(row["step"], row["loss"]) for row in rows] == [(5, 0.2), (10, 0.1), (15, 7.0)]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert set(board.Tags()["scalars"]) == {"loss", "collapse/std"}
    shown = board.Scalars("loss")
    assert [event.step for event in shown] == [5, 10, 15]
    assert [event.value for event in shown] == pytest.approx([0.2, 0.1, 7.0])


def test_other_processes_write_nothing(tmp_path):
    with MetricsLog(tmp_path, 0, enabled=False) as log:
        log.write({"step": 1})
    assert list(tmp_path.iterdir()) == []


def test_values_survive_exactly(tmp_path):
    value = float(torch.tensor(0.1))
    with MetricsLog(tmp_path, 0) as log:
        log.write({"step": 1, "loss": value})
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["loss"] == value
