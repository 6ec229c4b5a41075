"""Files of documents, good and hostile ones."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alignment.rows import corpora
from alignment.rows.corpora import BadLine, Layout, Passage, file_of, passages_of
from alignment.seam.errors import DataError
from alignment.seam.folders import committed

TEXT = "One line\nand another\n\n\nA second\n"
THREE = ["first", "second one", "dritte: Füße, 猫"]


@pytest.fixture
def a_file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def whole(path, *how):
    """The documents put together, and the bad lines."""
    texts, bad, held = [], [], ""
    for part in passages_of(path, Layout(*how)):
        if isinstance(part, BadLine):
            bad.append(f"{part.place}: {part.reason}")
            continue
        held += part.text
        if part.last:
            texts.append(held)
            held = ""
    assert held == ""
    return texts, bad


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("paragraph", ["One line\nand another", "A second"]),
        ("line", ["One line", "and another", "A second"]),
        ("file", [TEXT]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_plain_text_is_paragraphs_lines_or_a_whole(a_file, document, found, packed):
    content = TEXT.encode()
    path = a_file("c.txt.gz", gzip.compress(content)) if packed else a_file("c.txt", content)
    assert whole(path, document) == (found, [])


def test_json_lines_have_a_column_or_are_texts(a_file):
    rows = [
        json.dumps({"text": THREE[0]}),
        "",
        json.dumps(THREE[1]),
        json.dumps({"text": THREE[2]}),
    ]
    assert whole(a_file("c.jsonl", "\n".join(rows))) == (THREE, [])
    other = json.dumps({"text": "no", "body": "yes"})
    assert whole(a_file("d.jsonl", other), "line", "body") == (["yes"], [])


@pytest.mark.parametrize("packed", [False, True])
def test_parquet_is_read_a_few_rows_at_a_time(a_file, tmp_path, packed):
    path = tmp_path / "c.parquet"
    table = pa.table({"id": range(200), "text": [f"{n} {THREE[2]}" for n in range(200)]})
    pq.write_table(table, path)
    if packed:
        path = a_file("c.parquet.gz", gzip.compress(path.read_bytes()))
    texts, bad = whole(path)
    assert (len(texts), texts[199], bad) == (200, f"199 {THREE[2]}", [])


def test_each_bad_line_is_named_by_line_and_column(a_file):
    lines = [
        b'{"text": "good"}',
        b'{"text": "bad}',
        b'{"words": 1}',
        b'{"text": 3}',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b'{"text": "a", "text": "b"}',
        b"[" * 100_000,
        b'"zero \x00"',
        b"1" * 5000,
    ]
    texts, bad = whole(a_file("c.jsonl", b"\n".join(lines)))
    assert texts == ["good"]
    assert [one.split(": ")[0] for one in bad] == [
        "line 2, column 10",
        "line 3, column 1",
        "line 4, column 1",
        "line 5, column 11",
        "line 6",
        "line 7, column 1",
        "line 8, column 1",
        "line 9, column 7",
        "line 10, column 1",
    ]
    assert "it has “words”" in bad[1]


def test_bad_bytes_of_a_plain_text_are_named_by_line_and_column(a_file):
    texts, bad = whole(a_file("c.txt", b"good\nF\xc3\xbc\xff\nmore\n"), "line")
    assert (texts, bad) == (["good", "more"], ["line 2, column 3: not UTF-8 text"])


def test_a_row_of_parquet_without_text_is_named(tmp_path):
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"text": ["a", None, "b"]}), path)
    assert whole(path) == (["a", "b"], ["row 2, column text: “text” is no text"])


def test_long_lines_come_in_parts_that_end_between_characters(a_file, monkeypatch):
    monkeypatch.setattr(corpora, "PART", 7)
    text = "Füße 猫猫猫 😀😀😀 und so weiter"
    for document in ("file", "line"):
        path = a_file("c.txt", text + "\n" + text)
        parts = list(passages_of(path, Layout(document)))
        assert len(parts) > 6
        assert all(isinstance(part, Passage) for part in parts)
    assert whole(path, "line") == ([text, text], [])
    assert whole(path, "file") == ([text + "\n" + text], [])
    row = a_file("c.jsonl", json.dumps({"text": text}))
    assert len(list(passages_of(row, Layout()))) > 3
    assert whole(row) == ([text], [])


def test_a_line_of_json_without_end_is_never_held(a_file, monkeypatch):
    monkeypatch.setattr(corpora, "LONGEST", 50)
    path = a_file("c.jsonl", json.dumps({"text": "x" * 500}) + "\n" + json.dumps({"text": "ok"}))
    assert whole(path) == (["ok"], ["line 1, column 51: longer than 50 bytes"])


def test_what_unpacks_to_too_much_is_refused_before_it_is_held(a_file):
    bomb = a_file("c.txt.gz", gzip.compress(b"0" * 10_000_000))
    with pytest.raises(DataError, match="larger than"):
        whole(bomb, "line", "text", 1_000_000)


def test_a_parquet_that_says_it_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"text": ["x" * 100_000] * 200}), path)
    assert path.stat().st_size < 300_000
    with pytest.raises(DataError, match="larger than"):
        whole(path, "line", "text", 300_000)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\xff\xfeo\x00", "UTF-16"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04rest", "zip"),
        (gzip.compress(gzip.compress(b"a")), "twice"),
        (gzip.compress(b"a" * 1000)[:-9], "damaged"),
        (b"PAR1 and nothing else", "damaged"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(a_file, content, said):
    with pytest.raises(DataError, match=said):
        whole(a_file("c.txt", content))


def test_a_column_that_a_parquet_lacks_is_named(tmp_path):
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"body": ["a"]}), path)
    with pytest.raises(DataError, match="no column “text”; it has “body”"):
        whole(path)


def test_a_stored_corpus_is_the_one_file_of_its_folder(a_file, tmp_path):
    path = a_file("c.txt", "a")
    assert file_of(path) == path
    with committed(tmp_path / "stored") as aside:
        (aside / "c.json").write_text("a")
    assert file_of(tmp_path / "stored").name == "c.json"
    (tmp_path / "stored" / "d.txt").write_text("b")
    with pytest.raises(DataError, match="one file"):
        file_of(tmp_path / "stored")


def test_progress_is_told_in_bytes_of_the_file(a_file):
    path, seen = a_file("c.txt", "word\n" * 1000), []
    list(passages_of(path, Layout("line"), seen.append))
    assert seen[-1] == path.stat().st_size
