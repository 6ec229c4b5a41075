"""What is at each address: the same as on the pages, and written by the same services."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.factories import (
    a_label,
    a_project,
    a_run,
    a_snapshot,
    a_user,
    again,
    an_artifact,
    run_at,
    some_labels,
    some_prompts,
    some_tasks,
)
from tests.webapp.addresses import client_with
from tests.webapp.api.programs import Program
from webapp.accounts.roles import Role
from webapp.api.tokens import make_token
from webapp.datasets import freezing
from webapp.jobs.execution import claim, execute
from webapp.jobs.models import Job
from webapp.jobs.tasks import work
from webapp.labeling.models import Assignment, Label, Task
from webapp.runs.models import Checkpoint, Run, RunMetric, State

pytestmark = pytest.mark.once


def work_on(job_id):
    """What the worker of jobs does."""
    execute(claim(job_id))


@pytest.fixture
def at(project):
    return f"/projects/{project.pk}"


def test_projects_come_with_the_role(program, project):
    a_project()
    assert program.get("/projects").json()["items"] == [
        {**program.get(f"/projects/{project.pk}").json(), "id": project.pk, "role": "admin"}
    ]


def test_prompts_are_added_all_or_none(program, project, at):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    good, bad = {"messages": turns}, {"messages": turns[:1]}
    refused = program.post(f"{at}/prompts", {"prompts": [good, bad]})
    assert refused.status_code == 422
    assert list(refused.json()["fields"]) == ["prompts.1.messages"]
    assert not project.prompts.exists()
    assert program.post(f"{at}/prompts", {"prompts": [good, good]}).json() == {
        "sent": 2,
        "added": 1,
    }
    prompt = project.prompts.get()
    assert (prompt.messages, prompt.author) == (turns, program.person)
    (read,) = program.get(f"{at}/prompts?split={prompt.split}").json()["items"]
    assert (read["id"], read["messages"]) == (prompt.pk, turns)


@pytest.mark.twice
def test_a_task_is_taken_answered_and_counted(program, project, at):
    (task,) = some_tasks(project)
    card = program.post(f"{at}/tasks/next").json()["card"]
    assert (card["task"], card["kind"], len(card["items"])) == (task.pk, "compare", 2)
    assert program.post(f"{at}/tasks/next").json()["card"]["assignment"] == card["assignment"]
    sent = {"assignment": card["assignment"], "answer": {"choice": 2}, "rationale": "Kinder."}
    made = program.post(f"{at}/labels", sent)
    assert (made.status_code, made.json()["counted"]) == (201, True)
    label = Label.objects.get()
    assert (label.answer["choice"], label.rationale, label.annotator) == (
        2,
        "Kinder.",
        program.person,
    )
    assert program.post(f"{at}/tasks/next").json() == {"card": None}
    (read,) = program.get(f"{at}/labels").json()["items"]
    assert (read["id"], read["task_id"], read["annotator"]) == (
        label.pk, task.pk, program.person.shown_name,
    )  # fmt: skip
    assert program.get(f"{at}/tasks?state=done").json()["items"][0]["done"] == 1


@pytest.mark.twice
def test_the_same_answer_sent_again_is_stored_once(program, project, at):
    some_tasks(project)
    card = program.post(f"{at}/tasks/next").json()["card"]
    sent = {"assignment": card["assignment"], "answer": {"choice": 2}}
    sent["client_id"] = "7f7dbf6a-9a75-4b5b-9a35-1bd2b8d6c5a1"
    made = [program.post(f"{at}/labels", sent).json() for _ in range(2)]
    assert made[0] == made[1]
    assert Label.every.count() == 1


@pytest.mark.twice
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"answer": {}}, "all"),
        ({"answer": {"choice": 99}}, "all"),
        ({"assignment": 2**40}, "assignment"),
        ({"flags": ["none of ours"]}, "flags"),
        ({"rationale": "x" * 10_001}, "rationale"),
    ],
)
def test_what_is_no_answer_is_refused_by_its_field(program, project, at, wrong, field):
    some_tasks(project)
    card = program.post(f"{at}/tasks/next").json()["card"]
    sent = {"assignment": card["assignment"], "answer": {"choice": 2}} | wrong
    refused = program.post(f"{at}/labels", sent)
    assert refused.status_code == 422
    assert field in refused.json()["fields"]
    assert not Label.every.exists()


@pytest.mark.twice
def test_nobody_answers_what_somebody_else_holds(program, project, at):
    some_tasks(project)
    card = program.post(f"{at}/tasks/next").json()["card"]
    other = Program(make_token(a_user(project, Role.ADMIN), name="t", scopes=["label"]))
    sent = {"assignment": card["assignment"], "answer": {"choice": 2}}
    assert other.post(f"{at}/labels", sent).status_code == 422
    assert other.post(f"{at}/tasks/skip", {"assignment": card["assignment"]}).status_code == 422


def test_a_task_is_given_back_by_a_skip(program, project, at):
    (task,) = some_tasks(project)
    card = program.post(f"{at}/tasks/next").json()["card"]
    sent = {"assignment": card["assignment"], "reason": "unclear"}
    assert program.post(f"{at}/tasks/skip", sent).status_code == 204
    assert (again(task).taken, again(task).skips) == (0, 1)
    assert Assignment.objects.get().skip_reason == "unclear"
    wrong = program.post(f"{at}/tasks/skip", sent | {"reason": "none of ours"})
    assert list(wrong.json()["fields"]) == ["skip"]


def test_labels_are_frozen_as_on_the_page(program, project, at):
    nothing = program.post(f"{at}/snapshots")
    assert (nothing.status_code, nothing.json()["kind"]) == (409, "refused")
    some_labels(some_tasks(project, 2))
    made = program.post(f"{at}/snapshots", {"options": {"include_ranks": False}}).json()
    assert (made["number"], made["labels"]) == (1, 2)
    assert made["manifest"]["filter"]["include_ranks"] is False
    assert program.get(f"{at}/snapshots/{made['id']}").json() == made
    assert program.get(f"{at}/snapshots").json()["items"] == [made]
    unknown = program.post(f"{at}/snapshots", {"options": {"include_all": True}})
    assert list(unknown.json()["fields"]) == ["include_all"]


def test_a_file_is_looked_at_then_taken_in(program, project, at):
    rows = [{"prompt": f"{n}?", "chosen": "Yes.", "rejected": "No."} for n in range(3)]
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    sent = {"file": SimpleUploadedFile("rows.jsonl", text)}
    headers = {"Authorization": f"Bearer {program.token}"}
    looked = client_with(None).post(f"/api/v1{at}/imports", sent, headers=headers).json()
    work_on(looked["id"])
    seen = program.get(f"{at}/jobs/{looked['id']}").json()
    assert (seen["state"], seen["result"]["rows"]) == ("done", 3)
    path = f"{at}/imports/{looked['id']}/take"
    wrong = program.post(path, {"options": {"become": "gold"}})
    assert list(wrong.json()["fields"]) == ["become"]
    taken = program.post(path, {"options": {"become": "tasks", "need": 2}}).json()
    assert (
        program.post(path, {"options": {"become": "tasks", "need": 2}}).json()["id"] == taken["id"]
    )
    work_on(taken["id"])
    assert program.get(f"{at}/jobs?kind=import").json()["items"][0]["state"] == "done"
    asked = project.prompts.for_labels().count()
    assert [task.need for task in Task.objects.all()] == [2] * asked


def test_no_file_is_refused_in_words(program, at):
    refused = program.post(f"{at}/imports")
    assert (refused.status_code, list(refused.json()["fields"])) == (422, ["file"])


def test_rows_become_what_they_are_sent_for(program, project, at):
    sent = {"rows": [{"prompt": f"{n}?"} for n in range(3)], "become": "prompts"}
    job = program.post(f"{at}/rows", sent).json()
    work_on(job["id"])
    assert project.prompts.count() == 3
    refused = program.post(f"{at}/rows", sent | {"become": "gold"})
    assert list(refused.json()["fields"]) == ["become"]


def test_an_export_is_started_followed_and_downloaded(program, project, at):
    some_labels(some_tasks(project, 2))
    snapshot = program.post(f"{at}/snapshots").json()
    sent = {"snapshot": snapshot["id"], "format": "trl_preference_plain"}
    job = program.post(f"{at}/exports", sent).json()
    assert (job["state"], job["file"]) == ("queued", None)
    assert program.get(f"{at}/jobs/{job['id']}/file").status_code == 404
    work_on(job["id"])
    done = program.get(f"{at}/jobs/{job['id']}").json()
    answer = program.get(f"{at}/jobs/{job['id']}/file")
    assert done["file"] in answer["Content-Disposition"]
    assert b"".join(answer)[:2] == b"PK"
    refused = program.post(f"{at}/exports", sent | {"format": "none of ours"})
    assert list(refused.json()["fields"]) == ["format"]


@pytest.mark.twice
def test_a_job_is_cancelled_once(program, project, at):
    job = program.post(f"{at}/rows", {"rows": [{"prompt": "Why?"}], "become": "prompts"}).json()
    assert program.post(f"{at}/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    assert program.post(f"{at}/jobs/{job['id']}/cancel").status_code == 409


def test_jobs_are_seen_by_whom_their_kind_lets(project, at):
    Job.objects.create(project=project, kind="export", key="e")
    measured = Job.objects.create(project=project, kind="quality", key="q")
    program = Program(make_token(a_user(project, Role.RESEARCHER), name="t", scopes=["read"]))
    assert [job["id"] for job in program.get(f"{at}/jobs").json()["items"]] == [measured.pk]


def test_a_run_is_started_with_its_settings_and_acted_on(program, project, at):
    sent = {"kind": "pretrain", "name": "small", "seed": 3, "settings": {"learning_rate": 0.02}}
    made = program.post(f"{at}/runs", sent, Idempotency_Key="one").json()
    assert (made["name"], made["seed"], made["state"]) == ("small", 3, "queued")
    assert made["config"]["learning_rate"] == 0.02
    assert made["actions"] == ["pause", "cancel"]
    path = f"{at}/runs/{made['id']}"
    assert program.post(f"{path}/pause").json()["shown_state"] == "paused"
    assert program.post(f"{path}/resume").json()["state"] == "queued"
    assert program.post(f"{path}/cancel").json()["state"] == "cancelled"
    refused = program.post(f"{path}/pause")
    assert (refused.status_code, refused.json()["kind"]) == (409, "refused")
    assert program.post(f"{path}/retry").json()["id"] != made["id"]
    assert program.post(f"{path}/explode").status_code == 404
    assert Run.objects.get(pk=made["id"]).created_by == program.person


def test_one_step_of_a_run_is_tried(program, project, at):
    made = program.post(f"{at}/runs", {"kind": "pretrain", "dry_run": True}).json()
    assert (made["dry_run"], again(Run.objects.get(pk=made["id"])).dry) == (True, True)
    whole = program.post(f"{at}/runs", {"kind": "pretrain"}).json()
    assert whole["dry_run"] is False
    varied = {"kind": "pretrain", "vary": {}, "objective": "loss", "better": "smaller"}
    refused = program.post(f"{at}/sweeps", varied | {"dry_run": True})
    assert list(refused.json()["fields"]) == ["dry_run"]


def test_a_finished_run_goes_on_as_it_was_told(program, project, at, tmp_path):
    policy = an_artifact(project, tmp_path)
    told = {"reward_weight": 0, "rule": "words", "steps": 20}
    read = {"policy": policy, "reference": policy}
    before = run_at(a_run(project, "align", told, inputs=read, seed=3), state=State.SUCCEEDED)
    sent = {"kind": "align", "extends": before.pk, "settings": {"steps": 30}}
    assert program.post(f"{at}/runs", sent).status_code == 409  # there is no checkpoint
    row = Checkpoint.objects.create(run=before, epoch=1, step=20, bytes=2, path="c")
    made = program.post(f"{at}/runs", sent).json()
    assert (made["seed"], made["config"]["rule"], made["config"]["steps"]) == (3, "words", 30)
    assert Run.objects.get(pk=made["id"]).resume_from == row
    assert program.post(f"{at}/runs", sent | {"kind": "sft"}).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": "levitate"}, "kind"),
        ({"settings": {"learning_rate": -1}}, "settings.learning_rate"),
        ({"settings": {"antigravity": 1}}, "settings.antigravity"),
        ({"inputs": {"policy": 5}}, "inputs.policy"),
        ({"seed": -1}, "seed"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_run_that_is_wrong_is_refused_by_its_field(program, project, at, wrong, field):
    refused = program.post(f"{at}/runs", {"kind": "pretrain"} | wrong)
    assert refused.status_code == 422
    assert list(refused.json()["fields"]) == [field]
    assert not Run.objects.exists()


def test_an_input_that_nothing_would_read_is_refused_by_its_name(program, project, at, tmp_path):
    model = an_artifact(project, tmp_path)
    refused = program.post(f"{at}/runs", {"kind": "pretrain", "inputs": {"policy": model.pk}})
    assert refused.status_code == 422
    assert list(refused.json()["fields"]) == ["inputs.policy"]
    assert not Run.objects.exists()


def test_what_a_run_has_told_is_read(program, project, at, tmp_path):
    run = run_at(a_run(project), state=State.SUCCEEDED, summary={"loss": 1.5})
    RunMetric.objects.bulk_create(
        RunMetric(run=run, key=key, step=step, epoch=0, value=step / 2)
        for step in range(3)
        for key in ("loss", "kl")
    )
    made = an_artifact(project, tmp_path, producer=run)
    path = f"{at}/runs/{run.pk}"
    read = program.get(path).json()
    assert (read["summary"], read["outputs"]) == ({"loss": 1.5}, [made.pk])
    told = program.get(f"{path}/metrics?key=loss").json()["items"]
    assert [(one["step"], one["value"]) for one in told] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert len(program.get(f"{path}/metrics").json()["items"]) == 6
    (event,) = program.get(f"{path}/events").json()["items"]
    assert (event["from_state"], event["to_state"]) == ("", "queued")
    assert program.get(f"{path}/events?since={event['id']}").json()["items"] == []
    assert [one["id"] for one in program.get(f"{at}/runs?state=succeeded").json()["items"]] == [
        run.pk
    ]
    assert program.get(f"{at}/runs?kind=align").json()["items"] == []
    assert program.get(f"{at}/models/{made.pk}").json()["producer_id"] == run.pk
    assert [one["id"] for one in program.get(f"{at}/models").json()["items"]] == [made.pk]


@pytest.mark.twice
def test_a_round_is_started_as_its_page_would(program, project, at, tmp_path):
    for split, number in {"train": 40, "validation": 9, "test": 10}.items():
        some_prompts(project, number, split=split)
    policy, snapshot = an_artifact(project, tmp_path), a_snapshot(project, tmp_path)
    sent = {
        "preset": "quick",
        "settings": {"align": {"steps": 7}, "evaluate": {"judge": "held_out_labels"}},
    }
    sent |= {"policy": policy.pk, "snapshot": snapshot.pk, "seed": 5}
    made = program.post(f"{at}/rounds", sent, Idempotency_Key="r").json()
    assert (made["number"], made["state"], made["policy_id"]) == (1, "queued", policy.pk)
    assert (made["config"]["align"]["steps"], made["config"]["seed"]) == (7, 5)
    assert set(made["runs"].values()) == set(project.runs.values_list("pk", flat=True))
    path = f"{at}/rounds/{made['id']}"
    assert program.get(path).json() == made
    assert program.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert program.post(f"{path}/cancel").status_code == 409
    assert program.get(f"{at}/rounds").json()["items"][0]["state"] == "cancelled"
    wrong = program.post(f"{at}/rounds", sent | {"settings": {"align": {"steps": -7}}})
    assert list(wrong.json()["fields"]) == ["align-steps"]


@pytest.mark.twice
def test_labels_of_every_standing_are_listed(program, project, at):
    a_label(some_tasks(project)[0])
    listed = {
        show: program.get(f"{at}/labels?show={show}").json()["items"] for show in ("", "history")
    }
    assert (len(listed[""]), listed["history"]) == (1, [])


@pytest.mark.twice
def test_what_changed_since_a_snapshot_is_told_in_numbers(program, project, at):
    some_labels(some_tasks(project, 2))
    first = program.post(f"{at}/snapshots").json()
    some_labels(some_tasks(project))
    options = {"counted_only": True, "people": [], "kinds": ["compare"], "since": "2020-01-01"}
    second = program.post(f"{at}/snapshots", {"options": options}).json()
    assert second["manifest"]["filter"]["kinds"] == ["compare"]
    changes = f"{at}/snapshots/{second['id']}/changes"
    assert program.get(changes).json()["given"] == 1
    assert program.get(f"{changes}?since=1").json() == program.get(changes).json()
    assert program.get(f"{at}/snapshots/{first['id']}/changes").json()["given"] == 2
    assert list(program.get(f"{changes}?since=2").json()["fields"]) == ["since"]
    wrong = program.post(f"{at}/snapshots", {"options": {"people": ["nobody"], "kinds": ["none"]}})
    assert set(wrong.json()["fields"]) == {"people", "kinds"}


def test_many_labels_are_frozen_by_a_job_that_names_the_snapshot(program, project, monkeypatch):
    monkeypatch.setattr(freezing, "FEW", 2)
    some_labels(some_tasks(project, 3))
    at = f"/projects/{project.pk}"
    asked = program.post(f"{at}/snapshots", Idempotency_Key="once")
    again = program.post(f"{at}/snapshots", Idempotency_Key="once")
    job = asked.json()
    assert (asked.status_code, again.json()["id"], job["state"]) == (202, job["id"], "queued")
    work(job["id"])
    done = program.get(f"{at}/jobs/{job['id']}").json()["result"]
    assert program.get(f"{at}/snapshots/{done['snapshot']}").json()["labels"] == 3
