"""The weighted sum: linear in its weights, and strict about names."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from worldjepa.objectives import Sum
from worldjepa.objectives.combine import prefixed
from worldjepa.types import Prediction

NOTHING = (Prediction(torch.zeros(1, 1, 1, 1), None, None, None), TensorDict({}, batch_size=[1]))


class Term(nn.Module):
    def __init__(self, **values: float):
        super().__init__()
        self.values = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}

    def forward(self, prediction, batch):
        return dict(self.values)


class OtherTerm(Term):
    pass


def test_the_loss_is_the_weighted_sum_and_the_scalars_stay_unweighted() -> None:
    losses = Sum((2.0, Term(a=3.0)), ({"b": 0.5, "c": -1.0}, Term(b=4.0, c=5.0)))(*NOTHING)
    assert {name: value.item() for name, value in losses.items()} == {"a": 3.0, "b": 4.0, "c": 5.0, "loss": 3.0}


def test_gradients_are_the_weights() -> None:
    a, b = Term(a=3.0), Term(b=4.0)
    Sum((2.0, a), (0.0, b))(*NOTHING)["loss"].backward()
    assert a.values["a"].grad == 2.0
    assert b.values["b"].grad == 0.0


def test_one_weight_holds_for_all_scalars_of_a_term() -> None:
    assert Sum((2.0, Term(a=3.0, b=1.0)))(*NOTHING)["loss"] == 8.0


def test_terms_are_found_by_type() -> None:
    term = OtherTerm(b=1.0)
    objective = Sum((1.0, Term(a=1.0)), (1.0, term))
    assert objective.term(OtherTerm) is term
    with pytest.raises(ValueError, match="no Linear term; it has"):
        objective.term(nn.Linear)


def test_names_tell_two_terms_of_one_kind_apart() -> None:
    mean, time = Term(a=1.0), Term(**prefixed("time", {"a": 2.0}))
    mean.name, time.name = "", "time"
    objective = Sum((1.0, mean), ({"time_a": 3.0}, time))
    assert objective(*NOTHING) == {"a": 1.0, "time_a": 2.0, "loss": 7.0}
    assert objective.term(Term, "time") is time
    assert objective.term(Term, "") is mean
    with pytest.raises(ValueError, match="no Term term named 'space'"):
        objective.term(Term, "space")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sum(), "at least one"),
        (lambda: Sum((1.0, Term(a=1.0)), (1.0, Term(a=2.0)))(*NOTHING), "two objective terms return 'a'"),
        (lambda: Sum((1.0, Term(loss=1.0)))(*NOTHING), "loss"),
        (lambda: Sum(({"a": 1.0}, Term(a=1.0, b=2.0)))(*NOTHING), "no weight for the scalar 'b'"),
    ],
)
def test_unclear_sums_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
