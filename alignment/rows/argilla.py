"""Exports of Argilla: records with their fields, and what annotators answered to its questions.

Consumers: records of Argilla 2 (`fields` and `responses` by question; or a column for each field and
`QUESTION.responses` beside them) and its first feedback datasets (lists of responses with `values`). Recognised by
`fields` and `responses`, or by `QUESTION.responses`. Choices, marks, rankings and texts become labels
by their users. Loses: drafts and discarded responses, suggestions, vectors, metadata; it names them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from alignment.rows import answers, preferences, prompts
from alignment.rows.beside import annotator_name
from alignment.rows.descriptor import Format, Names
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

RESPONSES = ".responses"  # at the end of a column's name
UNSENT = "responses that were not submitted"
SENT = (None, "submitted")  # statuses of those that were
MOST_RESPONSES = 1000


class Response(NamedTuple):
    """What one user answered to one question."""

    question: str
    value: Any
    user: object
    status: object


class Parts(NamedTuple):
    """The fields of a record, its responses, and their columns where they have some of their own."""

    fields: Columns
    responses: Any
    columns: set[str]


def fits(row: object) -> bool:
    """Whether it is a record with its responses."""
    there = row if isinstance(row, dict) else {}
    if any(_question(name) for name in there):
        return answers.fits(there) or prompts.fits(there)
    return isinstance(there.get("fields"), dict) and isinstance(there.get("responses"), dict | list)


def may_be_record(names: Names) -> bool:
    """Whether columns of these names may hold a record with its responses."""
    return any(map(_question, names)) or {"fields", "responses"} <= names


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add the record's prompt, its answers and what was said of them; the columns that were used."""
    if not fits(row):
        raise BadRow(_("no record with “fields” and “responses”: not an export of Argilla"))
    found.blank = True
    parts = _parts(row)
    used = _read_fields(parts.fields, found)
    given = list(_responses(parts.responses))
    if len(given) > MOST_RESPONSES:
        raise BadRow(_("more than {n:,} responses to one record").format(n=MOST_RESPONSES))
    prompt, names = found.prompts[-1], answers.answer_columns(parts.fields)
    said = [label for one in given for label in _said(one, prompt, names, found)]
    found.prompts[-1] = replace(prompt, labels=(*prompt.labels, *said))
    if parts.columns:
        return used | parts.columns
    rest = parts.fields.keys() - used
    found.unused.update(f"fields.{name}" for name in rest if parts.fields[name] is not None)
    return {"fields", "responses"}


def _read_fields(fields: Columns, found: Found) -> set[str]:
    """Add the prompt of the fields, with its answers."""
    if preferences.fits(fields):
        return {*preferences.read(fields, found)}
    return answers.read(fields, found) if answers.fits(fields) else prompts.read(fields, found)


def _parts(row: Columns) -> Parts:
    """The fields and the responses of a record, as either version writes it; raises BadRow."""
    asked = {name for name in row if _question(name)}
    if not asked:
        return Parts(row["fields"], row["responses"], set())
    fields = {name: value for name, value in row.items() if "." not in str(name)}
    columns = {name for name in row if name in asked or str(name).rpartition(".")[0] in asked}
    return Parts(fields, {_question(name): _together(row, name) for name in asked}, columns)


def _question(name: object) -> str:
    """The question whose responses a column holds; nothing for any other column."""
    is_one = isinstance(name, str) and name.endswith(RESPONSES)
    return str(name).removesuffix(RESPONSES) if is_one else ""


def _together(row: Columns, name: str) -> list[dict[str, Any]]:
    """The responses to a question, each with its user and status, which stand in columns of their own."""
    values = row[name] or []
    if not isinstance(values, list):
        raise BadRow(_("“{name}” is not a list").format(name=name[:40]))
    users, statuses = (row.get(f"{name}.{what}") for what in ("users", "status"))
    both = [one if isinstance(one, list) else [None] * len(values) for one in (users, statuses)]
    if any(len(one) != len(values) for one in both):
        raise BadRow(_("“{name}” has not one user and one status for each").format(name=name[:40]))
    return [
        {"value": value, "user_id": user, "status": status}
        for value, user, status in zip(values, *both, strict=True)
    ]


def _responses(responses: Any) -> Iterator[Response]:  # noqa: ANN401
    """All of them, as either version writes them; raises BadRow."""
    if isinstance(responses, dict):
        for question, given in responses.items():
            for one in given if isinstance(given, list) else [given]:
                yield _response(question, one, one)
        return
    for one in responses:
        about = one if isinstance(one, dict) else {}
        values = about.get("values")
        if not values and about.get("status") not in SENT:  # discarded: nothing was answered
            yield Response("", None, None, about["status"])
        elif not isinstance(values, dict):
            raise BadRow(_("a response has no “values”"))
        for question, value in (values or {}).items():
            yield _response(question, value, one)


def _response(question: str, value: Any, about: Any) -> Response:  # noqa: ANN401
    if not isinstance(value, dict) or "value" not in value:
        raise BadRow(_("a response has no “value”"))
    who = about.get("user_id")
    return Response(question, value["value"], who, about.get("status", "submitted"))


def _said(
    one: Response, prompt: ImportedPrompt, names: Sequence[str], found: Found
) -> Iterator[ImportedLabel]:
    if one.status not in SENT:
        found.left_out[UNSENT] += 1
        return
    who = "" if one.user is None else annotator_name(one.user, "user_id")
    label = label_of(prompt, who, _value(one.value, names), one.question)
    if label is None:
        count_unsaid(found, one.question)
    else:
        yield label


def _value(value: Any, names: Sequence[str]) -> Said | None:  # noqa: ANN401
    """A ranking, a mark, a choice, or a text where there is no answer that it could be about."""
    if isinstance(value, list):
        return _ranking(value, names)
    if type(value) in (int, float):
        return said_by_mark(value)
    if isinstance(value, str):
        return said_by_choice(value, names) if names else said_by_text(value)
    return None


def _ranking(value: list[Any], names: Sequence[str]) -> Said | None:
    """Ranks of the fields, which may be called by their names or by their sides."""
    ranks = {}
    for one in value:
        rank = one.get("rank") if isinstance(one, dict) else None
        place = (
            answers.place_won(answers.winner_in(one.get("value")), names)
            if rank is not None
            else None
        )
        if place is None or type(rank) is not int:
            return None
        ranks[names[place]] = rank
    return said_by_order(ranks, names)


FORMAT = Format(
    title=_("Argilla"),
    help=_("records with fields and responses; choices, marks, rankings and texts are labels."),
    loses=_("responses that were not submitted, suggestions, vectors and metadata."),
    fits=fits,
    read=read,
    may=may_be_record,
)
