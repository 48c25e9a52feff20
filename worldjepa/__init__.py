"""Predict in latent space: train, roll out, plan with and evaluate joint-embedding predictive architectures.

Everything is imported when it is first asked for, so that ``import worldjepa`` and the command line stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldjepa.data import Episode as Episode
    from worldjepa.data import RobomimicWriter as RobomimicWriter
    from worldjepa.data import Store as Store
    from worldjepa.data import WindowSampler as WindowSampler
    from worldjepa.data import open_source as open_source
    from worldjepa.data import open_store as open_store
    from worldjepa.data import split_episodes as split_episodes
    from worldjepa.data.collect import collect as collect
    from worldjepa.data.task import Task as Task
    from worldjepa.data.task import task as task
    from worldjepa.evaluate.manifest import Manifest as Manifest
    from worldjepa.evaluate.manifest import make_manifest as make_manifest
    from worldjepa.evaluate.report import write_report as write_report
    from worldjepa.evaluate.results import Evaluation as Evaluation
    from worldjepa.jepa import JEPA as JEPA
    from worldjepa.learner import Learner as Learner
    from worldjepa.normalize import Normalizer as Normalizer
    from worldjepa.recipes import RECIPES as RECIPES
    from worldjepa.recipes import from_pretrained as from_pretrained
    from worldjepa.recipes import make_learner as make_learner
    from worldjepa.recipes import push_to_hub as push_to_hub
    from worldjepa.recipes import save_pretrained as save_pretrained
    from worldjepa.train import FitConfig as FitConfig
    from worldjepa.train import fit as fit
    from worldjepa.types import DataSpec as DataSpec
    from worldjepa.types import ObsSpec as ObsSpec
    from worldjepa.types import Policy as Policy
    from worldjepa.types import Prediction as Prediction
    from worldjepa.types import Views as Views

_HOME = {
    "worldjepa.types": ("DataSpec", "ObsSpec", "Policy", "Prediction", "Views"),
    "worldjepa.jepa": ("JEPA",),
    "worldjepa.learner": ("Learner",),
    "worldjepa.normalize": ("Normalizer",),
    "worldjepa.data": (
        *("Episode", "RobomimicWriter", "Store", "WindowSampler"),
        *("open_source", "open_store", "split_episodes"),
    ),
    "worldjepa.data.collect": ("collect",),
    "worldjepa.data.task": ("Task", "task"),
    "worldjepa.train": ("FitConfig", "fit"),
    "worldjepa.evaluate.manifest": ("Manifest", "make_manifest"),
    "worldjepa.evaluate.results": ("Evaluation",),
    "worldjepa.evaluate.report": ("write_report",),
    "worldjepa.recipes": ("RECIPES", "from_pretrained", "make_learner", "push_to_hub", "save_pretrained"),
}
"""Public names by the module they live in."""

__all__ = [
    "JEPA",
    "RECIPES",
    "DataSpec",
    "Episode",
    "Evaluation",
    "FitConfig",
    "Learner",
    "Manifest",
    "Normalizer",
    "ObsSpec",
    "Policy",
    "Prediction",
    "RobomimicWriter",
    "Store",
    "Task",
    "Views",
    "WindowSampler",
    "collect",
    "fit",
    "from_pretrained",
    "make_learner",
    "make_manifest",
    "open_source",
    "open_store",
    "push_to_hub",
    "save_pretrained",
    "split_episodes",
    "task",
    "write_report",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
