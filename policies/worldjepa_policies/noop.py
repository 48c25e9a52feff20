"""The no-op policy: what an environment does by itself."""

from worldjepa.evaluate.floors import NoopPolicy

__all__ = ["NoopPolicy"]
