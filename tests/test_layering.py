"""The import rule: types <- parts <- jepa <- {train, plan} <- evaluate <- recipes <- command line.

Data imports only types; environments and policies stay outside of the library.
"""

import ast
from pathlib import Path

import pytest

PARTS = {"types", "blocks", "targets", "views", "encoders", "predictors", "objectives", "normalize", "collapse"}
MODEL = PARTS | {"jepa", "learner"}
FLOW = MODEL | {"data", "train", "plan"}
LIBRARY = FLOW | {"evaluate", "recipes"}

# What each part of worldjepa may import of worldjepa; itself is always allowed.
MAY_IMPORT = {
    "types": set(),
    "blocks": {"types"},
    "normalize": {"types"},
    "collapse": {"types"},
    "targets": {"types", "blocks"},
    "views": {"types", "blocks"},
    "encoders": {"types", "blocks"},
    "predictors": {"types", "blocks"},
    "objectives": {"types", "blocks"},
    "data": {"types"},
    "jepa": PARTS,
    "learner": PARTS | {"jepa"},
    "train": MODEL | {"data"},
    "plan": MODEL | {"data"},
    "evaluate": FLOW,
    "recipes": FLOW | {"evaluate"},
    "commands": LIBRARY,
    "cli": LIBRARY | {"commands"},
    "__main__": {"cli"},
    "__init__": LIBRARY,
}
SIBLINGS = {"worldjepa_envs", "worldjepa_policies"}


def imported(path: Path, package: str) -> list[tuple[str, bool]]:
    """(dotted name, at module level) of every import of a file, relative ones resolved against ``package``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {id(x) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for x in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            stem = ".".join(x for x in (base, node.module) if x)
            names = [f"{stem}.{alias.name}" for alias in node.names] if stem in {"worldjepa", ""} else [stem]
            found += [(name, id(node) not in lazy) for name in names]
    return found


def sources(root: Path, package: str) -> list[tuple[str, Path, str]]:
    """(part, file, package of the file) for every module of a package below ``root``."""
    rows = []
    for path in sorted((root / package).rglob("*.py")):
        inner = path.relative_to(root / package)
        rows.append((inner.parts[0].removesuffix(".py"), path, ".".join((package, *inner.parts[:-1]))))
    return rows


def breaches(root: Path) -> list[str]:
    """Imports inside worldjepa that break the rule."""
    found = []
    for part, path, package in sources(root, "worldjepa"):
        name = path.relative_to(root)
        if part not in MAY_IMPORT:
            found.append(f"{name}: {part} is not a part of the design; add it to MAY_IMPORT with what it may import")
            continue
        for module, at_module_level in imported(path, package):
            head, *rest = module.split(".")
            if head in SIBLINGS and (at_module_level or part != "commands"):
                found.append(f"{name}: worldjepa may not import {module}")
            if head == "worldjepa" and rest and rest[0] != part and rest[0] not in MAY_IMPORT[part]:
                found.append(f"{name}: {part} may not import {module}")
    return found


def test_the_library_flows_one_way(repository: Path) -> None:
    assert breaches(repository) == []


def test_environments_know_at_most_the_types(repository: Path) -> None:
    found = []
    for _, path, package in sources(repository / "envs", "worldjepa_envs"):
        for module, _ in imported(path, package):
            if module.split(".")[0] in {"worldjepa_policies", "worldjepa"} and not module.startswith("worldjepa.types"):
                found.append(f"{path.name}: {module}")
    assert found == []


def test_policies_import_environments_only_when_asked(repository: Path) -> None:
    found = []
    for _, path, package in sources(repository / "policies", "worldjepa_policies"):
        for module, at_module_level in imported(path, package):
            parts = module.split(".")
            if (parts[0] == "worldjepa_envs" and at_module_level) or parts[:2] in (
                ["worldjepa", "cli"],
                ["worldjepa", "commands"],
            ):
                found.append(f"{path.name}: {module}")
    assert found == []


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("worldjepa/types.py", "from worldjepa.jepa import JEPA", "types may not import worldjepa.jepa"),
        ("worldjepa/data/store.py", "from worldjepa import train", "data may not import worldjepa.train"),
        ("worldjepa/data/store.py", "from ..train import fit", "data may not import worldjepa.train"),
        ("worldjepa/jepa.py", "def f():\n    import worldjepa_envs", "worldjepa may not import worldjepa_envs"),
        ("worldjepa/commands/envs.py", "import worldjepa_envs", "worldjepa may not import worldjepa_envs"),
        ("worldjepa/extra.py", "", "extra is not a part of the design"),
    ],
)
def test_a_breach_is_seen(tmp_path: Path, file: str, line: str, message: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    (found,) = breaches(tmp_path)
    assert message in found


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("worldjepa/jepa.py", "from worldjepa.types import Views\nfrom .targets import EMATarget"),
        ("worldjepa/commands/envs.py", "def f():\n    import worldjepa_envs"),
        ("worldjepa/data/store.py", "from worldjepa.data.episodes import Episode"),
    ],
)
def test_what_is_allowed_is_not_reported(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert breaches(tmp_path) == []
