"""Conversations that people lead with models: what was said, which answers came, which of them goes on.

Each turn is a row as soon as it is said, so that nothing of it is lost with a page. Its answers come by a job of the
class of work that is answered within seconds (`webapp.runs.live`).
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import CompletionRecord, Message
from webapp.artifacts.models import Artifact
from webapp.jobs.models import Job
from webapp.jobs.models import State as JobState
from webapp.jobs.services import start_job
from webapp.labeling.composition import CONVERSE, Composition, Conversing, Form
from webapp.labeling.exchanges import Exchange
from webapp.labeling.kinds.converse.answer import LONGEST_SAID
from webapp.labeling.kinds.converse.kind import steps_of
from webapp.labeling.kinds.writing import with_plain_lines
from webapp.labeling.models import Assignment, Completion
from webapp.labeling.services import LabelingError
from webapp.machine.processes import has_ended
from webapp.projects.services import keep_conversation
from webapp.site.clock import after
from webapp.site.deadlocks import again_after_deadlock

JOB = "answer"  # a key of jobs.kinds.JOB_KINDS
WAITED = 5.0  # seconds after which a job that nobody has taken up is told of
SEEN = 5.0  # seconds between two notes that somebody waits
GONE = 20.0  # seconds without such a note after which nobody does
State = Literal["begin", "waiting", "alone", "lost", "failed", "choosing", "chosen", "over"]
ELSEWHERE = _("This conversation went on in another tab or device. Here is how it stands.")


class Conversation(NamedTuple):
    """How a conversation stands: what went on, and the turn under way, if one is."""

    state: State
    spoken: list[dict[str, str]]  # messages since the opening prompt
    number: int  # of the newest turn; 0 before the first
    now: Exchange | None

    @property
    def why(self) -> str:
        """What its job says, where it failed."""
        return self.now.job.message if self.now and self.now.job else ""

    @property
    def texts(self) -> list[str]:
        """All that it shows."""
        now = [self.now.left, self.now.right] if self.now else []
        return [*(one["content"] for one in self.spoken), *(one.text for one in now if one)]


def exchanges_of(assignment: Assignment) -> list[Exchange]:
    """The turns of a conversation so far, with their answers."""
    return list(assignment.exchanges.select_related("left", "right", "job"))


def conversation_of(assignment: Assignment, composition: Composition) -> Conversation:
    """The conversation that the holder of an assignment leads by this form."""
    turns = exchanges_of(assignment)
    spoken = [one for turn in turns for one in _messages_of(turn)]
    if not turns:
        return Conversation("begin", [], 0, None)
    last = turns[-1]
    if last.choice is None:
        return Conversation(_state_of(last), spoken, last.number, last)
    return Conversation(_state_after(last, composition), spoken, last.number, None)


def _messages_of(turn: Exchange) -> Iterator[dict[str, str]]:
    """What a turn adds to the conversation, as messages."""
    if turn.said:
        yield {"role": "user", "content": turn.said}
    if turn.chosen and turn.chosen.text:
        yield {"role": "assistant", "content": turn.chosen.text}


def _state_of(turn: Exchange) -> State:
    """How far the answers to a turn are."""
    if turn.is_answered:
        return "choosing"
    if turn.job is None or turn.job.is_final:
        return "failed"
    if turn.job.state == JobState.WORKING:
        return "lost" if has_ended(turn.job.holder) else "waiting"
    return "alone" if _is_left_alone(turn.job) else "waiting"


def _is_left_alone(job: Job) -> bool:
    """Whether nobody has taken a job up for a while, though nobody is busy with another one of its kind."""
    kind = Job.objects.filter(kind=JOB)
    waits = kind.filter(pk=job.pk, created_at__lt=after(-WAITED)).exists()
    return waits and not kind.filter(state=JobState.WORKING).exists()


def _state_after(turn: Exchange, composition: Composition) -> State:
    """Whether something can be said after a turn."""
    asked = composition.converse
    empty = not (turn.chosen and turn.chosen.text.strip())
    return "over" if empty or asked is None or turn.number >= asked.turns else "chosen"


@again_after_deadlock
@transaction.atomic
def ask_models(assignment: Assignment, said: str, seen: int, form: Form) -> Exchange:
    """Say something, in the first turn nothing but the prompt, and let models answer it.

    `seen` is the number of turns that the page knew; raises LabelingError.
    """
    turns = _led(assignment, seen)
    said = with_plain_lines(said).strip()
    conversing = _conversing(form.composition)
    if turns and turns[-1].choice is None:
        raise LabelingError(ELSEWHERE)
    if turns and _state_after(turns[-1], form.composition) != "chosen":
        raise LabelingError(_("This conversation can only be ended now."))
    if bool(said) != bool(turns) or len(said) > LONGEST_SAID:
        raise LabelingError(_("Write what you say next, in up to 20,000 characters."))
    turn = Exchange.objects.create(
        assignment=assignment,
        number=len(turns) + 1,
        said=said,
        prompt=_prompt_of(assignment, turns, said),
        form=form.number,
    )
    return _let_answer(turn, conversing, turns[-1] if turns else None)


@again_after_deadlock
@transaction.atomic
def ask_once_more(assignment: Assignment, seen: int, form: Form) -> Exchange:
    """Let models answer the last turn whose answers did not come; raises LabelingError."""
    turns = _led(assignment, seen)
    if not turns or turns[-1].choice is not None or _state_of(turns[-1]) != "failed":
        raise LabelingError(ELSEWHERE)
    before = turns[-2] if len(turns) > 1 else None
    return _let_answer(turns[-1], _conversing(form.composition), before)


@again_after_deadlock
@transaction.atomic
def prefer_answer(assignment: Assignment, choice: int, seen: int, form: Form) -> Exchange:
    """Let one of the two answers of the last turn go on; raises LabelingError."""
    turns = _led(assignment, seen)
    if not turns or turns[-1].choice is not None or not turns[-1].is_answered:
        raise LabelingError(ELSEWHERE)
    if choice not in steps_of(form.composition):
        raise LabelingError(_("That is no answer to this question: nothing was stored."))
    turns[-1].choice = choice
    turns[-1].save(update_fields=["choice"])
    return turns[-1]


def _led(assignment: Assignment, seen: int) -> list[Exchange]:
    """The turns of a conversation that is not over, locked; raises LabelingError where a page knew others."""
    locked = Assignment.objects.select_for_update().get(pk=assignment.pk)
    if locked.state in (Assignment.State.SUBMITTED, Assignment.State.SKIPPED):
        raise LabelingError(_("You have ended this conversation; undo that to go on with it."))
    turns = exchanges_of(locked)
    if len(turns) != seen:
        raise LabelingError(ELSEWHERE)
    return turns


def _conversing(composition: Composition) -> Conversing:
    if composition.converse is None:
        raise LabelingError(
            _(
                "No model answers in this project. A researcher chooses one: Data → How tasks are asked."
            )
        )
    return composition.converse


def _prompt_of(assignment: Assignment, turns: Iterable[Exchange], said: str) -> Any:  # noqa: ANN401 - a Prompt
    """The conversation up to what is said now, as a prompt; in the first turn the task's own."""
    opening = assignment.task.prompt
    if not said:
        return opening
    since = [one for turn in turns for one in _messages_of(turn)]
    spoken = [*opening.messages, *since, {"role": "user", "content": said}]
    return keep_conversation(
        assignment.task.project,
        [Message(**one) for one in spoken],
        split=opening.split,
        author=assignment.annotator,
    )


def _let_answer(turn: Exchange, asked: Conversing, before: Exchange | None) -> Exchange:
    """Queue the answers to a turn."""
    project = turn.assignment.task.project
    wanted = {"type": Artifact.Type.MODEL, "pk__in": asked.models}
    if project.artifacts.filter(**wanted).count() < len(asked.models):
        raise LabelingError(
            _("The model that should answer is gone. A researcher chooses another one.")
        )
    payload = {
        "exchange": turn.pk,
        "models": _sides(asked.pair, before),
        "max_new_tokens": asked.max_new_tokens,
        "temperature": asked.temperature,
        "seed": secrets.randbits(62),
    }
    key = f"answer-{turn.pk}-{secrets.token_hex(8)}"
    turn.job = start_job(project, kind=JOB, payload=payload, key=key, by=turn.assignment.annotator)
    turn.save(update_fields=["job"])
    Exchange.objects.filter(pk=turn.pk).update(seen_at=Now())
    return turn


def _sides(pair: Sequence[int], before: Exchange | None) -> list[int]:
    """Whose answer stands left and whose right: by chance in odd turns, and in each even one the other way round."""
    if before and before.number % 2 and before.left:
        swapped = before.left.model_id == pair[0]
    else:
        swapped = bool(secrets.randbelow(2))
    return [pair[1], pair[0]] if swapped else [pair[0], pair[1]]


def keep_answers(job: Job, answers: Sequence[CompletionRecord]) -> Mapping[str, Any]:
    """Store the two answers that a job has brought to the turn that still waits for them; how many were kept."""
    turn = Exchange.objects.filter(job=job, left=None, right=None).first()
    if turn is None:
        return {"kept": 0}
    sampling = {name: job.payload[name] for name in ("temperature", "max_new_tokens")}
    sides = zip(("left", "right"), job.payload["models"], answers, strict=True)
    for side, model, answer in sides:
        made = Completion.every.create(
            prompt_id=turn.prompt_id,
            text=answer.text,
            source=Completion.Source.MODEL,
            model_id=model,
            sampling=sampling,
            logps=answer.logps,
            key=f"live-{job.pk}-{side}",
        )
        setattr(turn, side, made)
    turn.save(update_fields=["left", "right"])
    return {"kept": len(answers)}


def note_waiting(turn: Exchange) -> None:
    """Say that somebody waits for the answers to a turn."""
    long_ago = Exchange.objects.filter(pk=turn.pk, seen_at__lt=after(-SEEN))
    long_ago.update(seen_at=Now())


def is_waited_for(turn: Exchange) -> bool:
    """Whether somebody looked for the answers to a turn not long ago."""
    return Exchange.objects.filter(pk=turn.pk, seen_at__gt=after(-GONE)).exists()


def with_turns(assignment: Assignment, fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of an answer with the turns that the server has, in place of any that were sent."""
    if assignment.task.kind != CONVERSE or not fields:
        return dict(fields)
    return {**fields, "turns": [_said(turn) for turn in exchanges_of(assignment) if turn.chosen]}


def _said(turn: Exchange) -> dict[str, object]:
    """A turn as an answer keeps it."""
    left, right = turn.left, turn.right
    return {
        "said": turn.said,
        "left": left.text if left else "",
        "right": right.text if right else "",
        "choice": turn.choice,
    }
