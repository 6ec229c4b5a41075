"""Feedback exported by Open WebUI: a chat, one of its messages, and a thumb or a win over its siblings.

Recognised by `data` with a `rating` beside a `snapshot` of the chat. Loses: the rest of the chat, details of a
rating, and ratings without their chat; it names them. The rating's person, model, reason and comment are kept.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from alignment.rows.answers import EQUAL, kept
from alignment.rows.beside import annotator_name
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import (
    BadRow,
    Columns,
    Found,
    ImportedAnswer,
    ImportedLabel,
    ImportedPair,
    ImportedPrompt,
    Thumbed,
    Turns,
    content_key,
)
from alignment.rows.texts import asked, text_of, turn_of
from alignment.seam.words import _

THUMBS = {1: True, -1: False, "1": True, "-1": False}
MOST_TURNS = 1000
READ = {"rating", "model_id", "reason", "comment", "sibling_model_ids"}


def fits(row: object) -> bool:
    """Whether it is a rating with the chat it is about."""
    there = row if isinstance(row, dict) else {}
    data = there.get("data")
    return isinstance(data, dict) and "rating" in data and isinstance(there.get("snapshot"), dict)


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add the chat up to the rated message, and what was said of it; the columns that were used."""
    if not fits(row):
        raise BadRow(_("no “data” with a “rating” and a “snapshot” of its chat in it"))
    data, messages = row["data"], _messages(row["snapshot"])
    good = THUMBS.get(data["rating"]) if isinstance(data["rating"], int | str) else None
    if good is None:
        raise BadRow(_("“rating” is neither 1 nor -1"))
    rated = _message(messages, _rated(row))
    if rated.get("role") != "assistant":
        raise BadRow(_("the rated message is not the assistant's"))
    turns = asked(_before(rated, messages, found))
    facts = {
        "model": data.get("model_id"),
        "reason": data.get("reason"),
        "comment": data.get("comment"),
    }
    answer = _answer(rated, {name: value for name, value in facts.items() if value}, found)
    who = annotator_name(row["user_id"], "user_id") if row.get("user_id") is not None else ""
    others = [
        _answer(one, {"model": one.get("model")}, found) for one in _siblings(rated, messages)
    ]
    pairs: tuple[ImportedPair, ...] = ()
    labels: tuple[ImportedLabel, ...] = ()
    if data.get("sibling_model_ids") and others:
        ordered = [(answer, one) if good else (one, answer) for one in others]
        pairs = tuple(_won(ordered, who, found))
    else:
        labels = (ImportedLabel(who, (answer.key,), Thumbed(good)),)
    unique = {one.key: one for one in (*others, answer)}
    found.prompts.append(ImportedPrompt(turns, tuple(unique.values()), pairs, labels))
    found.unused.update(f"data.{name}" for name in data.keys() - READ if data[name])
    return {"data", "snapshot", "meta", "user_id", "type"} & set(row)


def _won(
    ordered: list[tuple[ImportedAnswer, ImportedAnswer]], who: str, found: Found
) -> Iterator[ImportedPair]:
    """The rated one is better than each that stood beside it, or worse."""
    for better, worse in ordered:
        if better.key == worse.key:
            found.left_out[EQUAL] += 1
        else:
            yield ImportedPair(better.key, worse.key, annotator=who)


def _messages(snapshot: Columns) -> Mapping[str, Any]:
    """The messages of a chat by their names; raises BadRow."""
    inner: Any = snapshot
    for name in ("chat", "chat", "history", "messages"):
        inner = (
            inner.get(name, inner if name == "chat" else None) if isinstance(inner, dict) else None
        )
    if not isinstance(inner, dict):
        raise BadRow(_("there is no history of messages in its “snapshot”"))
    return inner


def _rated(row: Columns) -> object:
    meta = row.get("meta")
    return meta.get("message_id") if isinstance(meta, dict) else None


def _message(messages: Mapping[str, Any], name: object) -> Columns:
    message = messages.get(name) if isinstance(name, str) else None
    if not isinstance(message, dict):
        raise BadRow(_("a message of the chat is missing"))
    return message


def _before(message: Columns, messages: Mapping[str, Any], found: Found) -> Turns:
    """The turns that lead to a message, the first one first."""
    turns = []
    while (name := message.get("parentId")) is not None:
        message = _message(messages, name)
        words = {part: message.get(part) for part in ("role", "content")}
        turns.append(turn_of(words, "a message", found))
        if len(turns) > MOST_TURNS:
            raise BadRow(
                _("the chat has more than {n} turns, or goes in a circle").format(n=MOST_TURNS)
            )
    return tuple(turn for turn in reversed(turns) if turn is not None)


def _siblings(message: Columns, messages: Mapping[str, Any]) -> list[Columns]:
    """The other answers to the same turn."""
    parent = message.get("parentId")
    beside = (one for one in messages.values() if isinstance(one, dict) and one is not message)
    return [
        one for one in beside if one.get("parentId") == parent and one.get("role") == "assistant"
    ]


def _answer(message: Columns, facts: Columns, found: Found) -> ImportedAnswer:
    text = text_of(message.get("content"), "an answer", blank=True)
    return ImportedAnswer(content_key(text), text, about=kept(facts, "data", found))


FORMAT = Format(
    title=_("Open WebUI feedback"),
    help=_("the exported ratings with their chats: thumbs, and what won against the other models."),
    loses=_("the rest of each chat, and details of a rating."),
    fits=fits,
    read=read,
    may=with_columns({"data", "snapshot"}),
)
