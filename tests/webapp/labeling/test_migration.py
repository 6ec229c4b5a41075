"""A database of the version in which a task was a pair, carried over and back."""

from datetime import timedelta
from itertools import count
from typing import NamedTuple
from uuid import uuid4

import pytest
from django.db import connection
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from tests.factories import compare
from tests.rows import delete_rows
from webapp.labeling.kinds.compare import Choice
from webapp.labeling.models import Assignment, Label, Task
from webapp.labeling.queries import Progress
from webapp.labeling.services import submit_label, undo_label
from webapp.projects.models import Project

pytestmark = [pytest.mark.django_db, pytest.mark.prove]  # half a minute, of a version of before
BEFORE = ("labeling", "0007_label_imported")
LEAVES = MigrationLoader(None).graph.leaf_nodes()
(NOW,) = (leaf for leaf in LEAVES if leaf[0] == "labeling")
NUMBER = count(1)


def migrate(target):
    """The database as it is at this migration, with all that stands on it now, and the state of its models."""
    return MigrationExecutor(connection).migrate(LEAVES if target == NOW else [target])


def migrate_all():
    """The database as it is today, with the tables of apps that were carried back because they know these."""
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def models(target):
    """What finds the models of the database as it is at this migration."""
    return migrate(target).apps.get_model


def a_task(model, project, *, flip, size=2, **columns):
    """A pair of before with so many places."""
    number = next(NUMBER)
    prompt = model("projects", "Prompt").objects.create(
        project=project,
        key=f"{number:064}",
        messages=[{"role": "user", "content": f"Question {number}?"}],
        split="train",
        source="written",
    )
    answers = [
        model("labeling", "Completion").objects.create(
            prompt=prompt, text=f"{name} of {number}", source="imported", key=name
        )
        for name in ("first", "second")
    ]
    first, second = answers
    columns = {"need": size, "key": number, "flip": flip} | columns
    return model("labeling", "Task").objects.create(
        project=project, prompt=prompt, first=first, second=second, **columns
    )


def an_assignment(model, task, slot, state="submitted", **columns):
    person = model("accounts", "User").objects.create(username=f"person{next(NUMBER)}")
    until = timezone.now() + timedelta(minutes=9)
    return model("labeling", "Assignment").objects.create(
        task=task, annotator=person, slot=slot, state=state, lease_until=until, **columns
    )


def a_label(model, held, choice, **columns):
    """A label of before: what stood left follows from flip and slot."""
    sides = [held.task.first, held.task.second][:: (-1) ** ((held.task.flip + held.slot) % 2)]
    left, right = sides
    return model("labeling", "Label").objects.create(
        task=held.task,
        assignment=held,
        annotator=held.annotator,
        client_id=uuid4(),
        choice=choice,
        left=left,
        right=right,
        **columns,
    )


def fill(model):
    """All that people can have done: each choice on both sides, reasons, flags, undone and replaced
    answers, extras, imported ones, drafts, skips and leases."""
    project = model("projects", "Project").objects.create(name="Of before")
    for flip in (0, 1):
        task = a_task(model, project, flip=flip, size=16, taken=16, done=16)
        for slot, choice in enumerate((*range(8), *range(8))):
            held = an_assignment(model, task, slot)
            a_label(model, held, choice, counted=True, rationale=f"why {choice}", flags=["false"])
    task = a_task(model, project, flip=1, taken=2, done=1, skips=1)
    revised = an_assignment(model, task, 0)
    a_label(model, revised, 1, superseded=True)
    a_label(model, revised, 6, retracted=True)
    a_label(model, revised, 4, counted=True, imported=True, visible_ms=1200)
    draft = {"rationale": "half a thought", "flags": ["harmful"], "other": "beside"}
    an_assignment(model, task, 1, "leased", draft=draft, draft_revision=3)
    an_assignment(model, task, 7, "skipped", skip_reason="unclear", skip_id=uuid4(), skip_order=1)
    extra = an_assignment(model, task, 2, "submitted")
    a_label(model, extra, 0)


SAME = ("pk", "task", "assignment", "annotator", "client_id", "rationale", "flags", "visible_ms")
ADDED = ("named", "note")  # to assignments since
SAME += ("counted", "imported", "superseded", "retracted", "created_at")


def rows(model, *columns):
    return list(model.objects.order_by("pk").values_list(*columns))


def untouched(model):
    """What the change says nothing about."""
    task, assignment = model("labeling", "Task"), model("labeling", "Assignment")
    fields = [field.attname for field in assignment._meta.concrete_fields]
    names = [name for name in fields if name not in ADDED]
    places = ("pk", "need", "taken", "done", "skips", "flip", "key", "priority", "prompt")
    return rows(model("labeling", "Label"), *SAME), rows(assignment, *names), rows(task, *places)


def meanings_before(model):
    """What each label says: what stood where, and the choice."""
    return rows(model("labeling", "Label"), "pk", "left__text", "right__text", "choice")


def meanings_now():
    return [
        (label.pk, *[one.text for one in label.shown], label.said.choice)
        for label in Label.objects.order_by("pk")
    ]


class Facts(NamedTuple):
    """What a database of before says."""

    said: object
    kept: object
    pairs: object


class Journey(NamedTuple):
    """What the database said before, carried over, and carried back; it is left carried over."""

    before: Facts
    now: tuple[object, object]
    back: Facts
    refusal: str  # to carry back what is no comparison


def facts(model):
    pairs = rows(model("labeling", "Task"), "pk", "first", "second")
    return Facts(meanings_before(model), untouched(model), pairs)


def refusal_to_carry_back():
    """What is said when a task of another kind is among them; what came since is carried back before that."""
    one = Task.every.filter(pk=Task.every.order_by("pk").first().pk)  # no column that came since
    one.update(kind="other")
    with pytest.raises(IrreversibleError) as refused:
        migrate(BEFORE)
    one.update(kind="compare")
    return str(refused.value)


@pytest.fixture(scope="module", autouse=True)
def journey(django_db_setup, django_db_blocker):
    """There, back and there again once for all tests: each way takes a second and more."""
    with django_db_blocker.unblock():
        try:
            yield travel()
        finally:
            migrate_all()
            delete_rows()


def travel():
    model = models(BEFORE)
    fill(model)
    before, now = facts(model), models(NOW)
    carried = meanings_now(), untouched(now)
    refusal = refusal_to_carry_back()
    back = facts(models(BEFORE))
    migrate_all()
    return Journey(before, carried, back, refusal)


def test_every_label_means_what_it_meant(journey):
    assert journey.now == journey.before[:2]
    assert len(journey.before.said) == 36


def test_it_can_be_carried_back(journey):
    assert journey.back == journey.before


def test_what_is_no_comparison_is_not_carried_back(journey):
    assert "no comparisons" in journey.refusal


def test_everybody_sees_the_sides_they_saw():
    for held in Assignment.objects.filter(labels__isnull=False):
        assert {tuple(label.order) for label in held.labels.all()} == {tuple(held.order)}


def test_verdicts_are_those_of_today():
    for label in Label.objects.select_related("task"):
        assert label.verdict == label.asks.verdict(label.said, label.order)
    assert set(Label.objects.values_list("verdict", flat=True)) == {"both bad", "0=1", "0>1", "1>0"}


def test_every_label_knows_its_project_and_whether_somebody_contradicts_it():
    for label in Label.objects.select_related("task"):
        assert label.project_id == label.task.project_id
    current = Label.objects.current()
    disputed = {
        label.pk
        for label in current
        if current.filter(task=label.task_id).exclude(verdict=label.verdict)
    }
    assert set(current.filter(disputed=True).values_list("pk", flat=True)) == disputed
    assert disputed


def test_people_go_on_with_what_was_carried_over():
    held = Assignment.objects.get(state="leased")
    assert held.draft["rationale"] == "half a thought"
    label = submit_label(held, client_id=uuid4(), answer={"choice": Choice.LEFT})
    assert undo_label(held.annotator, label.client_id) == held
    assert Progress(Project.objects.get()).labels == 34
    assert not Task.objects.exclude(kind="compare").exists()


def test_a_pair_that_was_queued_before_is_not_queued_again():
    pairs = [task.completions for task in Task.objects.all()]
    assert compare(Project.objects.get(), pairs + [pair[::-1] for pair in pairs]) == 0
