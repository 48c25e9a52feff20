"""Policies: learned ones from checkpoints, scripted experts, and the floors that every policy must beat."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldjepa_policies.amortised import InverseDynamicsPolicy as InverseDynamicsPolicy
    from worldjepa_policies.chunk import ChunkPolicy as ChunkPolicy
    from worldjepa_policies.copy_latent import CopyLatentPolicy as CopyLatentPolicy
    from worldjepa_policies.load import load_policy as load_policy
    from worldjepa_policies.mpc import MPCPolicy as MPCPolicy
    from worldjepa_policies.noop import NoopPolicy as NoopPolicy
    from worldjepa_policies.prior import HybridPolicy as HybridPolicy
    from worldjepa_policies.random import RandomPolicy as RandomPolicy
    from worldjepa_policies.scripted import ScriptedPolicy as ScriptedPolicy

_HOME = {
    "ChunkPolicy": "chunk",
    "CopyLatentPolicy": "copy_latent",
    "HybridPolicy": "prior",
    "InverseDynamicsPolicy": "amortised",
    "MPCPolicy": "mpc",
    "NoopPolicy": "noop",
    "RandomPolicy": "random",
    "ScriptedPolicy": "scripted",
    "load_policy": "load",
}
__all__ = [
    "ChunkPolicy",
    "CopyLatentPolicy",
    "HybridPolicy",
    "InverseDynamicsPolicy",
    "MPCPolicy",
    "NoopPolicy",
    "RandomPolicy",
    "ScriptedPolicy",
    "load_policy",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"worldjepa_policies.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
