"""Planners over a cost function, and costs made of a world model's imagination."""

from worldjepa.plan.cem import CEM
from worldjepa.plan.copying import CopyLatent
from worldjepa.plan.cost import Imagines, action_penalty, add, goal_cost, head_cost, in_parts
from worldjepa.plan.gradient import GradientPlanner
from worldjepa.plan.icem import ICEM
from worldjepa.plan.mppi import MPPI
from worldjepa.plan.planner import Cost, Plan, Planner
from worldjepa.plan.shooting import RandomShooting

__all__ = [
    "CEM",
    "ICEM",
    "MPPI",
    "CopyLatent",
    "Cost",
    "GradientPlanner",
    "Imagines",
    "Plan",
    "Planner",
    "RandomShooting",
    "action_penalty",
    "add",
    "goal_cost",
    "head_cost",
    "in_parts",
]
