import pytest
import torch

from alignment.pretraining.packing import StreamWriter, pack, token_rows

END = 0


def stream_of(folder, *documents):
    writer = StreamWriter(folder / "tokens", END)
    for document in documents:
        writer.add(document, last=True)
    return writer.finish()


def documents_of(*lengths):
    numbers = iter(range(1, 10_000))
    return [[next(numbers) for _ in range(length)] for length in lengths]


def test_documents_stand_between_end_tokens(tmp_path):
    stream = stream_of(tmp_path, [5, 6], [], [7])
    assert stream.ids.tolist() == [END, 5, 6, END, 7, END]
    assert stream.ends.tolist() == [0, 3, 5]
    assert stream.document(1).tolist() == [END, 7, END]


def test_a_document_that_comes_in_parts_is_one(tmp_path):
    writer = StreamWriter(tmp_path / "tokens", END)
    for ids, last in (([1], False), ([], False), ([2], True)):
        writer.add(ids, last=last)
    assert writer.finish().ends.tolist() == [0, 3]


@pytest.mark.parametrize("apart", [0, 3])
@pytest.mark.parametrize("lengths", [(2, 3, 4), (30, 1, 2), (1, 40, 1), (9, 9, 9), (10, 11, 5)])
def test_each_token_but_the_first_is_predicted_once(tmp_path, lengths, apart):
    stream = stream_of(tmp_path, *documents_of(*lengths))
    rows = pack(stream.ends, 12, apart)
    told = [token for row in token_rows(stream, rows) for token in row[1:].tolist()]
    assert told == stream.ids[1:].tolist()
    for row in token_rows(stream, rows):
        inner = row.tolist()[1:-1]
        pieces = 1 + inner.count(END)
        assert len(row) + apart * pieces <= 12


def test_a_document_is_cut_only_where_it_is_longer_than_a_row(tmp_path):
    stream = stream_of(tmp_path, *documents_of(3, 4, 5, 20, 2))
    begins = [row[0].item() for row in token_rows(stream, pack(stream.ends, 12))]
    cut = [token for token in begins if token != END]
    long = stream.document(3).tolist()
    assert len(cut) == 1
    assert set(cut) <= set(long)


def test_ids_lie_in_a_file(tmp_path):
    stream = stream_of(tmp_path, [1, 2, 3])
    assert (tmp_path / "tokens").stat().st_size == 4 * len(stream.ids)
    assert stream.ids.dtype == torch.int32
