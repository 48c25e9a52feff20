"""The tables of the command line agree with the library."""

from dataclasses import fields

import pytest

from worldjepa.commands import train
from worldjepa.recipes import RECIPES
from worldjepa.train import FitConfig


def test_the_recipes_offered_are_those_of_the_library() -> None:
    assert set(train.RECIPES) == set(RECIPES)
    assert all(name in train.USAGE for name in RECIPES)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_setting_is_in_the_help_and_can_be_given(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.parse([name, "--help"])
    text = capsys.readouterr().out
    for part, config in (("model", RECIPES[name].config), ("fit", FitConfig), ("episodes", train.Selection)):
        for field in fields(config):
            assert f"--{part}.{field.name.replace('_', '-')}" in text
    words = ["--fit.lr", "0.5", "--fit.betas", "0.5", "0.6", "--model.normalization", "minmax"]
    options = train.parse([name, "data.hdf5", *words])
    assert (options.recipe, options.fit.lr, options.fit.betas) == (name, 0.5, (0.5, 0.6))
    assert options.model.normalization == "minmax"


def test_underscores_are_understood_as_well() -> None:
    assert train.parse(["bc", "data.hdf5", "--fit.batch_size", "7"]).fit.batch_size == 7


def test_flags_may_come_before_the_recipe() -> None:
    options = train.parse(["--debug", "--resume", "bc", "data.hdf5"])
    assert (options.recipe, options.debug, options.resume) == ("bc", True, True)
