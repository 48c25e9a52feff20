"""The classes of Turntable, and the object of a class with a number."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from worldjepa_envs import turntable_living as living
from worldjepa_envs import turntable_things as things
from worldjepa_envs import turntable_vehicles as vehicles
from worldjepa_envs.turntable_parts import Draw, Generator, Solid, assemble, draw_palette

CLASSES: dict[str, Generator] = {
    "airplane": vehicles.airplane,
    "bicycle": vehicles.bicycle,
    "bird": living.bird,
    "cactus": living.cactus,
    "car": vehicles.car,
    "chair": things.chair,
    "dog": living.dog,
    "excavator": vehicles.excavator,
    "fish": living.fish,
    "guitar": things.guitar,
    "hammer": things.hammer,
    "helicopter": vehicles.helicopter,
    "house": things.house,
    "key": things.key,
    "lamp": things.lamp,
    "mug": things.mug,
    "person": living.person,
    "sailboat": vehicles.sailboat,
    "table": things.table,
    "teapot": things.teapot,
}
"""By name; a label is the place in this order, or in that of the classes asked for."""
MOST_PARTS = 48
NUM_OBJECTS = 2**24
"""Objects of a class; a float32 tells these numbers apart."""


def make_object(name: str, number: int) -> Solid:
    """Object ``number`` of the class ``name``: the same one at every call."""
    shape, _ = _seeds(name, number)
    return assemble(CLASSES[name](Draw(np.random.default_rng(shape))), colours_of(name, number))


def colours_of(name: str, number: int) -> ndarray:
    """The colours [3, 3] of an object: drawn apart from its shape, and alike for all classes."""
    return draw_palette(Draw(np.random.default_rng(_seeds(name, number)[1])))


def choose_classes(wanted: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """The classes to show, all by default.

    Raises:
        ValueError: none, one twice, or an unknown one.
    """
    chosen = tuple(known) if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
        raise ValueError(f"classes must be different ones of {', '.join(known)}, got {chosen}")
    return chosen


def _seeds(name: str, number: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence([zlib.crc32(name.encode()), number]).spawn(2)
