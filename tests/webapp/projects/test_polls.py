"""Pages that ask again: nothing for those who have seen all, and only for those who may see it."""

import json
import re
from datetime import timedelta
from html import unescape
from itertools import count, product

import pytest
from django.db import connection
from django.db.models import JSONField
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.cases import cases
from tests.factories import a_project, a_run, a_user, a_worker, run_at
from tests.webapp.addresses import a_world
from webapp.accounts.models import Session, User
from webapp.accounts.roles import Role
from webapp.home.polls import WATCHED
from webapp.jobs.models import Job
from webapp.jobs.models import State as JobState
from webapp.rounds.models import Round
from webapp.runs.folders import folder_of
from webapp.runs.models import Run, State, Worker
from webapp.runs.views import _queue
from webapp.runs.waiting import queue, stamp_of_queue, stamp_of_run
from webapp.site import stamps
from webapp.site.pages import ROWS
from webapp.sweeps.models import Sweep

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _still(monkeypatch):
    """Time stands while a test looks twice."""
    monkeypatch.setattr(stamps, "time", lambda: 0)


@pytest.fixture(scope="module")
def there(kept):
    return a_world(kept)


@pytest.fixture
def world(there, on_kept):
    Run.objects.filter(pk=there.parts["run_id"]).update(state=State.RUNNING)
    Job.objects.filter(pk=there.parts["job_id"]).update(state=JobState.WORKING)
    return there


@pytest.fixture
def admin(world, client):
    client.force_login(world.people["admin"])
    return client


def page_of(world, name):
    parts = {part: world.parts[part] for part in ("project_id", WATCHED[name].row) if part}
    return reverse(name, kwargs=parts)


def stamped(client, world, name):
    """What a page says when it asks again, once it has shown what there is."""
    answer = client.get(page_of(world, name), headers=HTMX if name == "runs:log" else {})
    if name == "runs:metrics":
        return HTMX | {"Seen": answer.json()["stamp"]}
    (said,) = re.findall(
        rf'hx-get="{page_of(world, name)}(?:\?[^"]*)?"[^>]*hx-headers="([^"]*)"',
        answer.content.decode(),
    )
    return HTMX | json.loads(unescape(said))


@pytest.mark.parametrize("name", WATCHED)
def test_who_has_seen_all_gets_nothing_for_two_queries(
    admin, world, name, django_assert_num_queries
):
    said = stamped(admin, world, name)
    with django_assert_num_queries(2):
        answer = admin.get(page_of(world, name), headers=said)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["Cache-Control"] == "private, no-cache"
    assert admin.head(page_of(world, name), headers=said).status_code == 204


def change(world, name):
    if name == "jobs:detail":
        Job.objects.filter(pk=world.parts["job_id"]).update(progress=7)
    elif name == "runs:log":
        folder = folder_of(Run.objects.get(pk=world.parts["run_id"]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stdout.log").write_text("a line more")
    elif name == "rounds:detail":
        parts = Round.objects.get(pk=world.parts["round_id"]).parts.order_by("-pk")
        Run.objects.filter(pk=parts[0].run_id).update(state=State.CANCELLED)
    elif name == "sweeps:detail":
        Sweep.objects.filter(pk=world.parts["sweep_id"]).update(message="something new")
    else:
        Run.objects.filter(pk=world.parts["run_id"]).update(step=7, total_steps=9)


@pytest.mark.parametrize("name", WATCHED)
def test_what_is_new_comes_with_a_new_stamp(admin, world, name):
    said = stamped(admin, world, name)
    change(world, name)
    answer = admin.get(page_of(world, name), headers=said)
    assert answer.status_code == 200
    assert said["Seen"] not in answer.content.decode()


def signed_out(world, client):
    client.logout()


def annotator(world, client):
    client.force_login(world.people["annotator"])


def of_another_project(world, client):
    client.force_login(a_user(a_project(), Role.ADMIN))


def no_member_any_more(world, client):
    world.project.memberships.filter(user=world.people["admin"]).delete()


def deactivated(world, client):
    User.objects.filter(pk=world.people["admin"].pk).update(is_active=False)


def of_a_new_password(world, client):
    person = User.objects.get(pk=world.people["admin"].pk)
    person.set_password("another, long enough")
    person.save()


def whose_sessions_were_ended(world, client):
    User.objects.filter(pk=world.people["admin"].pk).update(sessions_ended=1)


def of_an_old_session(world, client):
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))


def of_a_damaged_session(world, client):
    Session.objects.update(session_data="garbage")


STRANGERS = [
    signed_out,
    annotator,
    of_another_project,
    no_member_any_more,
    deactivated,
    of_a_new_password,
    whose_sessions_were_ended,
    of_an_old_session,
    of_a_damaged_session,
]


@cases(
    ("name", "becomes"),
    product(WATCHED, STRANGERS),
    quick=[*product(WATCHED, [annotator]), *product(["runs:detail"], STRANGERS)],
)
def test_a_stamp_opens_nothing_to_a_stranger(admin, world, name, becomes):
    said = stamped(admin, world, name)
    becomes(world, admin)
    there, bare = (
        admin.get(page_of(world, name), headers=said),
        admin.get(page_of(world, name), headers=HTMX),
    )
    assert there.status_code == bare.status_code
    assert there.status_code in (302, 404)


def test_a_superuser_needs_no_membership(client, world):
    client.force_login(User.objects.create_superuser("root"))
    said = stamped(client, world, "runs:detail")
    assert client.get(page_of(world, "runs:detail"), headers=said).status_code == 204


@pytest.mark.parametrize("path", ["/p/0/runs/1/", "/nothing/here/", "/p/1/runs/1/", "/"])
def test_a_stamp_elsewhere_says_nothing(admin, path):
    assert admin.get(path, headers={"Seen": "0"}).status_code == admin.get(path).status_code


def test_the_row_of_another_project_has_no_stamp(admin, world):
    foreign = a_run(a_project())
    path = reverse("runs:detail", args=[world.project.pk, foreign.pk])
    assert stamp_of_run(world.project.pk, foreign.pk) == ""
    for seen in ("", stamp_of_run(foreign.project_id, foreign.pk)):
        assert admin.get(path, headers=HTMX | {"Seen": seen}).status_code == 404


NUMBERS = count(5)


def another(field, row):
    """A value that the column has not, of its type."""
    kind = field.get_internal_type()
    if kind == "DateTimeField":
        return timezone.now() + timedelta(days=next(NUMBERS))
    if field.is_relation:
        return None
    old = getattr(row, field.attname)
    return f"other {next(NUMBERS)}"[:8] if isinstance(old, str) else (old or 0) + 1


COLUMNS = [
    field.name
    for field in Run._meta.concrete_fields
    if not (isinstance(field, JSONField) or field.primary_key or field.is_relation)
    and field.name != "state"
]


@pytest.mark.django_db
@pytest.mark.parametrize("name", COLUMNS)
def test_a_change_of_any_column_is_seen(project, name):
    run = a_run(project)
    before = stamp_of_run(project.pk, run.pk)
    assert before == stamp_of_run(project.pk, run.pk)
    run_at(run, **{name: another(Run._meta.get_field(name), run)})
    assert stamp_of_run(project.pk, run.pk) != before


def test_a_run_that_waits_is_looked_at_again_soon_and_others_later(project, monkeypatch):
    run = a_run(project)
    now = stamp_of_run(project.pk, run.pk)
    monkeypatch.setattr(stamps, "time", lambda: 5)
    assert stamp_of_run(project.pk, run.pk) != now
    run_at(run, state=State.RUNNING)
    now = stamp_of_run(project.pk, run.pk)
    monkeypatch.setattr(stamps, "time", lambda: 14)
    assert stamp_of_run(project.pk, run.pk) == now
    monkeypatch.setattr(stamps, "time", lambda: 15)
    assert stamp_of_run(project.pk, run.pk) != now


def test_a_change_is_drawn_once_for_all_who_watch_and_each_has_their_own_token(
    admin, world, client, django_assert_num_queries
):
    Run.objects.filter(pk=world.parts["run_id"]).update(
        state=State.RUNNING
    )  # nothing but its row tells of it
    path = page_of(world, "runs:detail")
    mine = admin.get(path, headers=HTMX)
    client.force_login(world.people["researcher"])
    with django_assert_num_queries(2):  # who asks, and the stamp
        other = client.get(path, headers=HTMX)
    tokens = [
        re.findall(r'csrfmiddlewaretoken" value="(\w{64})"', one.content.decode())
        for one in (mine, other)
    ]
    assert tokens[0]
    assert len(tokens[0]) == len(tokens[1])
    assert not set(tokens[0]) & set(tokens[1])


def test_curves_are_drawn_once_for_all_who_watch(admin, world, client, django_assert_num_queries):
    path = page_of(world, "runs:metrics")
    mine = admin.get(path)
    client.force_login(world.people["researcher"])
    with django_assert_num_queries(2):
        assert client.get(path).content == mine.content


@pytest.mark.parametrize("name", ["runs:detail", "runs:metrics"])
def test_what_was_drawn_for_another_is_for_members_alone(admin, world, client, name):
    path = page_of(world, name)
    Run.objects.filter(pk=world.parts["run_id"]).update(state=State.RUNNING)
    assert admin.get(path, headers=HTMX).status_code == 200
    other = a_project()
    client.force_login(a_user(other, Role.RESEARCHER))
    assert client.get(path, headers=HTMX).status_code == 404
    theirs = path.replace(f"/p/{world.project.pk}/", f"/p/{other.pk}/")
    assert client.get(theirs, headers=HTMX).status_code == 404


def test_the_queue_is_drawn_once_for_all_who_watch(admin, world, client, django_assert_num_queries):
    path = page_of(world, "runs:list")
    admin.get(path, headers=HTMX)
    client.force_login(world.people["researcher"])
    with django_assert_num_queries(2):
        first = client.get(path, headers=HTMX)
    with CaptureQueriesContext(connection) as asked:
        client.get(path, headers=HTMX | {"Accept-Language": "zh-CN"})
    assert len(asked) > 2
    change(world, "runs:list")
    then = client.get(path, headers=HTMX)
    assert "step 7 of 9" in then.content.decode()
    assert "step 7 of 9" not in first.content.decode()


OTHERS = {"CharField": "stopping", "TextField": "a word", "DateTimeField": timezone.now()}
OTHERS |= {"BooleanField": True}


# A run is made with these; and one that is not over has no end, or it would be no row of the queue.
NEVER = {"kind", "created_at", "ended_at"}


def other_values(run):
    """Of each column of a run that may be another one beside it: its field and that value."""
    for field in Run._meta.concrete_fields:
        left = field.remote_field or field.primary_key or isinstance(field, JSONField)
        if not left and field.name not in NEVER:
            kind, old = field.get_internal_type(), getattr(run, field.attname)
            yield field.name, OTHERS[kind] if kind in OTHERS else (old or 0) + 3


@pytest.mark.parametrize("state", [State.RUNNING, State.QUEUED])
def test_whatever_the_queue_shows_of_a_run_is_in_its_stamp(project, state):
    started = {"state": state, "phase": "sampling", "phase_total": 9, "worker": a_worker()}
    run = run_at(a_run(project), **started)
    drawn = {}

    def seen():
        stamp = stamp_of_queue(project.pk)
        drawn.setdefault(stamp, set()).add(_queue(project, stamp).content)

    seen()
    for name, value in other_values(run):
        was = getattr(run, name)
        Run.objects.filter(pk=run.pk).update(**{name: value})
        seen()
        Run.objects.filter(pk=run.pk).update(**{name: was})
    assert all(len(pages) == 1 for pages in drawn.values())
    assert 8 < len(drawn) < 20


def test_a_heartbeat_draws_no_queue_again(project):
    run = run_at(a_run(project), state=State.RUNNING)
    before = stamp_of_queue(project.pk)
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() + timedelta(minutes=9))
    assert stamp_of_queue(project.pk) == before


def test_the_queue_has_a_new_stamp_when_a_worker_comes_drains_or_goes(project):
    run_at(a_run(project), state=State.RUNNING)
    found = [stamp_of_queue(project.pk)]
    worker = a_worker()
    found.append(stamp_of_queue(project.pk))
    Worker.objects.update(draining=True)
    found.append(stamp_of_queue(project.pk))
    worker.delete()
    assert len(set(found)) == 3
    assert stamp_of_queue(project.pk) == found[0]


def test_a_queue_without_runs_has_no_stamp_and_asks_no_more(client, project, researcher):
    run_at(a_run(project), state=State.SUCCEEDED, ended_at=timezone.now())
    assert stamp_of_queue(project.pk) == ""
    client.force_login(researcher)
    answer = client.get(reverse("runs:list", args=[project.pk]), headers=HTMX | {"Seen": ""})
    assert "hx-trigger" not in answer.content.decode()


def test_a_long_queue_shows_a_page_and_says_how_many_more_there_are(client, project, researcher):
    run = a_run(project)
    names = [field.attname for field in Run._meta.concrete_fields if not field.primary_key]
    row = {name: getattr(run, name) for name in names}
    Run.objects.bulk_create(
        Run(**row | {"idempotency_key": f"k{number}", "name": f"one {number}"})
        for number in range(ROWS + 1)
    )
    client.force_login(researcher)
    answer = client.get(reverse("runs:list", args=[project.pk]), headers=HTMX)
    assert len(queue(project)) == ROWS
    assert "2 more runs wait behind these" in answer.content.decode()


@pytest.mark.sqlite  # its plans are read
def test_runs_that_are_over_are_not_looked_at_for_the_queue(project):
    a_run(project)
    with CaptureQueriesContext(connection) as asked:
        stamp_of_queue(project.pk)
        queue(project)
    plans = [connection.cursor().execute(f"EXPLAIN QUERY PLAN {one['sql']}") for one in asked]
    steps = [
        step[-1]
        for plan in plans
        for step in plan.fetchall()
        if re.search(r"\bruns_run\b", step[-1])
    ]
    found = re.compile("run_(under_way|finished|queue)|PRIMARY KEY")
    assert not [step for step in steps if not found.search(step)]


def test_few_things_are_kept(monkeypatch):
    monkeypatch.setattr(stamps, "_made", {})
    monkeypatch.setattr(stamps, "MOST", 3)
    for number in [1, 2, 3, 3, 4]:
        assert stamps.once(number, lambda number=number: str(number)) == str(number)
    assert len(stamps._made) <= 3
    assert stamps.once(4, lambda: "anew") == "4"
