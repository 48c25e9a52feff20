"""The weighted sum of objective terms: the only place where loss weights live."""

from typing import TypeVar

from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.types import Prediction

Term = TypeVar("Term", bound=nn.Module)


def prefixed(name: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """``losses`` under "<name>_<scalar>", or as they are where ``name`` is empty."""
    return {f"{name}_{key}": value for key, value in losses.items()} if name else losses


class Sum(nn.Module):
    """Adds weighted terms. Two terms of one kind need a ``name`` of their own, which prefixes their scalars.

    Args:
        terms: (weight, term) pairs; a term returns named, unweighted scalars, which are all multiplied by its weight.
            A term that returns several scalars of different weight takes a dict {scalar name: weight} instead.

    Raises:
        ValueError: no terms; two terms return the same name; a weight dict misses a name.
    """

    def __init__(self, *terms: tuple[float | dict[str, float], nn.Module]):
        super().__init__()
        if not terms:
            raise ValueError("Sum needs at least one (weight, term) pair")
        self.weights = [weight for weight, _ in terms]
        self.terms = nn.ModuleList(term for _, term in terms)

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns every term's scalars, unweighted, and "loss": their weighted sum."""
        losses: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        for weight, term in zip(self.weights, self.terms):
            for name, value in term(prediction, batch).items():
                if name in losses or name == "loss":
                    raise ValueError(
                        f"two objective terms return {name!r}: give one of them a name of its own (name=...)"
                    )
                losses[name] = value
                weighted.append(value * self._weight(weight, name))
        losses["loss"] = sum(weighted[1:], start=weighted[0])
        return losses

    @staticmethod
    def _weight(weight: float | dict[str, float], name: str) -> float:
        if not isinstance(weight, dict):
            return weight
        if name not in weight:
            raise ValueError(f"no weight for the scalar {name!r}; weights are given for {sorted(weight)}")
        return weight[name]

    def term(self, kind: type[Term], name: str | None = None) -> Term:
        """The first term of type ``kind``, and of that ``name`` if one is given.

        Raises:
            ValueError: there is none.
        """
        for term in self.terms:
            if isinstance(term, kind) and name in (None, getattr(term, "name", "")):
                return term
        names = [type(term).__name__ for term in self.terms]
        called = "" if name is None else f" named {name!r}"
        raise ValueError(f"this objective has no {kind.__name__} term{called}; it has {names}")
