"""A run folder's config.json: everything that a run was made from, enough to make it again."""

import importlib.metadata
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("worldjepa", "torch", "tensordict", "numpy", "accelerate", "gymnasium", "mujoco", "h5py", "safetensors")


@dataclass(frozen=True)
class DataChoice:
    """Which episodes a run learns from."""

    path: str
    fingerprint: str
    """Of the recording's content."""
    train: tuple[str, ...]
    """Names of the episodes that train the policy."""
    valid: tuple[str, ...]
    """Names of the held-out episodes."""
    unlabelled: tuple[str, ...] = ()
    """Names of the episodes whose observations are learned from and whose actions are not."""


def write_config(run: Path, content: dict[str, Any]) -> Path:
    """Write ``run``/config.json, whole or not at all.

    Args:
        run: the run folder; made if need be.
        content: JSON values.
    """
    run.mkdir(parents=True, exist_ok=True)
    path = run / "config.json"
    part = path.with_name(f".config.{os.getpid()}.json")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)
    return path


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of a run.

    Args:
        path: a run folder or its config.json.

    Raises:
        ValueError: there is none, or it is something else.
    """
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(
            f"there is no {path}: give the folder of a run (worldjepa train makes one), or its config.json"
        )
    try:
        content = json.loads(path.read_text())
        missing = [k for k in ("recipe", "config", "fit", "data", "spec") if k not in content]
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path} is not the configuration of a run: {error}") from error
    if missing:
        raise ValueError(f"{path} is not the configuration of a run: it has no {', '.join(missing)}")
    return content


def saved_config(source: str | Path) -> dict[str, Any]:
    """The config.json of a run folder or model folder, or that file itself; empty where there is none here."""
    folder = Path(source)
    folder = folder.parent if folder.name == "config.json" else folder
    for path in (folder / "config.json", folder / "pretrained_model" / "config.json"):
        if path.is_file():
            return dict(json.loads(path.read_text()))
    return {}


def data_section(choice: DataChoice, selection: dict[str, Any]) -> dict[str, Any]:
    """The "data" part of config.json: what was asked for and what that came to."""
    episodes = {"train": list(choice.train), "valid": list(choice.valid), "unlabelled": list(choice.unlabelled)}
    return {"path": choice.path, "fingerprint": choice.fingerprint, "episodes": episodes, "selection": selection}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a run."""
    found = {"python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in PACKAGES}


def settings(value: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON values."""
    return json.loads(json.dumps(asdict(value)))
