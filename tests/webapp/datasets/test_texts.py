"""Texts with classes and flagged answers, from what was sent or said to the classifier that learned them."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from pytest_django.asserts import assertContains, assertRedirects

from alignment.kinds.spec import RunSpec
from alignment.seam.folders import committed
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy
from tests.factories import a_label, a_ranking, a_user, a_worker, again, some_tasks
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import judged_of
from webapp.jobs.models import Job, State
from webapp.jobs.tasks import work
from webapp.machine import uploads
from webapp.projects.models import Split
from webapp.runs import execution, folders
from webapp.runs.kinds import half_of
from webapp.runs.models import Run

pytestmark = pytest.mark.once

ROWS = [
    {"text": f"{word} {n}", "label": name}
    for n in range(8)
    for word, name in (("good", "fine"), ("bad", "<b>not"))
]
TABLE = "text,label\n" + "\n".join(f"{row['text']},{row['label']}" for row in ROWS)
QUICK = {"classify-epochs": 2, "classify-held_out": 0.3, "name": "Mine"}


@pytest.fixture
def url(project):
    return reverse("datasets:texts", args=[project.pk])


@pytest.fixture
def backbone(project, tmp_path):
    with committed(tmp_path / "policy") as aside:
        tiny_policy().save(aside)
    return store(tmp_path / "policy", project=project, type=Artifact.Type.MODEL, name="Tiny")


def sent(as_admin, url, content=TABLE, name="c.csv", **how):
    """The job of a file that was sent, once it is over."""
    file = SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)
    columns = {"text_column": "text", "class_column": "label", "prompt_column": ""}
    answer = as_admin.post(url, {"file": file} | columns | how)
    assert answer.status_code == 302, answer.context["form"].errors
    job = Job.objects.latest("pk")
    work(job.pk)
    return again(job)


def page_of(job):
    return reverse("jobs:detail", args=[job.project_id, job.pk])


def computed(project):
    """The run that waits, once a trainer has done what its folder says and its result is stored."""
    run = execution.claim("runs", a_worker())
    folder = folders.prepare(run)
    summary = list(drive(RunSpec.load(folder), folder))[-1].summary
    Run.objects.filter(pk=run.pk).update(summary=summary)
    half_of("classify").publish(again(run), folder / "output")
    return again(run)


def started(as_admin, project, **chosen):
    """What the form of a run answers, filled in so."""
    there = reverse("runs:start", args=[project.pk]) + "?kind=classify"
    form = as_admin.get(there).context["form"]
    data = {one.html_name: one.value() for one in form if one.value() is not None}
    return as_admin.post(there, data | QUICK | chosen)


def test_a_file_is_read_to_its_end_and_kept(
    as_admin, project, url, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        job = sent(as_admin, url)
    assert job.state == State.DONE, job.message
    stored = project.artifacts.get(type=Artifact.Type.TEXTS)
    assert (stored.name, stored.summary["texts"], stored.summary["classes"]) == ("c.csv", 16, 2)
    assert not list(uploads.kept())
    page = as_admin.get(page_of(job))
    assertContains(page, "16 texts of 2 classes are kept")
    assertContains(page, "&lt;b&gt;not: 8")
    assertContains(as_admin.get(url), "c.csv")


def test_bad_rows_are_named_and_what_can_be_read_is_kept(as_admin, url):
    rows = [
        json.dumps({"body": "fine", "kind": 1}),
        "{oops",
        json.dumps({"body": "x", "kind": None}),
    ]
    job = sent(as_admin, url, "\n".join(rows), "c.jsonl", text_column="body", class_column="kind")
    assert (job.result["texts"], job.result["bad"]) == (1, 2)
    page = as_admin.get(page_of(job))
    assertContains(page, "2 rows cannot be read")
    assertContains(page, "line 3, column kind: there is no “kind”")


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        ("word", {"text": ["a", "b"], "label": ["X", "Y"]}, "1 texts of 2 classes"),
        ("span", {"text": "a b", "label": "b", "q": "?"}, "1 texts with a question"),
    ],
)
def test_words_and_answers_are_read_too_and_lead_to_their_form(
    as_admin, project, url, head, row, said
):
    job = sent(
        as_admin, url, json.dumps(row), "c.jsonl", head=head, prompt_column="q" * (head == "span")
    )
    assertContains(as_admin.get(page_of(job)), said)
    assertContains(as_admin.get(url), f"classify-head={head}")


def test_answers_need_the_column_of_their_questions(as_admin, url):
    file = SimpleUploadedFile("c.csv", b"text,label\nx,x\n")
    sent_columns = {
        "text_column": "text",
        "class_column": "label",
        "prompt_column": "",
        "head": "span",
    }
    assertContains(
        as_admin.post(url, {"file": file} | sent_columns), "Name the column of the questions"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\n", "no row that can be read: it is empty"),
        ("text,label\n,a\n", "line 2, column text"),
        ("body,label\nx,a\n", "no column “text”; it has “body”, “label”"),
        (b"\x1f\x8bxx", "damaged"),
    ],
)
def test_a_file_without_texts_is_refused_and_nothing_is_kept(as_admin, project, url, content, said):
    job = sent(as_admin, url, content)
    assert job.state == State.FAILED
    assert said in job.message
    assert not project.artifacts.exists()


def test_texts_are_for_admins(client, project, url):
    client.force_login(a_user(project, Role.RESEARCHER))
    assert client.get(url).status_code == client.post(url).status_code == 404


def test_a_file_becomes_a_classifier(as_admin, project, url, backbone):
    sent(as_admin, url)
    texts = project.artifacts.get(type=Artifact.Type.TEXTS)
    there = reverse("runs:start", args=[project.pk])
    query = f"?kind=classify&classify-source=file&texts={texts.pk}&classify-head=text"
    assertContains(as_admin.get(url), f"{there}{query}".replace("&", "&amp;"))
    page = as_admin.get(there + query)
    assert page.context["form"]["texts"].value() == texts.pk
    assert "the classes in c.csv, which it sees 5 times" in page.context["outlook"][0]
    answer = started(as_admin, project, texts=texts.pk, **{"classify-source": "file"})
    assert answer.status_code == 302, answer.context["form"].errors
    run = computed(project)
    assertRedirects(answer, reverse("runs:detail", args=[project.pk, run.pk]))
    assert set(run.inputs.values_list("role", flat=True)) == {"backbone", "texts"}
    made = run.outputs.get()
    assert made.type == Artifact.Type.CLASSIFIER
    page = as_admin.get(reverse("registry:model", args=[project.pk, made.pk]))
    assertContains(page, "Macro F1")
    assertContains(as_admin.get(reverse("registry:models", args=[project.pk])), "Mine")


def test_what_people_flag_becomes_a_classifier(as_admin, admin, project, backbone):
    for task in some_tasks(project, 30, texts=("good sun", "bad rain")):
        a_label(task, 1, flags=["harmful"])
    snapshot = freeze_snapshot(project, by=admin)
    answer = started(as_admin, project, judged=snapshot.artifact_id, **{"classify-flag": "harmful"})
    assert answer.status_code == 302, answer.context["form"].errors
    run = computed(project)
    assert run.summary["classes"] == ["other", "harmful"]
    page = as_admin.get(reverse("runs:detail", args=[project.pk, run.pk]))
    assert page.status_code == 200


def test_a_run_needs_what_its_source_is(as_admin, project, backbone):
    for source, role in (("people", "judged"), ("file", "texts")):
        answer = started(as_admin, project, **{"classify-source": source})
        assert role in answer.context["form"].errors


def test_a_snapshot_tells_what_each_person_said_with_their_flags(admin, project):
    for task in some_tasks(project, 12):
        a_label(task, 1, flags=["false", "harmful"])
        a_ranking(task.prompt, 0, 1)
    snapshot = freeze_snapshot(project, by=admin)
    rows = [row for split in Split for row in judged_of(snapshot.artifact, split)]
    assert len(rows) == 24
    said = [row for row in rows if row.asked]
    assert {row.flags for row in said} == {("false", "harmful")}
    assert {row.flags for row in rows if not row.asked} == {()}
    assert len(said) == 12
