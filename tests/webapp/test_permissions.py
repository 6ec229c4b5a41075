"""Who may do what, tried out: every address by every method and person."""

import logging
import random
from collections import Counter
from enum import Enum
from itertools import islice, product

import pytest
from django.db import connection, transaction
from django.urls import reverse

from alignment.kinds import KINDS
from tests.cases import cases
from tests.webapp.addresses import addresses, client_with
from tests.webapp.api.operations import OPERATIONS
from tests.webapp.foreign import NOBODYS, Trial, rows_of
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.labeling.models import Assignment, Completion, Task
from webapp.projects.access import LEAST, Action, may
from webapp.runs.models import Run

pytestmark = pytest.mark.once

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PLAIN, FRAGMENT, JSON = {}, {"HX-Request": "true"}, {"Accept": "application/json"}
SAFE = {"GET", "HEAD", "OPTIONS"}
OUTSIDERS = ("anonymous", "deactivated")
TRIED = 100  # fields of a sample
SOME = 7  # of as many addresses one is tried in `make test`, all beside it
SHARES = 6  # of all fields that a role may fill in
DRAWN_PAGES = ("mfa_activate_totp",)  # likewise: the key on it
DRAWN = ("Set-Cookie", "Content-Security-Policy", "Expires")


class Gate(Enum):
    """Who may open an address that belongs to no project."""

    ANYBODY = "anybody"
    SIGNED_IN = "whoever is signed in"
    SUPERUSER = "superusers"


# What each address asks for; one without a row fails the first test below.
ROWS = {
    "account_login": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "account_logout": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "account_inactive": {"GET": Gate.ANYBODY},
    "account_change_password": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    "account_set_password": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    # There is nothing here where no server is named that knows people: tests/webapp/accounts/test_oidc.py names one.
    "openid_connect_login": {},
    "openid_connect_callback": {},
    "socialaccount_login_cancelled": {"GET": Gate.ANYBODY},
    "disconnect_provider": {"POST": Gate.SIGNED_IN},
    "account_reauthenticate": {},  # for those who have a password
    "mfa_index": {"GET": Gate.SIGNED_IN},
    "mfa_authenticate": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "mfa_reauthenticate": {},  # for those who have a second factor, as all with an empty row here
    "mfa_activate_totp": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    "mfa_deactivate_totp": {},
    "mfa_view_recovery_codes": {},
    "mfa_generate_recovery_codes": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    "mfa_download_recovery_codes": {},
    "account_reset_password": {"GET": Gate.ANYBODY},
    "accounts:setup": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "accounts:setup_page": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "accounts:invitation": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "accounts:invitation_page": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "accounts:reset": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "accounts:reset_page": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "accounts:panel": {"GET": Gate.ANYBODY, "POST": Gate.ANYBODY},
    "accounts:own_account": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    "accounts:raw_view": {"POST": Gate.SIGNED_IN},
    "accounts:language": {"POST": Gate.ANYBODY},
    "home": {"GET": Gate.SIGNED_IN},
    "archived": {"GET": Gate.SIGNED_IN},
    "notifications": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    "notification_choices": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    "installation": {"GET": Gate.SUPERUSER},
    "try_job_again": {"POST": Gate.SUPERUSER},
    "upkeep": {"GET": Action.MANAGE_PROJECT, "POST": Action.MANAGE_PROJECT},
    "copy_project": {"GET": Gate.SUPERUSER, "POST": Gate.SUPERUSER},
    "new_project": {"GET": Gate.SUPERUSER, "POST": Gate.SUPERUSER},
    "project": {"GET": Action.SEE_PROJECT},
    "advice": {"GET": Action.SEE_ROUNDS},
    "prompts": {"GET": Action.WRITE_PROMPTS, "POST": Action.WRITE_PROMPTS},
    "act_on_prompts": {"POST": Action.MANAGE_PROMPTS},
    "needed": {"GET": Action.WRITE_PROMPTS, "POST": Action.MANAGE_PROMPTS},
    "write_wanted": {"POST": Action.LABEL},
    "drop_wish": {"POST": Action.MANAGE_PROMPTS},
    "guidelines": {"GET": Action.EDIT_GUIDELINES, "POST": Action.EDIT_GUIDELINES},
    "reviews": {"GET": Action.EDIT_GUIDELINES, "POST": Action.EDIT_GUIDELINES},
    "webhooks:list": {"GET": Action.MANAGE_WEBHOOKS, "POST": Action.MANAGE_WEBHOOKS},
    "webhooks:detail": {"GET": Action.MANAGE_WEBHOOKS, "POST": Action.MANAGE_WEBHOOKS},
    "audit_of_all": {"GET": Gate.SUPERUSER},
    "audit_file_of_all": {"GET": Gate.SUPERUSER},
    "audit": {"GET": Action.SEE_AUDIT},
    "audit_file": {"GET": Action.SEE_AUDIT},
    "members": {"GET": Action.MANAGE_MEMBERS, "POST": Action.MANAGE_MEMBERS},
    "invite": {"GET": Action.MANAGE_MEMBERS, "POST": Action.MANAGE_MEMBERS},
    "panels": {"GET": Action.MANAGE_MEMBERS, "POST": Action.MANAGE_MEMBERS},
    "close_panel": {"POST": Action.MANAGE_MEMBERS},
    "withdraw": {"POST": Action.MANAGE_MEMBERS},
    "member": {"POST": Action.MANAGE_MEMBERS},
    "reset": {"GET": Action.MANAGE_MEMBERS, "POST": Action.MANAGE_MEMBERS},
    "labeling:label": {"GET": Action.LABEL, "POST": Action.LABEL},
    "labeling:draft": {"POST": Action.LABEL},
    "labeling:conversation": {"GET": Action.LABEL, "POST": Action.LABEL},
    "labeling:keys": {"GET": Action.LABEL, "POST": Action.LABEL},
    "labeling:finished": {"GET": Action.LABEL},
    "labeling:ask": {"POST": Action.LABEL},
    "labeling:questions": {"GET": Action.LABEL},
    "labeling:answer_question": {"POST": Action.CHECK_LABELS},
    "labeling:warnings": {"GET": Action.LABEL, "POST": Action.LABEL},
    "labeling:name_warnings": {"POST": Action.EDIT_GUIDELINES},
    "labeling:form": {"GET": Action.COMPOSE_FORM, "POST": Action.COMPOSE_FORM},
    "labeling:tasks": {"GET": Action.SEE_DATA},
    "labeling:make": {"GET": Action.MAKE_TASKS, "POST": Action.MAKE_TASKS},
    "labeling:bands": {"POST": Action.CHECK_LABELS},
    "labeling:dispatch": {"POST": Action.CHECK_LABELS},
    "quality:send_back": {"POST": Action.CHECK_LABELS},
    "labeling:labels": {"GET": Action.SEE_DATA},
    "quality:report": {"GET": Action.CHECK_LABELS, "POST": Action.CHECK_LABELS},
    "quality:disagreements": {"GET": Action.CHECK_LABELS},
    "quality:disagreement": {"GET": Action.CHECK_LABELS, "POST": Action.CHECK_LABELS},
    "quality:check": {"POST": Action.CHECK_LABELS},
    "quality:allocation": {"GET": Action.MAKE_TASKS, "POST": Action.MAKE_TASKS},
    "quality:scores": {"GET": Action.SEE_DATA},
    "quality:checks": {"GET": Action.CHECK_LABELS, "POST": Action.CHECK_LABELS},
    "quality:withdraw": {"POST": Action.CHECK_LABELS},
    "datasets:snapshots": {"GET": Action.FREEZE, "POST": Action.FREEZE},
    "datasets:snapshot": {"GET": Action.SEE_DATA},
    "datasets:changes": {"GET": Action.SEE_DATA},
    "erasure:erasures": {"GET": Action.MANAGE_MEMBERS, "POST": Action.MANAGE_MEMBERS},
    "erasure:remove": {"POST": Action.MANAGE_MEMBERS},
    "datasets:import": {"GET": Action.IMPORT_DATA, "POST": Action.IMPORT_DATA},
    "datasets:confirm": {"POST": Action.IMPORT_DATA},
    "datasets:corpora": {"GET": Action.IMPORT_DATA, "POST": Action.IMPORT_DATA},
    "datasets:texts": {"GET": Action.IMPORT_DATA, "POST": Action.IMPORT_DATA},
    "datasets:export": {"GET": Action.EXPORT_DATA, "POST": Action.EXPORT_DATA},
    "jobs:detail": {"GET": Action.EXPORT_DATA},
    "jobs:cancel": {"POST": Action.EXPORT_DATA},
    "jobs:download": {"GET": Action.EXPORT_DATA},
    "registry:models": {"GET": Action.SEE_MODELS},
    "registry:add": {"GET": Action.ADD_MODELS, "POST": Action.ADD_MODELS},
    "registry:upload": {"GET": Action.UPLOAD_MODELS, "POST": Action.UPLOAD_MODELS},
    "registry:code": {"GET": Action.SEE_MODELS, "POST": Action.ADD_CODE},
    "registry:source": {"GET": Action.SEE_MODELS},
    "registry:model": {"GET": Action.SEE_MODELS},
    "registry:adapter": {"GET": Action.SEE_MODELS},
    "registry:smaller": {"GET": Action.SEE_MODELS},
    "rounds:list": {"GET": Action.SEE_ROUNDS},
    "rounds:compare": {"GET": Action.SEE_ROUNDS},
    "rounds:launch": {"GET": Action.START_ROUNDS, "POST": Action.START_ROUNDS},
    "rounds:detail": {"GET": Action.SEE_ROUNDS},
    "rounds:cancel": {"POST": Action.START_ROUNDS},
    "rounds:retry": {"POST": Action.START_ROUNDS},
    "sweeps:list": {"GET": Action.SEE_RUNS},
    "sweeps:launch": {"GET": Action.START_RUNS, "POST": Action.START_RUNS},
    "sweeps:detail": {"GET": Action.SEE_RUNS},
    "sweeps:act": {"POST": Action.START_RUNS},
    "runs:list": {"GET": Action.SEE_RUNS},
    "runs:choose": {"GET": Action.START_RUNS},
    "runs:start": {"GET": Action.START_RUNS, "POST": Action.START_RUNS},
    "runs:detail": {"GET": Action.SEE_RUNS},
    "runs:metrics": {"GET": Action.SEE_RUNS},
    "runs:metrics_csv": {"GET": Action.SEE_RUNS},
    "runs:log": {"GET": Action.SEE_RUNS},
    "runs:evaluated": {"GET": Action.SEE_RUNS},
    "runs:act": {"POST": Action.START_RUNS},
}
ROWS |= {
    "tokens": {"GET": Gate.SIGNED_IN, "POST": Gate.SIGNED_IN},
    "api_reference": {"GET": Gate.SIGNED_IN},
    "api_schema": {"GET": Gate.SIGNED_IN},
    "api_client": {"GET": Gate.SIGNED_IN},
    "api_nothing": {},
    "api_mcp": {},
}
# A session opens none of these; what tokens open, tests/webapp/api/test_roles.py tries.
ROWS |= {f"api:{name}": {} for name in OPERATIONS}
POSTED = {
    "invite": {"role": "annotator"},
    "member": {"act": "role", "role": "annotator"},
    "upkeep": {"act": "keep"},
    "webhooks:detail": {"act": "test"},
}
TOLD = ("labeling:label", "labeling:draft", "labeling:conversation")
# How often somebody tried, whatever came of it; and texts rendered once, which say nothing new.
KEPT = ('"cache"', '"rendering_rendering"')
# A look at the label page leases the pairs it shows.
LEASES = {
    "labeling:label": ("labeling_task", "labeling_assignment", "accounts_user"),
    "mfa_activate_totp": ("accounts_session",),  # the key that is shown
}


def test_every_address_has_a_row():
    assert {address.name for address in addresses()} == set(ROWS)


def test_every_action_is_asked_for_somewhere():
    assert {*LEAST} == {*Action}
    assert {*Action} <= {gate for row in ROWS.values() for gate in row.values()}


def actions_of(role):
    return {action for action in Action if LEAST[action] is role}


def test_annotators_only_label_and_write_and_only_admins_manage():
    assert actions_of(Role.ANNOTATOR) == {Action.SEE_PROJECT, Action.LABEL, Action.WRITE_PROMPTS}
    assert actions_of(Role.ADMIN) == {
        Action.EDIT_GUIDELINES,
        Action.MANAGE_MEMBERS,
        Action.UPLOAD_MODELS,
        Action.ADD_CODE,
        Action.IMPORT_DATA,
        Action.EXPORT_DATA,
        Action.MANAGE_PROJECT,
        Action.SEE_AUDIT,
        Action.MANAGE_WEBHOOKS,
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_nobody_gets_further_than_the_table(world, sessions, method):
    """Each cell in a transaction of its own, which is taken back."""
    tried(world, sessions, method, lambda name: (sessions, ways(name, method)))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_at_each_gate_the_least_passes_and_whoever_is_below_does_not(world, sessions, method):
    """The edge of the table: each role includes the one before it, so that the rest seldom says more."""
    tried(world, sessions, method, lambda name: (edge_of(ROWS[name].get(method)), [PLAIN]))


def tried(world, sessions, method, cells_of):
    """Ask each address, as each of these people and in each of these ways, and hold the answers against the table."""
    wrong, cells = [], 0
    for address in addresses():
        people, asked = cells_of(address.name)
        for person, way in product(people, asked):
            cells += 1
            answer = ask(address, method, world.path(address), sessions[person], way)
            if fault := fault_of(address.name, method, way, person, *answer):
                wrong.append(f"{method} {address.name} {way} by {person}: {fault}")
    print(f"{cells} cells, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong)


def edge_of(gate):
    """Who has the least that a gate asks for, and who of those that it keeps out has the most."""
    if isinstance(gate, Action):
        below = {Role.RESEARCHER: ["annotator"], Role.ADMIN: ["researcher"]}
        return [LEAST[gate].value, *below.get(LEAST[gate], []), "stranger", "anonymous"]
    return {
        None: ["superuser"],
        Gate.ANYBODY: ["anonymous"],
        Gate.SIGNED_IN: ["stranger", "anonymous"],
        Gate.SUPERUSER: ["superuser", "admin"],
    }[gate]


@pytest.mark.parametrize("person", ["anonymous", "stranger", "annotator", "researcher", "admin"])
def test_rows_of_another_project_are_not_found_in_ones_own(world, there, sessions, person):
    """The address names my project and somebody else's row."""
    foreign, session = there[1], sessions[person]
    missing = 302 if person == "anonymous" else 404
    for address in addresses():
        theirs = address.parts - {"project_id", "action"}
        if "project_id" not in address.parts or not theirs:
            continue
        parts = foreign.parts | foreign.own.get(address.name, {})
        path = address.of(parts | {"project_id": world.project.pk})
        for method in ROWS[address.name]:
            status, _, writes = ask(address, method, path, session, PLAIN)
            assert (address.name, status, writes) == (address.name, missing, [])


@cases("person", ["anonymous", "admin"], quick=["anonymous"])
def test_a_look_at_the_head_alone_is_answered_as_the_whole(world, sessions, person):
    """Each answer in a transaction of its own, so that both see the same rows."""
    for address in addresses():
        if "GET" in ROWS[address.name] and address.name not in DRAWN_PAGES:
            path = world.path(address)
            whole, head = (head_of(method, path, sessions[person]) for method in ("get", "head"))
            if head != whole:  # an age that is shown may have become another between both
                whole = head_of("get", path, sessions[person])
            assert (address.name, *head) == (address.name, *whole)


def head_of(method, path, session):
    """Status and headers, but for what is drawn anew each time."""
    with transaction.atomic():
        answer = getattr(client_with(session), method)(path)
        b"".join(answer)
        transaction.set_rollback(True)
    return answer.status_code, sorted(
        (name, value) for name, value in answer.headers.items() if name not in DRAWN
    )


@pytest.fixture
def trial(there, on_kept, caplog, request):
    caplog.set_level(logging.CRITICAL, "django.request")
    return Trial(there, request.param)


def test_the_rows_of_a_project_are_all_known(there):
    rows = rows_of(there[1].project)
    assert {Task, Assignment, Completion, Artifact, Run} <= rows.keys()
    assert not rows[Run] & rows_of(there[0].project)[Run]


@pytest.mark.parametrize("trial", ["admin"], indirect=True)
def test_what_touches_a_foreign_row_is_noticed(trial):
    with transaction.atomic():
        trial.foreign.project.memberships.update(role="researcher")
        assert trial.fingerprint() != trial.before
        transaction.set_rollback(True)
    assert trial.fingerprint() == trial.before


@pytest.mark.parametrize("trial", ["admin"], indirect=True)
def test_a_field_that_finds_rows_is_told_from_one_that_finds_none(trial):
    (rounds,) = [address for address in addresses() if address.name == "rounds:launch"]
    assert trial.one(rounds, "GET", {}, {"policy": NOBODYS}, NOBODYS)
    assert not trial.one(rounds, "GET", {}, {"x": NOBODYS}, NOBODYS)


@pytest.mark.slow
@pytest.mark.parametrize("trial", Role.values, indirect=True)
def test_a_row_of_another_project_in_a_field_is_of_no_use(trial):
    try_fields(trial, addresses(), TRIED)


@pytest.mark.parametrize("trial", ["admin"], indirect=True)
def test_a_row_of_another_project_in_a_field_of_some_addresses_is_of_no_use(trial):
    try_fields(trial, addresses()[::SOME], TRIED // SOME)


def try_fields(trial, places, number):
    """Name a row of theirs in so many fields of these addresses."""
    cases = list(trial.cases(["align"], places))
    random.Random(0).shuffle(cases)
    seen = Counter()
    cases.sort(
        key=lambda case: seen.update([case[0]]) or seen[case[0]]
    )  # of each address one, then another
    assert len(cases) >= number
    for case in cases[:number]:
        trial.one(*case)
    assert not trial.wrong, "\n".join(trial.wrong[:20])


@pytest.mark.prove
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("trial", Role.values, indirect=True)
def test_no_field_of_any_address_reaches_another_project(trial, share):
    """In shares, for it takes half an hour of the processor to ask all that one role may."""
    fields = islice(trial.fields(KINDS, addresses()), share, None, SHARES)
    cells = sum(trial.try_field(*field) for field in fields)
    print(f"{cells} cells, {len(trial.wrong)} deviations")
    assert not trial.wrong, "\n".join(trial.wrong[:50])


def ways(name, method):
    """How a request may ask for its answer: one address serves programs too."""
    if method not in ("GET", "POST"):
        return [PLAIN]
    return [PLAIN, FRAGMENT, JSON] if name == "labeling:label" else [PLAIN, FRAGMENT]


def ask(address, method, path, session, way):
    """Status, where it sends, and what was written."""
    writes = []

    def note(execute, sql, params, many, context):
        kept = any(table in sql for table in KEPT)
        if sql.startswith(("INSERT", "UPDATE", "DELETE")) and not kept:
            writes.append(sql)
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(note):
        data = POSTED.get(address.name, {}) if method == "POST" else {}
        response = getattr(client_with(session), method.lower())(path, data, headers=way)
        b"".join(response)  # a file is sent to its end
        transaction.set_rollback(True)
    return response.status_code, response.headers.get("Location", ""), writes


def fault_of(name, method, way, person, status, location, writes):
    """What is wrong with an answer; empty when all is well."""
    sent_away = status == 302 and location.startswith(reverse("account_login") + "?next=")
    if name in TOLD and way != PLAIN:
        sent_away = status == 401  # a script is told to sign in, not led to a page
    gate = ROWS[name].get("GET" if method == "HEAD" else method)
    if status >= 500:
        return f"answers {status}"
    if gate and passes(person, gate):
        unasked = [sql for sql in writes if not any(table in sql for table in LEASES.get(name, ()))]
        if method in SAFE and unasked:
            return f"a look writes: {unasked[0][:80]}"
        return f"is kept out ({status})" if sent_away or status in (403, 404, 405) else ""
    if writes:
        return f"writes: {writes[0][:80]}"
    if gate is None:
        wants_token = status == 401 and name.startswith("api")
        return (
            ""
            if wants_token or status == 405 or sent_away or status == 404 or is_harmless(name)
            else status
        )
    expected = sent_away if person in OUTSIDERS else status == 404
    return "" if expected else f"answers {status}"


def is_harmless(name):
    """allauth's forms take PUT for POST and show themselves; a second factor that nobody has is refused by 403."""
    return name.startswith(("account_", "mfa_"))


def passes(person, gate):
    if gate is Gate.ANYBODY:
        return True
    if person in OUTSIDERS:
        return False
    if gate is Gate.SIGNED_IN or person == "superuser":
        return True
    return isinstance(gate, Action) and person in set(Role) and may(Role(person), gate)
