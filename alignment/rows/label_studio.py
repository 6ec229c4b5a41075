"""Exports of Label Studio: tasks with their data, and what annotators said of them.

Consumer: its JSON export. Recognised by `data` and `annotations` with a `result`. Comparisons, rankings, stars,
thumbs in words and texts become labels by who completed them. Loses: cancelled annotations, predictions, regions
and every other kind of result; it names them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alignment.rows import answers, preferences, prompts
from alignment.rows.beside import annotator_name
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import BadRow, Columns, Found, ImportedLabel, ImportedPrompt, Said
from alignment.rows.judgements import (
    count_unsaid,
    label_of,
    said_by_choice,
    said_by_mark,
    said_by_order,
    said_by_text,
)
from alignment.seam.words import _

CANCELLED = "annotations that were cancelled"
BODIES = ("body", "text", "html", "content")  # of an item of a list
MOST_ANNOTATIONS = 1000


def fits(row: object) -> bool:
    """Whether it is a task with its annotations."""
    there = row if isinstance(row, dict) else {}
    return isinstance(there.get("data"), dict) and isinstance(there.get("annotations"), list)


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add the task's prompt, its answers and what was said of them; the columns that were used."""
    if not fits(row):
        raise BadRow(_("no task with “data” and “annotations”: not an export of Label Studio"))
    if len(row["annotations"]) > MOST_ANNOTATIONS:
        raise BadRow(_("more than {n:,} annotations of one task").format(n=MOST_ANNOTATIONS))
    found.blank = True
    data, names = _listed(row["data"])
    fit = answers if answers.fits(data) else prompts
    used = preferences.read(data, found) if preferences.fits(data) else fit.read(data, found)
    found.unused.update(f"data.{name}" for name in data.keys() - used if data[name] is not None)
    prompt = found.prompts[-1]
    names = names or answers.answer_columns(data)
    said = [one for entry in row["annotations"] for one in _said(entry, prompt, names, found)]
    found.prompts[-1] = replace(prompt, labels=(*prompt.labels, *said))
    return {"data", "annotations"}


def _listed(data: Columns) -> tuple[Columns, list[str]]:
    """The data, with a list of items that have names as plain answers, and these names."""
    for column, items in data.items():
        if isinstance(items, list) and items and all(_is_item(item) for item in items):
            texts = [next(item[name] for name in BODIES if name in item) for item in items]
            rest = {name: value for name, value in data.items() if name != column}
            return {**rest, "answers": texts}, [str(item["id"]) for item in items]
    return data, []


def _is_item(item: object) -> bool:
    return isinstance(item, dict) and "id" in item and any(name in item for name in BODIES)


def _said(
    entry: Any,  # noqa: ANN401
    prompt: ImportedPrompt,
    names: Sequence[str],
    found: Found,
) -> Iterator[ImportedLabel]:
    """What one annotation says of the answers of these names."""
    if not isinstance(entry, dict) or not isinstance(entry.get("result"), list):
        raise BadRow(_("an annotation has no list “result”"))
    if entry.get("was_cancelled"):
        found.left_out[CANCELLED] += 1
        return
    who = _annotator(entry.get("completed_by"))
    for result in entry["result"]:
        kind = result.get("type") if isinstance(result, dict) else None
        value = result.get("value") if isinstance(result, dict) else None
        label = None
        if isinstance(value, dict) and isinstance(kind, str) and kind in RESULTS:
            said = RESULTS[kind](value, names)
            label = label_of(prompt, who, said, result.get("from_name", ""))
        if label is None:
            count_unsaid(found, kind)
        else:
            yield label


def _annotator(value: object) -> str:
    """Who completed an annotation, by number or address."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return "" if value is None else annotator_name(value, "completed_by")


def _pairwise(value: Columns, names: Sequence[str]) -> Said | None:
    chosen = value.get("selected")
    return said_by_choice("tie" if chosen is None else chosen, names)


def _choices(value: Columns, names: Sequence[str]) -> Said | None:
    chosen = value.get("choices")
    alone = isinstance(chosen, list) and len(chosen) == 1
    return said_by_choice(chosen[0], names) if isinstance(chosen, list) and alone else None


def _rating(value: Columns, _names: Sequence[str]) -> Said | None:
    return said_by_mark(value.get("rating"))


def _ranker(value: Columns, names: Sequence[str]) -> Said | None:
    """The only list of names, the best one first."""
    buckets = value.get("ranker")
    lists = (
        [one for one in buckets.values() if isinstance(one, list)]
        if isinstance(buckets, dict)
        else []
    )
    ranks: Mapping[str, int] = (
        {str(name): place for place, name in enumerate(lists[0])} if lists else {}
    )
    return said_by_order(ranks, names) if len(lists) == 1 else None


def _textarea(value: Columns, names: Sequence[str]) -> Said | None:
    """A text of one's own, where there is no answer that it could be about."""
    return None if names else said_by_text(value.get("text"))


RESULTS = {
    "pairwise": _pairwise,
    "choices": _choices,
    "rating": _rating,
    "ranker": _ranker,
    "textarea": _textarea,
}

FORMAT = Format(
    title=_("Label Studio"),
    help=_(
        "its JSON export: tasks with data and annotations; comparisons, rankings, stars and texts are labels."
    ),
    loses=_(
        "cancelled annotations, predictions, and kinds of result that say nothing of an answer."
    ),
    fits=fits,
    read=read,
    may=with_columns({"data", "annotations"}),
)
