"""What a file is: read whatever it is called, or named for what it is with what to do about it."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from itertools import product

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from alignment.rows.answers import MISSING
from alignment.rows.formats import GUESS
from alignment.rows.json_lines import LONGEST_LINE
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.reading import read

NAMED = {"ids": lambda value: repr(value)[:40] if isinstance(value, str) else "bytes"}
LIMIT = 50_000_000
pytestmark = pytest.mark.once


def whole(path, limit=LIMIT):
    steps = read(path, GUESS, limit=limit)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.fixture
def look(tmp_path):
    """What a file of this content holds."""

    def look(content, limit=LIMIT):
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return whole(path, limit)

    return look


def asked(reading):
    assert reading.refusals == []
    return [prompt.messages[-1].content for prompt in reading.prompts.values()]


def zstd(content):
    into = pa.BufferOutputStream()
    with pa.CompressedOutputStream(into, "zstd") as file:
        file.write(content)
    return into.getvalue().to_pybytes()


def parquet(**columns):
    into = io.BytesIO()
    pq.write_table(pa.table(columns), into)
    return into.getvalue()


def zipped(**members):
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return into.getvalue()


LINES = b'"a"\n{"prompt": "b"}\n'
PRETTY = json.dumps([{"prompt": "a"}, {"prompt": "b"}], indent=2)


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (LINES, "JSON lines"),
        (b"\xef\xbb\xbf" + LINES, "JSON lines"),
        (b"\n\n" + LINES.replace(b"\n", b"\r\n"), "JSON lines"),
        ('[{"prompt": "a"}, {"prompt": "b"}]', "a JSON array"),
        ('["a", "b"]', "a JSON array"),
        (PRETTY, "a JSON array"),
        ("\ufeff" + PRETTY, "a JSON array"),
        ('[{"prompt": "a"},\n{"prompt": "b"}]', "a JSON array"),
        ('{\n"prompt": "a"\n}\n{\n"prompt": "b"\n}', "a JSON document"),
        ('{"prompt": "a"} {"prompt": "b"}', "a JSON document"),
        ('{"data": [{"prompt": "a"}, {"prompt": "b"}]}', "a JSON document"),
        ('{"version": 1,\n"train": [{"prompt": "a"}, {"prompt": "b"}]}', "a JSON document"),
        ('{"rows": [{"row_idx": 0, "row": {"prompt": "a"}}, "b"]}', "a JSON document"),
        ('{"prompt": ["a", "b"], "chosen": ["x", "y"]}', "a JSON document"),
        ('{"prompt": {"0": "a", "1": "b"}}', "a JSON document"),
        ("prompt,chosen,rejected\na,x,y\nb,x,y\n", "CSV"),
        ("prompt;n\na;1\nb;2", "CSV with semicolons"),
        ("n\tprompt\n1\ta\n2\tb\n", "TSV"),
        ("\ufeffprompt\na\nb\n", "CSV"),
        ('"prompt"\n"a"\n"b"\n', "CSV"),
        (gzip.compress(LINES), "JSON lines"),
        (gzip.compress(LINES[:4]) + gzip.compress(LINES[4:]), "JSON lines"),
        (bz2.compress(LINES), "JSON lines"),
        (lzma.compress(LINES), "JSON lines"),
        (zstd(LINES), "JSON lines"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0size" + zstd(LINES[:4]) + zstd(LINES[4:]), "JSON lines"),
        (parquet(prompt=["a", "b"]), "Parquet"),
        (gzip.compress(parquet(prompt=["a", "b"])), "Parquet"),
        (zipped(x_dot_jsonl=LINES, README_dot_md="# Read"), "a zip with 1 file of rows"),
        (zipped(x__a_dot_csv="prompt\na", x__b_dot_parquet=parquet(prompt=["b"])), "a zip with 2"),
        (zipped(x_dot_json=PRETTY), "a zip with 1 file of rows"),
    ],
    **NAMED,
)
def test_every_usual_kind_of_file_is_read(look, content, title):
    reading = look(content)
    assert asked(reading) == ["a", "b"]
    assert reading.title.startswith(title)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        ("<!DOCTYPE html>\n<html>", "web page"),
        ("  <html><body>", "web page"),
        ("<?xml version='1.0'?><a/>", "XML"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (zipped(xl__workbook_dot_xml="", _Content="x"), "Save it as CSV UTF-8"),
        (zipped(word__document_dot_xml=""), "Word document"),
        (zipped(a_dot_png="x"), "No file in the zip holds rows"),
        (zipped(x_dot_jsonl=LINES)[:-30], "zip is damaged"),
        (zipped(x_dot_jsonl=zipped(y_dot_jsonl=LINES)), "zip within another"),
        (LINES.decode().encode("utf-16"), "UTF-16"),
        (LINES.decode().encode("utf-16-le") * 9, "UTF-16"),
        (b"\x00\x01\x02\x03" * 9, "not text"),
        (b"\x89PNG\r\n\x1a\n\x00", "a picture"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office"),
        ("First Citizen:\nBefore we proceed", "plain text"),
        (b"caf\xe9 au lait\n", "not UTF-8"),
        ("prompt,chosen\ncaf\xe9,x".encode("latin-1"), "row 2, column prompt.*CSV UTF-8"),
        (b"prompt,chosen\n" + 3000 * b"ab,cd\n" + b"a,caf\xe9\n", "row 3002, column chosen"),
        (b"prompt,caf\xe9,chosen\na,b,c\n", "row 1, column 2"),
        (b"prompt,chosen\na,b,\xff\n", "row 2, column 3"),
        ("[{'prompt': 'a'}]", "json.dumps"),
        ('{\n"a": 1,\n"b": 2\n}', "one JSON object without rows: it holds a, b"),
        ('[{"prompt": "a"}, {"prompt": "b"', "damaged at character"),
        ('[{"prompt": "a"} {"prompt": "b"}]', "comma"),
        ('[{"prompt": "a"}] x', "more follows"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"a": ' + "1" * 5_000 + "}]", "number is too long"),
        ('[{"prompt": "' + "x" * (LONGEST_LINE + 99) + '"}]', "longer than"),
        ('prompt,x\n"a,b\n', "damaged at row 2"),
        ("prompt,prompt\na,b\n", "two columns “prompt”"),
        (parquet(prompt=["a"])[:-9], "Parquet file is damaged"),
        (parquet(prompt=["a"])[:-9] + b"PAR1", "Parquet file is damaged"),
        (gzip.compress(LINES)[:-9], "damaged or cut short"),
        (gzip.compress(LINES)[:15], "damaged or cut short"),
        (bz2.compress(LINES)[:20], "damaged or cut short"),
        (lzma.compress(LINES)[:20], "damaged or cut short"),
        (zstd(LINES)[:12], "damaged or cut short"),
        (b"", "no rows"),
        ("[]", "no rows"),
        ("prompt,chosen\n", "no rows"),
    ],
    **NAMED,
)
def test_any_other_file_is_named_for_what_it_is(look, content, words):
    with pytest.raises(ImportRefusal, match="(?s)" + words):
        look(content)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{'prompt': 'a'}", "Python's way"),
        ('{"prompt": "a"} x', "more follows"),
        ('{"prompt": "a", "prompt": "b"}', "“prompt” is in it twice"),
        ('{"x": [{"b": 1, "b": 2}], "prompt": "c"}', "“b” is in it twice"),
        ('{"n": ' + "1" * 5_000 + "}", "number in it is too long"),
        ('{"prompt": ' + "[" * 50_000, "nested too deeply"),
        ('{"prompt": "a"', "not JSON: "),
    ],
)
def test_a_bad_line_says_why_and_costs_only_itself(look, line, words):
    reading = look(f'"a"\n{line}\n"b"\n')
    (refusal,) = reading.refusals
    assert refusal.startswith("line 2: ")
    assert words in refusal
    assert len(reading.prompts) == 2


def test_a_first_line_that_breaks_is_one_bad_line(look):
    assert look('{"prompt": "a"\n{"prompt": "b"}\n').refused == 1
    assert look('{\n{"prompt": "b"}\n').refused == 1


def test_a_row_of_a_table_with_too_few_cells_is_a_bad_row(look):
    reading = look("prompt,answer_a,answer_b\na,x,y\nb,x\n")
    assert reading.refusals == ["row 3: 2 cells, where the first row names 3 columns"]


def test_cells_keep_their_line_ends_spaces_and_marks(look):
    text = ' a\r\n"b", c\n '
    quoted = text.replace('"', '""')
    reading = look(f'prompt,answer_a,answer_b\r\n"{quoted}",x,y\r\n')
    assert asked(reading) == [text]


def test_lists_in_cells_are_read_where_columns_hold_lists(look):
    cell = json.dumps(["x", "[y]"]).replace('"', '""')
    reading = look(f'prompt,responses\n[a],"{cell}"\n')
    assert asked(reading) == ["[a]"]
    (prompt,) = reading.prompts.values()
    assert [answer.text for answer in prompt.answers.values()] == ["x", "[y]"]


def test_what_lies_beside_the_rows_in_a_zip_is_counted(look):
    beside = {"README_dot_md": "x", "MANIFEST_dot_json": "{}", "__MACOSX___dot_jsonl": "x"}
    reading = look(zipped(x__train_dot_jsonl=LINES, x__train_dot_parquet=b"x", **beside))
    assert asked(reading) == ["a", "b"]
    assert sum(reading.left_out.values()) == 4


BIG = b'"' + b"a" * 1000 + b'"\n'


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(BIG * 1000),
        zstd(BIG * 1000),
        zipped(x_dot_jsonl=BIG * 1000),
        zipped(x_dot_jsonl=BIG * 60, y_dot_jsonl=BIG * 60),
        parquet(prompt=["a" * 1000] * 10_000),
        parquet(prompt=pa.array([[None] * 500_000], pa.list_(pa.null()))),
    ],
    ids=["gzip", "zstd", "zip", "files of a zip", "parquet of equal texts", "parquet of nulls"],
)
def test_nothing_unpacks_past_the_bound(look, content):
    assert len(content) < 100_000
    with pytest.raises(ImportRefusal, match="larger than"):
        look(content, limit=100_000)


@given(content=st.binary(max_size=300))
def test_no_bytes_are_a_bug(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "file"
    for beginning in (b"", b"[", b'{"', b"PK\x03\x04", b"PAR1", b"\x1f\x8b\x08", b"prompt,"):
        path.write_bytes(beginning + content)
        try:
            reading = whole(path)
        except ImportRefusal:
            continue
        assert reading.rows + reading.refused


values = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    rows=st.lists(st.fixed_dictionaries({"prompt": st.text(), "x": values}), min_size=1),
    indent=st.sampled_from([None, 2]),
    ascii=st.booleans(),
)
def test_an_array_and_its_lines_hold_the_same(tmp_path_factory, rows, indent, ascii):
    path = tmp_path_factory.mktemp("same") / "file"
    path.write_text(
        json.dumps(rows, indent=indent, ensure_ascii=ascii), encoding="utf-8", newline=""
    )
    array = whole(path)
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows),
        encoding="utf-8",
        newline="",
    )
    lines = whole(path)
    assert array.prompts == lines.prompts
    assert (array.rows, array.refused, array.unused) == (lines.rows, lines.refused, lines.unused)


def test_an_array_larger_than_what_is_held_is_read_in_parts(look):
    rows = [{"prompt": f"{n} " + "x" * 3000, "é": ["é" * 50]} for n in range(2_000)]
    reading = look(json.dumps(rows, ensure_ascii=False, indent=1))
    assert asked(reading) == [row["prompt"] for row in rows]


def test_a_damaged_file_is_refused_in_words_by_the_command_too(project, tmp_path):
    path = tmp_path / "trees.jsonl.gz"
    path.write_bytes(gzip.compress(LINES * 100)[:-20])
    with pytest.raises(CommandError, match=r"trees\.jsonl\.gz: The compressed file is damaged"):
        call_command("import_feedback", str(project), str(path))


def test_real_files_are_read_or_named(shared_data):
    text = shared_data("tinyshakespeare.txt")
    found = {path.name: whole(path) for path in text.parent.glob("oasst*")}
    assert {reading.refused for reading in found.values()} == {0}
    counts = {name: len(reading.prompts) for name, reading in found.items()}
    assert counts.pop("oasst_en_100_tree.jsonl") == 480
    assert counts.pop("oasst_prompts_en_250.jsonl") == 250
    assert set(counts.values()) == {100}
    with pytest.raises(ImportRefusal, match="plain text"):
        whole(text)


GOOD = b'{"prompt": "b", "chosen": "x", "rejected": "y"}\n'
FIRST = [
    b'{"prompt": "a", "prompt": "c"}',
    b'{"prompt": "a"} {"prompt": "c"}',
    b'{"prompt": "caf\xe9"}',
    b'{"prompt": "' + b"x" * (LONGEST_LINE + 9) + b'"}',
    b'{"prompt": "' + b"x" * (2 * LONGEST_LINE) + b'"}',
    b'{"prompt": "' + b"x" * (2 * LONGEST_LINE),
    b'{"prompt": "a"',
    b'{"prompt": ',
    b"{",
    b"{'prompt': 'a'}",
    b'[{"role": "user", "content": "a"}',
    b'[{"role": "user", "content": "a"',
    b'[{"role": "user", "role": "user"}]',
    b'["a", "b"] x',
    b'{"n": ' + b"1" * 5_000 + b"}",
    b'"a" "b"',
    b"what is this?",
]


@pytest.mark.parametrize("line", FIRST, ids=lambda line: repr(line[:30]))
@pytest.mark.parametrize("rest", [GOOD * 3, GOOD + b"oops\n" + GOOD], ids=["good", "bad"])
def test_a_bad_first_line_costs_only_itself(look, line, rest):
    reading = look(line + b"\n" + rest)
    bad = [refusal.partition(":")[0] for refusal in reading.refusals]
    assert bad == ["line 1", *["line 3"] * (b"oops" in rest)]
    assert reading.rows == rest.count(GOOD)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("line", FIRST[:-1], ids=lambda line: repr(line[:30]))
def test_a_bad_line_of_message_lists_costs_only_itself(look, line, place):
    good = b'[{"role": "user", "content": "b"}]'
    lines = [good] * 3
    lines.insert(place, line)
    reading = look(b"\n".join(lines))
    assert [refusal.partition(":")[0] for refusal in reading.refusals] == [f"line {place + 1}"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("size", [LONGEST_LINE - 13, LONGEST_LINE - 12, 17_000_000])
def test_a_first_line_of_any_length_is_told_by_its_length(look, size, mark):
    reading = look(mark + b'{"prompt": "' + b"x" * size + b'"}\n' + GOOD)
    assert reading.rows == 1 + (size < LONGEST_LINE - 13)
    assert reading.refusals == ["line 1: longer than 1,000,000 bytes"]


def test_a_long_document_on_one_line_is_one(look):
    rows = [{"prompt": f"{n} " + "x" * 3000} for n in range(1000)]
    for document in (rows, {"data": rows}):
        assert len(look(json.dumps(document) + "\n").prompts) == 1000


@pytest.mark.parametrize(
    "members",
    [
        {"train_dot_csv": "prompt\na", "test_dot_json": '[{"prompt": "b"}]'},
        {"d_dot_jsonl": '"a"', "d_dot_csv": "prompt\nb"},
        {"d_dot_jsonl": '"a"', "d_dot_parquet": parquet(prompt=["b"])},
        {"a_dot_csv": "prompt\na", "b_dot_jsonl_dot_gz": gzip.compress(b'"b"\n')},
        {"prompts_dot_txt": LINES},
        {"rows": PRETTY, "config_dot_json": '{\n"a": 1\n}', "info_dot_json": '{"a": 1}'},
        {"x__data": "n\tprompt\n1\ta\n2\tb\n", "LICENSE": "[x] All\n1969\nrights reserved"},
    ],
    ids=lambda members: "-".join(members),
)
def test_files_in_a_zip_are_known_by_what_is_in_them(look, members):
    assert asked(look(zipped(**members))) == ["a", "b"]


def test_each_file_in_a_zip_that_is_not_read_is_named_with_why(look):
    others = {"README_dot_md": "# Read", "p_dot_png": b"\x89PNG", "MANIFEST_dot_json": '{"a": {}}'}
    reading = look(zipped(x_dot_jsonl=LINES, **others))
    told = " ".join(reading.left_out)
    for words in ("“README.md” in the zip is not read: plain text", "“p.png”", "a picture"):
        assert words in told
    assert "“MANIFEST.json”" in told


def test_a_damaged_file_of_rows_in_a_zip_is_not_passed_over(look):
    for bad in (parquet(prompt=["a"])[:-9], gzip.compress(LINES * 99)[:-9], b'prompt,n\n"a,1\n'):
        with pytest.raises(ImportRefusal, match="damaged"):
            look(zipped(a_dot_jsonl=LINES, b_dot_x=bad))


def tar(content):
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        member = tarfile.TarInfo("rows.jsonl")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return into.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tar(LINES), "a tar archive"),
        (gzip.compress(tar(LINES)), "a tar archive"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}" + bytes(80), "NumPy"),
        (bytes(4000), "not text"),
        (b"\x01\x00\x00\x00" * 99, "not text"),
        ("größer".encode("utf-16-be") * 9, "UTF-16"),
    ],
    ids=["tar", "tar.gz", "npy", "zeros", "numbers", "utf-16-be"],
)
def test_zeros_are_not_taken_for_wide_text(look, content, words):
    with pytest.raises(ImportRefusal, match=words):
        look(content)


ANSWERED = [("a", "x", "y"), ("b", "x", "y")]


@pytest.mark.parametrize("change", [str.lower, str.title, str.upper])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\ufeff\n", "\n  \n"])
def test_a_table_is_read_however_it_is_written(look, change, mark):
    rows = [tuple(map(change, ("prompt", "chosen", "rejected"))), *ANSWERED]
    hints = ("", "sep={}", "SEP={}", '"sep={}"')
    for end, separator, hint in product(("\n", "\r\n", "\r"), ",;\t", hints):
        text = "".join(separator.join(row) + end for row in rows)
        reading = look(mark + (hint.format(separator) + end if hint else "") + text)
        assert asked(reading) == ["a", "b"], (end, separator, hint)
        assert [len(prompt.pairs) for prompt in reading.prompts.values()] == [1, 1]


def test_columns_in_capitals_are_named_as_in_the_file(look):
    reading = look("Prompt,Answer_A,ANSWER_B,Winner,My Note\na,x,y,A,hm\n")
    (prompt,) = reading.prompts.values()
    assert (len(prompt.answers), len(prompt.pairs)) == (2, 1)
    assert reading.unused == {"My Note": 1}
    assert look('{"Prompt": "a", "Note": 1, "CHOSEN": "x", "Rejected": "y"}').unused == {"Note": 1}
    assert "columns: Title, Note" in look('{"Title": "a", "Note": 1}').refusals[0]


def test_a_cell_that_is_too_long_is_one_bad_row(look):
    reading = look("prompt,n\n" + "x" * (LONGEST_LINE + 9) + ",1\nb,2\n")
    assert (len(reading.prompts), reading.refused) == (1, 1)
    assert "longer than 1,000,000 characters" in reading.refusals[0]


def test_a_cell_that_is_far_too_long_is_told_by_its_size(look):
    with pytest.raises(ImportRefusal, match="more than 16,000,000 characters at row 2"):
        look("prompt,n\n" + "x" * 16_000_009 + ",1\nb,2\n")


@pytest.mark.parametrize(
    "columns", ["answer_a,answer_b", "response_1,response_2", "chosen,rejected"]
)
def test_an_empty_cell_is_a_missing_answer(look, columns):
    reading = look(f"prompt,{columns}\nq,x,\n")
    assert reading.left_out == {MISSING: 1}


def test_messages_as_python_writes_them_are_a_bad_row_of_a_table(look):
    talk = "[{'content': 'a', 'role': 'user'}, {'content': 'x', 'role': 'assistant'}]"
    reading = look(f'chosen,rejected\n"{talk}","{talk}"\n')
    assert "as Python writes them" in reading.refusals[0]


def test_a_list_of_bad_rows_that_cannot_be_written_is_said_so(project, tmp_path):
    path, there = tmp_path / "rows.jsonl", tmp_path / "no" / "list"
    path.write_bytes(LINES)
    with pytest.raises(CommandError, match=r"no/list cannot be written"):
        call_command("import_feedback", str(project), str(path), bad_rows=there)
