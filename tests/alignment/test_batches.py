import torch

from alignment.models.batches import POOL, similar_lengths

LENGTHS = [(7 * i) % 50 for i in range(530)]


def test_every_example_is_in_one_batch():
    batches = similar_lengths(LENGTHS, 8)
    assert sorted(row for batch in batches for row in batch) == list(range(530))
    assert max(map(len, batches)) == 8


def test_batches_waste_little_padding():
    batches = similar_lengths(LENGTHS, 8)
    padded = sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches)
    assert padded < 1.2 * sum(LENGTHS)


def test_batches_differ_between_laps_but_not_between_runs():
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        runs.append([similar_lengths(LENGTHS, 8) for _ in range(2)])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]


def test_long_and_short_batches_alternate_at_random():
    sizes = [LENGTHS[batch[0]] for batch in similar_lengths(LENGTHS, 8)]
    assert sizes[:POOL] != sorted(sizes[:POOL])
