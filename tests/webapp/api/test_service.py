"""The interface by its own schema: whatever is sent, it answers as it says it does."""

import json
import logging
from collections import Counter
from itertools import islice

import pytest
from django.db import transaction
from django.test.client import ClientHandler
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.config._checks import NEGATIVE_DATA_REJECTION_EXPECTED_STATUSES
from schemathesis.specs.openapi import checks as conformance

from tests.webapp.addresses import a_world, client_with, session_of
from tests.webapp.api.operations import OPERATIONS
from tests.webapp.api.schema import KEPT, written
from webapp.accounts.roles import Role
from webapp.api import views
from webapp.api.scopes import Scope
from webapp.api.service import service
from webapp.api.tokens import make_token

# Cases of an operation and mode, in `make test` and in `make prove`: those are ten thousand requests of each role.
FEW, MANY = 1, 75
SOME = 30  # of as many operations one is tried in `make test`, all beside it
CHECKS = [
    not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_schema_conformance,
    conformance.response_headers_conformance,
    conformance.negative_data_rejection,
]
# What is wrong and too large for one request is refused for that: the schema lists 413 where something is sent.
REFUSALS = [*NEGATIVE_DATA_REJECTION_EXPECTED_STATUSES, "413"]
CONFIG = SchemathesisConfig.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
)


@pytest.fixture(scope="module")
def there(kept):
    """A world, and a token for everything of each role."""
    world = a_world(kept)
    tokens = {
        role: make_token(world.people[role], name="t", scopes=list(Scope)) for role in Role.values
    }
    return world, tokens


@pytest.fixture
def schema(there, on_kept, caplog):
    """The schema, in an application that serves it beside all else."""
    caplog.set_level(logging.ERROR, "django.request")  # refusals are what is wanted
    told, django = service.get_openapi_schema(), ClientHandler()
    for methods in told["paths"].values():
        for operation in methods.values():
            del operation["security"]  # every case is sent with a token
    schema = json.dumps(told).encode()

    def application(environ, start_response):
        if environ["PATH_INFO"] != "/openapi.json":
            environ.pop("HTTP_ACCEPT_ENCODING", None)  # the client of the proof unpacks nothing
            answer = django(environ)
            headers = [
                *answer.items(),
                *(("Set-Cookie", c.OutputString()) for c in answer.cookies.values()),
            ]
            start_response(f"{answer.status_code} {answer.reason_phrase}", headers)
            return [b"".join(answer)]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [schema]

    return openapi.from_wsgi("/openapi.json", application, config=CONFIG)


def hurl(schema, there, examples, every=1):
    """Send each operation, or one of so many, so many cases of either mode by every role; the number sent."""
    sent = Counter()
    for found in islice(schema.get_all_operations(), None, None, every):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            cases = found.ok().as_strategy(generation_mode=mode)
            known = there[0].parts if mode == GenerationMode.POSITIVE else {}
            send(cases, known, there[1], sent, examples)
    return sent.total()


def send(cases, known, tokens, sent, examples):
    """Send cases, those of the positive mode to rows that are there; what each does is taken back."""

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def each(case):
        case.path_parameters |= {part: known[part] for part in {*case.path_parameters} & {*known}}
        for role, token in tokens.items():
            sent[role] += 1
            with transaction.atomic():
                answer = case.call(headers={"Authorization": f"Bearer {token}"})
                transaction.set_rollback(True)
            case.validate_response(answer, checks=CHECKS)

    each()


def test_whatever_is_sent_to_some_it_answers_as_its_schema_says(schema, there):
    assert hurl(schema, there, FEW, SOME) >= FEW * (len(OPERATIONS) // SOME) * len(Role)


@pytest.mark.slow
def test_whatever_is_sent_it_answers_as_its_schema_says(schema, there):
    assert hurl(schema, there, FEW) >= FEW * len(OPERATIONS) * len(Role)


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_thousands_of_requests_of_each_role_break_nothing(schema, there):
    print(f"{hurl(schema, there, MANY)} requests, 0 errors, 0 violations of the schema")


@pytest.mark.once
def test_too_much_for_one_request_is_listed_where_something_is_sent(program, project):
    paths = service.get_openapi_schema()["paths"].values()
    each = [operation for methods in paths for operation in methods.values()]
    assert {"requestBody" in one for one in each if 413 in one["responses"]} == {True}
    assert {413 in one["responses"] for one in each if "requestBody" in one} == {True}
    large = {"prompts": [{"messages": [{"role": "user", "content": "x" * 200_000}]}] * 20}
    answer = program.post(f"/projects/{project.pk}/prompts", large)
    assert (answer.status_code, answer.json()["kind"]) == (413, "large")


def test_the_schema_that_is_kept_is_that_of_the_code():
    assert KEPT.read_text() == written(), "write it again: python -m tests.webapp.api.schema"


def test_the_pages_serve_schema_client_and_reference(db, admin):
    browser = client_with(session_of(admin))
    assert browser.get("/api/openapi.json").json() == json.loads(KEPT.read_text())
    client = b"".join(browser.get("/api/attune_client.py"))
    assert b"class Client" in client
    page = browser.get("/api/").content.decode()
    assert all(f"<code>{path}" not in page for path in ("http://", "https://"))
    assert "POST /api/v1/projects/{project_id}/labels" in page


def test_the_schema_is_added_up_once_in_whatever_language_it_is_asked_for(db, admin, monkeypatch):
    browser = client_with(session_of(admin))
    views._schema_text.cache_clear()
    told = [browser.get("/api/openapi.json", headers={"Accept-Language": "zh-hans"}).json()]
    monkeypatch.setattr(service, "get_openapi_schema", None)
    told += [browser.get("/api/openapi.json").json()]
    assert told == 2 * [json.loads(KEPT.read_text())]


@pytest.mark.once
def test_what_is_nowhere_is_missing_in_words(program):
    for method in ("GET", "POST", "DELETE"):
        answer = program.ask(method, "/nowhere/")
        assert (answer.status_code, answer.json()["kind"]) == (404, "missing")
    answer = program.ask("DELETE", "/projects")
    assert (answer.status_code, answer.json()["kind"], answer["Allow"]) == (405, "method", "GET")
