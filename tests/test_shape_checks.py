"""The import hook of conftest.py does check tensor annotations, and only those."""

import pytest
import torch
from jaxtyping import TypeCheckError

from worldjepa.jepa import JEPA
from worldjepa.types import Prediction


def test_a_latent_of_the_wrong_rank_is_caught() -> None:
    z = torch.zeros(2, 1, 3, 4)
    Prediction(z, None, None, None)
    with pytest.raises(TypeCheckError, match="context"):
        Prediction(z[0], None, None, None)  # pyright: ignore[reportArgumentType]


def test_axes_of_one_name_must_agree() -> None:
    z = torch.zeros(2, 1, 3, 4)
    with pytest.raises(TypeCheckError):
        Prediction(z, z, z.new_zeros(3, 1, 3, 4), None)


def test_return_values_are_checked() -> None:
    model = JEPA(views=None, encoder=lambda obs: torch.zeros(2, 3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeCheckError, match="encode"):
        model.encode(None)  # pyright: ignore[reportArgumentType]
