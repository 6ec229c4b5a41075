import pytest
import torch
from scipy.stats import binom

from alignment.pretraining.masking import Shares, fates_of, mask_tokens

MASK, WORDS = 99, torch.arange(1, 90)
SHARES = Shares(0.15, 0.8, 0.1)
NEVER = 1e-6  # probability that a test fails by chance


def masked(count=20_000, shares=SHARES, free=None):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 90, (count,), generator=generator)
    free = torch.ones_like(ids, dtype=torch.bool) if free is None else free
    return ids, free, mask_tokens(ids, free, shares, MASK, WORDS, generator)


def within(found, of, share):
    low, high = binom.interval(1 - NEVER, of, share)
    return low <= found <= high


@pytest.mark.parametrize("shares", [SHARES, Shares(0.4, 0.3, 0.6)])
def test_the_shares_are_within_their_binomial_bounds(shares):
    ids, free, made = masked(shares=shares)
    counts = fates_of(made, free)
    chosen = counts["chosen"]
    assert within(chosen, len(ids), shares.chosen)
    assert within(counts["masked"], chosen, shares.masked)
    assert within(counts["random"], chosen, shares.random)
    assert within(counts["kept"], chosen, 1 - shares.masked - shares.random)
    assert counts["masked"] + counts["random"] + counts["kept"] == chosen


def test_what_is_not_chosen_stays_and_what_is_hidden_is_the_mask():
    ids, _free, made = masked()
    assert torch.equal(made.seen[~made.chosen], ids[~made.chosen])
    assert (made.seen[made.hidden] == MASK).all()
    kept = made.chosen & ~made.hidden & ~made.changed
    assert torch.equal(made.seen[kept], ids[kept])
    assert not (made.seen == MASK)[~made.hidden].any()


def test_random_tokens_are_any_word_and_each_as_likely():
    _ids, _free, made = masked(200_000, Shares(1.0, 0.0, 1.0))
    found = torch.bincount(made.seen, minlength=100)
    assert found[WORDS].min() > 0
    assert found.sum() == found[WORDS].sum()
    assert all(within(int(n), 200_000, 1 / len(WORDS)) for n in found[WORDS])


def test_only_free_tokens_are_chosen():
    free = torch.arange(1000) % 2 == 0
    _ids, _free, made = masked(1000, Shares(0.9, 0.8, 0.1), free)
    assert made.chosen[free].any()
    assert not made.chosen[~free].any()
