"""Snapshots as other tools read them: a folder of files with a card and a manifest, zipped.

The same snapshot gives the same bytes, so that a hash identifies what somebody trained on.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from alignment.seam.folders import committed, file_sha256, manifest_sha256
from alignment.seam.records import PairRecord
from webapp.datasets.cards import card
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import pairs_of
from webapp.jobs.models import Job
from webapp.jobs.work import Work
from webapp.projects.models import Split

ROWS_PER_GROUP = 1000
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip has no earlier time
TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
ABOUT = [
    ("prompt_key", pa.string()),
    ("group", pa.string()),
    ("strength", pa.int8()),
    ("annotator", pa.string()),
    ("left_won", pa.bool_()),
]

Row = dict[str, Any]


class TextForm(NamedTuple):
    """How a conversation is written."""

    title: str
    help: str
    schema: pa.Schema
    row: Callable[[PairRecord], Row]


class Consumer(NamedTuple):
    """Who reads the export: its name, and the configuration `load_dataset` is asked for."""

    title: str
    help: str
    config: str


def conversational(pair: PairRecord) -> Row:
    """Prompt and answers as lists of messages."""
    return {
        "prompt": [turn.model_dump() for turn in pair.prompt.messages],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
    } | _about(pair)


def plain(pair: PairRecord) -> Row:
    """Prompt and answers as text; raises ExportRefusal for a conversation of several turns."""
    if len(pair.prompt.messages) > 1:
        raise ExportRefusal(
            "Some prompts have several turns, which plain text cannot keep apart. "
            "Export lists of messages instead."
        )
    texts = {"prompt": pair.prompt.text, "chosen": pair.chosen, "rejected": pair.rejected}
    return texts | _about(pair)


def _about(pair: PairRecord) -> Row:
    return {
        "prompt_key": pair.prompt.key,
        "group": pair.group,
        "strength": pair.strength,
        "annotator": pair.annotator,
        "left_won": pair.left_won,
    }


def _schema(text: pa.DataType) -> pa.Schema:
    return pa.schema([(name, text) for name in ("prompt", "chosen", "rejected")] + ABOUT)


CONSUMERS: Mapping[str, Consumer] = {
    "trl_preference": Consumer(
        "TRL DPO / reward (preference, explicit prompt)",
        "For TRL's DPOTrainer and RewardTrainer, and all that read their format.",
        "preference",
    ),
}
TEXT_FORMS: Mapping[str, TextForm] = {
    "conversational": TextForm(
        "Lists of messages",
        "the trainer's chat template is applied; prompts of several turns stay whole.",
        _schema(TURNS),
        conversational,
    ),
    "plain": TextForm(
        "Plain text",
        "for models without a chat template; only prompts of one turn.",
        _schema(pa.string()),
        plain,
    ),
}


def name_of(snapshot: Snapshot, consumer: str, text: str) -> str:
    """What the export is called, on its page and on somebody's disk."""
    return f"snapshot-{snapshot.number}-{consumer}-{text}".replace("_", "-")


def export(job: Job) -> Work:
    """Write a snapshot's pairs for a consumer, split by prompt, and zip the folder."""
    snapshot = job.project.snapshots.select_related("artifact").get(pk=job.payload["snapshot"])
    consumer = job.payload["consumer"]
    folder = job.folder / job.payload["name"]
    pairs = yield from write_folder(folder, snapshot, consumer, job.payload["text"])
    archive = zipped(folder)
    result = {
        "file": archive.name,
        "sha256": file_sha256(archive),
        "bytes": archive.stat().st_size,
        "manifest_sha256": manifest_sha256(folder),
        "pairs": pairs,
        "folder": folder.name,
        "config": CONSUMERS[consumer].config,
    }
    shutil.rmtree(folder)
    return partial(dict, result)


def write_folder(
    folder: Path, snapshot: Snapshot, consumer: str, text: str
) -> Generator[tuple[int, int], None, dict[str, int]]:
    """Fill a committed folder; how many pairs each split got. Raises ExportRefusal."""
    config, form = CONSUMERS[consumer].config, TEXT_FORMS[text]
    counts: dict[str, int] = {}
    with committed(folder) as aside:
        (aside / config).mkdir()
        for split in Split.values:
            path = aside / config / split
            for written in write_split(path, pairs_of(snapshot.artifact, split), form):
                counts[split] = written
                yield sum(counts.values()), snapshot.pairs
        if not counts:
            raise ExportRefusal(
                "This snapshot has no pairs: ties and both-bad make none. Label more, and freeze again."
            )
        (aside / "README.md").write_text(card(snapshot, config, counts), encoding="utf-8")
    return counts


def write_split(path: Path, pairs: Iterator[PairRecord], form: TextForm) -> Iterator[int]:
    """Write the pairs as JSON lines and as Parquet; how many so far. No file for no pairs."""
    first = next(pairs, None)
    if first is None:
        return
    written = 0
    with (
        path.with_suffix(".jsonl").open("w", encoding="utf-8") as lines,
        pq.ParquetWriter(path.with_suffix(".parquet"), form.schema, compression="zstd") as table,
    ):
        group = [form.row(first)]
        for pair in pairs:
            if len(group) == ROWS_PER_GROUP:
                written += _flush(group, lines, table, form.schema)
                yield written
                group = []
            group.append(form.row(pair))
        written += _flush(group, lines, table, form.schema)
    yield written


def _flush(
    group: list[Row],
    lines: TextIO,
    table: pq.ParquetWriter,
    schema: pa.Schema,
) -> int:
    lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in group)
    table.write_table(pa.Table.from_pylist(group, schema=schema))
    return len(group)


def zipped(folder: Path) -> Path:
    """The folder as a zip file beside it, the same for the same files."""
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as into:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, into.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
    return archive
