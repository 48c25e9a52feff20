"""What the three packages offer by name, and what importing them costs."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import worldjepa

PACKAGES = ("worldjepa", "worldjepa_envs", "worldjepa_policies")
NAMES = {
    *("DataSpec", "Episode", "Evaluation", "FitConfig", "JEPA", "Learner", "Manifest", "Normalizer", "ObsSpec"),
    *("Policy", "Prediction", "RECIPES", "RobomimicWriter", "Store", "Task", "Views", "WindowSampler", "collect"),
    *("fit", "from_pretrained", "make_learner", "make_manifest", "open_source", "open_store", "push_to_hub"),
    *("save_pretrained", "split_episodes", "task", "write_report"),
}
"""Removing one of these breaks users: say so in CHANGELOG.md."""


def test_the_public_names_are_these() -> None:
    assert set(worldjepa.__all__) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(worldjepa, name) is not None


def test_names_for_type_checkers_are_the_public_ones(repository: Path) -> None:
    tree = ast.parse((repository / "worldjepa" / "__init__.py").read_text())
    block = next(x for x in tree.body if isinstance(x, ast.If))
    known = {a.asname for x in block.body if isinstance(x, ast.ImportFrom) for a in x.names}
    assert known == NAMES


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="WindowSampler"):
        worldjepa.WindowSamplr  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, worldjepa; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_all_names_of_every_module_exist() -> None:
    """A name in ``__all__`` that nobody imported breaks ``from module import *``."""
    missing = []
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name.endswith("__main__"):
                continue
            loaded = importlib.import_module(module.name)
            missing += [f"{module.name}.{x}" for x in getattr(loaded, "__all__", []) if not hasattr(loaded, x)]
    assert missing == []


def test_optional_packages_are_imported_only_when_asked_for() -> None:
    heavy = ["torchvision", "timm", "lerobot", "jax", "gym_pusht", "metaworld", "robosuite", "zarr"]
    code = (
        "import sys, worldjepa, worldjepa_envs, worldjepa_policies\n"
        "[getattr(worldjepa, name) for name in worldjepa.__all__]\n"
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
