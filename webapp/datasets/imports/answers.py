"""Prompts with one answer or several: lists, or a column for each.

Consumers: UltraFeedback and other generated sets (`completions`), Alpaca (`output`), Arena
(`conversation_a`), TRL (`completion`), teams' own tables (`answer_a`, `response_1`). Recognised by those
columns beside a prompt. Loses: columns it names, and long or nested facts about an answer.
"""

import re
from collections.abc import Iterator
from functools import partial
from math import isfinite
from typing import Any

from webapp.datasets.imports import prompts
from webapp.datasets.imports.rows import (
    BadRow,
    Columns,
    Found,
    ImportedAnswer,
    ImportedPair,
    ImportedPrompt,
    Turns,
    content_key,
)
from webapp.datasets.imports.texts import asked, conversation_of, said, text_of

LISTS = ("responses", "completions", "answers", "outputs", "generations", "candidates")
SINGLE = ("completion", "response", "answer", "output")
TEXTS = ("text", "content", "response", "completion", "output", "answer", "value", "generation")
SIDE = re.compile(
    r"(answer|response|completion|output|reply|generation|candidate)_?([a-z]|\d{1,2})"
)
TALKS = ("conversation_a", "conversation_b")
FACTS = ("models", "scores", "ratings", "generation_models")  # of each answer of a list
WINNERS = {"model_a": 0, "a": 0, "model_b": 1, "b": 1}
LONGEST_FACT = 500  # characters
MISSING = "answers that are null"
NO_WINNER = "ties, of which no pair is made"
MOST_ANSWERS = 1000  # of one row
MOST_RANKED = 100  # answers of one ranking
MOST_RANK = 10_000


def fits(row: object) -> bool:
    """Whether it holds a prompt and answers, or two whole conversations."""
    if not isinstance(row, dict):
        return False
    if all(isinstance(row.get(name), list) for name in TALKS):
        return True
    return bool(prompts.asking(row)) and bool(_columns(row) or _list(row) or _ends_answered(row))


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt with its answers; the columns that were used."""
    if not fits(row):
        raise BadRow(f"no prompt with answers in it; its columns: {prompts.named(row)}")
    if all(isinstance(row.get(name), list) for name in TALKS):
        return _read_talks(row, found)
    turns, used = prompts.turns_of(row, found)
    if _ends_answered(row) and not _columns(row) and not _list(row):
        answers = [ImportedAnswer(content_key(turns[-1].content), turns[-1].content)]
        turns = turns[:-1]
    else:
        answers = []
        for what, item, about in _items(row, used):
            _add(answers, item, turns, what, found, about)
    pairs = _ranked(row, answers, used) or _won(row, answers, used, found)
    there = tuple(answer for answer in answers if answer is not None)
    found.prompts.append(ImportedPrompt(asked(turns), there, pairs))
    return used


def _columns(row: Columns) -> list[str]:
    """The columns that hold one answer each, in their order."""
    sides = [name for name in row if isinstance(name, str) and SIDE.fullmatch(name)]
    return sides or [name for name in SINGLE if isinstance(row.get(name), str | list | dict)][:1]


def _list(row: Columns) -> str:
    return next((name for name in LISTS if isinstance(row.get(name), list)), "")


def _ends_answered(row: Columns) -> bool:
    """Whether its messages end with the answer."""
    turns = row.get("messages") if prompts.asking(row) == "messages" else None
    last = turns[-1] if isinstance(turns, list) and len(turns) > 1 else None
    return isinstance(last, dict) and last.get("role") == "assistant"


def _items(row: Columns, used: set[str]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each answer as it stands in the row, what it is called, and what other columns say of it."""
    if not (name := _list(row)):
        for column in _columns(row):
            used.add(column)
            if row[column] is not None:
                yield column, row[column], _beside(row, column, used)
        return
    used.add(name)
    if len(row[name]) > MOST_ANSWERS:
        raise BadRow(f"more than {MOST_ANSWERS:,} answers to one prompt")
    facts = [n for n in FACTS if isinstance(row.get(n), list) and len(row[n]) == len(row[name])]
    used.update(facts)
    for place, item in enumerate(row[name]):
        about = {fact.removesuffix("s"): row[fact][place] for fact in facts}
        yield f"{name}[{place + 1}]", item, about


def _beside(row: Columns, column: str, used: set[str]) -> dict[str, Any]:
    """What the columns of the same side say: `model_a` of `answer_a`, `response_1_score`."""
    side = found.group(2) if (found := SIDE.fullmatch(column)) else ""
    names = {}
    for fact in ("model", "score", "rating"):
        spelled = [f"{fact}_{side}", f"{column}_{fact}", f"{fact}_{column}"] if side else [fact]
        names |= {name: fact for name in spelled if name in row}
    used.update(names)
    return {fact: row[name] for name, fact in names.items()}


def _add(
    answers: list[ImportedAnswer | None],
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
            raise BadRow(f"{what} has no text; its columns: {prompts.named(item)}")
        facts |= {key: value for key, value in item.items() if key != name}
        item = item[name]
    if isinstance(item, dict | list):
        text = last_of(item if isinstance(item, list) else [item], turns, what, found)
    else:
        text = text_of(item, what)
    return ImportedAnswer(content_key(text), text, about=kept(facts, what, found))


def last_of(messages: list[Any], turns: Turns, what: str, found: Found) -> str:
    """The assistant's turn after the prompt, whether or not the prompt comes again before it."""
    *before, last = conversation_of(messages, what, found) or (said("system", "-"),)
    if last.role != "assistant":
        raise BadRow(f"{what} does not end with the assistant's turn")
    if before and tuple(before) != turns[-len(before) :]:
        raise BadRow(f"{what} begins with other turns than the prompt")
    return last.content


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
    if isinstance(value, float) and isfinite(value) and value == int(value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= MOST_RANK:
        raise BadRow(f"a rank is not a whole number from 0: {str(value)[:40]}")
    return value


def _ranked(
    row: Columns, answers: list[ImportedAnswer | None], used: set[str]
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
        raise BadRow(f"more than {MOST_RANKED} answers in one ranking")
    if len(ranks) != len(answers):
        raise BadRow("there is not one rank for each answer")
    placed = [
        (answer.key, rank_of(rank))
        for answer, rank in zip(answers, ranks, strict=True)
        if answer is not None and rank is not None
    ]
    pair = partial(ImportedPair, group=content_key(repr(sorted(placed))))
    return tuple(
        pair(better, worse)
        for better, rank in placed
        for worse, below in placed
        if rank < below and better != worse
    )


def _own_ranks(row: Columns) -> list[Any]:
    """The ranks that stand in the objects of a list of answers."""
    items = row.get(_list(row), [])
    return [item.get("rank") if isinstance(item, dict) else None for item in items]


def _won(
    row: Columns, answers: list[ImportedAnswer | None], used: set[str], found: Found
) -> tuple[ImportedPair, ...]:
    """The pair that a `winner` of two sides decides."""
    winner = row.get("winner")
    if not isinstance(winner, str) or len(answers) != 2 or _list(row):
        return ()
    used.add("winner")
    if winner not in WINNERS or None in answers:
        found.left_out[NO_WINNER] += winner not in WINNERS
        return ()
    better, worse = answers if WINNERS[winner] == 0 else reversed(answers)
    return (ImportedPair(better.key, worse.key),) if better.key != worse.key else ()


def _read_talks(row: Columns, found: Found) -> set[str]:
    """Two whole conversations that part at their last turn."""
    used = set(TALKS)
    first, second = (conversation_of(row[name], name, found) for name in TALKS)
    turns = asked(first[:-1])
    if turns != second[:-1]:
        raise BadRow("the two conversations part before their last turn")
    answers: list[ImportedAnswer | None] = []
    for name in TALKS:
        about = {"model": row.get(f"model_{name[-1]}")}
        used.update({f"model_{name[-1]}"} & row.keys())
        _add(answers, row[name][-1:], turns, name, found, about)
    pairs = _won(row, answers, used, found)
    there = tuple(answer for answer in answers if answer is not None)
    found.prompts.append(ImportedPrompt(turns, there, pairs))
    return used
