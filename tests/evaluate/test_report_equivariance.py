"""Charts of the equivariance suite show the numbers they are given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldjepa.evaluate.report_equivariance import by_training_length, plot_views, save_png, summary


def score(value: float) -> dict[str, float]:
    return {"estimate": value, "low": value - 0.05, "high": value + 0.05}


def record(name: str, observed: int, *, aggregated: bool = True, base: float = 0.5) -> dict[str, Any]:
    accuracy = {"encoder": {"1": score(base), "4": score(base + 0.1)}, "pixels": {"1": score(0.1), "4": score(0.2)}}
    path = {name: {"1": {"turn": score(1.0)}, "4": {"turn": score(0.3)}} for name in ("all", "no actions", "no views")}
    if aggregated:
        accuracy = {"aggregate": {"1": score(base + 0.02), "4": score(base + 0.3)}, **accuracy}
    mrr = {"num_views": 8, "model": {"mrr": score(0.4)}}
    return {
        "run": name,
        "observed": observed,
        "lengths": [1, 4],
        "groups": ["turn", "floor_hue"],
        "accuracy": accuracy,
        "chance": 0.05,
        "relative": {"encoder": {"turn": score(0.7)}, "pixels": {"turn": score(-2.0), "floor_hue": score(0.2)}},
        "path_integration": path if aggregated else None,
        "retrieval": {"1": mrr} if aggregated else None,
    }


def test_one_run_is_drawn_as_curves() -> None:
    accuracy, path, change = plot_views([record("a", 3)]).axes
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in accuracy.lines}
    assert lines["Aggregate"] == [0.52, 0.8]
    assert lines["Encoder, mean of views"] == [0.5, 0.6]
    assert {line.get_label() for line in path.lines} == {"Views and actions", "No views", "No actions"}
    points = {line.get_label(): np.asarray(line.get_xdata()).tolist() for line in change.lines}
    assert points["Encoder"] == [0.7]
    assert points["Pixels"] == [-0.25, 0.2]  # far below the axis is drawn at its edge


def test_runs_of_several_training_lengths_are_a_heat_map() -> None:
    runs = [record("b", 4, base=0.4), record("a", 2, base=0.3)]
    accuracy, path, _ = plot_views(runs).axes
    assert [x.get_text() for x in accuracy.get_xticklabels()] == ["2", "4"]
    cells = [x.get_text() for x in accuracy.texts]
    assert cells == ["32.0", "42.0", "60.0", "70.0"]  # rows: 1 and 4 views at inference
    assert [x.get_text() for x in path.texts] == ["1.00", "1.00", "0.30", "0.30"]


def test_runs_of_one_training_length_are_told_apart_by_name() -> None:
    runs = [record("a", 2), record("b", 2), record("c", 4)]
    labels = [x.get_text() for x in plot_views(runs).axes[0].get_xticklabels()]
    assert labels == ["2\na", "2\nb", "4"]


def test_baselines_stand_beside_as_means_of_their_features() -> None:
    runs = [record("ours", 3), record("simclr", 1, aggregated=False)]
    assert not by_training_length(runs)
    accuracy, path, _ = plot_views(runs).axes
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in accuracy.lines}
    assert lines["ours, aggregate"] == [0.52, 0.8]
    assert lines["simclr, mean"] == [0.5, 0.6]
    assert "Views and actions" in {line.get_label() for line in path.lines}


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    bare = {**record("a", 1, aggregated=False), "accuracy": None}
    figure = plot_views([bare])
    assert len(figure.axes) == 1
    assert save_png(figure, tmp_path / "bare.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="at least one record"):
        plot_views([])


def test_the_summary_names_its_lengths() -> None:
    found = {name: x["estimate"] for name, x in summary(record("a", 3)).items()}
    assert found == {
        "top-1, one view": 0.5,
        "top-1, mean of 4": 0.6,
        "top-1, aggregate of 4": 0.8,
        "R\u00b2 of turn": 0.7,
        "MRR of 8 views": 0.4,
    }
