"""The random policy: a floor that every learned policy must beat."""

from worldjepa.evaluate.floors import RandomPolicy

__all__ = ["RandomPolicy"]
