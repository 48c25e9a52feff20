"""The run-time checker of tensor annotations in tests; plain annotations are left to pyright."""

from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import beartype


def mentions_tensor(hint: Any) -> bool:
    """Whether an annotation names a shape, at any depth: Float[Tensor, "b n"], a union or a dict of them."""
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(mentions_tensor(part) for part in get_args(hint))


def check(function: Callable) -> Callable:
    """``function`` with its tensor annotations checked by beartype at every call."""
    function.__annotations__ = {k: v for k, v in function.__annotations__.items() if mentions_tensor(v)}
    return beartype(function)
