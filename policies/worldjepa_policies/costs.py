"""What plans are judged by: the distance to a goal, a head's reward or success, effort; in any mixture."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from worldjepa.learner import Learner
from worldjepa.objectives import RewardHead, SuccessHead
from worldjepa.plan import Cost, Imagines, action_penalty, add, goal_cost, head_cost
from worldjepa.plan.cost import Distance, Reduce

MakeCost = Callable[[Imagines, Tensor, Tensor, Tensor | None], Cost]
"""(model, z [B, Tc, N, D], goal [B, 1, N, D], past actions [B, Tc-1, k * A] or None) -> a cost of action blocks.

Where a policy reads no goals, ``goal`` is [B, 0, N, D].
"""


def mixed_cost(
    learner: Learner,
    *,
    goal: float = 1.0,
    reward: float = 0.0,
    success: float = 0.0,
    penalty: float = 0.0,
    reduce: Reduce = "sum",
    distance: Distance = "l2",
) -> MakeCost:
    """goal * distance to the goal - reward * reward - success * log odds of success + penalty * effort.

    Args:
        learner: whose objective has the heads that are asked: those of ``ac_jepa`` with ``reward`` or ``success`` above
            0 in its configuration.
        goal, reward, success: weights, at least 0, one of them above it. What a head says is in the data's units, per
            step; the distance in the latents' units, so that weights of mixtures are to be chosen for a model.
        penalty: weight of `action_penalty`, at least 0.
        reduce, distance: see `goal_cost`; ``reduce`` is of the heads too.

    Raises:
        ValueError: a weight out of range, nothing that is wanted, a head that the learner does not have.
    """
    weights = {"goal": goal, "reward": reward, "success": success, "penalty": penalty}
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"the weight of {name} must be a finite number of at least 0, got {weight!r}")
    if not goal + reward + success:
        raise ValueError("a plan needs something to reach: give goal, reward or success a weight above 0")
    heads: list[tuple[float, Callable[[Tensor], Tensor]]] = []
    if reward:
        with _named("reward"):
            heads.append((reward, learner.objective.term(RewardHead).reward))
    if success:
        with _named("success"):
            heads.append((success, learner.objective.term(SuccessHead).logit))

    def make(model: Imagines, z: Tensor, aim: Tensor, past: Tensor | None) -> Cost:
        terms: list[tuple[float, Cost]] = []
        if goal:
            terms.append((goal, goal_cost(model, z, aim, past, reduce, distance)))
        terms += [(weight, head_cost(head, model, z, past, reduce)) for weight, head in heads]
        if penalty:
            terms.append((penalty, action_penalty))
        return add(*terms)

    return make


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"planning by {name} needs a {name} head: train the world model with a weight for it (--model.{name} 1), "
            f"on data that has it ({error})"
        ) from error
