"""Masks as small pictures, by hand."""

import pytest
import torch

from sparsity.density_map import density_map


def test_tiles_by_hand():
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
    assert density_map(mask, 2).tolist() == [[1.0, 0.25], [0.25, 0.0]]
    assert density_map(mask, 4).tolist() == mask.float().tolist()
    assert density_map(mask, 64).shape == (4, 4)


def test_where_tiles_are_not_equal_neighbours_share_a_column():
    mask = torch.tensor([[1, 0, 0, 1, 1]], dtype=torch.bool)
    assert density_map(mask, 2).tolist() == [[pytest.approx(1 / 3), pytest.approx(2 / 3)]]


def test_other_shapes():
    assert density_map(torch.tensor([True, False]), 2).tolist() == [[1.0, 0.0]]
    assert density_map(torch.ones(3, 2, 2, dtype=torch.bool), 3).tolist() == [[1.0] * 3] * 3
