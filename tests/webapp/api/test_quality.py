"""Quality, forms, members and sweeps by programs: as on their pages, and written by the same services."""

import pytest

from alignment.kinds import KINDS
from tests.factories import a_label, a_user, again, some_labels, some_proposals, some_tasks
from tests.toys.runs.descend import KIND
from webapp.accounts.models import OneTimeLink
from webapp.accounts.roles import Role
from webapp.audit.models import AuditEntry
from webapp.jobs.execution import claim, execute
from webapp.jobs.models import Job
from webapp.labeling.composition import composition_of
from webapp.labeling.models import Assignment, Label
from webapp.projects.models import Membership


@pytest.fixture
def at(project):
    return f"/projects/{project.pk}"


@pytest.fixture
def disputed(project):
    """A task about which two people say different things."""
    (task,) = some_tasks(project, need=2)
    return [a_label(task, 1), a_label(task, 1)]  # each saw the other answer first


@pytest.mark.once
def test_labels_are_measured_by_a_job_and_the_figures_are_told(program, project, at, disputed):
    assert program.get(f"{at}/quality").json() == {"made_at": None, "figures": None, "since": 0}
    made = program.post(f"{at}/quality")
    assert (made.status_code, made.json()["kind"]) == (201, "quality")
    execute(claim(made.json()["id"]))
    some_labels(some_tasks(project))
    told = program.get(f"{at}/quality").json()
    assert (told["figures"]["labels"], told["since"]) == ({"people": 2}, 1)


def test_a_disagreement_is_listed_decided_and_given_back(program, project, at, disputed):
    one, other = disputed
    (found,) = program.get(f"{at}/disagreements?kind=compare").json()["items"]
    assert (found["task_id"], found["prompt_id"]) == (one.task_id, one.task.prompt_id)
    assert [said["id"] for said in found["labels"]] == [one.pk, other.pk]
    assert found["labels"][0]["annotator"] == one.annotator.shown_name
    task = f"{at}/tasks/{one.task_id}"
    sent = {"label": other.pk, "rationale": "It is right."}
    made = program.post(f"{task}/decisions", sent, Idempotency_Key="decide")
    assert (made.status_code, made.json()["verdict"]) == (201, other.verdict)
    assert program.post(f"{task}/decisions", sent, Idempotency_Key="decide").json() == made.json()
    assert program.get(f"{at}/disagreements").json()["items"] == []
    assert program.post(f"{task}/decisions", {"answer": {"choice": 99}}).status_code == 409
    assert program.post(f"{task}/decisions", {}).status_code == 422
    assert program.post(f"{task}/undecide").status_code == 204
    (old,) = program.get(f"{task}/decisions").json()["items"]
    assert (old["id"], old["standing"]) == (made.json()["id"], False)
    assert program.post(f"{task}/back", {"label": one.pk, "note": "Again."}).status_code == 204
    held = Assignment.objects.get(pk=one.assignment_id)
    assert (held.state, held.note) == ("reserved", "Again.")
    assert program.post(f"{task}/back", {"label": one.pk}).status_code == 404
    acts = AuditEntry.objects.filter(thing="task").values_list("act", flat=True)
    assert {"task.decided", "task.undecided"} <= set(acts)


def test_a_check_is_made_listed_and_ended(program, project, at, disputed):
    task = disputed[0].task_id
    assert program.post(f"{at}/tasks/{task}/check").status_code == 409
    program.post(f"{at}/tasks/{task}/decisions", {"label": disputed[0].pk})
    assert program.post(f"{at}/tasks/{task}/check", {"explanation": "So."}).status_code == 204
    (gold,) = program.get(f"{at}/gold").json()["items"]
    assert (gold["task_id"], gold["explanation"], gold["answered"]) == (task, "So.", 0)
    assert gold["expected"]
    assert program.post(f"{at}/tasks/{task}/check", {"end": True}).status_code == 204
    assert program.get(f"{at}/gold").json()["items"] == []


@pytest.mark.once
def test_how_people_are_checked_is_changed_a_field_at_a_time(program, project, at):
    assert program.post(f"{at}/checks", {"options": {"gold_every": 9}}).json()["gold_every"] == 9
    changed = program.post(f"{at}/checks", {"options": {"third_if_two_differ": True}}).json()
    assert changed == program.get(f"{at}/checks").json()
    assert (changed["gold_every"], changed["third_if_two_differ"]) == (9, True)
    assert program.post(f"{at}/checks", {"options": {"daily_quota": -1}}).status_code == 422
    assert again(project).daily_quota == 0


def test_tasks_are_chosen_by_the_newest_scores(program, project, at, tmp_path):
    refused = program.post(f"{at}/allocations", {"options": {"method": "design"}})
    assert (refused.status_code, refused.json()["kind"]) == (409, "refused")
    some_proposals(project, tmp_path, [])
    assert program.post(f"{at}/allocations", {"options": {"method": "none"}}).status_code == 422
    sent = {"options": {"method": "design", "wanted": 20}}
    made = program.post(f"{at}/allocations", sent, Idempotency_Key="a")
    assert made.status_code == 201
    assert Job.objects.get().payload["wanted"] == 20
    assert program.get(f"{at}/allocations").json() == {"items": [], "next": None}


def test_tasks_are_made_and_put_into_bands(program, project, at):
    _one, other = some_tasks(project, 2)
    made = program.post(f"{at}/tasks", {"options": {"kind": "rate", "band": "later", "most": 1}})
    assert (made.status_code, made.json()) == (201, {"new": 1, "known": 0})
    sent = {"tasks": [other.pk, 10**9], "act": "urgent"}
    assert program.post(f"{at}/tasks/change", sent).json() == {"changed": 1}
    assert program.post(f"{at}/tasks/change", sent | {"act": "more"}).status_code == 422
    (urgent,) = program.get(f"{at}/tasks?band=urgent").json()["items"]
    assert (urgent["id"], urgent["band"], urgent["language"]) == (other.pk, "urgent", None)
    assert [row["kind"] for row in program.get(f"{at}/tasks?band=later").json()["items"]] == [
        "rate"
    ]


@pytest.mark.once
def test_a_form_is_changed_a_field_at_a_time(program, project, at):
    first = program.get(f"{at}/form").json()
    assert first["composition"]["points"] == 7
    scale = {"name": "Wit", "levels": 5}
    sent = {"options": {"points": 4}, "attributes": [scale]}
    told = program.post(f"{at}/form", sent).json()
    assert (told["number"], told["composition"]["points"]) == (first["number"] + 1, 4)
    program.post(f"{at}/form", {"options": {"kinds": ["compare"]}})
    asks = composition_of(again(project))
    assert (asks.points, asks.kinds, asks.attributes[0].levels) == (4, ("compare",), 5)
    refused = program.post(f"{at}/form", {"attributes": [scale, scale]})
    assert list(refused.json()["fields"]) == ["attributes"]
    assert program.post(f"{at}/form", {"options": {"seen": 1}}).status_code in (200, 409)
    assert program.post(f"{at}/form", {"options": {"points": 3}}).status_code == 422


@pytest.mark.once
def test_members_are_let_in_given_roles_and_sent_away(program, project, at):
    person = a_user(username="Zoe")
    assert program.post(f"{at}/members", {"username": "none", "role": "admin"}).status_code == 422
    made = program.post(f"{at}/members", {"username": "zoe", "role": "annotator"})
    assert (made.status_code, made.json()["username"], made.json()["active"]) == (201, "Zoe", True)
    row = f"{at}/members/{made.json()['id']}"
    assert program.post(f"{at}/members", {"username": "zoe", "role": "admin"}).status_code == 409
    assert program.post(f"{row}/role", {"role": "researcher"}).json()["role"] == "researcher"
    assert program.post(f"{row}/role", {"role": "king"}).status_code == 422
    assert (
        program.post(f"{row}/deactivate").status_code == 409
    )  # added by name: not theirs to decide
    assert program.post(f"{row}/none").status_code == 404
    assert program.post(f"{row}/remove").status_code == 204
    assert not Membership.objects.filter(user=person).exists()
    members = program.get(f"{at}/members").json()["items"]
    assert [one["username"] for one in members] == [program.person.username]


def test_an_invitation_is_made_told_once_and_withdrawn(program, project, at, client):
    made = program.post(f"{at}/invitations", {"role": "annotator", "note": "For Ana"})
    assert made.status_code == 201
    assert client.get(made.json()["url"]).status_code == 302
    (row,) = program.get(f"{at}/invitations").json()["items"]
    assert (row["role"], row["note"], "url" in row) == (Role.ANNOTATOR, "For Ana", False)
    assert program.post(f"{at}/invitations/{row['id']}/withdraw").status_code == 204
    assert not OneTimeLink.objects.exists()
    assert program.post(f"{at}/invitations", {"role": "king"}).status_code == 422


@pytest.mark.once
def test_a_sweep_is_started_watched_and_cancelled(program, project, at, monkeypatch):
    monkeypatch.setitem(KINDS, KIND.name, KIND)
    sent = {"kind": "descend", "name": "Descents", "settings": {"steps": 27, "side": "left"}}
    sent |= {"vary": {"rate": "0.01, 0.1, 1"}, "objective": "result:depth", "better": "smaller"}
    sent |= {"search": {"method": "grid", "at_once": 2}}
    made = program.post(f"{at}/sweeps", sent, Idempotency_Key="s")
    assert (made.status_code, made.json()["state"]) == (201, "running")
    assert program.post(f"{at}/sweeps", sent, Idempotency_Key="s").json() == made.json()
    row = f"{at}/sweeps/{made.json()['id']}"
    trials = program.get(f"{row}/trials").json()["items"]
    assert [one["state"] for one in trials] == ["open"] * 2
    assert {one["values"]["rate"] for one in trials} <= {0.01, 0.1, 1.0}
    assert program.post(f"{row}/cancel").json()["state"] == "cancelled"
    assert program.post(f"{row}/none").status_code == 404
    (listed,) = program.get(f"{at}/sweeps").json()["items"]
    assert listed == program.get(row).json()


@pytest.mark.once
def test_what_is_wrong_with_a_sweep_is_called_as_it_was_sent(program, project, at, monkeypatch):
    monkeypatch.setitem(KINDS, KIND.name, KIND)
    sent = {"kind": "descend", "objective": "result:depth", "better": "smaller"}
    bad = {"settings": {"steps": -1}, "search": {"trials": 0}, "vary": {"rate": "0.1"}}
    fields = program.post(f"{at}/sweeps", sent | bad).json()["fields"]
    assert set(fields) == {"settings.steps"} or {"settings.steps", "search.trials"} <= set(fields)
    varied = program.post(f"{at}/sweeps", sent | {"vary": {"rate": "x"}}).json()["fields"]
    assert "vary.rate" in varied
    many = dict.fromkeys("abcde", "1")
    assert list(program.post(f"{at}/sweeps", sent | {"vary": many}).json()["fields"]) == ["vary"]
    none = program.post(f"{at}/sweeps", {**sent, "kind": "none", "vary": {}})
    assert list(none.json()["fields"]) == ["kind"]


@pytest.mark.once
def test_labels_of_others_are_no_decision_of_a_task(program, project, at, disputed):
    (other,) = some_labels(some_tasks(project))
    task = f"{at}/tasks/{disputed[0].task_id}"
    assert program.post(f"{task}/decisions", {"label": other.pk}).status_code == 422
    assert Label.objects.current().count() == 3
