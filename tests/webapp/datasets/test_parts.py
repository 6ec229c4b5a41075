"""An import in short transactions: nobody sees a part; stopped, it goes on or is swept; others write in between."""

import json
from threading import Thread
from uuid import uuid4

import pytest
from django.db import connection
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from alignment.kinds import KINDS
from alignment.rows.found import content_key
from alignment.rows.json_lines import Row
from alignment.seam.records import Message, prompt_key
from tests.factories import a_completion, a_project, a_prompt, a_user, again, compare, some_tasks
from tests.faults.ledger import miscounted
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.datasets.errors import IntakeUnderWay, SnapshotError
from webapp.datasets.imports import parts as steps
from webapp.datasets.imports.parts import (
    begin_intake,
    complete_intake,
    settle_intake,
    store_parts,
    sweep_intake,
    take_in,
    tend_intakes,
)
from webapp.datasets.imports.reading import read_rows
from webapp.datasets.intake import ASKED, JUDGED, Become, Plan
from webapp.datasets.models import ComingRank, ComingTasks, Intake, Preference
from webapp.datasets.queries import newest, unfrozen
from webapp.datasets.services import freeze_snapshot
from webapp.home.queries import counts_of, facts
from webapp.jobs import execution
from webapp.jobs.models import Job, State
from webapp.jobs.services import cancel_job, start_job
from webapp.jobs.tasks import work
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Completion, Label, Task
from webapp.labeling.queries import Progress, open_for
from webapp.labeling.services import submit_label
from webapp.launch.needs import stock_of
from webapp.machine import uploads
from webapp.projects.models import Prompt
from webapp.projects.services import add_prompt, add_prompts, insert_prompts
from webapp.queue.leases import LostLease
from webapp.runs.forecasts import Ground
from webapp.site.clock import after

MODELS = (Prompt, Completion, Task, Preference, Label)


@pytest.fixture(autouse=True)
def _one_by_one(monkeypatch):
    """Every prompt in a transaction of its own."""
    monkeypatch.setattr(steps, "FIRST", 1)
    monkeypatch.setattr("webapp.site.batches.MOST", 1)


def rows_of(number, start=0):
    """Questions with two answers each, which somebody has compared."""
    return [
        {"prompt": f"Question {n}?", "chosen": f"Good {n}.", "rejected": f"Bad {n}."}
        for n in range(start, start + number)
    ]


def labelled(number):
    """The same, each with what somebody elsewhere said of it."""
    for row in rows_of(number):
        key = prompt_key([Message(role="user", content=row["prompt"])])
        said = {"prompt_key": key, "group": "", "strength": 1, "annotator": "kim"}
        yield row | said | {"left_won": True}


def held(rows):
    return read_rows(Row(f"row {n}", row) for n, row in enumerate(rows))


def seen(project):
    """How many rows of each kind somebody sees, wherever they look."""
    return {model.__name__: model.objects.count() for model in MODELS}


def stored():
    """How many there are, seen or not."""
    return {model.__name__: model.every.count() for model in MODELS}


NOTHING = dict.fromkeys((model.__name__ for model in MODELS), 0)
BECOMES = (Become.TASKS, Become.PREFERENCES)


@pytest.fixture(params=BECOMES)
def half(project, request):
    """An intake of which some is stored."""
    intake = begin_intake(project)
    going = store_parts(intake, held(rows_of(3)), Plan(request.param))
    next(going), next(going)
    assert (stored()["Prompt"], intake.taken) == (2, 2)
    return intake


def test_nobody_sees_a_part(project, half):
    admin = a_user(project, Role.ADMIN)
    assert seen(project) == NOTHING
    assert queue.claim(project, admin) is None
    assert (open_for(project, admin), facts(project).prompts, facts(project).waiting) == (0, 0, 0)
    assert counts_of([project]) == [(project, 0, 0)]
    assert (Progress(project).tasks, sum(unfrozen(project).values())) == (0, 0)
    assert not any(stock_of(Ground(project), list(KINDS.values())).prompts.values())
    with pytest.raises(SnapshotError):
        freeze_snapshot(project)


@pytest.mark.parametrize("name", ["prompts", "labeling:tasks", "labeling:labels", "project"])
def test_no_page_shows_a_part(client, project, half, name):
    client.force_login(a_user(project, Role.ADMIN))
    page = client.get(reverse(name, args=[project.pk])).content.decode()
    assert "Question 0?" not in page
    assert "Good 0." not in page


def test_all_of_it_is_there_at_once(project):
    intake = begin_intake(project)
    for _ in store_parts(intake, held(rows_of(3)), Plan(Become.TASKS, need=2)):
        assert seen(project) == NOTHING
    complete_intake(intake)
    there = NOTHING | {"Prompt": 3, "Completion": 6}
    assert seen(project) == stored() == there
    settle_intake(intake)
    assert seen(project) == stored() == there | {"Task": 3}
    assert (project.tasks.open().count(), Intake.objects.unsettled().count()) == (3, 0)
    assert not any(model.every.filter(intake__isnull=False).exists() for model in (Task, Label))
    assert not ComingTasks.objects.exists()


@pytest.fixture(params=[steps.DENSE, 0])
def dense(request, monkeypatch):
    """Whether what stands together is looked through together, or each by its name."""
    monkeypatch.setattr(steps, "DENSE", request.param)


def test_tasks_that_somebody_made_meanwhile_are_not_made_again(project, dense):
    intake = begin_intake(project)
    list(store_parts(intake, held(rows_of(3)), Plan(Become.TASKS)))
    complete_intake(intake)
    pair = Completion.objects.filter(prompt=Prompt.objects.first())
    assert compare(project, [list(pair)]) == 1
    settle_intake(intake)
    assert seen(project)["Task"] == 3


def test_no_task_is_made_about_an_answer_that_is_gone(project, dense):
    intake = begin_intake(project)
    list(store_parts(intake, held(rows_of(3)), Plan(Become.TASKS)))
    complete_intake(intake)
    Completion.objects.order_by("pk").last().delete()
    settle_intake(intake)
    assert seen(project)["Task"] == 2


def test_an_import_begins_once_the_tasks_of_another_are_there(project):
    first = begin_intake(project)
    list(store_parts(first, held(rows_of(3)), Plan(Become.TASKS)))
    complete_intake(first)
    added = take_in(project, held(rows_of(4)), Plan(Become.TASKS))
    assert (added.tasks, added.left_out[ASKED], project.tasks.open().count()) == (1, 3, 4)


def test_an_import_without_a_job_is_told_as_one_that_ended(project):
    """Once, by whoever ends it; one that is swept is not told."""
    take_in(project, held(rows_of(3)), Plan(Become.TASKS), keep=False)
    assert not AuditEntry.objects.exists()
    take_in(project, held(rows_of(3)), Plan(Become.TASKS))
    left = begin_intake(project)
    list(store_parts(left, held(rows_of(4)), Plan(Become.TASKS)))
    complete_intake(left)
    Intake.objects.update(lease_until=after(-1))
    assert (tend_intakes(), tend_intakes()) == (1, 0)
    settle_intake(left)
    told = AuditEntry.objects.order_by("pk").values_list("project", "act", "number", "facts")
    said = {"kind": "import", "state": "done", "preferences": 0, "labels": 0}
    assert list(told) == [
        (project.pk, Act.JOB_ENDED, None, said | {"prompts": n, "completions": 2 * n, "tasks": n})
        for n in (3, 1)
    ]


def test_what_was_stopped_goes_on_where_it_was(project, job_of):
    job = job_of(rows_of(5))
    first = execution.claim(job.pk)
    doing = execution.JOB_KINDS["import"].work(first)
    while Prompt.every.count() != 2:
        next(doing)
    Job.objects.filter(pk=job.pk).update(lease_until=after(-1))
    made = list(Prompt.every.values_list("pk", flat=True))
    work(job.pk)
    job = again(job)
    brought = {name: job.result[name] for name in ("prompts", "completions", "tasks", "resumed")}
    assert brought == {"prompts": 5, "completions": 10, "tasks": 5, "resumed": 2}
    assert job.result["left_out"] == [[JUDGED, 5]]  # nothing was looked at twice
    assert list(Prompt.objects.order_by("pk").values_list("pk", flat=True)[:2]) == made
    with pytest.raises(LostLease):  # whoever was thought to be dead is not let go on
        list(doing)
    assert stored() == NOTHING | {"Prompt": 5, "Completion": 10, "Task": 5}
    assert tend_intakes() == 0


def made_ready(job):
    """Its work up to where all of it is there and some of its tasks."""
    doing = execution.JOB_KINDS["import"].work(execution.claim(job.pk))
    while not Task.objects.exists():
        next(doing)
    return doing


def test_an_import_is_done_once_its_tasks_are_there_and_says_meanwhile_what_it_does(
    client, project, job_of
):
    job = job_of(rows_of(5))
    doing = made_ready(job)
    assert (project.prompts.count(), 0 < Task.objects.count() < 5) == (5, True)
    assert tend_intakes() == 0  # its worker goes on with it
    assert next(doing)[1] == 5
    client.force_login(a_user(project, Role.ADMIN))
    page = reverse("jobs:detail", args=[project.pk, job.pk])
    assertContains(client.get(page), "All of it is stored; its tasks and labels are being made")
    Job.objects.filter(pk=job.pk).update(lease_until=after(-1))
    work(job.pk)
    done = again(job)
    assert (done.state, done.message, done.result["tasks"]) == (State.DONE, "", 5)
    assert (project.tasks.open().count(), Intake.objects.unsettled().count()) == (5, 0)


def test_an_import_that_is_cancelled_when_all_of_it_is_there_says_so(client, project, job_of):
    job = job_of(rows_of(5))
    doing = made_ready(job)
    cancel_job(job)
    assert (tend_intakes(), tend_intakes()) == (1, 0)
    assert project.tasks.open().count() == 5
    with pytest.raises(LostLease):
        execution.conclude(job, at_its_end(doing))
    client.force_login(a_user(project, Role.ADMIN))
    page = client.get(reverse("jobs:detail", args=[project.pk, job.pk]))
    assertContains(page, "All of the file had been stored by then, and stays.")
    assertNotContains(page, "Try again")


def test_who_lost_the_job_does_not_let_all_of_it_be_there(project, job_of):
    job = job_of(rows_of(2))
    doing = execution.JOB_KINDS["import"].work(execution.claim(job.pk))
    while Prompt.every.count() != 2:
        next(doing)
    cancel_job(job)
    with pytest.raises(LostLease):
        list(doing)
    assert (seen(project), tend_intakes(), stored()) == (NOTHING, 1, NOTHING)


def at_its_end(doing):
    """What it returns."""
    while True:
        try:
            next(doing)
        except StopIteration as end:
            return end.value


def test_the_page_says_that_it_went_on(client, project, job_of):
    job = job_of(rows_of(1))
    work(job.pk)
    Job.objects.filter(pk=job.pk).update(result=again(job).result | {"resumed": 2})
    client.force_login(a_user(project, Role.ADMIN))
    page = client.get(reverse("jobs:detail", args=[project.pk, job.pk]))
    assertContains(page, "It was stopped after 2 prompts, and went on from there.")


@pytest.fixture
def job_of(project, jsonl, var):
    """A queued import of these rows, as tasks."""

    def make(rows, into=project):
        name = uploads.keep_file(jsonl(*map(json.dumps, rows)))
        payload = {"upload": name, "name": "rows.jsonl", "format": "guess", "become": "tasks"}
        return start_job(into, kind="import", payload=payload, key=name)

    return make


def test_a_cancelled_import_is_swept_and_says_so(client, project, job_of):
    job = job_of(rows_of(5))
    doing = execution.JOB_KINDS["import"].work(execution.claim(job.pk))
    while Prompt.every.count() != 2:
        next(doing)
    cancel_job(job)
    assert tend_intakes() == 1
    assert stored() == NOTHING
    with pytest.raises(LostLease):
        list(doing)
    assert (stored(), Intake.objects.count()) == (NOTHING, 0)
    client.force_login(a_user(project, Role.ADMIN))
    page = client.get(reverse("jobs:detail", args=[project.pk, job.pk]))
    assertContains(page, "What had been stored until then is removed; nobody has seen it.")


def test_labels_are_swept_with_who_stands_for_their_people(project):
    intake = begin_intake(project)
    next(store_parts(intake, held(labelled(2)), Plan(Become.PREFERENCES)))
    assert (Label.every.count(), Assignment.objects.count()) == (1, 1)
    assert sweep_intake(intake)
    assert stored() == NOTHING
    assert not Assignment.objects.exists()
    assert not User.objects.filter(username__startswith="imported:").exists()


def test_a_command_that_was_killed_is_swept_once_its_lease_is_over(project, half):
    assert tend_intakes() == 0
    assert stored()["Prompt"] == 2
    Intake.objects.update(lease_until=after(-1))
    assert tend_intakes() == 1
    assert stored() == NOTHING


def test_a_sweep_that_takes_long_goes_on_at_the_next_turn(project, half):
    assert not sweep_intake(half, until=0.0)
    assert stored()["Prompt"] > 0
    with pytest.raises(LostLease):
        complete_intake(half)
    assert tend_intakes() == 1
    assert stored() == NOTHING


def test_what_was_left_whole_is_ended(project, half):
    complete_intake(half)
    assert tend_intakes() == 0
    Intake.objects.update(lease_until=after(-1))
    assert (tend_intakes(), tend_intakes()) == (1, 0)
    assert not Task.every.filter(intake__isnull=False).exists()
    assert sweep_intake(half)
    assert seen(project)["Prompt"] == 2


def test_one_import_of_a_project_waits_for_another(project, job_of):
    first, second = job_of(rows_of(3)), job_of(rows_of(4, start=1))
    doing = execution.JOB_KINDS["import"].work(execution.claim(first.pk))
    while not Prompt.every.exists():
        next(doing)
    elsewhere = job_of(rows_of(1), a_project())
    work(elsewhere.pk)
    work(second.pk)
    waits = again(second)
    assert (waits.state, waits.attempts) == (State.QUEUED, 0)
    assert waits.message.startswith("Waits until another import")
    assert again(elsewhere).state == State.DONE
    with pytest.raises(IntakeUnderWay):
        begin_intake(project)
    cancel_job(first)
    work(second.pk)
    assert again(second).result["prompts"] == 4
    assert project.prompts.count() == 4
    assert project.prompts.count() == Prompt.every.filter(project=project).count()


def test_what_somebody_writes_meanwhile_is_theirs(project, half):
    ada = a_user(project, Role.RESEARCHER)
    messages = list(held(rows_of(3)).prompts.values())
    prompt, new = add_prompt(project, messages[0].messages, source="written", author=ada)
    assert (new, prompt.author, project.prompts.get()) == (True, ada, prompt)
    assert add_prompts(project, [one.messages for one in messages], source="generated") == 2
    Intake.objects.update(lease_until=after(-1))
    tend_intakes()
    assert project.prompts.count() == 3


def test_ranks_of_answers_that_were_here_are_given_at_the_end(project):
    replies = [
        {"message_id": text, "role": "assistant", "text": text, "rank": rank, "replies": []}
        for rank, text in enumerate("xy")
    ]
    root = {"message_id": "t", "role": "prompter", "text": "Why?", "replies": replies}
    reading = held([{"message_tree_id": "t", "prompt": root}])
    take_in(project, reading, Plan(Become.ANSWERS))
    intake = begin_intake(project)
    list(store_parts(intake, reading, Plan(Become.PREFERENCES)))
    answers = Completion.objects.order_by("pk")
    assert [answer.rank for answer in answers] == [None, None]
    assert ComingRank.objects.count() == 2
    complete_intake(intake)
    settle_intake(intake)
    assert [(one.rank, one.sampling["ranking"]) for one in answers.all()] == [(0, "t"), (1, "t")]
    assert not Intake.objects.unsettled().exists()


def test_labels_about_a_task_that_was_here_count_once_it_is_whole(project):
    prompt = a_prompt(project, "Question 0?")
    texts = ("Good 0.", "Bad 0.")
    answers = [a_completion(prompt, text, key=content_key(text)) for text in texts]
    compare(project, [answers])
    task = Task.objects.get()
    ann = a_user(project, Role.ANNOTATOR)
    submit_label(queue.claim(project, ann), client_id=uuid4(), answer={"choice": 4})
    intake = begin_intake(project)
    list(store_parts(intake, held(labelled(2)), Plan(Become.PREFERENCES)))
    assert (again(task).need, again(task).taken) == (1, 1)
    assert not Label.objects.get().disputed
    complete_intake(intake)
    settle_intake(intake)
    assert (again(task).need, again(task).done) == (2, 2)
    assert (Label.objects.count(), miscounted()) == (3, 0)
    assert Label.objects.get(annotator=ann).disputed


def test_what_comes_is_new_to_a_snapshot_that_was_frozen_meanwhile(project):
    intake = begin_intake(project)
    list(store_parts(intake, held(labelled(2)), Plan(Become.PREFERENCES)))
    some_tasks(project)
    ann = a_user(project, Role.ANNOTATOR)
    submit_label(queue.claim(project, ann), client_id=uuid4(), answer={"choice": 1})
    assert newest(project)["label"] < Label.every.order_by("pk").first().pk
    assert freeze_snapshot(project).labels == 1
    complete_intake(intake)
    assert unfrozen(project)["new_labels"] >= 2


@pytest.mark.django_db(transaction=True)
def test_people_label_between_two_parts(project):
    some_tasks(project)
    card = queue.claim(project, a_user(project, Role.ANNOTATOR))
    going = store_parts(begin_intake(project), held(rows_of(3)), Plan(Become.TASKS))
    next(going)
    done = []

    def label():
        if connection.vendor == "sqlite":
            connection.ensure_connection()
            connection.connection.execute("PRAGMA busy_timeout = 0")  # whoever has to wait fails
        done.append(submit_label(card, client_id=uuid4(), answer={"choice": 1}))
        connection.close()

    labels = Thread(target=label)
    labels.start()
    labels.join()
    assert len(done) == 1
    next(going)
    assert (Prompt.every.filter(intake__isnull=False).count(), Label.objects.count()) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_on_postgresql_who_labels_while_a_part_is_being_stored(project, monkeypatch):
    if connection.vendor == "sqlite":
        return  # it has one writer at a time
    some_tasks(project)
    card = queue.claim(project, a_user(project, Role.ANNOTATOR))
    done = []

    def label():
        connection.ensure_connection()
        connection.connection.execute("SET lock_timeout = '1s'")
        done.append(submit_label(card, client_id=uuid4(), answer={"choice": 1}))
        connection.close()

    def store(*args, **options):
        labels = Thread(target=label)
        labels.start()
        labels.join()
        return insert_prompts(*args, **options)

    monkeypatch.setattr("webapp.datasets.intake.insert_prompts", store)
    next(store_parts(begin_intake(project), held(rows_of(3)), Plan(Become.TASKS)))
    assert len(done) == 1


@pytest.mark.django_db(transaction=True)
def test_two_commands_at_once_take_turns(project, monkeypatch):
    reading, looked = held(rows_of(3)), []
    intake = begin_intake(project)
    going = store_parts(intake, reading, Plan(Become.TASKS))
    next(going)

    def look(_seconds):
        """Instead of waiting: the other one ends meanwhile."""
        looked.append(True)
        list(going)
        complete_intake(intake)
        settle_intake(intake)

    monkeypatch.setattr(
        steps.time, "sleep", lambda seconds: seconds == steps.LOOK and look(seconds)
    )
    added = take_in(project, held(rows_of(5)), Plan(Become.TASKS))
    assert (len(looked), added.prompts, added.tasks) == (1, 2, 2)
    assert project.tasks.open().count() == 5
