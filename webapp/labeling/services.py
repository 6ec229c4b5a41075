"""Writes of labelling: tasks queued, labels stored, taken back, skipped."""

import secrets
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, Required, TypedDict, Unpack, overload
from uuid import UUID

from django.db import transaction
from django.db.models import F, Max
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.labeling import cursors, languages, queue, sides
from webapp.labeling.bands import USUAL
from webapp.labeling.following import follow_answers
from webapp.labeling.kinds import kind_named
from webapp.labeling.kinds.descriptor import no_objection
from webapp.labeling.models import Assignment, Completion, Label, Task, TaskItem, identity_of
from webapp.labeling.restrictions import kinds_handed_out
from webapp.projects.models import Project
from webapp.projects.services import save_composition
from webapp.site.bulk import insert_rows, insert_values
from webapp.site.clock import after
from webapp.site.deadlocks import again_after_deadlock
from webapp.site.errors import Refusal
from webapp.site.words import Words

State = Assignment.State
CHUNK = 500  # rows a statement


class LabelingError(Refusal):
    """A label, skip or task that cannot be stored, and why."""


@dataclass(frozen=True)
class Draft:
    """What somebody has written about a pair, and what it goes on with.

    `base` is the revision that its page knew, `page` the tab, `count` how often that tab had saved.
    """

    rationale: str = ""
    flags: Sequence[str] = ()
    fields: Mapping[str, object] = field(default_factory=dict)  # of the answer, as far as written
    base: int | None = None
    page: str = ""
    count: int | None = None

    @property
    def says_something(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self.rationale or self.flags or self.fields)

    def stored(self) -> dict[str, object]:
        """What of it an assignment keeps; nothing where nothing was written."""
        return {name: value for name, value in vars(self).items() if value and name != "base"}

    def unseen(self, assignment: Assignment) -> str:
        """What another page saved about the pair since this one looked, and that it lacks, as words."""
        there = assignment.draft
        own = bool(self.page) and there.get("page") == self.page
        if own or self.base is None or self.base == assignment.draft_revision:
            return ""
        flags = [flag for flag in there.get("flags", []) if flag not in self.flags]
        said = [
            *self._lacking(there),
            *([_("Flags: {flags}.").format(flags=", ".join(flags))] if flags else []),
        ]
        return " ".join(filter(None, said))

    def _lacking(self, there: Mapping[str, Any]) -> Iterator[str]:
        """The words of another draft that this one does not have in the same place."""
        texts: dict[str, object] = {"": there.get("rationale", ""), **there.get("fields", {})}
        own = {"": self.rationale, **self.fields}
        for name, text in texts.items():
            if isinstance(text, str) and text not in str(own.get(name, "")):
                yield text


class Said(TypedDict, total=False):
    """An answer, and what came with it."""

    answer: Required[object]
    rationale: str
    flags: Sequence[str]
    visible_ms: int | None
    form: int


class DraftConflict(LabelingError):
    """Another draft was saved since the one that this one goes on with; `there` is the assignment."""

    def __init__(self, there: Assignment) -> None:
        super().__init__(_("Other words about this task were saved elsewhere meanwhile."))
        self.there = there


class AskedAbout(Protocol):
    """A completion, as far as it matters to a task about it."""

    @property
    def pk(self) -> int:
        """Its id."""
        ...

    @property
    def prompt_id(self) -> int:
        """That of its prompt."""
        ...

    @property
    def text(self) -> str:
        """What it says."""
        ...

    @property
    def model_id(self) -> int | None:
        """That of its model, if it has one."""
        ...


class Ask(NamedTuple):
    """What a task will ask about: a prompt, and completions of it."""

    prompt_id: int
    items: Sequence[AskedAbout] = ()
    fresh: bool = False  # some are stored just now: nobody has asked about them together

    @classmethod
    def about(cls, items: Sequence[AskedAbout]) -> "Ask":
        """Answers to the same prompt; raises LabelingError for others."""
        prompts = {completion.prompt_id for completion in items}
        if len(prompts) != 1:
            raise LabelingError(_("Only answers to the same prompt can be asked about together."))
        return cls(prompts.pop(), items)

    @property
    def alike(self) -> bool:
        """Whether nobody could tell two of its items apart."""
        return len({completion.text.strip() for completion in self.items}) < len(self.items)

    @property
    def placed(self) -> list[AskedAbout]:
        """Its items by their models, so that none of these stands first more often than others."""
        return sorted(self.items, key=lambda completion: (completion.model_id or 0, completion.pk))

    def identity(self, kind: str) -> str:
        """What a task of this kind about it is called."""
        return identity_of(kind, self.prompt_id, [completion.pk for completion in self.items])


def ask_about(project: Project, kind: str, completions: Iterable[Completion], *, need: int) -> int:
    """Queue what a kind of task asks about completions that come prompt by prompt; the number queued."""
    by_prompt = groupby(completions, key=attrgetter("prompt_id"))
    asks = [
        Ask(prompt_id, items)
        for prompt_id, found in by_prompt
        for items in kind_named(kind).ask(list(found))
    ]
    return create_tasks(project, kind, asks, need=need)


@transaction.atomic
def create_tasks(
    project: Project,
    kind: str,
    asks: Iterable[Ask],
    *,
    need: int,
    priority: int = USUAL,
) -> int:
    """Queue tasks of one kind; the number queued, known ones and those of equal texts aside."""
    tasks = insert_tasks(project, kind, place_asks(kind, asks), need=need, priority=priority)
    cursors.lead_to(project, tasks)
    return len(tasks)


class PlacedAsk(NamedTuple):
    """What a new task asks about: a prompt, the place that is shown first, and the ids of its items by place."""

    prompt_id: int
    flip: int
    items: Sequence[int]


def place_asks(kind: str, asks: Iterable[Ask]) -> dict[str, PlacedAsk]:
    """Those that no task asks yet, but none of equal texts, by what their tasks are called."""
    named = {ask.identity(kind): ask for ask in asks}
    _check_sizes(kind, named.values())
    known = known_tasks([name for name, ask in named.items() if not ask.fresh])
    new = {name: ask for name, ask in named.items() if name not in known and not ask.alike}
    placed = [ask.placed for ask in new.values()]
    return {
        name: PlacedAsk(ask.prompt_id, flip, [one.pk for one in items])
        for (name, ask), flip, items in zip(new.items(), sides.flips(placed), placed, strict=True)
    }


def insert_tasks(
    project: Project,
    kind: str,
    placed: Mapping[str, PlacedAsk],
    *,
    need: int,
    priority: int = USUAL,
) -> Sequence[int]:
    """Write new tasks by what they are called (`identity_of`); their ids.

    Who is led past them does not find them before `cursors.lead_to` or `lead_anew`.
    """
    keys = _random_keys(len(placed))
    rows = [
        (one.prompt_id, len(one.items), name, one.flip, key)
        for (name, one), key in zip(placed.items(), keys, strict=True)
    ]
    tasks = insert_values(
        Task,
        ("prompt_id", "size", "identity", "flip", "key"),
        rows,
        project_id=project.pk,
        kind=kind,
        need=need,
        priority=priority,
    )
    items = [
        (task, place, item)
        for task, one in zip(tasks, placed.values(), strict=True)
        for place, item in enumerate(one.items)
    ]
    insert_values(TaskItem, ("task_id", "place", "completion_id"), items)
    if languages.are_asked_for(project):
        languages.tell_languages(tasks)
    return tasks


@transaction.atomic
def change_form(
    project: Project, composition: Mapping[str, object], *, seen: int, by: User | None
) -> None:
    """Let tasks be asked so from now on (`save_composition`); people find those whose kind is offered again."""
    known = Project.objects.get(pk=project.pk)
    before = kinds_handed_out(known)
    save_composition(project, composition, seen=seen, by=by)
    known.composition = dict(composition)
    if kinds_handed_out(known) != before:
        cursors.lead_anew(project)


def _random_keys(number: int) -> Iterator[int]:
    """So many, of 62 bits each."""
    return (key >> 2 for key in array("Q", secrets.token_bytes(8 * number)))


def _check_sizes(kind: str, asks: Iterable[Ask]) -> None:
    sizes = kind_named(kind).items
    for ask in asks:
        if len(ask.items) not in sizes:
            words = _("A task of the kind %(kind)s is not about %(count)s answers.")
            raise LabelingError(words % {"kind": kind, "count": len(ask.items)})


def items_of(task: Task, placed: Iterable[AskedAbout]) -> list[TaskItem]:
    """The task's items, in these places."""
    return [
        TaskItem(task=task, place=place, completion_id=one.pk) for place, one in enumerate(placed)
    ]


def store_tasks(tasks: Sequence[Task], items: Sequence[TaskItem]) -> None:
    """Write new tasks with what they are about."""
    with transaction.atomic():
        insert_rows(tasks)
        for item in items:
            item.task_id = item.task.pk
        insert_rows(items)


def known_tasks(identities: Sequence[str]) -> set[str]:
    """Those of these names that a task has already."""
    known: set[str] = set()
    for start in range(0, len(identities), CHUNK):
        there = Task.every.filter(identity__in=identities[start : start + CHUNK])
        known.update(there.values_list("identity", flat=True))
    return known


@again_after_deadlock
@transaction.atomic
def submit_label(assignment: Assignment, *, client_id: UUID, **said: Unpack[Said]) -> Label:
    """Store an answer once; a late one counts if its task still has a free place, else it is extra.

    A second answer to the same assignment is a revision: the newest one speaks, by the order in which
    they come here. The answer is one of the task's kind, or its fields; raises LabelingError for others.
    """
    queue.lock(assignment.annotator)
    locked = queue.lock_answered(assignment.pk, assignment.annotator, client_id)
    if locked is None:
        raise Assignment.DoesNotExist
    return store_label(locked, client_id=client_id, **said)


def store_label(assignment: Assignment, *, client_id: UUID, **said: Unpack[Said]) -> Label:
    """The same in the transaction that has locked the assignment for this answer and its person."""
    if stored := getattr(assignment, "stored", None):  # of `lock_answered`
        return Label.every.get(pk=stored)
    answered = _said(assignment, said["answer"])
    replaced = _spoken(assignment)
    label = Label.every.create(
        task=assignment.task,
        assignment=assignment,
        annotator_id=assignment.annotator_id,
        client_id=client_id,
        counted=_answer(assignment, replaced),
        disputed=Label.objects.decides_otherwise(assignment.task_id, answered["verdict"]),
        **{"form": 0, **said, **answered},
    )
    label.replaced, label.adds = replaced, not replaced
    if replaced or label.disputed:  # else what was said before is as disputed as it was
        Label.every.mark_disputes([assignment.task_id])
        adapt_need_of(assignment)
    if objection := follow_answers(assignment.task, label):
        raise LabelingError(objection)
    return label


def adapt_need_of(assignment: Assignment) -> None:
    """Ask a third person where two differ now, or no third where they do not, in projects that want it."""
    if getattr(assignment, "third", False):  # of whatever locked it
        queue.adapt_need(assignment.task_id)


def _said(assignment: Assignment, answer: object) -> dict[str, object]:
    """The columns of a label that say what was answered."""
    try:
        objection = _objection(assignment, answer)
        said = {} if objection else said_columns(assignment.task, assignment.order, answer)
    except ValueError:
        raise LabelingError(_("That is no answer to this question: nothing was stored.")) from None
    if objection:
        raise LabelingError(str(objection))
    return said


class _ShownTexts(Sequence[str]):
    """What somebody saw, read when it is looked at: most kinds of task only count it."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    def __len__(self) -> int:
        return self.assignment.task.size

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        return [completion.text for completion in self.assignment.shown][place]


def _objection(assignment: Assignment, answer: object) -> Words:
    """Why the answer does not fit what was shown; only kinds that may object have that read again."""
    kind = assignment.task.asks
    if kind.objection is no_objection:
        return ""
    return kind.objection(kind.Answer.model_validate(answer), _ShownTexts(assignment))


def said_columns(task: Task, order: Sequence[int], answer: object) -> dict[str, object]:
    """What a label keeps of an answer to a task that was shown in this order; ValueError for no answer."""
    said = task.asks.Answer.model_validate(answer)
    verdict = task.asks.verdict(said, order)
    return {"answer": said.model_dump(mode="json"), "order": list(order), "verdict": verdict}


def _spoken(assignment: Assignment) -> Label | None:
    """The answer that speaks for the pair so far."""
    if assignment.state != State.SUBMITTED:
        return None
    label = assignment.labels.current().get()
    label.task = assignment.task
    return label


def _locked(assignment: Assignment) -> Assignment:
    """The assignment as it is now."""
    return Assignment.objects.locked().get(pk=assignment.pk)


def _answer(assignment: Assignment, replaced: Label | None) -> bool:
    """Turn a lease into an answer; whether the answer counts."""
    if replaced:
        assignment.labels.current().update(superseded=True, counted=False)
        return replaced.counted
    holds = assignment.state in queue.KEPT
    counts = holds or queue.take_place(assignment.task)
    if not holds:
        assignment.slot = queue.free_slot(assignment.task, like=assignment.slot)
    if assignment.state == State.SKIPPED:
        Task.every.filter(pk=assignment.task_id).let_open(skips=F("skips") - 1)
    assignment.state, assignment.note = State.SUBMITTED, ""
    assignment.draft = _other(assignment.draft)
    assignment.save(update_fields=["state", "slot", "draft", "note"])
    if counts:
        Task.every.filter(pk=assignment.task_id).update(done=F("done") + 1)
    return counts


def undo(annotator: User, client_id: UUID, *, project: Project | None = None) -> Assignment | None:
    """Take back what this id names, a label or a skip, of the project if one is given.

    None where nothing of that name stands.
    """
    return undo_label(annotator, client_id, project=project) or undo_skip(
        annotator, client_id, project=project
    )


@again_after_deadlock
@transaction.atomic
def undo_label(
    annotator: User, client_id: UUID, *, project: Project | None = None
) -> Assignment | None:
    """Take a label back and lease its task to the same person again; None if it is not current.

    With a project, only a label of it.
    """
    found = Label.every.current().filter(annotator=annotator, client_id=client_id)
    label = (found if project is None else found.filter(project=project)).first()
    if label is None:
        return None
    assignment = _locked(label.assignment)
    retracted = Label.every.current().filter(pk=label.pk)
    counted = bool(retracted.filter(counted=True))
    if not retracted.update(retracted=True, counted=False):
        return None
    restored = _restore(assignment, label, counted=counted)
    Label.every.mark_disputes([label.task_id])
    follow_answers(label.task)
    if restored:
        adapt_need_of(assignment)
        return assignment
    if counted:
        Task.every.filter(pk=label.task_id).update(done=F("done") - 1)
    adapt_need_of(assignment)
    holds = counted or queue.take_place(assignment.task)
    other = _other(assignment.draft)
    assignment.draft = draft_of(label) | other
    _lease_again(assignment, holds=holds)
    return assignment


def draft_of(label: Label) -> dict[str, object]:
    """What was written for an answer, to go on with."""
    draft = {"rationale": label.rationale, "flags": label.flags}
    fields = {name: label.answer[name] for name in label.asks.written if name in label.answer}
    return draft | ({"fields": fields} if fields else {})


def _restore(assignment: Assignment, label: Label, *, counted: bool) -> bool:
    """Let the answer speak again whose place this one had taken; whether there was one."""
    before = assignment.labels.filter(superseded=True, retracted=False, pk__lt=label.pk)
    newest = before.order_by("-pk").first()
    if newest is None:
        return False
    Label.every.filter(pk=newest.pk).update(superseded=False, counted=counted)
    return True


@again_after_deadlock
@transaction.atomic
def undo_skip(
    annotator: User, skip_id: UUID, *, project: Project | None = None
) -> Assignment | None:
    """Take a skip back and lease its task to the same person again; None if there is none."""
    found = Assignment.objects.filter(annotator=annotator, skip_id=skip_id, state=State.SKIPPED)
    skipped = (found if project is None else found.filter(task__project=project)).first()
    assignment = skipped and _locked(skipped)
    if assignment is None or assignment.state != State.SKIPPED:
        return None
    Task.every.filter(pk=assignment.task_id).let_open(skips=F("skips") - 1)
    _lease_again(assignment, holds=queue.take_place(assignment.task))
    return assignment


def _lease_again(assignment: Assignment, *, holds: bool) -> None:
    """Put a pair back into its person's hands; without a free place what they answer is an extra."""
    if holds and assignment.state == State.SKIPPED:  # who has the slot by now keeps it
        assignment.slot = queue.free_slot(assignment.task, like=assignment.slot)
    assignment.state = State.LEASED if holds else State.EXPIRED
    assignment.lease_until = after(queue.SHOWN)
    assignment.save(update_fields=["state", "slot", "lease_until", "draft"])


@again_after_deadlock
@transaction.atomic
def save_draft(assignment: Assignment, draft: Draft) -> int:
    """Keep what somebody has written so far, unless the pair is answered; the draft's revision now.

    Raises DraftConflict where another page has saved words since that this one lacks. Nothing asks a
    clock, as those of two devices differ: a page's own drafts are ordered by its count.
    """
    known = Assignment.objects.select_for_update().get(pk=assignment.pk)
    if known.state == State.SUBMITTED or _is_overtaken(known.draft, draft):
        return known.draft_revision
    if draft.unseen(known):
        raise DraftConflict(known)
    known.draft = draft.stored() | _other(known.draft)
    known.draft_revision += 1
    known.save(update_fields=["draft", "draft_revision"])
    return known.draft_revision


def _other(draft: Mapping[str, object]) -> dict[str, object]:
    """Words that were set aside: they stay beside whatever becomes of the pair."""
    return {"other": draft["other"]} if "other" in draft else {}


def set_aside(assignment: Assignment, draft: Draft) -> str:
    """Keep beside the pair, which is locked, what another page wrote and this draft lacks; those words.

    An answer or a skip with this draft then ends none of them unseen.
    """
    if words := draft.unseen(assignment):
        assignment.draft = {**assignment.draft, "other": words}
        assignment.save(update_fields=["draft"])
    return words


def _is_overtaken(there: Mapping[str, object], draft: Draft) -> bool:
    """Whether a later draft of the same page came first, or this very one."""
    if there.get("page", "") != draft.page or draft.count is None:
        return False
    return draft.count <= int(str(there.get("count", 0)))


@again_after_deadlock
@transaction.atomic
def skip(
    assignment: Assignment,
    reason: str = "",
    draft: Draft = Draft(),
    *,
    skip_id: UUID | None = None,
) -> None:
    """Give a task back, keep what was written, and show it to this person only if they undo it.

    A skip whose id came before changes nothing: it was sent again, perhaps after its undo.
    """
    assignment = _locked(assignment)
    if skip_id and assignment.skip_id == skip_id:
        return
    if assignment.state == State.SUBMITTED:
        raise LabelingError(_("You have already answered this task; undo the answer to skip it."))
    task = Task.every.filter(pk=assignment.task_id)
    if assignment.state in queue.KEPT:
        task.let_open(taken=F("taken") - 1)
    if assignment.named:
        task.filter(repeat_of__isnull=False).update(need=F("taken"))  # nobody else answers it
    if assignment.state != State.SKIPPED:
        task.update(skips=F("skips") + 1)
    assignment.state = State.SKIPPED
    assignment.skip_reason, assignment.skip_id = reason, skip_id
    assignment.skip_after, assignment.skip_order = _next_act(assignment.annotator_id)
    if draft.says_something:
        assignment.draft = draft.stored() | _other(assignment.draft)
    changed = ["state", "skip_reason", "skip_id", "skip_after", "skip_order", "draft"]
    assignment.save(update_fields=changed)


def _next_act(annotator_id: int) -> tuple[int, int]:
    """Where a skip stands among what its person did: the newest label so far, and its own number."""
    newest = Label.every.filter(annotator=annotator_id).aggregate(newest=Max("pk"))["newest"]
    skipped = Assignment.objects.filter(annotator=annotator_id, state=State.SKIPPED)
    skips = skipped.aggregate(last=Max("skip_order"))
    return newest or 0, (skips["last"] or 0) + 1


def expire_leases() -> int:
    """Give back the places of all leases nobody extended in time; their number."""
    return queue.give_back_all(Assignment.objects.overdue())
