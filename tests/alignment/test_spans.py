"""Span corruption: what is cut out, and that nothing is lost."""

import pytest
import torch

from alignment.pretraining.spans import (
    Spans,
    corrupt,
    first_spans,
    marks_for,
    parts_of,
    restored,
    span_mask,
)

MARKS, END = list(range(100, 140)), 1


def masks(size, spans, count=200):
    generator = torch.Generator().manual_seed(1)
    return torch.stack([span_mask(size, spans, generator) for _ in range(count)])


@pytest.mark.parametrize("size", [2, 3, 7, 40, 200])
def test_a_text_is_what_is_seen_with_what_is_told(size):
    ids = torch.arange(2, size + 2).clamp(max=90)
    for gone in masks(size, Spans(0.3, 2.0), 20):
        found = corrupt(ids, gone, MARKS, END)
        assert restored(found, MARKS) == ids.tolist()
        assert found.told[-1] == END
        marks = [token for token in found.seen.tolist() if token in MARKS]
        assert [token for token in found.told.tolist() if token in MARKS] == [
            *marks,
            MARKS[len(marks)],
        ]
        assert len(found.seen) + len(found.told) == size + 2 * len(marks) + 2


def test_the_share_is_exact_and_spans_have_their_mean_length():
    found = masks(100, Spans(0.15, 3.0))
    assert (found.sum(1) == 15).all()
    begins = found & ~torch.cat([torch.zeros(200, 1, dtype=torch.bool), found[:, :-1]], 1)
    assert (begins.sum(1) == 5).all()
    shares = found.double().mean(0)
    assert (shares - 0.15).abs().max() < 0.12
    assert found[:, 0].any()
    assert not found[:, -1].all()


def test_a_text_of_one_token_is_told_whole():
    assert span_mask(1, Spans(0.15, 3.0), torch.Generator()).tolist() == [True]
    assert span_mask(0, Spans(0.15, 3.0), torch.Generator()).tolist() == []


def test_parts_are_all_sums_alike():
    generator = torch.Generator().manual_seed(0)
    drawn = [tuple(parts_of(5, 3, generator)) for _ in range(6000)]
    counts = {one: drawn.count(one) for one in set(drawn)}
    assert set(counts) == {(1, 1, 3), (1, 3, 1), (3, 1, 1), (1, 2, 2), (2, 1, 2), (2, 2, 1)}
    assert max(counts.values()) < 1.2 * min(counts.values())


def test_spans_beyond_the_marks_stay_in_the_text():
    gone = torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)
    assert first_spans(gone, 2).tolist() == [True, False, True, True, False, False]
    with pytest.raises(ValueError, match="3 spans need 4 marks, and there are 3"):
        corrupt(torch.arange(6), gone, MARKS[:3], END)


def test_longer_contexts_have_more_marks():
    assert [marks_for(context) for context in (32, 128, 512, 8192)] == [8, 8, 32, 100]
