"""Arrow files, and folders that `datasets` saved: their rows, and what of them is refused."""

import io
import random
import zipfile
from contextlib import suppress

import datasets
import pyarrow as pa
import pytest
from django.core.management import call_command

from tests.webapp.datasets.test_files import whole
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports import arrow

pytestmark = pytest.mark.once

ROWS = [
    {"prompt": [{"role": "user", "content": f"Question {number}?"}], "completion": "Yes."}
    for number in range(150)
]
TABLE = pa.Table.from_pylist(ROWS)
DAMAGES = 300


def written(table=TABLE, whole_file=False, **options):
    """The table as Arrow writes it, in batches of 100 rows."""
    into = io.BytesIO()
    make = pa.ipc.new_file if whole_file else pa.ipc.new_stream
    with make(into, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(table, max_chunksize=100)
    return into.getvalue()


def rows_in(content):
    return list(arrow.rows_of(io.BytesIO(content)))


@pytest.mark.parametrize("whole_file", [False, True], ids=["stream", "file"])
def test_rows_of_arrow_are_read_in_their_order(tmp_path, whole_file):
    content = written(whole_file=whole_file)
    assert [row.value for row in rows_in(content)] == ROWS
    assert rows_in(content)[-1].place == "row 150"
    path = tmp_path / "file"
    path.write_bytes(content)
    reading = whole(path)
    assert (reading.title, reading.rows, reading.refused) == ("Arrow", 150, 0)


def test_a_folder_that_datasets_saved_is_read_by_the_command(project, tmp_path):
    made = datasets.Dataset.from_list(ROWS[:20])
    datasets.DatasetDict(train=made, test=made.select(range(5))).save_to_disk(tmp_path / "saved")
    out = io.StringIO()
    call_command("import_feedback", project.name, str(tmp_path / "saved"), stdout=out)
    assert "20 prompts and 20 answers added" in out.getvalue()
    assert "state.json” in the zip is not read" in out.getvalue()


def test_the_same_folder_in_a_zip_is_read_too(tmp_path):
    path = tmp_path / "saved.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/data-00000-of-00001.arrow", written())
        archive.writestr("train/state.json", '{"_split": "train"}')
    assert (whole(path).rows, sum(whole(path).left_out.values())) == (150, 1)


def test_links_in_a_folder_are_not_followed(tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "rows.arrow").write_bytes(written())
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "rows.arrow").symlink_to(tmp_path / "else" / "rows.arrow")
    with pytest.raises(ImportRefusal, match="it is empty"):
        whole(tmp_path / "saved")


BOMB = pa.table({"prompt": ["x" * 50_000] * 200})
NAMED = BOMB["prompt"].combine_chunks()


@pytest.mark.parametrize(
    "content",
    [
        written(BOMB, compression="zstd"),
        written(BOMB, compression="lz4"),
        written(pa.table({"prompt": NAMED.dictionary_encode()})),
        written(pa.table({"x": pa.array([["a"]]), "s": NAMED.slice(0, 1).cast(pa.string_view())})),
        written(pa.table({"x": pa.StructArray.from_arrays([NAMED.dictionary_encode()], ["d"])})),
    ],
    ids=["zstd", "lz4", "dictionary", "views", "nested"],
)
def test_what_would_unpack_without_a_bound_is_refused(content):
    with pytest.raises(ImportRefusal, match="Save it as Parquet"):
        rows_in(content)


def test_any_damage_is_told_or_costs_nothing():
    chance, content = random.Random(1), written(TABLE.slice(0, 20))
    for _ in range(DAMAGES):
        bad = bytearray(content)
        for _ in range(chance.randrange(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        cut = bytes(bad[: chance.choice([len(bad), chance.randrange(len(bad))])])
        with suppress(ImportRefusal):  # and nothing else
            assert len(rows_in(cut)) <= 10_000
