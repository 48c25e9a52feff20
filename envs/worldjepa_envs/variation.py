"""Factors of variation: what may look or behave differently in an episode, chosen by name, by value or at random.

Nothing varies unless it is asked for. What is drawn for a factor depends on the episode's seed and the factor's name
only: not on the other factors, and the start of the episode does not depend on it.
"""

import colorsys
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding

Value = Any
"""A number, or a tuple of them."""
Variation = None | str | Iterable[str] | Mapping[str, Any]
"""None: nothing. "all": every factor at random. Names: these at random. A mapping: name -> value, or "random"."""


@dataclass(frozen=True)
class Factor:
    """One thing that may vary."""

    space: spaces.Box | spaces.Discrete
    """The values that may be given; a Box of shape () or [n], in float64."""
    default: Value
    draw: Callable[[np.random.Generator], Any] | None = None
    """A random value; None draws uniformly from the space."""


def number(low: float, high: float, default: float) -> Factor:
    """A number in [low, high]."""
    return Factor(spaces.Box(low, high, (), np.float64), default)


def colour(default: tuple[float, float, float], *, pale: bool = False) -> Factor:
    """A colour (red, green, blue; 0 to 255); random ones are strong or ``pale``, so that both can be told apart."""
    saturation, brightness = ((0.0, 0.25), (0.8, 1.0)) if pale else ((0.6, 1.0), (0.35, 0.75))

    def draw(random: np.random.Generator) -> tuple[float, ...]:
        rgb = colorsys.hsv_to_rgb(random.uniform(), random.uniform(*saturation), random.uniform(*brightness))
        return tuple(round(255 * part) for part in rgb)

    return Factor(spaces.Box(0.0, 255.0, (3,), np.float64), default, draw)


def switch() -> Factor:
    """Off (0) or on (1); off unless asked for."""
    return Factor(spaces.Discrete(2), 0)


@dataclass
class Stream:
    """The random numbers of one environment, episode after episode."""

    generator: np.random.Generator
    """Of starts; goes on through the episodes."""
    seed: int
    episode: int = field(default=-1)
    """Counts the episodes since ``generator`` was seeded."""

    def own(self, name: str) -> np.random.Generator:
        """A generator of the episode's own for the use ``name``, apart from all others."""
        return np.random.default_rng([abs(self.seed), self.episode, zlib.crc32(name.encode())])


def stream(seed: int | None = None) -> Stream:
    """The stream of an environment seeded as Gymnasium does it."""
    return Stream(*seeding.np_random(seed))


class Factors:
    """The factors of an environment.

    Args:
        factors: by name.
    """

    def __init__(self, factors: Mapping[str, Factor]) -> None:
        self._factors = dict(factors)

    @property
    def spaces(self) -> dict[str, spaces.Space]:
        """The values of each factor, by name."""
        return {name: factor.space for name, factor in self._factors.items()}

    def check(self, variation: Variation) -> dict[str, Value | None]:
        """What is asked for: name -> value, or None for a random one.

        Raises:
            ValueError: an unknown name, or a value outside the factor's space; lists what there is.
        """
        if variation is None:
            return {}
        if isinstance(variation, str):
            variation = self._factors if variation == "all" else [variation]
        wanted = variation if isinstance(variation, Mapping) else dict.fromkeys(variation, "random")
        if wanted is self._factors:
            wanted = dict.fromkeys(wanted, "random")
        unknown = [name for name in wanted if name not in self._factors]
        if unknown:
            raise ValueError(f"unknown factors of variation {unknown}; there are {', '.join(self._factors)}")
        return {
            name: None if isinstance(value, str) and value == "random" else self._value(name, value)
            for name, value in wanted.items()
        }

    def defaults(self) -> dict[str, Value]:
        """The value of every factor where nothing varies."""
        return {name: factor.default for name, factor in self._factors.items()}

    def choose(self, wanted: Mapping[str, Value | None], episode: Stream) -> dict[str, Value]:
        """The value of every factor in an episode: given, drawn, or the default."""
        values = self.defaults()
        for name, value in wanted.items():
            values[name] = self._draw(name, episode) if value is None else value
        return values

    def _draw(self, name: str, episode: Stream) -> Value:
        factor, random = self._factors[name], episode.own(name)
        if factor.draw is not None:
            return self._value(name, factor.draw(random))
        if isinstance(factor.space, spaces.Discrete):
            return int(random.integers(factor.space.n))
        return self._value(name, random.uniform(factor.space.low, factor.space.high))

    def _value(self, name: str, value: Any) -> Value:
        space = self._factors[name].space
        try:
            numbers = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            numbers = np.array(np.nan)
        if isinstance(space, spaces.Discrete):
            fits = numbers.shape == () and float(numbers) in range(int(space.n))
        else:
            fits = numbers.shape == space.shape and bool(((numbers >= space.low) & (numbers <= space.high)).all())
        if not fits:
            raise ValueError(f'factor {name!r} must be "random" or in {space}, got {value!r}')
        if isinstance(space, spaces.Discrete):
            return int(numbers)
        return float(numbers) if numbers.shape == () else tuple(numbers.tolist())
