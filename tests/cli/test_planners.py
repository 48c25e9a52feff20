"""Planners by name, with the settings that were asked for and the planner's own for the rest."""

from dataclasses import replace
from typing import Any

import pytest

from worldjepa.commands.evaluate import Options, told_goals
from worldjepa.commands.planners import make_planner, planning
from worldjepa.plan import CEM, ICEM, MPPI, GradientPlanner, RandomShooting

PLAIN = Options(("run",))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cem", CEM()),
        ("icem", ICEM(block=4)),
        ("mppi", MPPI()),
        ("gradient", GradientPlanner()),
        ("shooting", RandomShooting()),
    ],
)
def test_nothing_asked_for_is_the_planner_as_it_is(name, expected) -> None:
    assert make_planner(replace(PLAIN, planner=name), 4) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cem", CEM(num_samples=50, iterations=3, num_elites=5, budget_ms=7.5)),
        ("icem", ICEM(num_samples=50, iterations=3, num_elites=5, block=4, budget_ms=7.5)),
        ("mppi", MPPI(num_samples=50, iterations=3, budget_ms=7.5)),
        ("gradient", GradientPlanner(restarts=50, iterations=3, budget_ms=7.5)),
        ("shooting", RandomShooting(num_samples=50, iterations=3, budget_ms=7.5)),
    ],
)
def test_what_is_asked_for_reaches_every_planner(name, expected) -> None:
    options = replace(PLAIN, planner=name, plan_samples=50, plan_iterations=3, budget_ms=7.5)
    assert make_planner(options, 4) == expected


@pytest.mark.parametrize("name", ["cem", "icem", "mppi", "gradient", "shooting"])
def test_the_spread_of_first_actions_reaches_every_planner(name) -> None:
    planner: Any = make_planner(replace(PLAIN, planner=name, plan_std=1.5), 4)
    assert planner.std == 1.5


def test_the_colour_of_noise_is_for_the_planner_that_has_it() -> None:
    assert make_planner(replace(PLAIN, planner="icem", plan_beta=0.0), 4) == ICEM(block=4, beta=0.0)
    for name in ("cem", "mppi", "gradient", "shooting"):
        with pytest.raises(ValueError, match=f"--planner {name} has no --plan-beta: leave it out"):
            make_planner(replace(PLAIN, planner=name, plan_beta=1.0), 4)


def test_what_of_a_plan_is_judged_is_chosen() -> None:
    assert planning(4, PLAIN)["reduce"] == "sum"
    assert planning(4, replace(PLAIN, plan_reduce="last"))["reduce"] == "last"


@pytest.mark.parametrize("wrong", [{"plan_std": 0.0}, {"plan_samples": 0}, {"plan_iterations": 0}, {"budget_ms": 0.0}])
@pytest.mark.parametrize("name", ["cem", "icem", "mppi", "gradient", "shooting"])
def test_zero_is_no_default(name, wrong) -> None:
    with pytest.raises(ValueError, match="must be"):
        make_planner(replace(PLAIN, planner=name, **wrong), 4)


def test_a_goal_without_weight_is_not_asked_of_the_environment(tmp_path) -> None:
    for name, recipe in (("world", "ac_jepa"), ("cloner", "gcbc")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"recipe": "{recipe}"}}')
    world, cloner = str(tmp_path / "world"), str(tmp_path / "cloner")
    assert told_goals(Options((world,)))
    assert not told_goals(Options((world,), plan_goal=0.0))
    assert told_goals(Options((world, cloner), plan_goal=0.0))
