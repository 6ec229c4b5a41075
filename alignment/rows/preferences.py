"""Preferences: `chosen` and `rejected`, their prompt apart or at the start of both.

Consumers: TRL's preference sets, HH-RLHF (`Human:` and `Assistant:` in one text), UltraFeedback
binarized (lists of messages), Argilla's (`chosen_response`), ShareGPT's (`conversations`). Recognised by
the two columns, whatever stands beside them. Loses: columns it names.

An answer may be empty: that somebody liked it better or worse than another is a fact.
"""

from collections.abc import Sequence, Set
from contextlib import suppress
from typing import Any

from alignment.rows import answers, prompts
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import (
    BadRow,
    Columns,
    Found,
    ImportedAnswer,
    ImportedPair,
    ImportedPrompt,
    Turns,
    content_key,
)
from alignment.rows.texts import (
    USER,
    answered_of,
    answered_transcript,
    asked,
    asked_alone,
    is_plain_text,
    message_by,
    plain,
    same,
)
from alignment.seam.words import _

SIDES = ("chosen", "rejected")
ALONE = frozenset(["prompt", *SIDES])
NAMED = (SIDES, ("chosen_response", "rejected_response"))
COMMON = "prompts are what “chosen” and “rejected” both begin with"
SAME = "pairs of two equal answers, which say nothing"
REPEATED = "preferences of which both sides begin with the words of their prompt, kept as they are"
FACTS = ("model", "score", "rating")
BESIDE = {  # columns that say each of them of a side
    side: [(fact, (f"{side}_{fact}", f"{fact}_{side}", f"{side}-{fact}")) for fact in FACTS]
    for side in SIDES
}
NOTHING: tuple[Columns, Columns] = ({}, {})  # is known of both sides
Talk = tuple[Turns, str]  # what was said before an answer, and the answer


def fits(row: object) -> bool:
    """Whether it holds a better and a worse answer."""
    return bool(sides_of(row))


def sides_of(row: object) -> tuple[str, ...]:
    """The columns of the better and the worse answer; nothing where a row has none."""
    there = row if isinstance(row, dict) else {}
    for names in NAMED:
        if there.get(names[0]) is not None and there.get(names[1]) is not None:
            return names
    return ()


def read(row: Any, found: Found) -> Set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt with two answers and which was preferred; the columns that were used."""
    found.blank = True
    if isinstance(row, dict) and row.keys() == ALONE and (alone := _texts_alone(row)):
        _add_pair(*_alone(alone, found), NOTHING, found)
        return ALONE
    if not (names := sides_of(row)):
        raise BadRow(
            _("no “chosen” and “rejected” in it; its columns: {named}").format(
                named=prompts.named(row)
            )
        )
    if _stands_apart(row, names):
        turns, used = prompts.turns_of(row, found)
        turns, texts = _answers_to(turns, row, names, found)
        turns = prompts.with_tools(row, turns, used)
    else:  # “messages” repeats the chosen side
        turns, texts, used = *_apart([row[name] for name in names], found), set()
        turns = prompts.with_beginning(row, turns, used)
    used.update(names)
    more = not row.keys() <= used
    abouts = [_beside(row, name, used, found) if more else {} for name in SIDES]
    _add_pair(asked(turns), texts, abouts, found)
    return used


def _add_pair(turns: Turns, texts: Sequence[str], abouts: Sequence[Columns], found: Found) -> None:
    """Add a prompt with a better and a worse answer, or with one where both are the same."""
    better, worse = map(content_key, texts)
    chosen = ImportedAnswer(better, texts[0], about=abouts[0])
    if better == worse:
        found.left_out[SAME] += 1
        found.prompts.append(ImportedPrompt(turns, (chosen,)))
        return
    rejected = ImportedAnswer(worse, texts[1], about=abouts[1])
    pair = ImportedPair(better, worse)
    found.prompts.append(ImportedPrompt(turns, (chosen, rejected), (pair,)))


def _texts_alone(row: Columns) -> tuple[str, str, str] | None:
    """A prompt and two answers that are texts with nothing to look for in them, which most rows are.

    All are looked at together: None where one of them needs a look of its own, or a word about what is wrong with it.
    """
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    if not (isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str)):
        return None
    together = f"{prompt}\n{chosen}\n{rejected}"
    if not is_plain_text(together) or USER in together or not prompt.strip():
        return None
    return prompt, chosen, rejected


def _alone(alone: tuple[str, str, str], found: Found) -> tuple[Turns, tuple[str, str]]:
    """The same as a prompt of one turn and its answers."""
    prompt, chosen, rejected = map(str.strip, alone) if found.trimmed else alone
    turns, texts = asked_alone(prompt), (chosen, rejected)
    _note_repeated(turns, texts, found)
    return turns, texts


def _stands_apart(row: Columns, names: Sequence[str]) -> bool:
    """Whether a column of its own holds the prompt."""
    asking = prompts.asking(row)
    if asking == "conversations":  # as “messages”, where the sides are whole conversations
        return not any(isinstance(row[name], list) and len(row[name]) > 1 for name in names)
    return asking not in ("", "messages")


def _answers_to(
    turns: Turns, row: Columns, names: Sequence[str], found: Found
) -> tuple[Turns, list[str]]:
    """The two answers to a prompt that stands apart; whole conversations may say more of it."""
    before, other = _before(row[names[0]], names[0]), _before(row[names[1]], names[1])
    size = len(turns)
    whole = before and before == other
    if whole and (same(turns, before[-size:]) or same(turns, before[:size])):
        turns = before
    texts = [answers.said_in(row[name], turns, name, found) for name in names]
    _note_repeated(turns, texts, found)
    return turns, texts


def _note_repeated(turns: Turns, texts: Sequence[str], found: Found) -> None:
    begun = turns[-1].content if turns else ""
    if turns and texts[0].startswith(begun) and texts[1].startswith(begun):
        found.notes[REPEATED] += 1


def _before(side: object, name: str) -> Turns:
    """What a whole conversation says before its answer; nothing where it is none."""
    if isinstance(side, str) and USER not in side:
        return ()
    heard = Found(blank=True)
    with suppress(BadRow):
        if isinstance(side, list) and side:
            return answered_of(side, name, heard)[0]
        if isinstance(side, str) and (talk := answered_transcript(side, name, heard)):
            return talk[0]
    return ()


def _apart(sides: Sequence[Any], found: Found) -> tuple[Turns, list[str]]:
    """The prompt that both sides begin with, and what follows it."""
    if all(isinstance(side, list) and side for side in sides):
        return _last_turns(*(answered_of(s, n, found) for s, n in zip(sides, SIDES, strict=True)))
    if not all(isinstance(side, str) for side in sides):
        raise BadRow(
            _("“chosen” and “rejected” are not both texts, and not both lists of messages")
        )
    heard = Found(trimmed=found.trimmed, blank=True)
    one, other = (answered_transcript(s, n, heard) for s, n in zip(sides, SIDES, strict=True))
    if one is None or other is None:
        return _common(sides[0], sides[1], found)
    found.notes.update(heard.notes)
    return _last_turns(one, other)


def _common(chosen: str, rejected: str, found: Found) -> tuple[Turns, list[str]]:
    """The words that two texts share are the prompt."""
    length = _shared(chosen, rejected)
    found.notes[COMMON] += 1
    begin = plain(chosen[:length], "the beginning that both sides share", found)
    sides = zip((chosen, rejected), SIDES, strict=True)
    return (message_by("user", begin),), [plain(s[length:], n, found, blank=True) for s, n in sides]


def _shared(chosen: str, rejected: str) -> int:
    """How many characters both texts begin with, in whole words; raises BadRow where it is none."""
    pairs = enumerate(zip(chosen, rejected, strict=False))
    length = next((at for at, (a, b) in pairs if a != b), min(len(chosen), len(rejected)))
    length = max(chosen.rfind(space, 0, length) for space in " \n\t") + 1
    if not chosen[:length].strip():
        raise BadRow(_("there is no “prompt”, and “chosen” and “rejected” begin differently"))
    return length


def _last_turns(chosen: Talk, rejected: Talk) -> tuple[Turns, list[str]]:
    if not chosen[0] or chosen[0] != rejected[0]:
        raise BadRow(_("“chosen” and “rejected” part before their last turn"))
    return chosen[0], [chosen[1], rejected[1]]


def _beside(row: Columns, side: str, used: set[str], found: Found) -> dict[str, Any]:
    """What other columns say of one side: `chosen_model`, `score_chosen`, `rejected-rating`."""
    facts: dict[str, Any] = {}
    for fact, names in BESIDE[side]:
        for name in names:
            if row.get(name) is not None:
                used.add(name)
                facts[fact] = row[name]
    return answers.kept(facts, side, found)


FORMAT = Format(
    title=_("Preferences"),
    help=_(
        "chosen and rejected, with a prompt, or both beginning with it, as in TRL, HH-RLHF and UltraFeedback binarized."
    ),
    loses=_("pairs of two equal answers, and columns that say nothing of an answer."),
    fits=fits,
    read=read,
    may=with_columns(*map(frozenset, NAMED)),
    flat=True,
)
