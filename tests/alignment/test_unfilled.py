"""Outlines of models are not filled; weights are, as without."""

import pytest
import torch
from torch.nn import init

from alignment.models.unfilled import FILLS, Unfilled


@pytest.mark.parametrize("fill", sorted(FILLS, key=lambda fill: fill.__name__))
def test_a_weight_without_numbers_is_left_as_it_is(fill):
    weight = torch.empty(3, 2, device="meta")
    version = weight._version
    with Unfilled(), torch.device("meta"):
        assert fill(weight) is weight
        assert fill(tensor=weight) is weight
    assert weight._version == version


@pytest.mark.parametrize("fill", sorted(FILLS, key=lambda fill: fill.__name__))
def test_a_weight_with_numbers_is_filled(fill):
    torch.manual_seed(1)
    expected = fill(torch.zeros(3, 2))
    torch.manual_seed(1)
    with Unfilled():
        found = fill(torch.zeros(3, 2))
    assert torch.equal(found, expected)
    assert found.abs().max() > 0


def test_nothing_else_changes():
    with Unfilled(), torch.device("meta"):
        layer = torch.nn.Linear(4, 3)
        assert layer.weight.is_meta
        assert layer(torch.zeros(2, 4)).shape == (2, 3)
    with Unfilled():
        assert init.zeros_(torch.ones(2)).tolist() == [0, 0]
