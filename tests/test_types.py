"""The vocabulary: kinds of observations, specifications as JSON."""

import json
from dataclasses import replace

import pytest

from worldjepa.types import DataSpec, ObsSpec, nested

FULL = DataSpec(
    {"agent/pos": ObsSpec((2,), "float32"), "image": ObsSpec((96, 96, 3), "uint8")},
    action_dim=2,
    action_low=(-1.0, -0.5),
    action_high=(1.0, 0.1),
    fps=10.0,
    env={"env_name": "worldjepa/Push-v0", "env_kwargs": {"obs_type": "state"}},
)


@pytest.mark.parametrize("spec", [FULL, DataSpec({}, 1), replace(FULL, action_low=None)])
def test_a_specification_survives_json(spec) -> None:
    assert DataSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((4, 5, 3), "uint8", "image"),
        ((4, 5, 3), "float32", "state"),
        ((3,), "uint8", "state"),
        ((), "float32", "state"),
    ],
)
def test_an_image_is_bytes_with_three_axes(shape, dtype, kind) -> None:
    assert ObsSpec(shape, dtype).kind == kind


def test_slashes_nest() -> None:
    assert nested("a/b/c") == ("a", "b", "c")
    assert nested("a") == ("a",)
