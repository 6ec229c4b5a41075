"""Prompts with one answer or several: lists, or a column for each.

Consumers: UltraFeedback and other generated sets (`completions`), Alpaca (`output`), Arena
(`conversation_a`), TRL (`completion`), teams' own tables (`answer_a`, `response_1`). Recognised by those
columns beside a prompt. Loses: columns it names, and long or nested facts about an answer.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any

from alignment.rows import prompts
from alignment.rows.beside import annotated_by, annotator_name
from alignment.rows.cells import whole_number
from alignment.rows.descriptor import Format
from alignment.rows.found import (
    BadRow,
    Columns,
    Found,
    ImportedAnswer,
    ImportedLabel,
    ImportedPair,
    ImportedPrompt,
    Preferred,
    Tied,
    Turns,
    content_key,
)
from alignment.rows.json_lines import is_repr
from alignment.rows.texts import (
    ROLES,
    USER,
    answered_of,
    answered_transcript,
    asked,
    conversation_of,
    plain,
    same,
    text_of,
)
from alignment.seam.words import _

LISTS = ("responses", "completions", "answers", "outputs", "generations", "candidates")
SINGLE = ("completion", "response", "answer", "output")
TEXTS = ("text", "content", "response", "completion", "output", "answer", "value", "generation")
STEMS = "answer|response|completion|output|reply|generation|candidate"
SIDE = re.compile(rf"({STEMS})(?:[_-]|(?!s))([a-z]|\d{{1,2}})")  # but no plural, as “answers” is
WINNER = re.compile(rf"(?:(?:{STEMS}|conversation|model|assistant)[_ -]?)?([a-z]|\d{{1,2}})")
TALKS = ("conversation_a", "conversation_b")
JUDGED = ("ranks", "winner", "rating", "label")  # an answer of which they speak may be empty
FACTS = ("models", "scores", "ratings", "generation_models")  # of each answer of a list
TIES = {
    "tie",
    "ties",
    "tied",
    "tie (bothbad)",
    "tie_bothbad",
    "both",
    "bothbad",
    "both_bad",
    "both bad",
}
TIES |= {"both good", "both_good", "draw", "equal", "same", "neither", "none"}
BAD = {"tie (bothbad)", "tie_bothbad", "bothbad", "both_bad", "both bad", "neither", "none"}
FIRST, SECOND = ("left", "first"), ("right", "second")  # words for a side
LONGEST_FACT = 500  # characters
MISSING = "answers that are missing (null, or an empty cell)"
HALF = "winners of two answers of which one is missing or bad"
EQUAL = "decisions between two equal answers, which say nothing"
UNKNOWN = "winners that name neither answer: "  # and what they are
LONGEST_WINNER = 20  # characters that are told
WHOLE = "answers of “Human:” and “Assistant:” that do not begin with their prompt, kept as they are"
Answers = list[ImportedAnswer | None]  # None: an answer that is missing, or bad
MOST_ANSWERS = 1000  # of one row
MOST_RANKED = 100  # answers of one ranking
MOST_RANK = 10_000


def fits(row: object) -> bool:
    """Whether it holds a prompt and answers, or two whole conversations."""
    if not isinstance(row, dict):
        return False
    if all(isinstance(row.get(name), list) for name in TALKS):
        return True
    answered = answer_columns(row) or _list(row) or _text_list(row) or talk_of(row)
    return bool(prompts.asking(row)) and bool(answered)


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt with its answers; the columns that were used."""
    if not fits(row):
        raise BadRow(
            _("no prompt with answers in it; its columns: {named}").format(named=prompts.named(row))
        )
    found.blank = found.blank or any(row.get(name) not in (None, "", [], {}) for name in JUDGED)
    if all(isinstance(row.get(name), list) for name in TALKS):
        return _read_talks(row, found)
    row = _listed(row)
    if not answer_columns(row) and not _list(row):
        return _read_talk(row, found)
    turns, used = prompts.turns_of(row, found)
    answers: Answers = []
    for what, item, about in _items(row, used):
        _add(answers, item, turns, what, found, about)
    sides = [] if _list(row) else answer_columns(row)
    labels: tuple[ImportedLabel, ...] = ()
    pairs = _ranked(row, answers, used, found)
    if not pairs:
        pairs, labels = _won(row, answers, sides, used, found)
    there = tuple(answer for answer in answers if answer is not None)
    if len(there) == 1 and not _list(row) and row.get("rank") is not None:
        there = (replace(there[0], rank=rank_of(row["rank"]), ranking=_ranking(row)),)
        used.add("rank")
    found.prompts.append(ImportedPrompt(asked(turns), there, pairs, labels))
    return used


def _ranking(row: Columns) -> str:
    """The name of what an answer's rank in a row of its own is part of: all that one person ranked."""
    who = annotated_by(row, row.keys())
    return annotator_name(row[who], who) if who else "rows"


def _read_talk(row: Columns, found: Found) -> set[str]:
    """One whole conversation, which ends with the answer."""
    name, asking = talk_of(row), prompts.asking(row)
    turns, text = answered_of(row[name], "a message", found)
    used = {name, asking}
    turns = prompts.with_beginning(row, turns, used)
    found.prompts.append(ImportedPrompt(asked(turns), (ImportedAnswer(content_key(text), text),)))
    return used


def talk_of(row: Columns) -> str:
    """The column of a whole conversation that ends with the answer; nothing where there is none.

    A `prompt` beside it must be one of its turns, or its beginning.
    """
    name = next((name for name in prompts.TALKS if _ends_answered(row.get(name))), "")
    asking = prompts.asking(row)
    if not name or asking in prompts.TALKS:
        return name if name == asking else ""
    with suppress(BadRow):
        turns, _ = prompts.turns_of({asking: row[asking]}, Found())
        before = answered_of(row[name], name, Found(blank=True))[0]
        if same(turns, before[: len(turns)]) or any(same(turns, [turn]) for turn in before):
            return name
    return ""


def _ends_answered(turns: object) -> bool:
    """Whether the last of several messages is the assistant's."""
    last = turns[-1] if isinstance(turns, list) and len(turns) > 1 else None
    speaker = last.get("role", last.get("from")) if isinstance(last, dict) else None
    return isinstance(speaker, str) and ROLES.get(speaker) == "assistant"


def answer_columns(row: Columns) -> list[str]:
    """The columns that hold one answer each, in the order of their sides, wherever they stand."""
    sides = sorted((name for name in row if side_of(name)), key=lambda name: (side_of(name), name))
    return sides or [name for name in SINGLE if isinstance(row.get(name), str | list | dict)][:1]


def is_single(row: Columns) -> bool:
    """Whether a row with answers holds one of them."""
    if all(isinstance(row.get(name), list) for name in TALKS):
        return False
    with suppress(BadRow):
        row = _listed(row)
    return len(row[name]) == 1 if (name := _list(row)) else len(answer_columns(row)) < 2


def side_of(name: object) -> str:
    """The side that a column is of, `a` or `1`, so that sides can be sorted; nothing for any other column."""
    found = SIDE.fullmatch(name) if isinstance(name, str) else None
    return _key_of(found) if found else ""


def is_answer(name: object) -> bool:
    """Whether a column holds an answer, or several."""
    return bool(side_of(name)) or name in {*LISTS, *SINGLE, "chosen", "rejected"}


def _list(row: Columns) -> str:
    return next((name for name in LISTS if isinstance(row.get(name), list)), "")


def _text_list(row: Columns) -> str:
    """The column of a list that holds text instead."""
    return next((name for name in LISTS if isinstance(row.get(name), str)), "")


def _listed(row: Columns) -> Columns:
    """The row with its list of answers, where the list was written as JSON text."""
    name = "" if _list(row) else _text_list(row)
    if not name:
        return row
    with suppress(ValueError, RecursionError):
        if isinstance(value := json.loads(row[name]), list):
            return {**row, name: value}
    if answer_columns(row) or talk_of(row):
        return row
    if row[name].lstrip()[:1] == "[" and is_repr(row[name]):
        raise BadRow(
            _("“{name}” is not a list but Python's way of writing one: use json.dumps").format(
                name=name
            )
        )
    raise BadRow(
        _("“{name}” is not a list: write it as JSON, or give each answer a column").format(
            name=name
        )
    )


def _items(row: Columns, used: set[str]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each answer as it stands in the row, what it is called, and what other columns say of it."""
    if not (name := _list(row)):
        for column in answer_columns(row):
            used.add(column)
            yield column, row[column], _beside(row, column, used)
        return
    used.add(name)
    if len(row[name]) > MOST_ANSWERS:
        raise BadRow(
            _("more than {most_answers:,} answers to one prompt").format(most_answers=MOST_ANSWERS)
        )
    facts = [n for n in FACTS if isinstance(row.get(n), list) and len(row[n]) == len(row[name])]
    used.update(facts)
    for place, item in enumerate(row[name]):
        about = {fact.removesuffix("s"): row[fact][place] for fact in facts}
        yield f"{name}[{place + 1}]", item, about


def _beside(row: Columns, column: str, used: set[str]) -> dict[str, Any]:
    """What the columns of the same side say: `model_a` of `answer_a`, `response_1_score`."""
    side = found.group(2) if (found := SIDE.fullmatch(column)) else ""
    names: dict[str, str] = {}
    for fact in ("model", "score", "rating"):
        spelled = [f"{fact}_{side}", f"{column}_{fact}", f"{fact}_{column}"] if side else [fact]
        names |= {name: fact for name in spelled if name in row}
    used.update(names)
    return {fact: row[name] for name, fact in names.items()}


def _add(
    answers: Answers,
    item: object,
    turns: Turns,
    what: str,
    found: Found,
    about: Columns,
) -> None:
    """Keep an answer, or its place and what is wrong with it."""
    if item is None:
        answers.append(None)
        found.left_out[MISSING] += 1
        return
    try:
        answers.append(answer_of(item, turns, what, found, about))
    except BadRow as error:
        answers.append(None)
        found.bad.append(str(error))


def answer_of(
    item: object, turns: Turns, what: str, found: Found, about: Columns | None = None
) -> ImportedAnswer:
    """An answer as text, as messages, or as an object with facts about it."""
    facts = dict(about or {})
    if isinstance(item, dict) and not ({"role", "from"} & item.keys()):
        name = next((name for name in TEXTS if isinstance(item.get(name), str | list)), None)
        if name is None:
            raise BadRow(
                _("{what} has no text; its columns: {named}").format(
                    what=what, named=prompts.named(item)
                )
            )
        facts |= {key: value for key, value in item.items() if key != name}
        item = item[name]
    if isinstance(item, dict | list):
        text = last_of(item if isinstance(item, list) else [item], turns, what, found)
    else:
        text = _after(text_of(item, what, blank=found.blank), what, turns, found)
    return ImportedAnswer(content_key(text), text, about=kept(facts, what, found))


def said_in(item: object, turns: Turns, what: str, found: Found) -> str:
    """The text of an answer, however it is written."""
    if isinstance(item, str):
        return _after(text_of(item, what, blank=found.blank), what, turns, found)
    return answer_of(item, turns, what, found).text


def _after(text: str, what: str, turns: Turns, found: Found) -> str:
    """The last turn of a transcript that begins with the prompt; any other text, which was looked at, as it is."""
    if USER not in text:
        return text.strip() if found.trimmed else text
    heard = Found(trimmed=found.trimmed, blank=found.blank)
    talk: tuple[Turns, str] | None = (), ""
    with suppress(BadRow):
        talk = answered_transcript(text, what, heard)
    if talk and talk[0] and same(talk[0], turns[-len(talk[0]) :]):
        found.notes.update(heard.notes)
        return talk[1]
    found.notes[WHOLE] += talk is not None
    return plain(text, what, found, blank=found.blank)


def last_of(messages: list[Any], turns: Turns, what: str, found: Found) -> str:
    """The assistant's turn after the prompt, whether or not the prompt comes again before it."""
    if not messages:
        raise BadRow(_("{what} does not end with the assistant's turn").format(what=what))
    before, answer = answered_of(messages, what, found)
    if before and not same(before, turns[-len(before) :]):
        raise BadRow(_("{what} begins with other turns than the prompt").format(what=what))
    return answer


def kept(facts: Columns, what: str, found: Found) -> dict[str, Any]:
    """The short facts about an answer, which are stored with it; the others are named."""
    short = {}
    for name, value in facts.items():
        if value is None:
            continue
        if _is_short(value) and isinstance(name, str) and len(name) <= LONGEST_FACT:
            short[str(_storable(name))] = _storable(value)
        else:
            found.unused[f"{what.split('[')[0]}[].{name}"] += 1
    return short


def _is_short(value: object) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return True
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, str) and len(value) <= LONGEST_FACT


def _storable(value: object) -> object:
    """A fact that every database can hold."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()


def rank_of(value: object) -> int:
    """A rank: a whole number from 0, however it is written."""
    rank = whole_number(value)
    if type(rank) is not int or not 0 <= rank <= MOST_RANK:
        raise BadRow(
            _("a rank is not a whole number from 0: {value}").format(value=str(value)[:40])
        )
    return rank


def _ranked(
    row: Columns, answers: Answers, used: set[str], found: Found
) -> tuple[ImportedPair, ...]:
    """The pairs that `ranks` beside a list of answers imply."""
    ranks = row.get("ranks") if _list(row) else None
    if isinstance(ranks, list):
        used.add("ranks")
    else:
        ranks = _own_ranks(row)
    if not any(rank is not None for rank in ranks):
        return ()
    if len(ranks) > MOST_RANKED:
        raise BadRow(
            _("more than {most_ranked} answers in one ranking").format(most_ranked=MOST_RANKED)
        )
    if len(ranks) != len(answers):
        raise BadRow(_("there is not one rank for each answer"))
    placed = [
        (answer.key, rank_of(rank))
        for answer, rank in zip(answers, ranks, strict=True)
        if answer is not None and rank is not None
    ]
    pair = partial(ImportedPair, group=content_key(repr(sorted(placed))))
    ordered = [(one, two) for one, rank in placed for two, below in placed if rank < below]
    found.left_out[EQUAL] += sum(better == worse for better, worse in ordered)
    return tuple(pair(better, worse) for better, worse in ordered if better != worse)


def _own_ranks(row: Columns) -> list[Any]:
    """The ranks that stand in the objects of a list of answers."""
    name = _list(row)
    items = row[name] if name else []  # a column may have no name
    return [item.get("rank") if isinstance(item, dict) else None for item in items]


def _won(
    row: Columns,
    answers: Answers,
    columns: Sequence[str],
    used: set[str],
    found: Found,
) -> tuple[tuple[ImportedPair, ...], tuple[ImportedLabel, ...]]:
    """The pair or, of a tie or where somebody is named, the label of two sides; or why it is neither."""
    winner = winner_in(row.get("winner"))
    if not winner or len(answers) != 2 or len(columns) != 2:
        return (), ()
    used.add("winner")
    place, there = place_won(winner, columns), [answer for answer in answers if answer is not None]
    known = place is not None or winner in TIES
    if not known or len(there) < len(answers):
        unknown = UNKNOWN + str(row["winner"]).strip()[:LONGEST_WINNER]
        found.left_out[HALF if known else unknown] += 1
        return (), ()
    left, right = (answer.key for answer in there)
    if left == right:
        found.left_out[EQUAL] += 1
        return (), ()
    if place is None:
        return (), (ImportedLabel("", (left, right), Tied(winner in BAD)),)
    if annotated_by(row, row.keys()):
        return (), (ImportedLabel("", (left, right), Preferred(place)),)
    return (ImportedPair((left, right)[place], (left, right)[1 - place]),), ()


def winner_in(winner: object) -> str:
    """A winner as text, however it is written; nothing where there is none."""
    winner = whole_number(winner)
    known = isinstance(winner, str | int) or (isinstance(winner, float) and isfinite(winner))
    return str(winner).strip().casefold() if known else ""


def place_won(winner: str, columns: Sequence[str]) -> int | None:
    """Which of the columns a winner names: by the column's name, or by its side."""
    if winner in columns:
        return columns.index(winner)
    if winner in (*FIRST, *SECOND):
        return int(winner in SECOND)
    found = WINNER.fullmatch(winner)
    sides = [_key_of(WINNER.fullmatch(column)) for column in columns]
    side = _key_of(found)
    return sides.index(side) if sides.count(side) == 1 else None


def _key_of(found: re.Match[str] | None) -> str:
    if found is None or found.lastindex is None:
        return "none"
    return found.group(found.lastindex).lstrip("0").rjust(2, "0")


def _read_talks(row: Columns, found: Found) -> set[str]:
    """Two whole conversations that part at their last turn."""
    used = set(TALKS)
    first, second = (conversation_of(row[name], name, found) for name in TALKS)
    turns = asked(first[:-1])
    if turns != second[:-1]:
        raise BadRow(_("the two conversations part before their last turn"))
    answers: Answers = []
    for name in TALKS:
        about = {"model": row.get(f"model_{name[-1]}")}
        used.update({f"model_{name[-1]}"} & row.keys())
        _add(answers, row[name][-1:], turns, name, found, about)
    pairs, labels = _won(row, answers, TALKS, used, found)
    there = tuple(answer for answer in answers if answer is not None)
    found.prompts.append(ImportedPrompt(turns, there, pairs, labels))
    return used


FORMAT = Format(
    title=_("Prompts with answers"),
    help=_("prompt and responses, completions, answer_a and answer_b, response_1 and so on."),
    loses=_("columns that say nothing of an answer."),
    fits=fits,
    read=read,
    flat=True,
)
