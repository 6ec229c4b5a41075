"""Labels given elsewhere: each by somebody who cannot sign in and stands for a file's annotator."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count as counting
from typing import Any, NamedTuple, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

from django.contrib.auth.hashers import make_password
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone
from pydantic import BaseModel

from alignment.rows.found import ImportedLabel, Noted, content_key
from webapp.accounts.models import User
from webapp.datasets.models import Intake
from webapp.labeling.kinds.descriptor import TaskKind
from webapp.labeling.models import Assignment, Completion, Label, Task, TaskItem, identity_of
from webapp.labeling.queue import HOLDING
from webapp.labeling.services import AskedAbout, items_of, said_columns, store_tasks
from webapp.projects.models import Project

BATCH = 500
FIRST_KIND = "compare"  # of task: once there was no other, and names of labels told none
PAIR = 2  # items, of which any order is that of some slot
UNNAMED = "unnamed"
HERE = "labels that people gave here in the same words"


class Given(NamedTuple):
    """A label of a file, its prompt, the rows of its answers as they were seen, and what it is here."""

    label: ImportedLabel
    prompt_id: int
    prompt_key: str
    shown: "tuple[Shown, ...]"
    kind: TaskKind
    answer: BaseModel

    @property
    def texts(self) -> tuple[str, ...]:
        """What was seen, in short."""
        return tuple(content_key(one.text) for one in self.shown)

    @property
    def about(self) -> "About":
        """What tells it from what somebody else says."""
        return self.prompt_id, self.kind.name, self.texts, self.kind.canonical(self.answer)


class Shown(AskedAbout, Protocol):
    """An answer of a file as it is stored."""

    @property
    def source(self) -> str:
        """Who wrote it."""
        ...

    @property
    def sampling(self) -> Any:  # noqa: ANN401 - JSON
        """What else is known of it."""
        ...


About = tuple[int, str, tuple[str, ...], str]


def store_labels(intake: Intake, given: Sequence[Given]) -> tuple[int, int]:
    """Store each label once; how many are new, and how many people gave here.

    What they say to tasks that are there is counted when the intake is whole (`count_labels`).
    """
    people = _stand_ins(intake.project, {one.label.annotator for one in given})
    named = _named(given, people)
    known = _known(people.values(), [name for _, name in named])
    new = [
        (one, name) for one, name in named if (people[one.label.annotator].pk, name) not in known
    ]
    fresh = _not_given_here(new)
    board = _Board(intake, [one for one, _ in fresh])
    for one, name in fresh:
        board.place(one, people[one.label.annotator], name)
    board.store()
    return len(fresh), len(new) - len(fresh)


def count_labels(labels: Sequence[Label]) -> None:
    """Let tasks that were there before these labels count them, and say which of them are disputed."""
    others = [label for label in labels if label.task.intake_id != label.intake_id]
    there = Counter(label.task_id for label in others)
    for n, tasks in _by_number(there).items():
        taken = F("taken") + n
        Task.every.filter(pk__in=tasks).update(
            need=Greatest(F("need"), taken), taken=taken, done=F("done") + n
        )
    Label.every.mark_disputes(list(there))


def forget_unused(project: Project) -> None:
    """Drop who stands for somebody of whom nothing was stored after all."""
    theirs = User.objects.filter(username__startswith=_prefix(project), is_active=False)
    theirs.filter(labels=None, assignments=None).delete()


def _by_number(counted: Counter[int]) -> dict[int, list[int]]:
    found = defaultdict(list)
    for key, n in counted.items():
        found[n].append(key)
    return found


def _stand_ins(project: Project, pseudonyms: set[str]) -> dict[str, User]:
    """Who stands for each pseudonym: nobody can sign in as them, and no form gives such a name."""
    prefix = _prefix(project)
    names = {pseudonym: f"{prefix}{pseudonym or UNNAMED}" for pseudonym in pseudonyms}
    there = _accounts(names.values())
    rows = [
        User(
            username=username,
            first_name=pseudonym or UNNAMED,
            is_active=False,
            password=make_password(None),
        )
        for pseudonym, username in names.items()
        if username not in there
    ]
    if rows:
        User.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
        there = _accounts(names.values())
    return {pseudonym: there[username] for pseudonym, username in names.items()}


def _accounts(usernames: Collection[str]) -> dict[str, User]:
    wanted = sorted(usernames)
    there: dict[str, User] = {}
    for start in range(0, len(wanted), BATCH):
        found = User.objects.filter(username__in=wanted[start : start + BATCH])
        there |= {user.username: user for user in found}
    return there


def names_in_files(project: Project, people: Collection[int]) -> dict[int, str]:
    """Those of these accounts that stand for somebody of a file, with the name they have there."""
    prefix = _prefix(project)
    theirs = User.objects.filter(username__startswith=prefix, is_active=False)
    usernames = theirs.values_list("pk", "username")
    return {pk: name.removeprefix(prefix) for pk, name in usernames if pk in people}


def _prefix(project: Project) -> str:
    return f"imported:{project.pk}:"


def _named(given: Sequence[Given], people: dict[str, User]) -> list[tuple[Given, UUID]]:
    """Each label with a name made of its content, and of how often it came before."""
    said: Counter[tuple[str, ...]] = Counter()
    named = []
    for one in given:
        content = (one.prompt_key, one.label.annotator, *one.texts, *_in_short(one))
        name = uuid5(NAMESPACE_URL, "\n".join((*content, str(said[content]))))
        said[content] += 1
        named.append((one, name))
    return named


def _in_short(one: Given) -> tuple[str, ...]:
    """What is said; comparisons by their number alone, as ever."""
    if one.kind.name == FIRST_KIND:
        return tuple(str(value) for value in one.answer.model_dump(mode="json").values())
    return one.kind.name, one.kind.canonical(one.answer)


def _known(people: Iterable[User], names: Sequence[UUID]) -> set[tuple[int, UUID]]:
    theirs = {person.pk for person in people}
    found: set[tuple[int, UUID]] = set()
    for start in range(0, len(names), BATCH):
        there = Label.every.filter(client_id__in=names[start : start + BATCH])
        found.update(there.filter(annotator__in=theirs).values_list("annotator", "client_id"))
    return found


def _not_given_here(new: list[tuple[Given, UUID]]) -> list[tuple[Given, UUID]]:
    """Those that no label says which was given here: our own export may come back to where it was made."""
    prompts = sorted({one.prompt_id for one, _ in new})
    kinds = {one.kind.name for one, _ in new}
    here: Counter[About] = Counter()
    for start in range(0, len(prompts), BATCH):
        here.update(_given_here(prompts[start : start + BATCH], kinds))
    fresh = []
    for one, name in new:
        if here[one.about] > 0:
            here[one.about] -= 1
        else:
            fresh.append((one, name))
    return fresh


def _given_here(prompts: Sequence[int], kinds: Collection[str]) -> Iterator[About]:
    """What people who sign in here said: of which prompt and answers, in their order, and how."""
    asked = Label.objects.current().filter(imported=False, task__kind__in=kinds)
    labels = asked.filter(task__prompt__in=prompts).select_related("task")
    for label in labels.prefetch_related("task__items").iterator(2000):
        texts = tuple(content_key(one.text) for one in label.shown)
        yield label.task.prompt_id, label.task.kind, texts, label.said.model_dump_json()


class _Board:
    """The tasks that labels are about, with who has answered them and in which place."""

    def __init__(self, intake: Intake, given: Sequence[Given]) -> None:
        self.intake, self.project = intake, intake.project
        self.tasks: dict[str, Task] = {}  # by identity, as all below
        self.places: dict[str, list[int]] = {}  # the completions of each
        self.held: dict[str, set[int]] = defaultdict(set)  # slots
        self.answered: set[tuple[str, int]] = set()  # by whom
        self.copies: dict[tuple[int, int], Completion] = {}
        self.labels: list[Label] = []
        self.items: list[TaskItem] = []
        prompts = sorted({one.prompt_id for one in given})
        self.kinds = {one.kind.name for one in given}
        for start in range(0, len(prompts), BATCH):
            self._load(prompts[start : start + BATCH])

    def _load(self, prompts: Sequence[int]) -> None:
        tasks = Task.every.filter(project=self.project, kind__in=self.kinds, prompt__in=prompts)
        names = {}
        for task in tasks.order_by("pk").select_for_update().prefetch_related("items"):
            names[task.pk] = task.identity
            self.tasks[task.identity] = task
            self.places[task.identity] = [one.pk for one in task.completions]
        known = Assignment.objects.filter(task__in=tasks)
        for task_id, annotator, slot, state in known.values_list(
            "task", "annotator", "slot", "state"
        ):
            self.answered.add((names[task_id], annotator))
            if state in HOLDING:
                self.held[names[task_id]].add(slot)

    def place(self, one: Given, person: User, name: UUID) -> None:
        """Give a label a place in the task about its answers; the same person's next one in a task of its own."""
        identity, shown = self._free(one, person)
        self.answered.add((identity, person.pk))
        task = self.tasks.get(identity) or self._task(identity, one, shown)
        task.need = max(task.need, task.taken + 1)
        task.taken, task.done = task.taken + 1, task.done + 1
        order = [self.places[identity].index(completion.pk) for completion in shown]
        slot = self._slot(task, order)
        self.held[identity].add(slot)
        assignment = Assignment(
            task=task,
            annotator=person,
            slot=slot,
            state=Assignment.State.SUBMITTED,
            lease_until=timezone.now(),
        )
        self.labels.append(
            Label(
                intake=self.intake,
                task=task,
                assignment=assignment,
                annotator=person,
                client_id=name,
                **said_columns(task, order, one.answer),
                **_noted_columns(one.label.noted),
                counted=True,
                imported=True,
            )
        )

    def _free(self, one: Given, person: User) -> tuple[str, list[Shown]]:
        """The first task about these answers, or copies of them, that this person has not answered."""
        for copy in counting():
            shown = [*one.shown[:-1], *(self._copy(last, copy) for last in one.shown[-1:])]
            identity = identity_of(one.kind.name, one.prompt_id, [one.pk for one in shown])
            identity += f"#{copy}" if copy and not shown else ""
            if (identity, person.pk) not in self.answered:
                return identity, shown
        raise AssertionError("there are copies without end")

    def _copy(self, answer: Shown, number: int) -> Shown:
        """The answer again under another name, so that a second task can ask about it."""
        if number == 0:
            return answer
        if (answer.pk, number) not in self.copies:
            columns = {"text": answer.text, "source": answer.source, "sampling": answer.sampling}
            columns |= {"intake": self.intake}
            self.copies[answer.pk, number], _ = Completion.every.get_or_create(
                prompt_id=answer.prompt_id,
                key=f"{content_key(answer.text)}#{number}",
                defaults=columns,
            )
        return self.copies[answer.pk, number]

    def _slot(self, task: Task, order: list[int]) -> int:
        """A free one; of a pair the first that shows it in this order, as no slot shows most orders of more."""
        free = (slot for slot in counting() if slot not in self.held[task.identity])
        return next(slot for slot in free if task.size != PAIR or task.order(slot) == order)

    def _task(self, identity: str, one: Given, shown: Sequence[Shown]) -> Task:
        """A new task, in whose places the answers are as the first label's annotator saw them."""
        task = self.tasks[identity] = Task(
            intake=self.intake,
            project=self.project,
            kind=one.kind.name,
            prompt_id=one.prompt_id,
            size=len(shown),
            identity=identity,
            need=0,
            key=secrets.randbits(62),
            flip=0,
        )
        self.items += items_of(task, shown)
        self.places[identity] = [completion.pk for completion in shown]
        return task

    def store(self) -> None:
        """Write all of it, but what concerns tasks that are there."""
        touched = {id(label.task): label.task for label in self.labels}.values()
        new = [task for task in touched if not task.pk]
        store_tasks(new, self.items)
        Assignment.objects.bulk_create(
            [label.assignment for label in self.labels], batch_size=BATCH
        )
        Label.every.bulk_create(self.labels, batch_size=BATCH)
        answered = [task.pk for task in new]
        for start in range(0, len(answered), BATCH):
            Label.every.mark_disputes(answered[start : start + BATCH])


def _noted_columns(noted: Noted) -> dict[str, Any]:
    moment = noted.created_at or timezone.now()
    return noted._asdict() | {"flags": list(noted.flags), "created_at": moment}
