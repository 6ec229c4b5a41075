"""Requests that nobody means are answered, and none of the answers is an error."""

import pytest

from tests.webapp.addresses import addresses, client_with
from tests.webapp.fuzz import Fuzz
from webapp.accounts.roles import Role

pytestmark = pytest.mark.once

FUZZED = ("anonymous", *Role.values, "superuser")
TRIED, MANY = 100, 10_000  # in `make test`, in `make prove`


@pytest.fixture
def fuzz(there, world, sessions, request):
    return Fuzz(there, sessions[request.param], request.param)


@pytest.mark.parametrize("fuzz", FUZZED, indirect=True)
def test_whatever_is_sent_no_answer_is_an_error(fuzz):
    fuzz.send(TRIED)
    assert not fuzz.bad, "\n".join(fuzz.bad[:20])


@pytest.mark.prove
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("fuzz", FUZZED, indirect=True)
def test_ten_thousand_requests_of_a_person_break_nothing(fuzz):
    fuzz.send(MANY)
    print(f"{MANY} requests, {len(fuzz.bad)} errors, slowest {fuzz.slowest:.1f} s")
    assert not fuzz.bad, "\n".join(fuzz.bad[:50])


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("account_login", {"next": "http://[::1"}),
        ("account_inactive", {"next": "http://[::1"}),
        ("prompts", {"q": "é" * 30_000}),
        ("rounds:launch", {"policy": "9" * 5000}),
        ("rounds:launch", {"snapshot": "9" * 5000}),
        ("rounds:launch", {"from": str(2**63)}),
        ("rounds:launch", {"items": "13"}),
        ("registry:add", {"items": "13"}),
        ("runs:start", {"kind": "evaluate", "policy": "9" * 5000}),
        ("rounds:compare", {"round": "9" * 5000}),
        ("runs:list", {"after": "9" * 5000}),
    ],
)
def test_what_was_an_error_once_is_an_answer(world, sessions, address, query):
    """What ten thousand requests of each person have found."""
    path = world.path(next(one for one in addresses() if one.name == address))
    for method in ("get", "post") if address == "account_login" else ("get",):
        answer = getattr(client_with(sessions["superuser"]), method)(path, query)
        assert answer.status_code < 500
