"""Imports every module of the three packages and checks where each comes from: import_all.py FOLDER."""

import importlib
import pkgutil
import sys
from pathlib import Path

PACKAGES = ("worldjepa", "worldjepa_envs", "worldjepa_policies")


def main(environment: Path) -> None:
    count = 0
    for name in PACKAGES:
        package = importlib.import_module(name)
        if not Path(package.__path__[0]).resolve().is_relative_to(environment.resolve()):
            raise SystemExit(f"{name} was imported from {package.__path__[0]}, not from {environment}")
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
                count += 1
    print(f"imported {count} modules of {', '.join(PACKAGES)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
