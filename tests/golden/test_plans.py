"""Plans of a small problem at a fixed seed: a refactoring that changes one changes what users get."""

import pytest

from tests.plan.planners import ALL, HIGH, LOW, Quadratic, centres, generators, quick, start

GOLDEN = {
    "cem": ([0.0606464, 0.1301231], [0.3324097, 0.5508620, -0.2133078, -0.3443121], 385),
    "gradient": ([1.6076347, 2.1227100], [0.2883918, 0.2961149, -0.2851046, -0.2895086], 32),
    "icem": ([0.1843229, 0.0700862], [0.2736157, 0.3451322, -0.1829583, -0.2890414], 312),
    "mppi": ([0.0369967, 0.0412860], [0.3752376, 0.5661602, -0.2520356, -0.3349221], 385),
    "shooting": ([1.8170561, 1.1885852], [0.7377998, 1.1150205, 0.5197492, 0.1244988], 384),
}
"""Costs of both rows, the first row's actions in dimension 0, sequences evaluated."""


@pytest.mark.parametrize("name", sorted(ALL))
def test_plans_are_as_before(name) -> None:
    plan = quick(name).plan(Quadratic(centres(2)), start(2), generators(2, seed=3), low=LOW, high=HIGH)
    cost, action, num_evaluated = GOLDEN[name]
    assert plan.cost.tolist() == pytest.approx(cost, abs=1e-4)
    assert plan.action[0, :, 0].tolist() == pytest.approx(action, abs=1e-4)
    assert plan.num_evaluated == num_evaluated
