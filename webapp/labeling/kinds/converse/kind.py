"""A conversation that somebody leads with models, one of whose two answers goes on at each turn."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from alignment.seam.records import Message, PairRecord, PromptRecord, prompt_key
from webapp.labeling.composition import Composition
from webapp.labeling.kinds.compare import Choice
from webapp.labeling.kinds.compare.kind import KEYS as COMPARED
from webapp.labeling.kinds.compare.kind import SCALES
from webapp.labeling.kinds.converse.answer import Answer
from webapp.labeling.kinds.descriptor import Asked, InWords, Key, TaskKind
from webapp.labeling.kinds.writing import start_of_text
from webapp.site.words import Words

OWN = (
    Key("end", "d", _("End the conversation"), _("end"), {"ended": "yes", "turns": ()}),
    Key("write", "e", _("To what you say next; Esc leaves it")),
)


def _records(asked: Asked, answer: Answer) -> Iterator[PairRecord]:
    """A preference for each turn, whose prompt is the conversation up to there."""
    prompt = asked.prompt
    for turn in answer.turns:
        prompt = _gone_on(prompt, "user", turn.said)
        yield PairRecord(
            prompt=prompt,
            chosen=turn.chosen,
            rejected=turn.rejected,
            strength=abs(turn.choice - Choice.TIE),
            annotator=asked.annotator,
            left_won=turn.choice < Choice.TIE,
        )
        if not turn.chosen:
            return  # nothing can be said to nothing
        prompt = _gone_on(prompt, "assistant", turn.chosen)


def _gone_on(prompt: PromptRecord, role: Literal["user", "assistant"], said: str) -> PromptRecord:
    """A conversation with what was said since, if anything was."""
    if not said:
        return prompt
    messages = (*prompt.messages, Message(role=role, content=said))
    return PromptRecord(key=prompt_key(messages), messages=messages)


def _objection(answer: Answer, _items: Sequence[str]) -> Words:
    """That nothing was chosen yet."""
    if not answer.turns:
        return _("Choose between two answers once at least, then end: nothing was stored.")
    return ""


def _in_words(answer: Answer) -> InWords:
    """How many turns there were, and how it ended."""
    number = len(answer.turns)
    said = ngettext("%(n)s turn", "%(n)s turns", number) % {"n": number}
    last = start_of_text(answer.turns[-1].chosen) if answer.turns else ""
    return InWords(f"{said}: {last}" if last else said, spoken=list(_spoken(answer)))


def _spoken(answer: Answer) -> Iterator[dict[str, str]]:
    """The conversation behind its prompt, with the answers that went on."""
    for turn in answer.turns:
        for role, words in (("user", turn.said), ("assistant", turn.chosen)):
            if words:
                yield {"role": role, "content": words}


def steps_of(composition: Composition) -> Sequence[Choice]:
    """How two answers may compare by this form, where one of them has to go on."""
    return [step for step in SCALES[composition.points] if step != Choice.TIE]


def _keys_of(composition: Composition) -> tuple[Key, ...]:
    """The steps of the form's scale by the digits from 1 on, and the kind's own."""
    by_choice = {key.usual: key for key in COMPARED}
    steps = [by_choice[str(step.value)] for step in steps_of(composition)]
    placed = [
        key._replace(action=f"choose-{place}", usual=str(place))
        for place, key in enumerate(steps, 1)
    ]
    return (*placed, *OWN)


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Conversation to lead"),
    question=_("Which answer should the conversation go on with?"),
    items=range(1),
    Answer=Answer,
    ask=lambda _completions: [()],
    records=_records,
    agreement="nominal",
    verdict=lambda _answer, _order: "led",  # no two people lead the same, or disagree by that
    words=_in_words,
    template="labeling/kinds/converse.html",
    keys=OWN,
    keys_of=_keys_of,
    objection=_objection,
    live=True,
)
