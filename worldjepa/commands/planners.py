"""How the command line plans with a world model: which planner, how long, and toward what."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from worldjepa.commands.evaluate import Options
    from worldjepa.plan import Planner

PlannerName = Literal["cem", "icem", "mppi", "gradient", "shooting"]
SAMPLES = 300
"""Sequences an iteration, where none are asked for."""


def planning(stride: int, options: "Options") -> dict[str, Any]:
    """Arguments of `worldjepa_policies.load_policy` for a world model.

    Args:
        stride: control steps of an action block.
        options: of the command.

    Raises:
        ValueError: settings that make no sense.
    """
    return {
        "planner": make_planner(options, stride),
        "horizon": options.plan_horizon,
        "execute": options.execute,
        "reduce": options.plan_reduce,
        "device": options.device,
        **weights(options),
    }


def weights(options: "Options") -> dict[str, float]:
    """Of the parts of the cost, see `worldjepa_policies.costs.mixed_cost`."""
    return {
        "goal": options.plan_goal,
        "reward": options.plan_reward,
        "success": options.plan_success,
        "penalty": options.plan_penalty,
    }


def make_planner(options: "Options", stride: int) -> "Planner":
    """The planner asked for; what is not asked for is as the planner has it, but 300 samples for all that draw them.

    Args:
        options: of the command.
        stride: control steps of an action block.

    Raises:
        ValueError: settings that make no sense, or that the planner does not have.
    """
    from worldjepa.plan import CEM, ICEM, MPPI, GradientPlanner, RandomShooting

    kinds = {"cem": CEM, "icem": ICEM, "mppi": MPPI, "gradient": GradientPlanner, "shooting": RandomShooting}
    kind: Any = kinds[options.planner]
    has = {field.name for field in fields(kind)}
    asked = {
        "iterations": ("--plan-iterations", options.plan_iterations),
        "budget_ms": ("--budget-ms", options.budget_ms),
        "std": ("--plan-std", options.plan_std),
        "beta": ("--plan-beta", options.plan_beta),
    }
    given = {name: value for name, (_, value) in asked.items() if value is not None}
    foreign = [asked[name][0] for name in given if name not in has]
    if foreign:
        raise ValueError(f"--planner {options.planner} has no {' and no '.join(foreign)}: leave it out")
    if options.planner == "gradient":
        return kind(**given, **({} if options.plan_samples is None else {"restarts": options.plan_samples}))
    given["num_samples"] = samples = SAMPLES if options.plan_samples is None else options.plan_samples
    if "num_elites" in has:
        given["num_elites"] = min(30, max(2, samples // 10))
    return kind(**given, **({"block": stride} if "block" in has else {}))
