"""Factors of variation: chosen by name, value or seed, and refused with a list of what there is."""

import numpy as np
import pytest
from gymnasium import spaces

from worldjepa_envs.variation import Factor, Factors, colour, number, stream, switch

FACTORS = Factors(
    {
        "size": number(0.5, 2.0, 1.0),
        "color": colour((10, 20, 30)),
        "shift": Factor(spaces.Box(-1.0, 1.0, (2,), np.float64), (0.0, 0.0)),
        "noise": switch(),
    }
)
DEFAULTS = {"size": 1.0, "color": (10, 20, 30), "shift": (0.0, 0.0), "noise": 0}


def choose(variation, seed: int = 0, episode: int = 0):
    own = stream(seed)
    own.episode = episode
    return FACTORS.choose(FACTORS.check(variation), own)


@pytest.mark.parametrize("variation", [None, [], {}])
def test_nothing_varies_unless_asked_for(variation):
    assert choose(variation) == DEFAULTS


def test_values_are_taken_as_given():
    assert choose({"size": 2, "color": [1, 2, 255], "noise": True}) == {
        **DEFAULTS,
        "size": 2.0,
        "color": (1.0, 2.0, 255.0),
        "noise": 1,
    }


def test_a_name_draws_within_the_space_and_leaves_the_rest():
    for seed in range(50):
        values = choose(["size", "color"], seed)
        assert 0.5 <= values["size"] <= 2.0
        assert values["shift"] == (0.0, 0.0)
        assert values["noise"] == 0
    assert choose("size") == choose(["size"]) == choose({"size": "random"})


def test_draws_depend_on_seed_and_episode_and_not_on_other_factors():
    assert choose(["size"], 3)["size"] == choose("all", 3)["size"]
    assert choose(["size"], 3) != choose(["size"], 4)
    assert choose(["size"], 3, episode=1) != choose(["size"], 3)
    assert len({choose("all", seed)["noise"] for seed in range(20)}) == 2


def test_draws_leave_the_generator_of_starts_alone():
    own = stream(5)
    own.episode = 0
    FACTORS.choose(FACTORS.check("all"), own)
    assert own.generator.uniform() == stream(5).generator.uniform()


def test_random_pale_and_strong_colours_can_be_told_apart():
    factors = Factors({"object": colour((0, 0, 0)), "floor": colour((255, 255, 255), pale=True)})
    for seed in range(200):
        own = stream(seed)
        own.episode = 0
        values: dict = factors.choose(factors.check("all"), own)
        assert max(np.subtract(values["floor"], values["object"])) > 60


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        ("sise", "size, color, shift, noise"),
        (["size", "weight"], r"\['weight'\]; there are size"),
        ({"size": 3.0}, r"'size' must be .*Box\(0.5, 2.0"),
        ({"size": "big"}, "'size'"),
        ({"size": [1.0]}, "'size'"),
        ({"color": (1, 2)}, "'color'"),
        ({"color": (1, 2, 256)}, "'color'"),
        ({"noise": 2}, r"Discrete\(2\)"),
        ({"noise": 0.5}, r"Discrete\(2\)"),
    ],
)
def test_unknown_names_and_values_are_refused(variation, message):
    with pytest.raises(ValueError, match=message):
        FACTORS.check(variation)
