"""The success table in a terminal and in Markdown."""

import io

import numpy as np
import pytest
from rich.console import Console

from tests.evaluate.run_folder import evaluation
from worldjepa.evaluate.results import EpisodeResult, Evaluation
from worldjepa.evaluate.table import success_markdown, success_table

PAIR = {
    "a": "act_jepa",
    "b": "act",
    "difference": 0.15,
    "low": 0.06,
    "high": 0.24,
    "p_value": 0.001,
    "test": "exact McNemar",
}


def some(*policies: str) -> list[dict]:
    return [evaluation(policy, np.random.default_rng(0), 100) for policy in policies]


def shown(table) -> str:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(table)
    return console.file.getvalue().replace("\u00a0", " ")


def test_markdown_holds_the_rates_in_order():
    text = success_markdown(some("random", "act", "act_jepa"), {"pairs": [PAIR]})
    lines = text.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["ACT-JEPA", "ACT", "Random"]
    assert "| 87.0 % [79.0, 92.2] | 87/100 | 0.9" in lines[2]
    assert {line.count("|") for line in lines[:5]} == {7}
    assert lines[-1].startswith("- ACT-JEPA succeeds 15 points more often than ACT. (95 % interval")


def test_terminal_table_shows_the_same_cells():
    found = some("act_jepa", "noop")
    text = shown(success_table(found, {"pairs": [PAIR]}))
    for row in success_markdown(found).splitlines()[2:4]:
        for cell in row.strip("| ").split(" | "):
            assert cell in text
    assert "exact McNemar" in text


def test_policies_without_a_score_and_with_odd_names():
    plain = some("my|policy [bold]")[0] | {"score": None}
    assert "my\\|policy [bold]" in success_markdown([plain])
    assert "my|policy [bold]" in shown(success_table([plain]))
    mixed = success_markdown([plain, *some("act")])
    assert mixed.splitlines()[3].count("\u2014") == 1


def test_evaluations_are_taken_as_they_are():
    episodes = tuple(
        EpisodeResult(i, i, i < 3, 20, 10 * (i + 1) if i < 3 else None, 0.0, None, None, None, None) for i in range(4)
    )
    result = Evaluation("bc", "x", {}, {}, 0, episodes, 20, 1, None, {"median": 1.0, "mean": 1.0, "p95": 2.0})
    row = success_markdown([result]).splitlines()[2]
    assert row == "| BC | 75.0 % [30.1, 95.4] | 3/4 | 20 | 1.0 |"


def test_no_evaluation():
    with pytest.raises(ValueError, match="at least one evaluation"):
        success_table([])
