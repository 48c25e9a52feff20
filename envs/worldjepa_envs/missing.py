"""Importing the simulators behind the adapters, with an error that names the extra to install."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``.

    Raises:
        ModuleNotFoundError: it is not installed; names the extra of worldjepa that brings it.
        ImportError: it is installed, but a library of the system that it needs is not.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        message = f'{module} cannot be imported ({error}): pip install "worldjepa[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from error
    except ImportError as error:
        message = f"{module} is installed but cannot be loaded ({error}): a library of the system is missing"
        help_ = "; on Debian and Ubuntu: apt-get install libgl1" if "libGL" in str(error) else ""
        raise ImportError(message + help_, name=error.name) from error
