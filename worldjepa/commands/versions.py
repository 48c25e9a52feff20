"""Versions of packages that do not go together: by what they declare, and by what was measured when they were run."""

import importlib
import importlib.metadata
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

WATCHED = (
    "torch",
    "numpy",
    "tensordict",
    "accelerate",
    "gymnasium",
    "mujoco",
    "dm-control",
    "gym-pusht",
    "gymnasium-robotics",
    "metaworld",
    "robosuite",
    "gym-aloha",
    "minari",
    "robomimic",
    "torchvision",
    "torchrl",
    "lerobot",
)

# Simulators that import beside a newer mujoco and fail when they are stepped, though their metadata allow it.
# Measured by stepping and drawing each with mujoco 3.3.0, 3.3.7, 3.8.1, 3.9.0, 3.10.0 to 3.12.0, 3.17.0 and 4.0.0.
MEASURED = (
    ("robosuite", "mujoco", "<3.10", "mj_fullM has another signature"),
    ("gymnasium-robotics", "mujoco", "<3.12", "mujoco's enums compare differently"),
    ("metaworld", "mujoco", "<3.17", "constraint data have another size"),
    ("gym-aloha", "mujoco", "<3.9", "no dm-control release fits"),
)


@dataclass(frozen=True)
class Conflict:
    """Two installed packages that do not go together."""

    package: str
    """Package that makes a demand, with its version."""
    needs: str
    """Requirement it states, or that was measured."""
    found: str
    """Version installed; empty if missing."""
    why: str
    do: str


def installed() -> dict[str, str]:
    """Version of each of the `WATCHED` packages that is installed."""
    found = {}
    for name in WATCHED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def declared_conflicts(versions: dict[str, str]) -> list[Conflict]:
    """Requirements among the watched packages that the installed versions break.

    Args:
        versions: version by package, as `installed` returns it.
    """
    found = []
    for name, version in versions.items():
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            other = requirement.name.lower().replace("_", "-")
            if other not in versions or requirement.specifier.contains(versions[other], prereleases=True):
                continue
            needs = f"{other}{requirement.specifier}"
            do = f'pip install "{needs}"  (constraints.txt of the worldjepa sources names versions that work together)'
            found.append(Conflict(f"{name} {version}", needs, versions[other], "it says so in its metadata", do))
    return found


def measured_conflicts(versions: dict[str, str]) -> list[Conflict]:
    """Pairs that install and import without complaint and then fail in use.

    Args:
        versions: version by package, as `installed` returns it.
    """
    found = []
    for name, other, specifier, why in MEASURED:
        if name in versions and other in versions and Version(versions[other]) not in SpecifierSet(specifier):
            do = f'pip install "{other}>=3.3,{specifier}" (3.3.0 works with every simulator)'
            found.append(Conflict(f"{name} {versions[name]}", f"{other}{specifier}", versions[other], why, do))
    if Version(versions.get("gymnasium", "1.1")) < Version("1.1"):
        why = "vector environments reset differently before 1.1, which changes success rates"
        do = 'pip install "gymnasium>=1.1"'
        found.append(Conflict("worldjepa", "gymnasium>=1.1", versions["gymnasium"], why, do))
    return found


def torchvision_fault(versions: dict[str, str]) -> Conflict | None:
    """What happens when torchvision is imported, if it is installed and cannot be.

    Args:
        versions: version by package, as `installed` returns it.
    """
    if "torchvision" not in versions:
        return None
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        do = (
            "pip uninstall torchvision (worldjepa does not use it), or install the build that belongs to this torch "
            "from the same index"
        )
        return Conflict("torchvision " + versions["torchvision"], "a matching torch", versions["torch"], str(error), do)
    return None


def conflicts() -> list[Conflict]:
    """Everything found on this machine."""
    versions = installed()
    fault = torchvision_fault(versions)
    return declared_conflicts(versions) + measured_conflicts(versions) + ([fault] if fault else [])
