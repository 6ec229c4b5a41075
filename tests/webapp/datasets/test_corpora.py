"""Corpora, from a file that is sent to the model that learned it."""

import gzip
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.kinds.spec import RunSpec
from alignment.trainer import drive
from tests.factories import a_run, a_user, a_worker, again, run_at
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.jobs.models import Job, State
from webapp.jobs.tasks import work
from webapp.machine import uploads
from webapp.runs import execution, folders
from webapp.runs.actions import actions_for
from webapp.runs.kinds import half_of
from webapp.runs.models import Run

pytestmark = pytest.mark.once

LINES = [f"The {word} sings over the {other}." for word in ("sun", "moon", "bird") for other in
         ("river", "stone", "light", "green hill", "dark house")]  # fmt: skip
SMALL = {
    "pretrain-source": "file", "pretrain-layers": 1, "pretrain-width": 16, "pretrain-heads": 2,
    "pretrain-vocabulary": 300, "pretrain-context": 32,
}  # fmt: skip


@pytest.fixture
def url(project):
    return reverse("datasets:corpora", args=[project.pk])


def sent(as_admin, url, content, name="c.txt", **how):
    """The job of a file that was sent, once it is over."""
    file = SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)
    answer = as_admin.post(url, {"file": file, "document": "line", "column": ""} | how)
    assert answer.status_code == 302, answer.context["form"].errors
    job = Job.objects.latest("pk")
    work(job.pk)
    return again(job)


def page_of(job):
    return reverse("jobs:detail", args=[job.project_id, job.pk])


def test_a_file_is_read_to_its_end_and_kept(
    as_admin, project, url, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        job = sent(as_admin, url, gzip.compress("\n".join(LINES).encode()), "c.txt.gz")
    assert job.state == State.DONE, job.message
    corpus = project.artifacts.get(type=Artifact.Type.CORPUS)
    assert (corpus.name, corpus.summary["documents"]) == ("c.txt.gz", 15)
    assert {path.name for path in corpus.path.iterdir()} == {"c.txt.gz", "MANIFEST.json"}
    assert not list(uploads.kept())
    assertContains(as_admin.get(page_of(job)), "15 documents with")
    assertContains(as_admin.get(url), "c.txt.gz")


def test_bad_lines_are_named_and_what_can_be_read_is_kept(as_admin, url):
    rows = [json.dumps({"body": "<b>fine</b>"}), "{oops", json.dumps({"other": 1})]
    job = sent(as_admin, url, "\n".join(rows), "c.jsonl", column="body")
    assert (job.result["documents"], job.result["bad"]) == (1, 2)
    page = as_admin.get(page_of(job))
    assertContains(page, "2 lines cannot be read")
    assertContains(page, "line 2, column 2: not JSON")
    assertContains(page, "&lt;b&gt;fine")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xff", "line 1, column 1: not UTF-8 text"),
        (b"\n\n", "no document"),
        (b"PK\x03\x04", "packed as zip"),
        (gzip.compress(b"a" * 1000)[:-9], "damaged"),
    ],
)
def test_a_file_without_documents_is_refused_and_nothing_is_kept(
    as_admin, project, url, content, said
):
    job = sent(as_admin, url, content)
    assert job.state == State.FAILED
    assert said in job.message
    assert not project.artifacts.exists()
    assert not job.folder.exists()


@pytest.mark.twice
def test_a_name_that_cannot_be_stored_is_refused_in_the_form(as_admin, url):
    file = SimpleUploadedFile("a:b.txt", b"words")
    answer = as_admin.post(url, {"file": file, "document": "line", "column": ""})
    assertContains(answer, "rename it")
    assert not Job.objects.exists()


def test_a_file_that_is_too_large_is_refused(as_admin, url, settings):
    settings.IMPORT_LIMIT = 10
    file = SimpleUploadedFile("c.txt", b"words " * 10)
    answer = as_admin.post(url, {"file": file, "document": "line", "column": ""})
    assertContains(answer, "Pack it with gzip or split it")


def test_corpora_are_for_admins(client, project, url):
    client.force_login(a_user(project, Role.RESEARCHER))
    assert client.get(url).status_code == client.post(url).status_code == 404


def test_a_corpus_leads_to_the_form_of_a_run_that_learns_it(as_admin, project, url):
    sent(as_admin, url, "\n".join(LINES))
    corpus = project.artifacts.get()
    there = reverse("runs:start", args=[project.pk])
    query = f"?kind=pretrain&pretrain-source=file&corpus={corpus.pk}&pretrain-document=line"
    assertContains(as_admin.get(url), f"{there}{query}".replace("&", "&amp;"))
    form = as_admin.get(there + query).context["form"]
    assert form["corpus"].value() == corpus.pk
    assert form["pretrain-document"].value() == "line"
    assert "which it sees once" in as_admin.get(there + query).context["outlook"][0]


def test_a_run_on_a_file_needs_one(as_admin, project):
    there = reverse("runs:start", args=[project.pk]) + "?kind=pretrain"
    form = as_admin.get(there).context["form"]
    data = {
        name: field.value()
        for name, field in ((one.html_name, one) for one in form)
        if field.value() is not None
    }
    answer = as_admin.post(there, data | {"pretrain-source": "file", "name": "Mine"})
    assert "corpus" in answer.context["form"].errors
    assertNotContains(answer, "This field is required")


@pytest.mark.parametrize(("objective", "type"), [("clm", "model"), ("mlm", "encoder")])
def test_a_corpus_becomes_a_model_or_an_encoder(as_admin, project, url, objective, type):
    sent(as_admin, url, "\n".join(LINES))
    corpus = project.artifacts.get()
    there = reverse("runs:start", args=[project.pk]) + "?kind=pretrain"
    form = as_admin.get(there).context["form"]
    data = {one.html_name: one.value() for one in form if one.value() is not None}
    chosen = {"pretrain-objective": objective, "pretrain-document": "line", "name": "Mine"}
    answer = as_admin.post(there, data | SMALL | chosen | {"corpus": corpus.pk})
    assert answer.status_code == 302, answer.context["form"].errors
    run = execution.claim("runs", a_worker())
    assertRedirects(answer, reverse("runs:detail", args=[project.pk, run.pk]))
    assert list(run.inputs.values_list("role", flat=True)) == ["corpus"]
    folder = folders.prepare(run)
    summary = list(drive(RunSpec.load(folder), folder))[-1].summary
    Run.objects.filter(pk=run.pk).update(summary=summary)
    half_of("pretrain").publish(again(run), folder / "output")
    assert run.outputs.get().type == type
    page = as_admin.get(reverse("registry:model", args=[project.pk, run.outputs.get().pk]))
    assertContains(page, "Perplexity of held-out documents")


def test_a_run_on_a_file_can_be_paused_and_one_of_the_grammar_not(as_admin, project, url):
    sent(as_admin, url, "\n".join(LINES))
    of_a_file = a_run(
        project, "pretrain", {"source": "file"}, inputs={"corpus": project.artifacts.get()}
    )
    offered = [actions_for(run_at(run, state="running")) for run in (of_a_file, a_run(project))]
    assert ["pause" in one for one in offered] == [True, False]
