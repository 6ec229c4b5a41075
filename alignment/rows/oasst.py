"""Message trees of Open-Assistant: every turn of the user's is a prompt, and the replies are answers.

`threads.py` makes them of messages that stand in rows of their own.

Consumers: Open-Assistant's own exports. Recognised by `prompt` with a `prompter` in it. Loses: deleted
messages and what follows them, languages, reviews, emojis; `model_name` and `synthetic` are kept.
"""

from collections.abc import Iterator
from typing import Any

from alignment.rows.answers import MOST_ANSWERS, kept, rank_of
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import BadRow, Columns, Found, ImportedAnswer, ImportedPrompt, Turns
from alignment.rows.texts import message_by, text_of
from alignment.seam.records import Message
from alignment.seam.words import _

LONGEST_KEY = 80  # characters, as Completion.key
DELETED = "messages that were deleted, with all that follows them"
UNRANKED = "answers without a rank are in no order"
READ = {"role", "text", "replies", "deleted", "rank", "message_id", "parent_id", "message_tree_id"}
FACTS = ("model_name", "synthetic")


def fits(row: object) -> bool:
    """Whether it is a tree of messages."""
    root = row.get("prompt") if isinstance(row, dict) else None
    return isinstance(root, dict) and "role" in root


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt for each turn of the user's; the columns that were used."""
    root = row.get("prompt") if isinstance(row, dict) else None
    if not isinstance(root, dict) or root.get("role") != "prompter":
        raise BadRow(_("no “prompt” by a prompter in it: not an Open-Assistant message tree"))
    _key(row.get("message_tree_id"), "message_tree_id")
    root = {"message_id": row["message_tree_id"]} | root
    waiting: list[tuple[Columns, Turns]] = [] if _deleted(root, found) else [(root, ())]
    if waiting:  # a tree without its first prompt is none
        text_of(root.get("text"), "the prompt")
    while waiting:
        asking, before = waiting.pop(0)
        try:
            waiting.extend(_ask(asking, before, found))
        except BadRow as error:
            if not before:
                raise
            found.bad.append(str(error))
    return {"message_tree_id", "prompt"}


def _ask(asking: Columns, before: Turns, found: Found) -> Iterator[tuple[Columns, Turns]]:
    """Add the prompt that ends with this turn; the user's turns after its answers."""
    what = "the prompt" if not before else "a follow-up"
    turns = (*before, message_by("user", text_of(asking.get("text"), what)))
    ranking = _key(asking.get("message_id"), "message_id")
    found.unused.update(f"message: {name}" for name in asking.keys() - READ)
    answers, following = [], []
    for reply in _replies(asking, found):
        try:
            answer = _answer(reply, ranking, found)
            following += [(one, (*turns, _spoken(answer))) for one in _follow_ups(reply, found)]
        except BadRow as error:
            found.bad.append(str(error))
        else:
            answers.append(answer)
    if len({answer.key for answer in answers}) < len(answers):
        raise BadRow(_("two replies share a message_id"))
    found.prompts.append(ImportedPrompt(turns, tuple(answers)))
    return iter(following)


def _spoken(answer: ImportedAnswer) -> Message:
    return message_by("assistant", answer.text)


def _replies(message: Columns, found: Found) -> list[Any]:
    replies = message.get("replies", [])
    if not isinstance(replies, list):
        raise BadRow(_("“replies” is not a list"))
    if len(replies) > MOST_ANSWERS:
        raise BadRow(
            _("more than {most_answers:,} replies to one message").format(most_answers=MOST_ANSWERS)
        )
    return [reply for reply in replies if not _deleted(reply, found)]


def _follow_ups(reply: Columns, found: Found) -> list[Columns]:
    followed = _replies(reply, found)
    if not all(isinstance(one, dict) and one.get("role") == "prompter" for one in followed):
        raise BadRow(_("a reply to an answer is not a prompter's"))
    return followed


def _deleted(message: object, found: Found) -> bool:
    if not isinstance(message, dict) or not message.get("deleted"):
        return False
    found.left_out[DELETED] += 1
    return True


def _answer(reply: Any, ranking: str, found: Found) -> ImportedAnswer:  # noqa: ANN401
    if not isinstance(reply, dict) or reply.get("role") != "assistant":
        raise BadRow(_("a reply to the prompt is not an assistant's"))
    rank = reply.get("rank")
    key = _key(reply.get("message_id"), "message_id")
    text = text_of(reply.get("text"), f"a reply ({key[:40]})")
    about = kept({name: reply.get(name) for name in FACTS}, "message", found)
    found.unused.update(f"message: {name}" for name in reply.keys() - READ - {*FACTS})
    if rank is None:
        found.notes[UNRANKED] += 1
    return ImportedAnswer(key, text, None if rank is None else rank_of(rank), ranking, about)


def _key(value: Any, name: str) -> str:  # noqa: ANN401
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
        raise BadRow(
            _("no {name} of at most {longest_key} characters").format(
                name=name, longest_key=LONGEST_KEY
            )
        )
    return text_of(value, name)


FORMAT = Format(
    title=_("Open-Assistant trees"),
    help=_(
        "a prompt with its answers, turn by turn, or its messages one a row; people's ranks become pairs."
    ),
    loses=_("deleted messages with all that follows them, languages, reviews and emojis."),
    fits=fits,
    read=read,
    may=with_columns({"prompt"}),
)
