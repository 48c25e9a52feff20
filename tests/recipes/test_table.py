"""The recipe table: names, presets, configurations as JSON."""

import json

import pytest
from toys import SPEC

from worldjepa.recipes import RECIPES, recipe
from worldjepa.recipes.table import config_from_json, config_to_json

PRESETS = [(name, preset) for name in RECIPES for preset in RECIPES[name].presets]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_configurations_survive_json(name, preset) -> None:
    config = RECIPES[name].presets[preset]()
    assert isinstance(config, RECIPES[name].config)
    assert config_from_json(name, json.loads(json.dumps(config_to_json(config)))) == config


@pytest.mark.parametrize("name", ["act", "act_jepa", "bc", "gcbc"])
def test_small_policies_build_for_any_states(name) -> None:
    config = RECIPES[name].presets["small"]()
    model, objective = RECIPES[name].build(config, SPEC)
    assert (model.predictor is not None) == (name == "act_jepa")
    assert len(objective.weights) == (2 if name == "act_jepa" else 1)
    window = RECIPES[name].window(config, SPEC)
    assert window.horizon >= config.chunk
    assert window.keys == ("agent/pos", "block")


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ValueError, match=r"no recipe 'diffusion'; there are .*'act_jepa'"):
        recipe("diffusion")
    with pytest.raises(ValueError, match=r"no fields \['chunks'\]; it has .*'chunk'"):
        config_from_json("bc", {"chunks": 3})
