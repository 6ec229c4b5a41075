"""What it costs to bring rows in and out, beside the barest program that moves the same rows, by turns.

Out: a snapshot's preferences as Parquet against pyarrow writing the table that came of it, as JSON lines against a bare
loop of `json.dumps` (its bytes are compared). In: a file of pairs that become tasks, against executemany (SQLite) or
COPY (PostgreSQL) of the rows that came of it into the same tables with their indexes. Peaks are of programs that do one
thing, with all rows and with a tenth.
"""

import json
import random
import re
import shutil
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from alignment.seam.folders import committed
from alignment.seam.records import Message, prompt_key, split_of_prompt
from benchmarks.intervals import ratio_of_medians
from tests import ground
from tests.factories import a_project
from tests.forks import Fork
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.datasets import snapshots
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.folders import write_folder, zipped
from webapp.datasets.exports.writers import JSON_LINES, PARQUET, Writer
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import SnapshotRow
from webapp.labeling.models import Completion, Task, TaskItem
from webapp.projects.models import Project, Prompt

BARS = {"parquet": 1.5, "json_lines": 1.5, "import": 2.5, "peak": 1.2}
FORM = "trl_preference_plain"
OF_A_PROMPT = 2  # rows
WORDS = [f"{first}{last}" for first in "bdfgklmnprst" for last in ("a", "el", "in", "orum", "ust")]
ASKED, ANSWERED = 16, 80  # words: 70 and 350 characters
AT_ONCE = 10_000  # rows that the bare programs hold
TABLES = (Prompt, Completion, Task, TaskItem)
Rows = list[tuple[object, ...]]
Times = dict[str, list[float]]


def pairs(number: int) -> Iterator[tuple[str, str, str]]:
    """Prompts with a better and a worse answer, the same each time."""
    chance = random.Random(0)
    for place in range(number):
        if place % OF_A_PROMPT == 0:
            asked = f"{place} {said(chance, ASKED)}?"
        yield asked, said(chance, ANSWERED), said(chance, ANSWERED)


def said(chance: random.Random, words: int) -> str:
    """Something of about so many words."""
    return " ".join(chance.choices(WORDS, k=chance.randint(words // 2, 3 * words // 2)))


def a_snapshot(project: Project, rows: int) -> Snapshot:
    """What freezing so many comparisons would leave."""
    folder = Path(settings.VAR) / "frozen"
    with committed(folder) as aside:
        for _ in snapshots.write(aside, frozen(rows)):
            continue
    manifest = snapshots.count(folder) | {"filter": {}, "newest": {}, "form": 1}
    artifact = store(folder, project=project, type=Artifact.Type.SNAPSHOT, name=f"of {rows}")
    shutil.rmtree(folder, ignore_errors=True)
    counts = {"labels": rows, "pairs": sum(manifest["pairs"].values()), "annotators": 7}
    number = project.snapshots.count() + 1
    return Snapshot.objects.create(
        project=project, number=number, artifact=artifact, manifest=manifest, **counts
    )


def frozen(rows: int) -> Iterator[SnapshotRow]:
    """Its rows: every choice as often, by seven people."""
    for place, (asked, *answers) in enumerate(pairs(rows)):
        turns = (Message(role="user", content=asked),)
        yield SnapshotRow(
            prompt_key=prompt_key(turns),
            split=split_of_prompt(turns),
            messages=json.dumps([turn.model_dump() for turn in turns]),
            kind="compare",
            items=answers,
            answer=json.dumps({"choice": place % 8}, separators=(",", ":")),
            annotator=f"annotator-{place % 7}",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            source="label",
            label=place + 1,
            counted=True,
            visible_ms=1500,
            task=place + 1,
            completions=(2 * place + 1, 2 * place + 2),
            sources=("imported", "imported"),
            models=("", ""),
        )


def exported(snapshot: Snapshot, *ways: Writer) -> Path:
    """The folder that an export writes in these ways."""
    folder = Path(settings.VAR) / "exported"
    shutil.rmtree(folder, ignore_errors=True)
    for _ in write_folder(folder, snapshot, replace(EXPORTS[FORM], writers=ways)):
        continue
    return folder


def bare_parquet(folder: Path, into: Path) -> float:
    """Seconds in which pyarrow writes the same tables."""
    spent = 0.0
    for path in sorted(folder.rglob("*.parquet")):
        with pq.ParquetFile(path) as file:
            tables = file.iter_batches(AT_ONCE)
            with pq.ParquetWriter(into, file.schema_arrow, compression="zstd") as bare:
                for table in tables:
                    spent += seconds(lambda table=table: bare.write_batch(table))
                spent += seconds(bare.close)
    return spent


def bare_lines(folder: Path, rows: Path, into: Path) -> float:
    """Seconds of a loop of `json.dumps` over the rows of a Parquet; raises AssertionError for other bytes than ours."""
    spent = 0.0
    for path in sorted(rows.rglob("*.parquet")):
        with pq.ParquetFile(path) as file, into.open("w", encoding="utf-8") as lines:
            for batch in file.iter_batches(AT_ONCE):
                group = batch.to_pylist()
                spent += seconds(lambda group=group, lines=lines: dump(group, lines))
        ours = folder / path.relative_to(rows).with_suffix(".jsonl")
        if ours.read_bytes() != into.read_bytes():
            raise AssertionError(f"{ours.name} holds other rows than the Parquet")
    return spent


def dump(rows, lines):
    """The bare loop."""
    for row in rows:
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def seconds(act: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def out(rows: int, turns: int) -> dict[str, object]:
    """Figures of exports."""
    snapshot = a_snapshot(a_project(), rows)
    times: Times = {name: [] for name in ("parquet", "pyarrow", "lines", "dumps", "zip")}
    var = Path(settings.VAR)
    for _ in range(turns):
        times["parquet"].append(seconds(lambda: exported(snapshot, PARQUET)))
        table = var / "table"
        shutil.rmtree(table, ignore_errors=True)
        (var / "exported").rename(table)
        times["pyarrow"].append(bare_parquet(table, var / "bare.parquet"))
        times["lines"].append(seconds(lambda: exported(snapshot, JSON_LINES)))
        times["dumps"].append(bare_lines(var / "exported", table, var / "bare.jsonl"))
        times["zip"].append(seconds(lambda: zipped(var / "exported")))
    return {
        "parquet": ratio_of_medians(times["parquet"], times["pyarrow"]),
        "json_lines": ratio_of_medians(times["lines"], times["dumps"]),
        "export_s": rounded(times),
        "export_peak": peaks(lambda size: exporting(size), rows),
    }


def exporting(rows: int) -> Callable[[], object]:
    """What is measured of an export, with all that it needs there."""
    snapshot = a_snapshot(a_project(), rows)
    return lambda: exported(snapshot, JSON_LINES, PARQUET)


def a_file(rows: int) -> Path:
    """A file of pairs."""
    path = Path(settings.VAR) / "pairs.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for asked, chosen, rejected in pairs(rows):
            row = {"prompt": asked, "chosen": chosen, "rejected": rejected}
            lines.write(json.dumps(row) + "\n")
    return path


def take_in(project: Project, path: Path) -> str:
    """What the command says that takes the file in."""
    told = StringIO()
    call_command(
        "import_feedback", str(project.pk), str(path), "--as", "tasks", "--pairs-per-prompt", "1", stdout=told
    )  # fmt: skip
    return told.getvalue()


def rows_of(model) -> tuple[list[str], Rows]:
    """All that a table holds, as the database gives it."""
    names = [field.column for field in model._meta.concrete_fields]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(map(quoted, names))} FROM {table_of(model)} ORDER BY id")
        return names, cursor.fetchall()


def table_of(model) -> str:
    """Its name, quoted."""
    return quoted(model._meta.db_table)


def quoted(name: str) -> str:
    """A name, in SQL."""
    return connection.ops.quote_name(name)


def insert(model, names: list[str], rows: Rows) -> None:
    """Write rows as the driver does it best."""
    columns = ", ".join(map(quoted, names))
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            places = ", ".join("?" * len(names))
            bare = cursor.connection.cursor()
            bare.executemany(f"INSERT INTO {table_of(model)} ({columns}) VALUES ({places})", rows)
            return
        with cursor.cursor.copy(f"COPY {table_of(model)} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def clear() -> None:
    """Leave no row."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for model in reversed(TABLES):
                cursor.execute(f"DELETE FROM {table_of(model)}")
            return
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # none is left to be looked at
        cursor.execute(f"TRUNCATE {', '.join(map(table_of, TABLES))} CASCADE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def bare_insert() -> tuple[float, dict[str, int]]:
    """Seconds in which the rows that are there are written once more into empty tables; how many they are."""
    there = {model: rows_of(model) for model in TABLES}
    clear()

    def write() -> None:
        with transaction.atomic():
            for model, (names, rows) in there.items():
                insert(model, names, rows)

    spent = seconds(write)
    return spent, {model._meta.model_name: len(rows) for model, (_, rows) in there.items()}


def into(rows: int, turns: int) -> dict[str, object]:
    """Figures of imports."""
    project, path = a_project(), a_file(rows)
    times: Times = {name: [] for name in ("import", "import_cpu", "bare")}
    for _ in range(turns):
        before = time.process_time()
        times["import"].append(seconds(lambda: take_in(project, path)))
        times["import_cpu"].append(time.process_time() - before)
        spent, counted = bare_insert()
        times["bare"].append(spent)
        clear()
    return {
        "import": ratio_of_medians(times["import"], times["bare"]),
        "import_cpu": ratio_of_medians(times["import_cpu"], times["bare"]),
        "import_s": rounded(times),
        "stored": counted,
        "import_peak": peaks(importing, rows),
    }


def importing(rows: int) -> Callable[[], object]:
    """What is measured of an import."""
    project, path = a_project(), a_file(rows)
    return lambda: (take_in(project, path), clear())


def peaks(begun: Callable[[int], Callable[[], object]], rows: int) -> dict[str, float]:
    """MB that a program of its own has had at most, for a tenth of the rows and for all."""
    small, large = (peak(begun(size)) for size in (max(1, rows // 10), rows))
    return {"tenth_MB": round(small), "all_MB": round(large), "ratio": round(large / small, 3)}


def peak(act: Callable[[], object]) -> float:
    """MB at most while a fork does this."""
    told = Path(settings.VAR) / "peak"
    told.unlink(missing_ok=True)

    def measured() -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text(
                "5"
            )  # what its parent once had is no peak of its own
        act()
        told.write_text(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])

    if Fork(measured).wait():
        raise RuntimeError("a program that was measured has failed")
    return int(told.read_text()) / 1000


def rounded(times: Times) -> dict[str, list[float]]:
    """As people read them."""
    return {name: [round(one, 2) for one in row] for name, row in times.items()}


def holds(told: dict[str, dict[str, float]]) -> bool:
    """Whether every figure keeps its limit."""
    ratios = all(told[name]["value"] <= BARS[name] for name in ("parquet", "json_lines", "import"))
    return ratios and all(
        told[name]["ratio"] <= BARS["peak"] for name in ("export_peak", "import_peak")
    )


def main() -> int:
    """Measure, print the figures; 0 when all keep their limits."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    told = vars(options) | out(options.rows, options.turns) | into(options.rows, options.turns)
    print(json.dumps(told))
    return 0 if holds(told) else 1


if __name__ == "__main__":
    sys.exit(main())
