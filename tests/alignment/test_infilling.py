import pytest
import torch

from alignment.pretraining.infilling import (
    Marks,
    Parted,
    cut,
    infill_row,
    infilled,
    parted_again,
)

MARKS, END = Marks(101, 102, 103), 0


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_text_comes_back_from_every_cut(length):
    text = list(range(1, length + 1))
    for seed in range(30):
        parted = cut(text, chance(seed))
        read = infilled(parted, MARKS)
        again = parted_again(read, MARKS)
        assert again == parted
        assert again.before + again.middle + again.after == text
        assert len(parted.middle) > 0


def test_the_middle_stands_last():
    assert infilled(Parted([1], [2, 3], [4]), MARKS) == [101, 1, 102, 4, 103, 2, 3]


def test_every_pair_of_places_is_cut_at():
    found = {tuple(map(len, cut([1, 2, 3], chance(seed)))) for seed in range(200)}
    assert found == {(a, b, 3 - a - b) for a in range(4) for b in range(1, 4 - a)}


def test_each_document_of_a_row_is_infilled_by_itself():
    row = torch.tensor([END, 1, 2, 3, END, 4, 5, END])
    made = infill_row(row, END, MARKS, 1.0, chance()).tolist()
    assert made[0] == made[-1] == END
    inner = made.index(END, 1)
    for piece, text in ((made[1:inner], [1, 2, 3]), (made[inner + 1 : -1], [4, 5])):
        again = parted_again(piece, MARKS)
        assert again.before + again.middle + again.after == text


def test_a_row_of_a_document_that_goes_on_is_infilled_too():
    made = infill_row(torch.tensor([7, 8, 9]), END, MARKS, 1.0, chance()).tolist()
    assert sorted(made) == [7, 8, 9, 101, 102, 103]


def test_no_document_is_infilled_at_a_share_of_0_and_some_at_a_half():
    row = torch.tensor([END, *[1, 2, END] * 40])
    assert torch.equal(infill_row(row, END, MARKS, 0.0, chance()), row)
    some = infill_row(row, END, MARKS, 0.5, chance()).tolist().count(MARKS.middle)
    assert 8 < some < 32
