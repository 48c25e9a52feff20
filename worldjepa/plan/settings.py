"""Checks of planner settings."""

import math


def check_counts(**values: int) -> None:
    """Raises ValueError where a count is not a whole number of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_positive(**values: float | None) -> None:
    """Raises ValueError where a number is not finite and above 0; None passes."""
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def check_share(**values: float) -> None:
    """Raises ValueError where a number does not lie in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {value!r}")


def check_search(num_samples: int, iterations: int, std: float, min_std: float, budget_ms: float | None) -> None:
    """Raises ValueError where the settings that all sampling planners share make no sense."""
    check_counts(num_samples=num_samples, iterations=iterations)
    check_positive(std=std, budget_ms=budget_ms)
    if not 0 <= min_std <= std:
        raise ValueError(f"min_std must lie in 0..{std} (std), got {min_std!r}")


def check_elites(num_elites: int, num_samples: int) -> None:
    """Raises ValueError where there are more elites than samples, or none."""
    check_counts(num_elites=num_elites)
    if num_elites > num_samples:
        raise ValueError(f"num_elites must be at most num_samples = {num_samples}, got {num_elites}")
