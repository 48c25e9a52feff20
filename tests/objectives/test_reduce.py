"""Means with weights: closed forms, what is excluded, precision."""

import numpy as np
import pytest
import torch

from worldjepa.objectives import gather_rows, masked_mean
from worldjepa.objectives.reduce import blank, widen


def test_without_weights_it_is_the_mean() -> None:
    value = torch.randn(3, 4)
    torch.testing.assert_close(masked_mean(value), value.mean())


def test_boolean_weights_are_boolean_indexing() -> None:
    value = torch.randn(3, 4)
    keep = torch.rand(3, 4) > 0.4
    torch.testing.assert_close(masked_mean(value, keep), value[keep].mean())


def test_weights_are_those_of_a_weighted_average() -> None:
    value, weight = torch.randn(3, 4), torch.rand(3, 4)
    torch.testing.assert_close(masked_mean(value, weight), torch.tensor(np.average(value, weights=weight)))


def test_the_scale_of_the_weights_does_not_matter() -> None:
    value, weight = torch.randn(3, 4), torch.rand(3, 4)
    torch.testing.assert_close(masked_mean(value, weight), masked_mean(value, 1e-6 * weight))


def test_weights_are_broadcast() -> None:
    value = torch.randn(3, 4, 2)
    keep = torch.tensor([True, False, True])[:, None, None]
    torch.testing.assert_close(masked_mean(value, keep), value[[0, 2]].mean())


def test_no_weight_at_all_is_zero_with_zero_gradient() -> None:
    value = torch.randn(3, requires_grad=True)
    mean = masked_mean(value, torch.zeros(3))
    mean.backward()
    assert mean == 0.0
    assert torch.equal(value.grad, torch.zeros(3))


@pytest.mark.parametrize("junk", [torch.nan, torch.inf, -torch.inf])
def test_excluded_elements_reach_neither_value_nor_gradient(junk) -> None:
    value = torch.tensor([1.0, junk, 3.0], requires_grad=True)
    mean = masked_mean(value, torch.tensor([1.0, 0.0, 1.0]))
    mean.backward()
    assert mean == 2.0
    assert torch.equal(value.grad, torch.tensor([0.5, 0.0, 0.5]))


def test_counts_are_exact_in_half_precision() -> None:
    value = torch.ones(4001, dtype=torch.bfloat16)  # 4001 has no bfloat16
    keep = torch.ones(4001, dtype=torch.bool)
    assert masked_mean(value, keep) == 1.0
    assert masked_mean(value).dtype == torch.float32


def test_double_stays_double() -> None:
    assert widen(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert masked_mean(torch.rand(3, dtype=torch.float64)).dtype == torch.float64


def test_blank_zeroes_exactly_what_has_no_weight() -> None:
    value = torch.tensor([[torch.nan, 1.0], [2.0, 3.0]])
    assert torch.equal(blank(value, torch.tensor([0.0, 0.3])), torch.tensor([[0.0, 0.0], [2.0, 3.0]]))
    assert blank(value, None) is value


def test_one_process_gathers_its_own_rows() -> None:
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows
