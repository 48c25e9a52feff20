"""The user's own frozen encoder: a function that a person names, imported because of that and for no other reason.

A run's config.json says which function its training was told. That is a text for people: a folder from somewhere else
must not decide what code runs here, so every command that needs the encoder wants it named again.
"""

import importlib
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldjepa.commands.run_folder import saved_config

if TYPE_CHECKING:
    from torch import nn

    from worldjepa.learner import Learner

RECORDED = "features"
"""Key of a run's config.json: what its training was told."""


def load_features(name: str) -> "nn.Module":
    """The encoder that a function makes, a new one at every call.

    Args:
        name: "package.module:function"; the module is looked for in the current directory too, before elsewhere.

    Raises:
        ValueError: another form, no such module or function, one that takes arguments or returns something else.
    """
    from torch import nn

    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise ValueError(f"expected --features package.module:function, got {name!r}")
    module = _import(module_name)
    make = getattr(module, attribute, None)
    if make is None:
        raise ValueError(f"--features {name}: {module_name} ({module.__file__}) has no {attribute!r}")
    wanted = f"--features {name} must name a function without arguments that returns a torch.nn.Module"
    if isinstance(make, nn.Module) or not callable(make):
        raise ValueError(f"{wanted}, it is {type(make).__name__}")
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise ValueError(f"{wanted}, it takes {inspect.signature(make)}") from error
    found = make()
    if not isinstance(found, nn.Module):
        raise ValueError(f"{wanted}, it returned {type(found).__name__}")
    return found


def open_learner(source: str | Path, features: str | None = None) -> "Learner":
    """`from_pretrained`, with the frozen encoder where the model has one.

    Args:
        source: run folder, model folder or hub name.
        features: what the user says makes frozen encoders.

    Raises:
        ValueError: no such model, or it needs an encoder that is not named.
    """
    from worldjepa.recipes import from_pretrained

    return from_pretrained(source, **parts_of(source, features))


def parts_of(source: str | Path, features: str | None) -> dict[str, Any]:
    """What `from_pretrained` needs beside a folder: "features" where the model's encoder is the user's, else nothing.

    Raises:
        ValueError: it needs an encoder that is not named.
    """
    check_named(source, features)
    return {"features": load_features(str(features))} if needs_features(source) else {}


def check_named(source: str | Path, features: str | None) -> None:
    """Raise ValueError where a model needs an encoder that is not named."""
    if not needs_features(source) or features is not None:
        return
    told = saved_config(source).get(RECORDED)
    if told is None:
        raise ValueError(
            f'{source} has a frozen encoder of the user\'s own (trunk="features"): say which function makes it, with '
            "--features package.module:function"
        )
    raise ValueError(
        f"{source} was trained with --features {told!r}: give it again, if you trust that code; what a run names is "
        "never imported by itself"
    )


def check_needed(sources: Iterable[str | Path], features: str | None) -> None:
    """Raise ValueError where encoder and models do not belong together: one is not named, or none is needed."""
    sources = list(sources)
    for source in sources:
        check_named(source, features)
    if features is not None and not any(needs_features(x) for x in sources):
        raise ValueError(f"--features {features}: no model here has a frozen encoder of the user's own; leave it out")


def needs_features(source: str | Path) -> bool:
    """Whether a run folder or model folder holds a model with the user's own frozen encoder."""
    return saved_config(source).get("config", {}).get("trunk") == "features"


def frozen_trunk(learner: "Learner") -> "nn.Module | None":
    """The frozen encoder within a learner; None where it has none."""
    encoder: Any = learner.model.encoder
    return next(iter(encoder.trunks.values())) if getattr(encoder, "frozen", False) else None


def _import(name: str) -> Any:
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)  # as python -m does; the module may import its neighbours later still
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise ValueError(
            f"--features {name}: there is no module {error.name!r} in {here} or elsewhere on Python's path"
        ) from error
