"""Sketches of sums, and the bases that are read from them."""

import pytest
import torch

from alignment.models.sketches import (
    best_basis,
    least_turned,
    orthonormal,
    sketch_columns,
    sketched,
)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("columns", "kept"), [(12, 4), (13, 4), (7, 7), (5, 2)])
def test_each_column_is_in_one_of_the_sketch_with_a_sign_and_all_hold_as_many(columns, kept):
    random = sketched(torch.eye(columns), kept, seed=3)
    assert torch.equal(random.abs().sum(1), torch.ones(columns))
    assert set(random.unique().tolist()) <= {-1.0, 0.0, 1.0}
    held = random.abs().sum(0)
    assert held.max() - held.min() <= 1


def test_the_sketch_of_a_sum_is_the_sum_of_sketches_and_comes_of_its_seed():
    one, other = drawn(6, 20), drawn(6, 20, seed=1)
    torch.testing.assert_close(
        sketched(one + other, 5, seed=2), sketched(one, 5, seed=2) + sketched(other, 5, seed=2)
    )
    assert torch.equal(sketched(one, 5, seed=2), sketched(one, 5, seed=2))
    assert not torch.equal(sketched(one, 5, seed=2), sketched(one, 5, seed=3))


def test_products_are_those_of_the_matrix_on_average_and_exact_with_all_columns():
    matrix = drawn(4, 16)
    whole, scale = matrix @ matrix.T, matrix.square().sum()
    found = [sketched(matrix, 4, seed) for seed in range(800)]
    mean = sum(one @ one.T for one in found) / len(found)
    assert (mean - whole).abs().max() < 0.03 * scale
    assert (found[0] @ found[0].T - whole).abs().max() > 0.05 * scale
    all_columns = sketched(matrix, 16, seed=0)
    torch.testing.assert_close(all_columns @ all_columns.T, whole)


def test_a_sketch_is_a_quarter_of_its_matrix_but_holds_twice_its_rank_and_no_more_than_there_is():
    assert sketch_columns(64, 256, 8) == 64
    assert sketch_columns(64, 64, 12) == 24
    assert sketch_columns(64, 64, 99) == 64
    assert sketch_columns(64, 50_000, 8) == 128


def test_the_nearest_basis_of_a_span_is_the_one_that_turns_least():
    basis, span = orthonormal(drawn(9, 3)), orthonormal(drawn(9, 3, seed=1))
    found = least_turned(span, basis)
    torch.testing.assert_close(found.T @ found, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.svdvals(span.T @ found).min() > 1 - 1e-5  # of the same span
    # Symmetric and positive: no other basis of the span has a larger trace.
    between = basis.T @ found
    torch.testing.assert_close(between, between.T, atol=1e-5, rtol=0)
    assert torch.linalg.eigvalsh(between).min() > 0
    turned = orthonormal(drawn(3, 3, seed=2))
    torch.testing.assert_close(least_turned(span @ turned, basis), found, atol=1e-4, rtol=0)


def test_a_whole_basis_stays_bit_by_bit():
    found = best_basis(drawn(5, 7), 0, torch.eye(5), drawn(5, 9, seed=1))
    assert torch.equal(found, torch.eye(5))
    assert torch.equal(orthonormal(torch.eye(5)[:, :3]), torch.eye(5)[:, :3])


def test_what_a_sketch_does_not_tell_stays_as_it_is():
    basis, nothing = orthonormal(drawn(6, 3)), torch.zeros(3, 8)
    found = best_basis(torch.zeros(6, 8), 0, basis, nothing)
    torch.testing.assert_close(found, basis, atol=1e-5, rtol=0)
    seen = drawn(6, 1, seed=1)
    found = best_basis(seen @ drawn(1, 8, seed=2), 0, basis, nothing)
    left = seen - found @ (found.T @ seen)
    assert left.norm() < 1e-3 * seen.norm()
    assert torch.linalg.svdvals(basis.T @ found).sort().values[1] > 1 - 1e-3  # two of three stay


def test_what_is_known_besides_spares_the_sketch_its_noise():
    """The energy that is left, of the best basis's, over sketches: less by far with a mean that is about right."""
    whole = 3 * drawn(16, 4) @ drawn(4, 64, seed=1) + 4 * drawn(16, 64, seed=2)
    best = torch.linalg.svd(whole).U[:, :4]
    basis, lost = orthonormal(best + 0.1 * drawn(16, 4, seed=3)), {}
    for name, known in ("nothing", torch.zeros(4, 64)), ("mean", 0.3 * basis.T @ whole):
        found = [best_basis(sketched(whole, 16, seed), seed, basis, known) for seed in range(20)]
        kept = [(one.T @ whole).square().sum() for one in found]
        lost[name] = 1 - (sum(kept) / len(kept) / (best.T @ whole).square().sum()).item()
    assert 0 < lost["mean"] < 0.5 * lost["nothing"]
