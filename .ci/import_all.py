"""Imports every module of the three packages and checks where each comes from: import_all.py FOLDER [--core].

With --core a module may need an extra that is not installed, if its error names the extra.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

PACKAGES = ("worldjepa", "worldjepa_envs", "worldjepa_policies")


def main(environment: Path, core: bool) -> None:
    count, waiting = 0, []
    for name in PACKAGES:
        package = importlib.import_module(name)
        if not Path(package.__path__[0]).resolve().is_relative_to(environment.resolve()):
            raise SystemExit(f"{name} was imported from {package.__path__[0]}, not from {environment}")
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if module.name.endswith(".__main__"):
                continue
            try:
                importlib.import_module(module.name)
                count += 1
            except ModuleNotFoundError as error:
                if not core or 'pip install "worldjepa[' not in str(error):
                    raise
                waiting.append(module.name)
    print(f"imported {count} modules of {', '.join(PACKAGES)}; waiting for an extra: {', '.join(waiting) or 'none'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), core="--core" in sys.argv)
