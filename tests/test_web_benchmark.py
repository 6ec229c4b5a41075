"""What the benchmark of the dashboard under a team makes of answers, and that its people do as browsers do."""

import json
import time
from argparse import Namespace

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.urls import reverse

from benchmarks import web
from benchmarks.clients import Answered, Browser, Person, Viewer
from benchmarks.costs import COST, QUERIES
from tests.factories import a_user, some_tasks
from tests.webapp.addresses import session_of
from webapp.accounts.roles import Role
from webapp.labeling.models import Label
from webapp.site.templatetags.attributes import refresh

COOKIES = (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME)
WITH_FLOOR = override_settings(
    ROOT_URLCONF="benchmarks.bare_label",
    MIDDLEWARE=["benchmarks.costs.Costs", *settings.MIDDLEWARE],
)


class InProcess(Browser):
    """A browser whose server is the test client."""

    def _answered(self, asked):
        method, path, body, headers = asked
        client = Client(enforce_csrf_checks=True)
        client.cookies.load(headers.pop("Cookie"))
        kind = headers.pop("Content-Type", "")
        response = client.generic(method, path, body or "", kind, headers=headers)
        response.status = response.status_code
        return response, response.content.decode()


@pytest.fixture
def browser(project):
    """An annotator's, at a server with the floor."""
    some_tasks(project, 8)
    session = session_of(a_user(project, Role.ANNOTATOR))
    with WITH_FLOOR:
        yield InProcess("", session, COOKIES, time.monotonic())


def test_a_person_labels_as_the_page_does_and_the_floor_renders_a_card(browser, project):
    person = Person(browser, reverse("labeling:label", args=[project.pk]), 0)
    assert len(person.cards) == 4
    person.label(X_Queries="1")
    labelled = browser.last
    assert (labelled.what, labelled.status, len(person.cards)) == ("label", 200, 4)
    assert labelled.cost > 0
    assert 8 < labelled.queries <= 12
    assert str(Label.objects.get().client_id) == labelled.name
    person.floor(X_Queries="1")
    assert (browser.last.status, browser.last.queries) == (200, 11)


def test_no_answer_is_told_as_such():
    browser = Browser("http://127.0.0.1:9", "", COOKIES, 0.0)
    assert browser.ask("page", "/") == ""
    assert browser.last.status == 0


def test_a_viewer_asks_again_as_the_page_says():
    seen = []
    browser = Browser("", "", COOKIES, 0.0)
    pages = iter(
        [f"<section{refresh('/run/', 'every 2s')}>", f"<section{refresh('/run/', 'every 2s')}>"]
    )

    def ask(what, path, form=None, **more):
        browser.found.append(Answered(what, 200, 1.0))
        seen.append((what, path))
        return next(pages)

    browser.ask = ask
    viewer = Viewer(browser, "/page/")
    (_, every, headers) = viewer.due["/run/"]
    assert (every, headers) == (2.0, {})
    viewer.due["/run/"] = (time.monotonic(), every, headers)
    viewer.look(time.monotonic() + 0.5)
    assert seen == [("page", "/page/"), ("poll", "/run/")]


def test_costs_are_told_in_headers(client, project):
    with WITH_FLOOR:
        response = client.get("/accounts/login/", headers={QUERIES: "1"})
    assert float(response[COST]) > 0
    assert int(response[QUERIES]) == 0


FOUND = [
    *[Answered("label", 200, 30.0, cost=12.0, queries=0) for _ in range(20)],
    Answered("label", 200, 30.0, cost=20.0, queries=11),
    *[Answered("floor", 200, 20.0, cost=10.0, queries=11) for _ in range(9)],
    *[Answered("poll", 200, 9.0, cost=8.0) for _ in range(3)],
    *[Answered("poll", 204, 5.0, cost=1.0) for _ in range(7)],
]
ASKED = Namespace(think=2, viewers=9, beside=[])
KEPT = {"stored_equals_acknowledged": True, "over_served": 0}


def test_figures_are_told_against_the_floor():
    told = web.figures(FOUND)
    named = {
        name: told[name] for name in ("submit_cpu_vs_floor", "poll_cpu_vs_floor", "queries_submit")
    }
    assert named == {"submit_cpu_vs_floor": 1.2, "poll_cpu_vs_floor": 0.1, "queries_submit": 11}
    assert (told["submit_p95_vs_floor"], told["errors"], told["labels"]) == (3.0, 0, 20)
    assert web.holds(told | KEPT, ASKED)


@pytest.mark.parametrize(
    "worse",
    [
        [Answered("label", 500, 1.0)],
        [Answered("page", 0, 1.0)],
        [Answered("label", 200, 500.0, cost=12.0)] * 3,
        [Answered("label", 200, 1.0, queries=13)] * 2,
        [Answered("label", 200, 1.0, cost=16.0)] * 50,
        [Answered("poll", 204, 1.0, cost=3.0)] * 50,
        [Answered("poll", 200, 500.0, cost=3.0)] * 2,
    ],
    ids=lambda worse: json.dumps([worse[0].what, worse[0].status, worse[0].cost, worse[0].ms]),
)
def test_each_limit_is_held(worse):
    assert not web.holds(web.figures([*FOUND, *worse]) | KEPT, ASKED)


def test_labels_beside_an_import_are_told_against_those_without_it():
    def labels(since, ms):
        return [Answered("label", 200, ms, at=since + n / 10) for n in range(20)]

    quiet, import_, export = web.WARM + 1, web.WARM + 10, web.WARM + 20
    found = [*labels(0, 900.0), *labels(quiet, 10.0), *labels(import_, 19.0), *labels(export, 21.0)]
    found += [Answered("poll", 200, 900.0, at=import_), *labels(import_ + 5, 900.0)]
    spans = {"import": (import_ - 1, import_ + 3), "export": (export - 1, export + 9)}
    told = web.apart(found, spans, until=web.WARM + 5)
    assert told["submit_ms_alone"] == {"p50": 10.0, "p95": 10.0}
    assert told["submit_ms_beside_import"] == {"p50": 19.0, "p95": 19.0, "labels": 20, "s": 4}
    ratios = [told[f"submit_p95_beside_{name}"] for name in web.MOVES_ROWS]
    assert ratios == [1.9, 2.1]
    assert not web.holds(web.figures(FOUND) | KEPT | told, ASKED)
    told["submit_p95_beside_export"] = 2.0
    assert web.holds(web.figures(FOUND) | KEPT | told, ASKED)


def test_where_nothing_is_answered_that_is_told():
    told = web.figures([Answered("floor", 0, 1.0), Answered("label", 503, 1.0)])
    assert told == {"errors": 2, "statuses": [0, 503]}
    assert not web.holds(told | KEPT, ASKED)


@pytest.mark.parametrize("broken", [{"over_served": 1}, {"stored_equals_acknowledged": False}])
def test_no_promise_is_broken(broken):
    assert not web.holds(web.figures(FOUND) | KEPT | broken, ASKED)
