"""Exports: what is in the folder, and that the same snapshot gives the same bytes."""

import csv
import io
import json
import zipfile
from dataclasses import replace
from importlib import import_module
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.seam.errors import CheckpointError
from alignment.seam.folders import committed, verify
from alignment.seam.records import Message, prompt_key, split_of
from tests.cases import cases
from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_prompt,
    a_ranking,
    again,
    compare,
    some_labels,
    some_tasks,
)
from tests.toys.exports import unpaired
from webapp.datasets.exports import EXPORTS, format_of
from webapp.datasets.exports.folders import write_folder
from webapp.datasets.exports.losses import losses_of
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import LABELS
from webapp.jobs.models import Job, State
from webapp.jobs.services import start_job
from webapp.jobs.tasks import work
from webapp.labeling.kinds.compare import Choice
from webapp.labeling.models import TaskItem
from webapp.projects.models import Split

pytestmark = pytest.mark.once  # files made of rows, wherever the rows come from
CHOICES = Choice
SOME = ("trl_preference_plain", "pairs_csv")
CONVERSATIONAL, PLAIN = "trl_preference_conversational", "trl_preference_plain"


@pytest.fixture(scope="module")
def frozen(kept):
    """Thirty labelled prompts in all splits, a ranking, and answers that make no pair."""
    project = a_project()
    some_labels(some_tasks(project, 30), CHOICES.LEFT_MUCH)
    a_ranking(a_prompt(project), 0, 1, 2)
    for choice in (CHOICES.TIE, CHOICES.BOTH_BAD):
        a_label(some_tasks(project)[0], choice)
    twice = a_prompt(project)
    for rank in (0, 1):
        a_completion(twice, "The same.", rank=rank)
    return freeze_snapshot(project)


@pytest.fixture
def snapshot(frozen, on_kept):
    return again(frozen)


@pytest.fixture
def project(request, db):
    """The snapshot's for whoever asks for it, else an empty one."""
    if "snapshot" not in request.fixturenames:
        return a_project()
    return again(request.getfixturevalue("frozen").project)


def written(snapshot, folder, name=CONVERSATIONAL):
    for _ in write_folder(folder, snapshot, EXPORTS[name]):
        continue
    return folder


def rows(folder):
    """By split; of a format that is no JSON lines the cells of its tables."""
    if paths := sorted(folder.glob("*/*.jsonl")):
        return {path.stem: [json.loads(line) for line in path.open()] for path in paths}
    return {path.stem: cells(path) for path in sorted(folder.glob("*/*.csv"))}


def cells(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def exported(frozen, kept):
    return written(frozen, kept / "out")


@pytest.fixture
def folder(exported, snapshot):
    return exported


def test_every_pair_is_there_and_ties_are_not(folder, snapshot):
    found = [row for split in rows(folder).values() for row in split]
    assert len(found) == snapshot.pairs == 33
    assert all(row["chosen"] != row["rejected"] for row in found)


def test_a_row_is_a_prompt_with_a_better_and_a_worse_answer(folder, project):
    texts = set(TaskItem.objects.values_list("completion__text", flat=True))
    row = rows(folder)["train"][0]
    assert row["prompt"][0]["role"] == "user"
    assert [turn["role"] for turn in row["chosen"] + row["rejected"]] == ["assistant"] * 2
    assert {row["chosen"][0]["content"], row["rejected"][0]["content"]} <= texts
    assert (row["strength"], row["annotator"][0]) == (3, "a")


def test_no_prompt_is_in_two_splits(folder):
    found = {name: {row["prompt_key"] for row in split} for name, split in rows(folder).items()}
    assert set(found) == set(Split.values)
    for name, keys in found.items():
        assert {split_of(key) for key in keys} == {name}


def test_pairs_of_one_ranking_keep_their_group(folder):
    groups = [row["group"] for split in rows(folder).values() for row in split if row["group"]]
    assert (len(groups), len(set(groups))) == (3, 1)


def test_json_lines_and_parquet_hold_the_same(folder):
    for name, lines in rows(folder).items():
        assert pq.read_table(folder / "preference" / f"{name}.parquet").to_pylist() == lines


def test_plain_text_has_strings(snapshot, tmp_path):
    row = rows(written(snapshot, tmp_path / "out", PLAIN))["train"][0]
    assert {type(row[name]) for name in ("prompt", "chosen", "rejected")} == {str}


def conversation(project):
    """A labelled prompt of three turns."""
    turns = [Message(role="user", content="Hi."), Message(role="assistant", content="Hello.")]
    turns.append(Message(role="user", content="Why?"))
    dumped = [turn.model_dump() for turn in turns]
    prompt = a_prompt(project, key=prompt_key(turns), messages=dumped, split="train")
    compare(project, [(a_completion(prompt), a_completion(prompt))], need=1)
    a_label(prompt.tasks.get())
    return dumped


def test_a_conversation_stays_whole(project, tmp_path):
    turns = conversation(project)
    folder = written(freeze_snapshot(project), tmp_path / "out")
    assert rows(folder)["train"][0]["prompt"] == turns


def an_export(snapshot, name=CONVERSATIONAL, **before):
    payload = {"snapshot": snapshot.pk, "name": "out"} | (before or {"format": name})
    job = start_job(snapshot.project, kind="export", payload=payload, key=uuid4().hex)
    work(job.pk)
    return Job.objects.get(pk=job.pk)


def test_plain_text_refuses_conversations_in_words(project):
    conversation(project)
    job = an_export(freeze_snapshot(project), PLAIN)
    assert (job.state, "lists of messages" in job.message) == (State.FAILED, True)
    assert not job.folder.exists()


def test_a_job_that_was_asked_for_before_is_done_as_it_was_asked_for(snapshot):
    job = an_export(snapshot, consumer="trl_preference", text="plain")
    assert (job.state, job.result["rows"]) == (
        State.DONE,
        an_export(snapshot, PLAIN).result["rows"],
    )
    assert (
        format_of({"consumer": "trl_preference", "text": "conversational"})
        is EXPORTS[CONVERSATIONAL]
    )


def test_an_export_of_before_shows_its_format_and_its_rows(as_admin, url, snapshot):
    made = an_export(snapshot, consumer="trl_preference", text="plain")
    made.result = {"pairs": {"train": 1234}}  # what such jobs kept
    made.save()
    assertContains(as_admin.get(url), f"<td>{EXPORTS[PLAIN].title}</td>", html=True)
    page = as_admin.get(reverse("jobs:detail", args=[snapshot.project_id, made.pk]))
    assertContains(page, "1,234")


def test_a_format_that_is_not_here_is_refused_in_words(snapshot):
    job = an_export(snapshot, "stone")
    assert (job.state, "no format of export “stone”" in job.message) == (State.FAILED, True)


def test_a_snapshot_without_pairs_is_refused_in_words(project):
    a_label(some_tasks(project)[0], CHOICES.TIE)
    assert "no pairs" in an_export(freeze_snapshot(project)).message


@pytest.mark.parametrize("readable", [True, False])
def test_a_snapshot_that_is_not_what_was_frozen_is_not_exported(project, tmp_path, readable):
    """It is checked while it is read: whatever reading made of it, nothing is there."""
    a_label(some_tasks(project)[0])
    snapshot = freeze_snapshot(project)
    file = snapshot.artifact.path / LABELS
    if readable:
        pq.write_table(pq.read_table(file), file, compression="none")
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="checksum"):
        written(snapshot, tmp_path / "out")
    assert not [*tmp_path.iterdir()]


@cases("name", EXPORTS, quick=SOME)
def test_the_same_snapshot_gives_the_same_bytes(snapshot, name):
    first, second = (an_export(snapshot, name) for _ in range(2))
    assert first.file.read_bytes() == second.file.read_bytes()
    assert first.result["sha256"] == second.result["sha256"]
    assert {entry.date_time[0] for entry in zipfile.ZipFile(first.file).infolist()} == {1980}


def test_the_manifest_has_the_hash_of_every_file(folder):
    verify(folder)
    listed = json.loads((folder / "MANIFEST.json").read_text())["files"]
    assert {row["path"] for row in listed} >= {"README.md", "preference/train.parquet"}


def test_an_export_waits_for_no_disk_before_it_is_zipped(snapshot, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr("alignment.seam.folders.os.fsync", waited.append)
    with committed(tmp_path / "kept"):
        assert not waited
    assert (bool(waited), waited.clear()) == (True, None)
    verify(written(snapshot, tmp_path / "out"))
    assert not waited


def opened(folder, aside, *config):
    """The rows as the datasets library reads them, which is loaded where it is asked: it loads torch."""
    found = import_module("datasets").load_dataset(str(folder), *config, cache_dir=f"{aside}/cache")
    return {split: list(part) for split, part in found.items()}


@cases("name", EXPORTS, quick=SOME)
def test_the_datasets_library_opens_the_folder(snapshot, tmp_path, name):
    folder = written(snapshot, tmp_path / "out", name)
    for config in ((), (EXPORTS[name].config,)):
        assert opened(folder, tmp_path, *config) == rows(folder)


@pytest.fixture
def url(project):
    return reverse("datasets:export", args=[project.pk])


def test_without_a_snapshot_the_page_says_what_to_do(as_admin, url):
    assertContains(as_admin.get(url), "No snapshot yet")


def choice(snapshot, **changed):
    return {"key": uuid4(), "snapshot": snapshot.pk, "format": PLAIN} | changed


def test_an_admin_exports_and_downloads(as_admin, url, snapshot, admin):
    posted = choice(snapshot)
    response = as_admin.post(url, posted)
    job = Job.objects.get()
    page = reverse("jobs:detail", args=[snapshot.project_id, job.pk])
    assertRedirects(response, page)
    assertRedirects(as_admin.post(url, posted), page)  # a second click finds the same job
    work(job.pk)
    assertContains(as_admin.get(page), "Download")
    file = as_admin.get(reverse("jobs:download", args=[snapshot.project_id, job.pk]))
    assert file["Content-Disposition"] == (
        'attachment; filename="snapshot-1-trl-preference-plain.zip"'
    )
    assert file["X-Content-Type-Options"] == "nosniff"
    names = zipfile.ZipFile(io.BytesIO(b"".join(file.streaming_content))).namelist()
    assert "snapshot-1-trl-preference-plain/README.md" in names


def told(snapshot, name=PLAIN):
    """What a format does with what it does not keep, by its words."""
    losses = losses_of(snapshot, EXPORTS[name])
    return {str(loss.words): (loss.n, str(loss.fate)) for loss in losses}


def test_what_a_format_leaves_out_is_counted_before_anybody_exports(
    as_admin, url, project, tmp_path
):
    first, second, *others = some_tasks(project, 4)
    a_label(first, CHOICES.LEFT, rationale="Kinder.", flags=["false"])
    a_label(second, CHOICES.TIE, rationale="The same.")
    for task in others:
        a_label(task, CHOICES.BOTH_BAD)
    snapshot = freeze_snapshot(project)
    assert told(snapshot) == {
        "Answers without a preference between different texts": (3, "left out"),
        "Reasons that annotators gave": (2, "left out"),
        "Answers with a flag": (1, "left out"),
        "When labels were given, and how long they took": (4, "left out"),
        "Which version of the form was asked by": (4, "left out"),
        "Who wrote the answers: which model, a person, or a file": (4, "left out"),
        "Ids of labels, tasks and answers": (4, "left out"),
    }
    (ties, *_) = losses_of(snapshot, EXPORTS[PLAIN])
    assert [(str(words), n) for words, n in ties.among] == [("tie", 1), ("both bad", 2)]
    page, card = as_admin.get(url), (written(snapshot, tmp_path / "out") / "README.md").read_text()
    for words, (n, _fate) in told(snapshot).items():
        assertContains(page, words)
        assert f"- {words}: {n}\n" in card
    assertContains(page, "<li>Both bad: 2</li>", html=True)


def test_what_a_format_refuses_is_said_before_anybody_exports(project):
    conversation(project)
    snapshot = freeze_snapshot(project)
    assert told(snapshot)["Prompts of several turns"] == (1, "refused")
    assert "Prompts of several turns" not in told(snapshot, CONVERSATIONAL)


def test_another_snapshot_or_format_says_what_becomes_of_it(as_admin, url, project):
    a_label(some_tasks(project)[0], CHOICES.LEFT)
    first = freeze_snapshot(project)
    a_label(some_tasks(project)[0], CHOICES.TIE)
    freeze_snapshot(project)
    newest = as_admin.get(url)
    assertContains(newest, f"What Snapshot 2 holds and “{EXPORTS[CONVERSATIONAL].title}” does not")
    assertContains(newest, "Answers without a preference")
    asked = {"snapshot": first.pk, "format": PLAIN}
    part = as_admin.get(url, asked, headers={"HX-Request": "true"})
    assertContains(part, f"What Snapshot 1 holds and “{EXPORTS[PLAIN].title}” does not")
    assertNotContains(part, "Answers without a preference")
    assertNotContains(part, "<html")
    chosen = as_admin.get(url, asked).context["form"].format_shown()
    assert chosen is EXPORTS[PLAIN]


def test_formats_stand_together_by_who_reads_them(as_admin, url, snapshot):
    offered = dict(as_admin.get(url).context["form"].formats_by_reader())
    assert [one.name for group in offered.values() for one, _ in group] == [*EXPORTS]
    assert [is_chosen for group in offered.values() for _, is_chosen in group].count(True) == 1


@pytest.fixture
def toy(monkeypatch):
    """A format more, from a folder of its own."""
    monkeypatch.setitem(EXPORTS, unpaired.FORMAT.name, unpaired.FORMAT)
    return unpaired.FORMAT


def test_a_toy_format_is_offered_told_written_and_opened(as_admin, url, snapshot, toy, tmp_path):
    page = as_admin.get(url)
    assertContains(page, f"For {toy.consumer}: {toy.help}")
    words = told(snapshot, toy.name)
    assert words["How much better the better answer is"] == (33, "left out")
    assert "Answers without a preference between different texts" not in words
    as_admin.post(url, choice(snapshot, format=toy.name))
    work(Job.objects.get().pk)
    job = Job.objects.get()
    assert (job.file.name, job.result["config"]) == ("snapshot-1-unpaired.zip", "unpaired")
    assert sum(job.result["rows"].values()) == 2 * (33 + 2 + 1)
    assertContains(as_admin.get(url), toy.title, 2)  # offered, made
    zipfile.ZipFile(job.file).extractall(tmp_path)
    folder = tmp_path / job.result["folder"]
    assert "`label` is empty for ties. All files of" in (folder / "README.md").read_text()
    assert opened(folder, tmp_path, "unpaired") == rows(folder)


def test_a_format_that_speaks_of_what_no_snapshot_holds_is_refused(toy):
    with pytest.raises(TypeError, match="unpaired”: no snapshot holds weather"):
        replace(toy, keeps=frozenset(["weather"]))


def test_a_file_that_is_gone_is_said_to_be(as_admin, snapshot):
    job = an_export(snapshot)
    job.file.unlink()
    page = as_admin.get(reverse("jobs:detail", args=[snapshot.project_id, job.pk]))
    assertContains(page, "not kept any more")
    assertNotContains(page, "Download")


def test_another_projects_snapshot_cannot_be_exported(as_admin, url, snapshot):
    other = a_project()
    a_label(some_tasks(other)[0])
    response = as_admin.post(url, choice(freeze_snapshot(other)))
    assertContains(response, "Select a valid choice")
    assert not Job.objects.exists()


def test_a_snapshots_page_leads_to_its_export(as_admin, snapshot, project, url):
    page = reverse("datasets:snapshot", args=[project.pk, snapshot.pk])
    link = f"{url}?snapshot={snapshot.pk}"
    assertContains(as_admin.get(page), link)
    assertContains(as_admin.get(link), f'<option value="{snapshot.pk}" selected>')


def test_only_admins_export(client, project, researcher, url):
    client.force_login(researcher)
    assert client.get(url).status_code == client.post(url).status_code == 404


def test_exports_come_in_pages_at_a_constant_cost(
    as_admin, url, project, admin, django_assert_max_num_queries
):
    for number in range(51):
        start_job(
            project, kind="export", payload={"name": f"e{number}"}, key=f"k{number}", by=admin
        )
    with django_assert_max_num_queries(12):
        assert len(as_admin.get(url).context["page"]) == 50
