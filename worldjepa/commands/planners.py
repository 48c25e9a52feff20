"""How the command line plans with a world model: which planner, how long, and toward what."""

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from worldjepa.commands.evaluate import Options
    from worldjepa.plan import Planner

PlannerName = Literal["cem", "icem", "mppi", "gradient", "shooting"]
SAMPLES = 300
"""Sequences an iteration, where none are asked for."""


def planning(source: str, options: "Options") -> dict[str, Any]:
    """Arguments of `worldjepa_policies.load_policy` for a world model.

    Raises:
        ValueError: settings that make no sense.
    """
    from worldjepa.evaluate.world_model import planning_horizon
    from worldjepa.recipes import from_pretrained

    learner = from_pretrained(source)
    return {
        "planner": make_planner(options, learner.origin.config.stride),
        "horizon": planning_horizon(learner, options.plan_horizon),
        "execute": options.execute,
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
        ValueError: settings that make no sense.
    """
    from worldjepa.plan import CEM, ICEM, MPPI, GradientPlanner, RandomShooting

    given = {"iterations": options.plan_iterations, "budget_ms": options.budget_ms}
    shared: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.planner == "gradient":
        return GradientPlanner(**shared, **({} if options.plan_samples is None else {"restarts": options.plan_samples}))
    shared["num_samples"] = samples = SAMPLES if options.plan_samples is None else options.plan_samples
    if options.planner == "mppi":
        return MPPI(**shared)
    if options.planner == "shooting":
        return RandomShooting(**shared)
    shared["num_elites"] = min(30, max(2, samples // 10))
    return ICEM(**shared, block=stride) if options.planner == "icem" else CEM(**shared)
