"""A person's data, erased: nothing of it is left, counts are, and copies are named."""

import json
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.seam.records import Message
from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_prompt,
    a_run,
    a_turn,
    a_user,
    again,
    an_artifact,
    run_at,
    some_tasks,
    tasks_of,
)
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.jobs import export, refuse_erased
from webapp.datasets.forms import ExportForm
from webapp.datasets.models import Erasure
from webapp.datasets.services import freeze_snapshot
from webapp.erasure import work
from webapp.erasure.copies import models_holding, remove_file, results_holding
from webapp.erasure.errors import ErasureError
from webapp.erasure.holdings import PersonalData
from webapp.erasure.services import check_may_erase, start_erasure
from webapp.jobs.execution import claim, execute
from webapp.jobs.models import Job, State
from webapp.labeling import queue
from webapp.labeling.cursors import move_cursor
from webapp.labeling.exchanges import Exchange
from webapp.labeling.models import Assignment, Completion, Gold, Label, Task
from webapp.labeling.services import Draft, save_draft, submit_label
from webapp.labeling.written_reviews import WrittenReview
from webapp.launch.forecast import labels_warned
from webapp.projects.models import Project, Prompt
from webapp.projects.services import keep_conversation
from webapp.quality.adjudication import Decision, adjudicate
from webapp.rendering.models import Rendering
from webapp.rendering.services import digest

pytestmark = pytest.mark.django_db
SECRET = "Zaunkönig"


@pytest.fixture
def ana(project):
    return a_user(project, Role.ANNOTATOR, username="ana", first_name="Ana")


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def as_admin(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def gone(project, admin):
    """What erases somebody at once."""

    def erase(person):
        job = start_erasure(project, person, by=admin)
        execute(claim(job.pk))
        return again(job)

    return erase


def written_by(person, project):
    """A prompt of a person and an answer that others review, each with a label of somebody else."""
    Project.objects.filter(pk=project.pk).update(answer_reviews=1)
    prompt = a_prompt(project, f"What does a {SECRET} sing?", author=person)
    answers = [a_completion(prompt), a_completion(prompt)]
    task = Task.objects.create(
        project=project, kind="compare", prompt=prompt, size=2, identity="own", key=1, flip=0
    )
    for place, answer in enumerate(answers):
        task.items.create(place=place, completion=answer)
    a_label(task)
    (asked,) = tasks_of(project, "demonstrate", size=0)
    held = Assignment.objects.create(
        task=asked, annotator=person, slot=0, lease_until=asked.created_at
    )
    Task.objects.filter(pk=asked.pk).update(taken=1)
    submit_label(held, client_id=uuid4(), answer={"text": f"A {SECRET} sings."}, rationale=SECRET)
    review = Task.objects.get(kind="review")
    other = a_user(project, Role.ANNOTATOR)
    place = Assignment.objects.create(
        task=review, annotator=other, slot=1, lease_until=asked.created_at
    )
    Task.objects.filter(pk=review.pk).update(taken=1)
    submit_label(place, client_id=uuid4(), answer={"decision": "accept"})
    return prompt, asked


def test_a_conversation_goes_with_whoever_led_it(project, gone, ana):
    (asked,) = tasks_of(project, "converse", size=0)
    held = queue.claim(project, ana)
    a_turn(held)
    said = [Message(role="user", content=f"Does a {SECRET} sing?")]
    prompt = keep_conversation(project, said, split="train", author=ana)
    answers = {"left": a_completion(prompt, SECRET), "right": a_completion(prompt)}
    a_turn(held, None, said=said[0].content, prompt=prompt, **answers)
    gone(ana)
    assert SECRET not in everything()
    assert not Exchange.objects.exists()
    assert list(Prompt.every.all()) == [asked.prompt]
    assert again(asked).taken == 0


def everything():
    """All texts of all rows of the database."""
    said = []
    for model in apps.get_models(include_auto_created=True):
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            said += [str(row) for row in cursor.fetchall()]
    return "\n".join(said)


def is_sound(task):
    """Whether what a task counts is what there is."""
    task = again(task)
    counted = Label.every.filter(task=task, counted=True).count()
    held = task.assignments.filter(state__in=["leased", "reserved"]).count()
    return (task.done, task.taken) == (counted, counted + held)


def test_nothing_of_a_person_is_left_but_counts(project, ana, gone):
    prompt, asked = written_by(ana, project)
    (drafted, labelled, decided) = some_tasks(project, 3)
    a_label(labelled, annotator=ana, rationale=SECRET, flags=["harmful"])
    held = Assignment.objects.create(
        task=drafted, annotator=ana, slot=0, lease_until=asked.created_at
    )
    Task.objects.filter(pk=drafted.pk).update(taken=1)
    save_draft(held, Draft(rationale=SECRET))
    kept = a_label(decided)
    adjudicate(decided, Decision.by_place(decided, {"choice": 2}, SECRET), by=ana, key=uuid4())
    Gold.objects.create(
        task=decided, answer={}, order=[], verdict="", by=ana, explanation=f"As a {SECRET}."
    )
    Rendering.objects.create(digest=digest(SECRET), version=1, html=SECRET)
    job = gone(ana)
    assert (job.state, job.result) == (State.DONE, {"projects": 1})
    assert SECRET not in everything()
    assert json.dumps(SECRET).strip('"') not in everything()
    assert "ana" not in {one.username for one in User.objects.all()}
    erasure = Erasure.objects.get()
    assert erasure.done_at
    assert erasure.counts == {"labels": 2, "prompts": 1, "answers": 1, "others": 2, "decisions": 1}
    assert list(Label.objects.current()) == [kept]
    assert not PersonalData(project, ana).exists
    assert all(map(is_sound, Task.objects.all()))
    assert {labelled, drafted, asked} <= set(Task.objects.open())
    assert not Prompt.every.filter(pk=prompt.pk).exists()
    assert not WrittenReview.objects.exists()
    assert not Completion.every.filter(source="human").exists()


def test_what_they_said_to_models_goes_with_the_answers(project, ana, gone):
    (task,) = some_tasks(project)
    held = Assignment.objects.create(
        task=task, annotator=ana, slot=0, lease_until=task.created_at, state="expired"
    )
    first = held.exchanges.create(number=1, prompt=task.prompt)
    said = a_prompt(project, f"And a {SECRET}?", source=Prompt.Source.GENERATED)
    answer = a_completion(said, f"The {SECRET} too.")
    held.exchanges.create(number=2, said=f"And a {SECRET}?", prompt=said, left=answer)
    gone(ana)
    assert SECRET not in everything()
    assert Prompt.objects.get() == first.prompt


def test_the_account_ends_at_once_and_has_no_name(project, ana, admin, client):
    client.force_login(ana)
    ana.tokens.create(name="t", scopes=[], sha256="0" * 64, sessions_ended=0)
    kept = apps.get_model("api", "Answered")  # answers to programs
    kept.objects.create(person=ana, key="k", sha256="0" * 64, answer=SECRET)
    start_erasure(project, ana, by=admin)
    assert not kept.objects.exists()
    row = again(ana)
    assert (row.username, row.first_name, row.is_active) == (f"erased:{ana.pk}", "", False)
    assert not row.memberships.exists()
    assert not row.tokens.exists()
    assert client.get("/").status_code == 302


def test_what_others_said_of_the_same_task_stays_and_is_no_dispute(project, ana, gone):
    (task,) = some_tasks(project, need=3)
    a_label(task, annotator=ana)
    other = a_label(task)
    assert again(other).disputed
    gone(ana)
    assert again(other).disputed is False
    assert again(task).done == 1
    assert is_sound(task)


def test_what_they_had_answered_is_asked_of_others_whom_the_queue_has_led_past_it(
    project, ana, gone
):
    first, second = some_tasks(project, 2)
    a_label(first, annotator=ana)
    Task.every.update(opened_at="2020-01-01T00:00Z")  # long enough ago to be passed
    ben = a_user(project, Role.ANNOTATOR)
    move_cursor(project, ben)
    gone(ana)
    assert second in Task.objects.open()
    assert queue.claim(project, ben).task_id == first.pk


def test_it_goes_on_where_it_was_stopped(project, ana, admin, monkeypatch):
    for task in some_tasks(project, 4):
        a_label(task, annotator=ana)
    written_by(ana, project)
    job = start_erasure(project, ana, by=admin)
    steps = work.erase_person(claim(job.pk))
    for _ in range(3):
        next(steps)
    steps.close()
    assert Label.every.filter(annotator=ana).exists()
    assert all(map(is_sound, Task.objects.all()))
    Job.objects.filter(pk=job.pk).update(state=State.QUEUED, lease_until=None)
    execute(claim(job.pk))
    assert again(job).state == State.DONE
    assert Erasure.objects.get().counts["labels"] == 5
    assert SECRET not in everything()


@pytest.fixture
def copied(project, ana, gone, var):
    """Snapshots before and after Ana said something, a model that learned from the last, and Ana erased."""
    a_label(some_tasks(project)[0])
    clean = freeze_snapshot(project)
    written_by(ana, project)
    by_prompt = freeze_snapshot(project)
    a_label(some_tasks(project)[0], annotator=ana)
    held = freeze_snapshot(project)
    base = an_artifact(project, var)
    run = a_run(project, "reward", inputs={"labels": held.artifact, "backbone": base})
    learned = an_artifact(project, var, Artifact.Type.REWARD, run)
    scoring = a_run(project, "score", inputs={"labels": clean.artifact, "reward": learned})
    an_artifact(project, var, Artifact.Type.SCORES, scoring)
    payload = {"snapshot": held.pk, "format": "raw_labels"}
    exported = Job.objects.create(project=project, kind="export", key="out", payload=payload)
    exported.folder.mkdir(parents=True)
    gone(ana)
    return clean, by_prompt, held, learned, exported


def test_snapshots_exports_and_models_with_copies_are_named(project, copied, as_admin):
    clean, by_prompt, held, learned, exported = copied
    assert set(Erasure.objects.get().snapshots.all()) == {by_prompt, held}
    assert models_holding([held]) == [learned]
    (scores,) = results_holding([held])
    assert results_holding([clean]) == [scores]  # its run read both
    assert results_holding([by_prompt]) == []
    assert not exported.folder.exists()
    assert set(ExportForm(project=project).fields["snapshot"].queryset) == {clean}
    with pytest.raises(ExportRefusal):
        next(export(exported))
    page = as_admin.get(reverse("datasets:snapshot", args=[project.pk, held.pk]))
    assertContains(page, "data of an erased person")
    assertNotContains(page, SECRET)
    model = as_admin.get(reverse("registry:model", args=[project.pk, learned.pk]))
    assertContains(model, "learned from data of an erased person")
    assert "freeze a new snapshot instead" in labels_warned(held)[-1]
    listed = as_admin.get(reverse("erasure:erasures", args=[project.pk]))
    assertContains(listed, str(held))
    assertContains(listed, learned.name)
    assertContains(listed, reverse("runs:detail", args=[project.pk, scores.producer_id]))


def test_a_file_with_copies_can_go_once_no_run_reads_it(project, copied, as_admin):
    clean, _by_prompt, held, learned, _exported = copied
    with pytest.raises(ErasureError, match="not over"):
        remove_file(held)
    run_at(learned.producer, state="succeeded")
    for one in (held, clean):
        as_admin.post(reverse("erasure:remove", args=[project.pk, one.pk]))
    assert not held.artifact.path.exists()
    assert clean.artifact.path.exists()
    refuse_erased(freeze_snapshot(project))


def test_a_snapshot_that_was_being_frozen_meanwhile_is_named(project, ana, admin, monkeypatch):
    a_label(some_tasks(project)[0], annotator=ana)
    Erasure.objects.create(project=project, person=ana, pseudonym="elsewhere")
    assert not freeze_snapshot(project).erasures.exists()
    (name,) = freeze_snapshot(project).manifest["annotators"]
    Erasure.objects.update(pseudonym=name)
    a_label(some_tasks(project)[0])
    assert freeze_snapshot(project).erasures.exists()


def test_the_page_shows_what_would_go_and_asks_for_the_name_again(project, ana, as_admin):
    a_label(some_tasks(project)[0], annotator=ana, rationale=SECRET)
    url = reverse("erasure:erasures", args=[project.pk])
    page = as_admin.get(url, {"name": "ana"})
    assertContains(page, "What would go of Ana")
    assert dict(page.context["holdings"])["Reasons given with labels"] == "1"
    here = f"{url}?name=ana"
    assertContains(as_admin.post(here, {"name": "ana", "typed": "ada"}), "That is another name.")
    assertContains(as_admin.get(url, {"name": "nobody"}), "nothing of anybody of this name")
    assert not Erasure.objects.exists()
    response = as_admin.post(here, {"name": "ana", "typed": "ana"})
    job = Job.objects.get(kind="erase")
    assertRedirects(response, reverse("jobs:detail", args=[project.pk, job.pk]))
    Job.objects.filter(pk=job.pk).update(state=State.CANCELLED)
    again_there = as_admin.post(url, {"go_on": str(Erasure.objects.get().pk)})
    assert Job.objects.filter(kind="erase").count() == 2
    assert again_there.status_code == 302
    assert as_admin.post(url, {"go_on": "x"}).status_code == 404


def test_only_who_manages_all_of_it_may_ask(project, ana, admin):
    with pytest.raises(ErasureError, match="themselves"):
        check_may_erase(admin, admin)
    check_may_erase(admin, ana)
    elsewhere = a_project()
    a_label(some_tasks(elsewhere)[0], annotator=ana)
    with pytest.raises(ErasureError, match="not yours alone"):
        check_may_erase(admin, ana)
    root = User.objects.create_superuser("root")
    check_may_erase(root, ana)
    with pytest.raises(ErasureError):
        check_may_erase(admin, root)
