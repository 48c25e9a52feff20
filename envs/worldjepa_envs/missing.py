"""Importing the simulators behind the adapters, with an error that names the extra to install."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``.

    Raises:
        ModuleNotFoundError: it is not installed; names the extra of worldjepa that brings it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        message = f'{module} cannot be imported ({error}): pip install "worldjepa[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from error
