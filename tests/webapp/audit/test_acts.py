"""Every address that changes something leaves a row of the audit log, or is named below with its reason.

What is sent to each is the least that changes something; what it did is taken back.
"""

import logging
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.db.models.functions import Now

from tests.factories import a_user
from tests.webapp.addresses import a_world, addresses, client_with, session_of, use
from tests.webapp.api.operations import OPERATIONS, PROMPT
from tests.webapp.api.programs import Program
from tests.webapp.api.test_roles import operations
from tests.webapp.foreign import Forms
from tests.webapp.test_permissions import ROWS
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.api.scopes import Scope
from webapp.api.service import ROOT
from webapp.api.tokens import make_token
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.datasets.models import Erasure
from webapp.jobs.models import Job
from webapp.labeling.models import Label
from webapp.labeling.queue import claim
from webapp.quality.adjudication import Decision, adjudicate, use_as_check
from webapp.rounds.services import cancel_round

pytestmark = pytest.mark.once
PASSWORD = "long enough to be one"
ITS_LOG = "labels, skips and drafts name who gave them, and nobody erases them"
OWN = "how somebody's own pages look"
CODE = "only a right code changes something: tests/webapp/accounts/test_factors.py"
LEADS = "leads to the page where something is done"
# Addresses that change something and leave no row.
UNTOLD = {
    "accounts:setup": LEADS, "accounts:invitation": LEADS, "accounts:reset": LEADS,
    "accounts:raw_view": OWN, "accounts:language": OWN, "labeling:keys": OWN,
    "notifications": OWN, "notification_choices": OWN, "accounts:own_account": OWN, "labeling:warnings": OWN,
    "mfa_authenticate": CODE, "mfa_activate_totp": CODE, "mfa_generate_recovery_codes": CODE,
    "labeling:label": ITS_LOG, "labeling:draft": ITS_LOG, "labeling:conversation": ITS_LOG,
    "take_next_task": ITS_LOG, "submit_label": ITS_LOG, "skip_task": ITS_LOG,
}  # fmt: skip


class Case(NamedTuple):
    """What is sent to an address, and the act that it leaves a row of.

    `form`: the fields of the page are sent too; `query` is the address's; `parts` stand in its path; `first` is done
    before. Values may be functions of the world.
    """

    act: Act
    sent: dict[str, Any] | None = None
    form: bool = False
    query: str = ""
    parts: dict[str, Any] | None = None
    first: Any = None
    by: str = "admin"


def a_file(text, name="rows.jsonl"):
    return lambda world: SimpleUploadedFile(name, text)


def task_of(world):
    return Label.objects.get(task=world.parts["task_id"]).task


def decide(world):
    label = Label.objects.get(task=world.parts["task_id"])
    adjudicate(label.task, Decision.like(label), by=world.people["admin"], key=uuid4())


def make_check(world):
    decide(world)
    use_as_check(task_of(world), "", by=world.people["admin"])


def label_of(world):
    return Label.objects.get(task=world.parts["task_id"]).pk


def a_prompt_of(world):
    return world.project.prompts.order_by("pk").values_list("pk", flat=True).first()


def an_outsider(world):
    return a_user(username="outsider").username


def a_queued_job(world):
    return Job.objects.create(project=world.project, kind="export", key=f"j-{uuid4()}").pk


def end_round(world):
    cancel_round(world.project.rounds.get(), by=world.people["admin"])


def a_failed_job(world):
    failed = {"kind": "export", "state": "failed", "key": f"j-{uuid4()}"}
    return Job.objects.create(project=world.project, **failed).pk


def a_held_task(world):
    return claim(world.project, world.people["admin"]).pk


def end_all(world):
    world.project.runs.update(state="cancelled", ended_at=Now())
    world.project.sweeps.update(state="cancelled")
    world.project.jobs.update(state="cancelled")


def the_annotator(world):
    return world.people["annotator"].username


def hold_erased(world):
    snapshot = world.project.snapshots.get(pk=world.parts["snapshot_id"])
    person = world.people["annotator"]
    made = Erasure.objects.create(project=world.project, person=person, pseudonym="p")
    snapshot.erasures.add(made)
    world.project.runs.update(state="cancelled")


ACCOUNT = {"username": "newcomer", "password1": PASSWORD, "password2": PASSWORD}
NEW = {"new_password1": PASSWORD + "!", "new_password2": PASSWORD + "!"}
SWEEP = {
    "vary_0": "learning_rate",
    "values_0": "0.01, 0.02",
    "objective": "curve:loss",
    "better": "smaller",
}
PAGES = {
    "account_login": Case(Act.SIGNED_IN, {"login": "root", "password": PASSWORD}, by="nobody"),
    "account_logout": Case(Act.SIGNED_OUT),
    "account_change_password": Case(
        Act.PASSWORD_SET,
        {"oldpassword": PASSWORD, "password1": PASSWORD + "!", "password2": PASSWORD + "!"},
        by="superuser",
    ),
    "account_set_password": Case(Act.PASSWORD_SET, {"password1": PASSWORD, "password2": PASSWORD}),
    "accounts:setup_page": Case(Act.PERSON_MADE, ACCOUNT, by="nobody"),
    "accounts:invitation_page": Case(Act.MEMBER_ADDED, ACCOUNT, by="nobody"),
    "accounts:reset_page": Case(Act.PASSWORD_SET, NEW, by="nobody"),
    "new_project": Case(Act.PROJECT_MADE, {"name": "A new one"}, by="superuser"),
    "upkeep": Case(Act.PROJECT_ARCHIVED, {"act": "archive"}, first=end_all),
    "copy_project": Case(Act.PROJECT_COPIED, {"name": "A copy"}, by="superuser"),
    "try_job_again": Case(Act.JOB_RETRIED, parts={"job_id": a_failed_job}, by="superuser"),
    "disconnect_provider": Case(Act.PROVIDER_REMOVED, by="superuser"),
    "panels": Case(Act.PANEL_OPENED, {"name": "Crowd", "quota": 1, "places": 1}),
    "close_panel": Case(Act.PANEL_CLOSED),
    "accounts:panel": Case(Act.MEMBER_ADDED, {"worker": "W1"}, by="nobody"),
    "labeling:name_warnings": Case(Act.WARNINGS_SET, {"tags": "violence"}),
    "labeling:ask": Case(Act.QUESTION_ASKED, {"assignment": a_held_task, "text": "Why?"}),
    "labeling:answer_question": Case(Act.QUESTION_ANSWERED, {"text": "So."}),
    "prompts": Case(Act.PROMPT_WRITTEN, {"text": "Why does nobody write this?"}),
    "act_on_prompts": Case(Act.PROMPTS_CHANGED, {"act": "tag", "tag": "x", "prompt": a_prompt_of}),
    "needed": Case(Act.WISH_MADE, {"what": "prompts", "wanted": 3}),
    "write_wanted": Case(Act.TASKS_MADE),
    "drop_wish": Case(Act.WISH_DROPPED),
    "guidelines": Case(Act.GUIDELINES_SAVED, {"guidelines": "Be kind."}, form=True),
    "reviews": Case(Act.REVIEWS_SET, {"reviews": 1}, form=True),
    "members": Case(Act.MEMBER_ADDED, {"username": an_outsider, "role": "annotator"}),
    "invite": Case(Act.INVITATION_MADE, {"role": "annotator"}),
    "withdraw": Case(Act.INVITATION_WITHDRAWN),
    "member": Case(Act.MEMBER_CHANGED, {"act": "role", "role": "researcher"}),
    "reset": Case(Act.RESET_MADE),
    "labeling:form": Case(Act.FORM_SAVED, {"points": 4}, form=True),
    "labeling:make": Case(Act.TASKS_MADE, {"kind": "demonstrate", "most": 1}, form=True),
    "labeling:bands": Case(Act.JOB_STARTED, {"band": "later"}),
    "labeling:dispatch": Case(
        Act.TASKS_CHANGED, {"act": "more", "need": 5, "task": lambda world: world.parts["task_id"]}
    ),
    "quality:send_back": Case(Act.LABEL_SENT_BACK, {"back": label_of}),
    "quality:report": Case(Act.JOB_STARTED),
    "quality:allocation": Case(Act.JOB_STARTED, form=True),
    "quality:disagreement": Case(Act.TASK_DECIDED, {"key": uuid4(), "label": label_of}),
    "quality:check": Case(Act.CHECK_MADE, {"explanation": "So."}, first=decide),
    "quality:checks": Case(Act.CHECKS_SET, {"daily_quota": 7}, form=True),
    "quality:withdraw": Case(Act.TASK_UNDECIDED, first=decide),
    "erasure:erasures": Case(Act.PERSON_ERASED, {"name": the_annotator, "typed": the_annotator}),
    "erasure:remove": Case(Act.SNAPSHOT_FILE_REMOVED, first=hold_erased),
    "datasets:snapshots": Case(Act.SNAPSHOT_FROZEN, {"include_simulated": "on"}),
    "datasets:import": Case(Act.JOB_STARTED, {"file": a_file(b'{"prompt": "?"}\n')}, form=True),
    "datasets:confirm": Case(Act.JOB_STARTED, {"become": "prompts"}),
    "datasets:corpora": Case(Act.JOB_STARTED, {"file": a_file(b"A b.", "a.txt")}, form=True),
    "datasets:texts": Case(
        Act.JOB_STARTED, {"file": a_file(b"text,class\na,b\n", "a.csv")}, form=True
    ),
    "datasets:export": Case(
        Act.JOB_STARTED,
        {"snapshot": lambda world: world.parts["snapshot_id"], "format": "trl_preference_plain"},
        form=True,
    ),
    "jobs:cancel": Case(Act.JOB_CANCELLED, parts={"job_id": a_queued_job}),
    "registry:add": Case(Act.RUN_STARTED, {"repository": "a/b", "name": "A"}, form=True),
    "registry:upload": Case(
        Act.RUN_STARTED, {"name": "A", "files": a_file(b"{}", "config.json")}, form=True
    ),
    "registry:code": Case(
        Act.CODE_ADDED,
        {
            "name": "A",
            "function": "f",
            "file": a_file(b"def f(completions): return completions", "a.py"),
        },
    ),
    "rounds:launch": Case(
        Act.ROUND_STARTED, {"align-group_scaling": "on"}, form=True, query="?preset=quick"
    ),
    "rounds:cancel": Case(Act.ROUND_CHANGED),
    "rounds:retry": Case(Act.ROUND_CHANGED, first=end_round),
    "sweeps:launch": Case(Act.SWEEP_STARTED, SWEEP, form=True, query="?kind=pretrain"),
    "sweeps:act": Case(Act.SWEEP_CHANGED),
    "runs:start": Case(Act.RUN_STARTED, form=True, query="?kind=pretrain"),
    "runs:act": Case(Act.RUN_CHANGED),
    "webhooks:list": Case(
        Act.WEBHOOK_MADE, {"url": "https://example.org/hook", "acts": ["run.ended"]}
    ),
    "webhooks:detail": Case(Act.WEBHOOK_TESTED, {"act": "test"}),
    "tokens": Case(Act.TOKEN_MADE, {"name": "t", "scopes": "read"}),
}
ROW = {"prompt": "Is there a row?"}
ASKED = {
    "add_prompts": Case(Act.PROMPT_WRITTEN, {"prompts": [PROMPT]}),
    "freeze_snapshot": Case(Act.SNAPSHOT_FROZEN, {"options": {"include_ranks": False}}),
    "upload_file": Case(Act.JOB_STARTED, {"file": a_file(b'{"prompt": "?"}\n')}),
    "take_file": Case(
        Act.JOB_STARTED,
        {"options": {"become": "prompts"}},
        parts={"job_id": lambda world: world.own["datasets:confirm"]["job_id"]},
    ),
    "add_rows": Case(Act.JOB_STARTED, {"rows": [ROW], "become": "prompts"}),
    "start_export": Case(
        Act.JOB_STARTED,
        {"snapshot": lambda world: world.parts["snapshot_id"], "format": "trl_preference_plain"},
    ),
    "cancel_job": Case(Act.JOB_CANCELLED, {}, parts={"job_id": a_queued_job}),
    "make_webhook": Case(
        Act.WEBHOOK_MADE, {"url": "https://example.org/hook", "acts": ["run.ended"]}
    ),
    "draw_secret": Case(Act.WEBHOOK_CHANGED, {}),
    "act_on_webhook": Case(Act.WEBHOOK_REMOVED, {}, parts={"action": "remove"}),
    "send_again": Case(Act.WEBHOOK_CHANGED, {}),
    "make_tasks": Case(Act.TASKS_MADE, {"options": {"kind": "demonstrate", "most": 1}}),
    "change_tasks": Case(
        Act.TASKS_CHANGED, {"act": "urgent", "tasks": lambda world: [world.parts["task_id"]]}
    ),
    "change_form": Case(Act.FORM_SAVED, {"options": {"points": 4}}),
    "measure_quality": Case(Act.JOB_STARTED, {}),
    "decide_task": Case(Act.TASK_DECIDED, {"label": label_of}),
    "undecide_task": Case(Act.TASK_UNDECIDED, {}, first=decide),
    "send_label_back": Case(Act.LABEL_SENT_BACK, {"label": label_of}),
    "set_gold": Case(Act.CHECK_MADE, {"explanation": "So."}, first=decide),
    "change_checks": Case(Act.CHECKS_SET, {"options": {"daily_quota": 7}}),
    "allocate_tasks": Case(Act.JOB_STARTED, {"options": {"method": "design"}}),
    "add_member": Case(Act.MEMBER_ADDED, {"username": an_outsider, "role": "annotator"}),
    "change_role": Case(Act.MEMBER_CHANGED, {"role": "researcher"}),
    "act_on_member": Case(Act.MEMBER_REMOVED, {}, parts={"action": "remove"}),
    "invite": Case(Act.INVITATION_MADE, {"role": "annotator"}),
    "withdraw_invitation": Case(Act.INVITATION_WITHDRAWN, {}),
    "start_sweep": Case(
        Act.SWEEP_STARTED,
        {
            "kind": "pretrain",
            "vary": {SWEEP["vary_0"]: SWEEP["values_0"]},
            "objective": SWEEP["objective"],
            "better": SWEEP["better"],
        },
    ),
    "act_on_sweep": Case(Act.SWEEP_CHANGED, {}),
    "start_run": Case(Act.RUN_STARTED, {"kind": "pretrain"}),
    "act_on_run": Case(Act.RUN_CHANGED, {}),
    "start_round": Case(Act.ROUND_STARTED, {"preset": "quick"}),
    "act_on_round": Case(Act.ROUND_CHANGED, {}),
}


@pytest.fixture(scope="module")
def there(kept):
    """A world, its people with their sessions, and a program of the admin."""
    world = a_world(kept)
    people = world.people | {"superuser": User.objects.create_superuser("root", password=PASSWORD)}
    sessions = {who: session_of(people[who]) for who in ("admin", "superuser")} | {"nobody": None}
    admin = people["admin"]
    return world, sessions, Program(make_token(admin, name="robot", scopes=list(Scope)), admin)


@pytest.fixture
def world(there, on_kept, caplog):
    caplog.set_level(logging.CRITICAL, "django.request")
    return there[0]


def named(values, world):
    """With what only the world knows."""
    return {name: one(world) if callable(one) else one for name, one in (values or {}).items()}


def left_by(case, world, send):
    """The rows that sending it leaves, newest first, and the answer's status; what it did is taken back."""
    with transaction.atomic():
        if case.first:
            case.first(world)
        parts = world.parts | named(case.parts, world)
        before = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        answer = send(parts, named(case.sent, world))
        rows = list(AuditEntry.objects.filter(pk__gt=before).order_by("-pk"))
        transaction.set_rollback(True)
    return rows, answer


def test_every_address_that_changes_something_is_tried_or_spared_with_a_reason():
    pages = {
        name for name, gates in ROWS.items() if gates.keys() & {"POST", "PUT", "PATCH", "DELETE"}
    }
    asked = {name for name, method, *_rest in operations() if method != "GET"}
    assert asked <= set(OPERATIONS)
    assert pages | asked == PAGES.keys() | ASKED.keys() | UNTOLD.keys()
    assert not UNTOLD.keys() & (PAGES.keys() | ASKED.keys())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_leaves_a_row(there, world, name):
    case, address = PAGES[name], next(one for one in addresses() if one.name == name)
    client = client_with(there[1][case.by])

    def send(parts, sent):
        if name.endswith("_page"):  # whose link is carried there
            link = next(one for one in addresses() if one.name == name.removesuffix("_page"))
            return use(client, world.path(link), sent)
        path = address.of(parts | world.own.get(name, {})) + case.query
        fields = Forms(client.get(path).content.decode()).fields if case.form else {}
        return client.post(path, fields | sent)

    rows, answer = left_by(case, world, send)
    assert case.act in [row.act for row in rows], (
        answer.status_code,
        getattr(answer.context and answer.context.get("form"), "errors", None),
    )
    (row,) = [row for row in rows if row.act == case.act][:1]
    assert row.via == ""
    assert row.person_id
    if case.by == "admin":
        assert row.person == world.people["admin"]
    if "project_id" in address.parts:
        assert row.project_id == world.project.pk


@pytest.mark.parametrize("name", ASKED)
def test_an_operation_leaves_a_row_with_its_token(there, world, name):
    case, program = ASKED[name], there[2]
    (method, address) = next((m, at) for one, m, _path, at in operations() if one == name)

    def send(parts, sent):
        path = address.of(parts)
        if any(isinstance(one, SimpleUploadedFile) for one in sent.values()):
            headers = {"Authorization": f"Bearer {program.token}"}
            return client_with(None).post(path, sent, headers=headers)
        if name == "start_round":
            sent |= {"snapshot": parts["snapshot_id"], "policy": parts["artifact_id"]}
        return program.ask(method, path.removeprefix(ROOT), sent)

    rows, answer = left_by(case, world, send)
    assert case.act in [row.act for row in rows], (answer.status_code, answer.content)
    (row,) = [row for row in rows if row.act == case.act][:1]
    assert (row.person, row.via, row.project_id) == (
        program.person, "robot", world.project.pk,
    )  # fmt: skip
    assert row.token


def test_a_look_and_a_refusal_leave_none(there, world):
    client = client_with(there[1]["admin"])

    def send(parts, sent):
        client.get(f"/p/{world.project.pk}/audit/")
        client.post(
            f"/p/{world.project.pk}/members/", {"username": "nobody at all", "role": "admin"}
        )
        return client.post(f"/p/{world.project.pk}/prompts/", {"text": ""})

    rows, answer = left_by(Case(Act.PROMPT_WRITTEN), world, send)
    assert (rows, answer.status_code) == ([], 200)


def test_a_check_is_ended_and_a_token_revoked(there, world):
    client, person = client_with(there[1]["admin"]), world.people["admin"]

    def send(parts, sent):
        task = parts["task_id"]
        client.post(f"/p/{world.project.pk}/quality/disagreements/{task}/check/", {"end": "on"})
        return client.post("/accounts/tokens/", {"revoke": person.tokens.first().pk})

    rows, _answer = left_by(Case(Act.CHECK_ENDED, first=make_check), world, send)
    assert [row.act for row in rows] == [Act.TOKEN_REVOKED, Act.CHECK_ENDED]


def test_whoever_is_deactivated_is_told_of_in_their_projects(there, world):
    client = client_with(there[1]["superuser"])
    membership = world.project.memberships.get(user=world.people["annotator"])

    def send(parts, sent):
        at = f"/p/{world.project.pk}/members/{membership.pk}/"
        for act in ("deactivate", "reactivate", "remove"):
            answer = client.post(at, {"act": act})
        return answer

    rows, _answer = left_by(Case(Act.PERSON_DEACTIVATED), world, send)
    assert [(row.act, row.project_id) for row in rows] == [
        (act, world.project.pk)
        for act in (Act.MEMBER_REMOVED, Act.PERSON_REACTIVATED, Act.PERSON_DEACTIVATED)
    ]
    assert membership.role == Role.ANNOTATOR
