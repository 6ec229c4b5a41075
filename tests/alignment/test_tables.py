"""Tables of texts and classes, good and hostile ones."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alignment.rows import classed
from alignment.rows.classed import ClassedColumns, classed_rows
from alignment.rows.corpora import BadLine
from alignment.rows.tables import Table, refusal, table_rows
from alignment.seam.errors import DataError
from alignment.seam.records import ClassedRecord

ROWS = [("One, two", "fine"), ("Zwei\nZeilen “Füße” 猫", "7"), ('A "quoted" one', "fine")]
COLUMNS = ClassedColumns("text", "label")


@pytest.fixture
def a_file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def quoted(text):
    return '"{}"'.format(text.replace('"', '""'))


def as_csv(rows, separator=","):
    lines = [separator.join(["label", "text"])]
    lines += [separator.join([name, quoted(text)]) for text, name in rows]
    return "\n".join(lines) + "\n"


def as_json(rows):
    return "\n".join(json.dumps({"text": text, "label": name}) for text, name in rows)


def as_parquet(path, rows):
    texts, names = zip(*rows, strict=True)
    pq.write_table(pa.table({"more": [1] * len(rows), "text": texts, "label": names}), path)
    return path


def read(path, columns=COLUMNS):
    found = list(classed_rows(path, columns))
    good = [(row.completion, *row.votes) for row in found if isinstance(row, ClassedRecord)]
    return good, [f"{row.place}: {row.reason}" for row in found if isinstance(row, BadLine)]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("c.csv", as_csv),
        ("c.csv", lambda rows: "\n \n" + as_csv(rows)),
        ("c.CSV", lambda rows: "\ufeff" + as_csv(rows, ";")),
        ("c.tsv", lambda rows: as_csv(rows, "\t")),
        ("c.csv.gz", lambda rows: gzip.compress(as_csv(rows).encode())),
        ("c.jsonl", as_json),
        ("c.jsonl.gz", lambda rows: gzip.compress(as_json(rows).encode())),
    ],
)
def test_a_table_of_any_kind_is_read(a_file, name, write):
    assert read(a_file(name, write(ROWS))) == (ROWS, [])


def test_parquet_is_read_and_a_column_that_lacks_is_named(tmp_path):
    path = as_parquet(tmp_path / "c.parquet", ROWS)
    assert read(path) == (ROWS, [])
    with pytest.raises(DataError, match="no column “body”; it has “more”, “text”, “label”"):
        read(path, ClassedColumns("body", "label"))


def test_a_class_is_a_word_a_number_or_a_truth(a_file):
    rows = [{"text": "x", "label": value} for value in ("a b", 3, True)]
    path = a_file("c.jsonl", "\n".join(map(json.dumps, rows)))
    assert [name for _text, name in read(path)[0]] == ["a b", "3", "true"]


def test_bad_rows_are_named_by_line_and_column_and_the_next_is_read(a_file):
    table = (
        b'text,label\nfine,a\n,a\nno class,\n\xff\xfe,a\none,two,three\n"two\nlines",b\n x ,\x01\n'
    )
    good, bad = read(a_file("c.csv", table))
    assert good == [("fine", "a"), ("two\nlines", "b")]
    assert bad == [
        "line 3, column text: there is no “text”",
        "line 4, column label: there is no “label”",
        "line 5, column text: not UTF-8 text",
        "line 6: 3 cells, where the first row names 2 columns",
        f"line 9, column label: “label” is no name of a class: at most {classed.LONGEST_CLASS} letters that can be seen",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "line 2: not an object with columns"),
        ("{oops", "line 2: not JSON"),
        ('{"text": 3, "label": "a"}', "line 2, column text: “text” is not text"),
        ('{"text": "x", "label": 0.5}', "line 2, column label: “label” is not text"),
        ('{"text": "a\\u0000", "label": "a"}', "line 2, column text: “text” contains a NUL"),
        ('{"text": "\\ud800", "label": "a"}', "line 2, column text: “text” contains half"),
        ('{"text": "  ", "label": "a"}', "line 2, column text: “text” is empty"),
        (json.dumps({"text": "x", "label": 10**101}), "line 2, column label: “label” is no name"),
    ],
)
def test_a_bad_line_of_json_is_named(a_file, line, reason):
    good = '{"text": "x", "label": "a"}'
    found, (bad,) = read(a_file("c.jsonl", f"{good}\n{line}\n{good}"))
    assert found == [("x", "a")] * 2
    assert bad.startswith(reason)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.csv", b"", "is empty"),
        ("c.csv", "text,label".encode("utf-16"), "UTF-16"),
        ("c.csv", b"PK\x03\x04", "packed as zip"),
        ("c.txt", b"text,label\nx,a\n", "name it .csv"),
        ("c.csv", b"body,label\nx,a\n", "no column “text”"),
        ("c.csv", b"text,label,text\nx,a,y\n", "two columns “text”"),
        ("c.csv", b'text,label\n"x,a\ny,b\n', "damaged at line 2"),
        ("c.csv.gz", gzip.compress(b"text,label\nx,a\n")[:-9], "damaged or cut short"),
        ("c.parquet", b"PAR1 and then nothing", "damaged or cut short"),
    ],
)
def test_a_file_that_is_no_table_is_refused(a_file, name, content, said):
    with pytest.raises(DataError, match=said):
        read(a_file(name, content))


def test_what_unpacks_to_too_much_is_refused(a_file):
    path = a_file("c.csv.gz", gzip.compress(as_csv([("a" * 100_000, "x")] * 3).encode()))
    with pytest.raises(DataError, match="Unpacked"):
        list(table_rows(Table(path, ["text"], limit=100_000)))


def test_a_prompt_is_read_where_its_column_is_named(a_file):
    path = a_file("c.csv", "q,text,label\nWhy?,x,a\nWhy?,y,b\n")
    one, other = classed_rows(path, ClassedColumns("text", "label", "q"))
    assert one.prompt == other.prompt
    assert one.prompt.text == "Why?"
    one, other = classed_rows(path, COLUMNS)
    assert one.prompt.messages == ()
    assert one.prompt.key != other.prompt.key


def test_a_refusal_names_the_first_bad_rows():
    bad = [BadLine(f"line {n}", "why") for n in range(1, 9)]
    assert "8 in all (line 1: why; line 2: why; line 3: why; line 4: why; line 5: why)" in str(
        refusal(bad, 8)
    )
