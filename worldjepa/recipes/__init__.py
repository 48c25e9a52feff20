"""One file per published system; `RECIPES` names them."""

from worldjepa.recipes import ac_jepa, act_jepa, bc, gcbc, seq_jepa, view_pairs
from worldjepa.recipes.pretrained import from_pretrained, push_to_hub, save_pretrained
from worldjepa.recipes.table import RECIPES, fit_statistics, make_learner, recipe

__all__ = [
    "RECIPES",
    "ac_jepa",
    "act_jepa",
    "bc",
    "fit_statistics",
    "from_pretrained",
    "gcbc",
    "make_learner",
    "push_to_hub",
    "recipe",
    "save_pretrained",
    "seq_jepa",
    "view_pairs",
]
