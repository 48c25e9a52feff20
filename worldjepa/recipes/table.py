"""The recipe table: what the command line and checkpoints mean by a name."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy import ndarray

from worldjepa.data.statistics import Statistics
from worldjepa.data.store import Store
from worldjepa.jepa import JEPA
from worldjepa.learner import Learner, Origin
from worldjepa.normalize import HasStatistics, Normalizer
from worldjepa.objectives import Sum
from worldjepa.recipes import ac_jepa, act_jepa, bc, gcbc, seq_jepa, view_pairs
from worldjepa.recipes.keys import Window, check_relative, resolve_states
from worldjepa.types import DataSpec


@dataclass(frozen=True)
class Recipe:
    """A published system: its configuration, named presets, and how it is built."""

    config: type
    presets: Mapping[str, Callable[[], Any]]
    build: Callable[..., tuple[JEPA, Sum]]
    """(config, spec, **parts that a configuration cannot hold) -> model and objective."""
    window: Callable[[Any, DataSpec], Window]


def _without_jepa(preset: Callable[[], act_jepa.Config]) -> Callable[[], act_jepa.Config]:
    return lambda: act_jepa.act(preset())


RECIPES: dict[str, Recipe] = {
    "act_jepa": Recipe(
        act_jepa.Config, {"paper": act_jepa.paper, "small": act_jepa.small}, act_jepa.build, act_jepa.window
    ),
    "act": Recipe(
        act_jepa.Config,
        {"paper": _without_jepa(act_jepa.paper), "small": _without_jepa(act_jepa.small)},
        act_jepa.build,
        act_jepa.window,
    ),
    "bc": Recipe(bc.Config, {"small": bc.Config}, bc.build, bc.window),
    "gcbc": Recipe(gcbc.Config, {"small": gcbc.Config}, gcbc.build, gcbc.window),
    "ac_jepa": Recipe(
        ac_jepa.Config,
        {
            "small": ac_jepa.small,
            "states": ac_jepa.states,
            "lewm": ac_jepa.lewm,
            "pldm": ac_jepa.pldm,
            "dino_wm": ac_jepa.dino_wm,
        },
        ac_jepa.build,
        ac_jepa.window,
    ),
    "seq_jepa": Recipe(
        seq_jepa.Config,
        {
            "small": seq_jepa.small,
            "threedie": seq_jepa.threedie,
            "cifar": seq_jepa.cifar,
            "tiny_imagenet": seq_jepa.tiny_imagenet,
            "saccades": seq_jepa.saccades,
        },
        seq_jepa.build,
        seq_jepa.window,
    ),
    "view_pairs": Recipe(view_pairs.Config, view_pairs.presets(), view_pairs.build, view_pairs.window),
}


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {sorted(RECIPES)}")
    return RECIPES[name]


def config_from_json(name: str, values: Mapping[str, Any]) -> Any:
    """The frozen Config of a recipe from JSON values, lists made tuples.

    Raises:
        ValueError: fields the recipe does not have.
    """
    kind = recipe(name).config
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"recipe {name!r} has no fields {unknown}; it has {sorted(known)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def config_to_json(config: Any) -> dict[str, Any]:
    """JSON values of a Config."""
    return json.loads(json.dumps(asdict(config)))


def fit_statistics(config: Any, store: Store, episodes: Sequence[int] | ndarray) -> dict[str, Statistics]:
    """The statistics that a learner of this configuration needs, over the training ``episodes`` of ``store``.

    Where actions are counted from an observation, those of the action are of the offsets in all chunks.
    """
    found = store.statistics(episodes)
    if getattr(config, "relative_to", None) is not None:
        check_relative(config.relative_to, resolve_states(config.state_keys, store.spec), store.spec)
        found["action"] = store.offset_statistics(config.relative_to, config.chunk, episodes)
    return found


def make_learner(
    name: str, config: Any, spec: DataSpec, statistics: Mapping[str, HasStatistics] | None, **parts: Any
) -> Learner:
    """A fresh learner with the statistics of its training episodes inside.

    Args:
        name: of the recipe.
        config: the recipe's Config.
        spec: of the data.
        statistics: by observation key and "action", of the training episodes. None: they are loaded afterwards (a
            checkpoint's); until then everything is NaN.
        parts: what a configuration cannot hold, for recipes that take it: ``features``, a frozen encoder.

    Raises:
        ValueError: statistics of a needed key are missing.
    """
    part = recipe(name)
    if name == "act" and getattr(config, "jepa_weight", 0.0) != 0.0:
        raise ValueError(
            f"recipe 'act' has no latent loss: jepa_weight must be 0, got {config.jepa_weight}; train act_jepa"
        )
    window = part.window(config, spec)
    keys = [k for k in window.keys if spec.obs[k].kind == "state"]
    goals = {f"goal_{k}": k for k in window.goal_keys if k in keys}
    model, objective = part.build(config, spec, **parts)
    frame = {"relative_to": getattr(config, "relative_to", None), "now": window.history - 1}
    if statistics is None:
        shapes = {**{k: spec.obs[k].shape for k in keys}, "action": (spec.action_dim * window.stride,)}
        shapes |= {goal: shapes[key] for goal, key in goals.items()}
        normalizer = Normalizer.empty(shapes, **frame)
    else:
        missing = [k for k in [*keys, "action"] if k not in statistics]
        if missing:
            raise ValueError(
                f"normalisation statistics of {missing} are missing; there are some for {sorted(statistics)}"
            )
        wanted = {**{k: statistics[k] for k in keys}, "action": _of_blocks(statistics["action"], window.stride)}
        wanted |= {goal: statistics[key] for goal, key in goals.items()}
        normalizer = Normalizer(wanted, mode=config.normalization, **frame)
    return Learner(normalizer, model, objective, Origin(name, config, spec))


def _of_blocks(action: HasStatistics, stride: int) -> HasStatistics:
    """Statistics of blocks of ``stride`` actions side by side."""
    if stride == 1:
        return action
    parts = {name: np.tile(getattr(action, name), stride) for name in ("mean", "std", "min", "max")}
    return cast(HasStatistics, SimpleNamespace(**parts))
