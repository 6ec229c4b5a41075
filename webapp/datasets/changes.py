"""What differs between two snapshots of a project: labels, prompts, decisions and imported rankings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from webapp.datasets.errors import SnapshotError
from webapp.datasets.models import Snapshot
from webapp.datasets.snapshots import LABELS, read
from webapp.labeling.models import Label

ASKED_AT_ONCE = 5_000  # labels, of the database
OTHER = ("source", "prompt_key", "kind", "items", "answer", "annotator", "group")
BEFORE = ("left", "right", "choice", "strength")  # in files of before there were kinds
Keys = NDArray[np.int64]


@dataclass(frozen=True)
class SnapshotChanges:
    """How much a snapshot has that an earlier one has not, and the other way round."""

    given: int  # labels since the earlier one was frozen
    let_in: int  # labels that were there then, and were left out
    revised: int  # labels of the earlier one that whoever gave them has changed
    retracted: int  # likewise taken back
    removed: int  # likewise erased, with their task or their person's data
    left_out: int  # likewise still there, and not taken in this time
    prompts_added: int
    prompts_gone: int
    decisions_added: int
    decisions_gone: int
    rankings_added: int  # pairs that files say
    rankings_gone: int

    @property
    def is_empty(self) -> bool:
        """Whether both hold the same."""
        return not any(asdict(self).values())


def changes_between(older: Snapshot | None, newer: Snapshot) -> SnapshotChanges:
    """What came and went from one snapshot, or from none, to a later one; SnapshotError where a file is gone."""
    after = _file_of(newer)
    before = _file_of(older) if older else None
    labels, prompts = _labels(after), _prompts(after)
    labels_before = _labels(before) if before else labels.slice(0, 0)
    prompts_before = _prompts(before) if before else prompts.slice(0, 0)
    new = labels.filter(pc.invert(pc.is_in(labels["label"], labels_before["label"])))
    gone = labels_before.filter(pc.invert(pc.is_in(labels_before["label"], labels["label"])))
    given = _given_since(older, new)
    others, others_before = _others(newer), _others(older) if older else {}
    return SnapshotChanges(
        given=given,
        let_in=len(new) - given,
        **_what_became(gone["label"].to_pylist()),
        prompts_added=_lacking(prompts, prompts_before),
        prompts_gone=_lacking(prompts_before, prompts),
        decisions_added=_more(others, others_before, "adjudication"),
        decisions_gone=_more(others_before, others, "adjudication"),
        rankings_added=_more(others, others_before, "rank"),
        rankings_gone=_more(others_before, others, "rank"),
    )


def _given_since(older: Snapshot | None, labels: pa.Table) -> int:
    """How many of these labels came after an earlier snapshot was frozen."""
    if older is None:
        return len(labels)
    moment = pa.scalar(older.created_at, labels["created_at"].type)
    return int(pc.sum(pc.greater(labels["created_at"], moment)).as_py() or 0)


def _file_of(snapshot: Snapshot) -> Path:
    path = snapshot.artifact.path / LABELS
    if not path.is_file():
        words = _(
            "The file of {snapshot} is not in the store any more: nobody can tell what changed."
        )
        raise SnapshotError(words.format(snapshot=snapshot))
    return path


def _labels(path: Path) -> pa.Table:
    return pq.read_table(
        path, columns=["label", "created_at"], filters=pc.field("source") == "label"
    )


def _prompts(path: Path) -> pa.Array:
    return pc.unique(pq.read_table(path, columns=["prompt_key"])["prompt_key"])


def _lacking(here: pa.Array, there: pa.Array) -> int:
    """How many of these are not there."""
    return len(here) - (pc.sum(pc.is_in(here, there)).as_py() or 0)


def _what_became(labels: Sequence[int]) -> dict[str, int]:
    """Why labels that were in a snapshot are not in a later one."""
    found = {"revised": 0, "retracted": 0, "removed": 0, "left_out": 0}
    for start in range(0, len(labels), ASKED_AT_ONCE):
        part = labels[start : start + ASKED_AT_ONCE]
        states = Label.objects.filter(pk__in=part).values_list("superseded", "retracted")
        there = list(states)
        found["removed"] += len(part) - len(there)
        for superseded, retracted in there:
            found[_state(superseded=superseded, retracted=retracted)] += 1
    return found


def _state(*, superseded: bool, retracted: bool) -> str:
    if superseded:
        return "revised"
    return "retracted" if retracted else "left_out"


def _others(snapshot: Snapshot) -> dict[str, Keys]:
    """What is no label, by its source: a number for the words of each row, sorted."""
    found: dict[str, list[int]] = {}
    for row in read(snapshot.artifact.path, names=(*OTHER, *BEFORE)):
        if row["source"] != "label":
            said = repr([row[name] for name in OTHER]).encode()
            digest = blake2b(said, digest_size=8).digest()
            found.setdefault(row["source"], []).append(int.from_bytes(digest, "big", signed=True))
    return {source: np.array(keys, np.int64) for source, keys in found.items()}


def _more(here: dict[str, Keys], there: dict[str, Keys], source: str) -> int:
    """How many rows of a source are here more often than there."""
    none = np.array([], np.int64)
    return _left(here.get(source, none), there.get(source, none))


def _left(here: Keys, there: Keys) -> int:
    keys, counts = np.unique(here, return_counts=True)
    others, theirs = np.unique(there, return_counts=True)
    known = dict(zip(others.tolist(), theirs.tolist(), strict=True))
    mine = zip(keys.tolist(), counts.tolist(), strict=True)
    return int(sum(max(0, n - known.get(key, 0)) for key, n in mine))


def changes_in_words(changes: SnapshotChanges) -> list[tuple[str, int, int]]:
    """What came, what went, and of what: the rows of a table."""
    gone = changes.revised + changes.retracted + changes.removed + changes.left_out
    return [
        (_("Labels"), changes.given + changes.let_in, gone),
        (_("Prompts"), changes.prompts_added, changes.prompts_gone),
        (_("Decisions about disagreements"), changes.decisions_added, changes.decisions_gone),
        (_("Imported rankings"), changes.rankings_added, changes.rankings_gone),
    ]


def labels_in_words(changes: SnapshotChanges) -> list[tuple[str, int]]:
    """Why labels came and went, of each reason how many."""
    told = [
        (_("given since"), changes.given),
        (_("there before, and now taken in"), changes.let_in),
        (_("changed by who gave them"), changes.revised),
        (_("taken back"), changes.retracted),
        (_("erased"), changes.removed),
        (_("still there, and now left out"), changes.left_out),
    ]
    return [(words, n) for words, n in told if n]
