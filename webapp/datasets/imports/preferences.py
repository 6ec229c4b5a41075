"""Preferences: `chosen` and `rejected`, their prompt apart or at the start of both.

Consumers: TRL's preference sets, HH-RLHF (`Human:` and `Assistant:` in one text), UltraFeedback
binarized (lists of messages). Recognised by the two columns. Loses: columns it names.
"""

from contextlib import suppress
from typing import Any

from alignment.trl_rows import shared
from webapp.datasets.imports import answers, prompts
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
from webapp.datasets.imports.texts import asked, conversation_of, said, text_of, transcript_of

SIDES = ("chosen", "rejected")
COMMON = "prompts are what “chosen” and “rejected” both begin with"
SAME = "pairs of two equal answers, which say nothing"
REPEATED = "preferences of which both sides begin with the words of their prompt, kept as they are"
FACTS = ("model", "score", "rating")


def fits(row: object) -> bool:
    """Whether it holds a better and a worse answer."""
    return isinstance(row, dict) and all(row.get(name) is not None for name in SIDES)


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt with two answers and which was preferred; the columns that were used."""
    if not fits(row):
        raise BadRow(f"no “chosen” and “rejected” in it; its columns: {prompts.named(row)}")
    if prompts.asking(row) in ("", "messages"):  # “messages” repeats the chosen side
        turns, texts, used = *_apart(row, found), set(SIDES)
    else:
        turns, used = prompts.turns_of(row, found)
        turns, texts = _answers_to(turns, row, found)
        used |= set(SIDES)
    both = tuple(
        ImportedAnswer(content_key(text), text, about=_beside(row, name, used, found))
        for name, text in zip(SIDES, texts, strict=True)
    )
    if both[0].key == both[1].key:
        found.left_out[SAME] += 1
        both, pairs = both[:1], ()
    else:
        pairs = (ImportedPair(both[0].key, both[1].key),)
    found.prompts.append(ImportedPrompt(asked(turns), both, pairs))
    return used


def _answers_to(turns: Turns, row: Columns, found: Found) -> tuple[Turns, list[str]]:
    """The two answers to a prompt that stands apart; whole conversations may say more of it."""
    before, other = (_before(row[name], name) for name in SIDES)
    size = len(turns)
    if before and before == other and turns in (before[-size:], before[:size]):
        turns = before
    texts = [answers.answer_of(row[name], turns, name, found).text for name in SIDES]
    found.notes[REPEATED] += all(text.startswith(turns[-1].content) for text in texts)
    return turns, texts


def _before(side: object, name: str) -> Turns:
    """What a whole conversation says before its answer; nothing where it is none."""
    if isinstance(side, list):
        return conversation_of(side, name, Found())[:-1]
    with suppress(BadRow):
        return (transcript_of(side, name, Found()) or ())[:-1] if isinstance(side, str) else ()
    return ()


def _apart(row: Columns, found: Found) -> tuple[Turns, list[str]]:
    """The prompt that both sides begin with, and what follows it."""
    sides = [row[name] for name in SIDES]
    if all(isinstance(side, str) for side in sides):
        texts = [text_of(side, name) for side, name in zip(sides, SIDES, strict=True)]
        talks = [transcript_of(text, "a turn", found) for text in texts]
        if None in talks:
            return _common(*texts, found)
    else:
        talks = [
            conversation_of(side, name, found) if isinstance(side, list) else None
            for side, name in zip(sides, SIDES, strict=True)
        ]
    if None in talks:
        raise BadRow("“chosen” and “rejected” are neither texts nor lists of messages")
    return _last_turns(*talks)


def _common(chosen: str, rejected: str, found: Found) -> tuple[Turns, list[str]]:
    try:
        length = shared(chosen, rejected)
    except ValueError as error:
        raise BadRow(str(error)) from error
    found.notes[COMMON] += 1
    prompt = (said("user", text_of(chosen[:length], "the beginning that both sides share")),)
    return prompt, [text_of(chosen[length:], "chosen"), text_of(rejected[length:], "rejected")]


def _last_turns(chosen: Turns, rejected: Turns) -> tuple[Turns, list[str]]:
    turns = chosen[:-1]
    if not turns or turns != rejected[:-1]:
        raise BadRow("“chosen” and “rejected” part before their last turn")
    if {chosen[-1].role, rejected[-1].role} != {"assistant"}:
        raise BadRow("“chosen” and “rejected” do not end with the assistant's turn")
    return turns, [chosen[-1].content, rejected[-1].content]


def _beside(row: Columns, side: str, used: set[str], found: Found) -> dict[str, Any]:
    """What other columns say of one side: `chosen_model`, `score_chosen`, `rejected-rating`."""
    facts = {}
    for fact in FACTS:
        for name in (f"{side}_{fact}", f"{fact}_{side}", f"{side}-{fact}"):
            if row.get(name) is not None:
                used.add(name)
                facts[fact] = row[name]
    return answers.kept(facts, side, found)
