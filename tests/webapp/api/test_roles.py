"""Who may do what by the interface: every operation by every role and token."""

import logging
from functools import cache

import pytest
from django.db import transaction
from django.urls import reverse

from tests.factories import a_user
from tests.webapp.addresses import a_world, addresses
from tests.webapp.api.operations import OPERATIONS
from tests.webapp.api.programs import Program
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.api.scopes import Scope
from webapp.api.service import ROOT, service
from webapp.api.tokens import make_token
from webapp.projects.access import LEAST, may

pytestmark = pytest.mark.once
ALL = tuple(Scope)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture(scope="module")
def there(kept):
    """A world, and people with their tokens by what these are for."""
    world, elsewhere = a_world(kept), a_world(kept)
    people = {role: world.people[role] for role in Role.values}
    people |= {
        "stranger": elsewhere.people["admin"],
        "superuser": User.objects.create_superuser("r"),
    }
    kinds = [ALL, *((scope,) for scope in Scope), *map(without, Scope)]
    return world, elsewhere, {name: _tokens(person, kinds) for name, person in people.items()}


def without(scope):
    """All others."""
    return tuple(each for each in Scope if each != scope)


def _tokens(person, kinds):
    return {kind: Program(make_token(person, name="t", scopes=kind), person) for kind in kinds}


@pytest.fixture
def world(there, on_kept, caplog):
    caplog.set_level(logging.ERROR, "django.request")
    return there[0]


@cache
def operations():
    """The name, method and address of each, as the schema tells them; it takes a while to be added up."""
    named = {address.name: address for address in addresses()}
    return [
        (operation["operationId"], method.upper(), path, named[f"api:{operation['operationId']}"])
        for path, methods in service.get_openapi_schema()["paths"].items()
        for method, operation in methods.items()
    ]


def asked(program, method, path, name):
    """The answer's status and kind; what it did is taken back."""
    with transaction.atomic():
        answer = program.ask(method, path.removeprefix(ROOT), OPERATIONS[name].body)
        refused = 400 <= answer.status_code < 500
        said = answer.json()["kind"] if refused else None
        transaction.set_rollback(True)
    return answer.status_code, said


def test_every_operation_has_a_row():
    assert {name for name, *_ in operations()} == set(OPERATIONS)


def test_every_operation_is_at_its_address_alone():
    for name, _method, path, address in operations():
        given = dict.fromkeys(address.parts, 7)
        assert reverse(f"api:{name}", kwargs=given) == path.format(**given)


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_role_and_token_must_both_allow_it(there):
    people = there[2]
    tried(
        there,
        lambda gate: [
            (who, scopes) for who in people for scopes in (ALL, (gate.scope,), without(gate.scope))
        ],
    )


@pytest.mark.usefixtures("world")
def test_the_least_role_and_token_are_enough_and_less_of_either_is_not(there):
    """The edge of the table above."""
    tried(there, edge_of)


def edge_of(gate):
    """The least that is enough, and what lacks one thing alone: the scope, or the role."""
    least = LEAST[gate.action].value if gate.action else "stranger"
    below = {"annotator": ["stranger"], "researcher": ["annotator"], "admin": ["researcher"]}
    kept_out = [(who, ALL) for who in below.get(least, [])]
    return [(least, (gate.scope,)), ("superuser", without(gate.scope)), *kept_out]


def tried(there, cells_of):
    """Ask for each operation, by each of these people and tokens, and hold the answers against the table."""
    (world, _elsewhere, people), wrong, cells = there, [], 0
    for name, method, _path, address in operations():
        for who, scopes in cells_of(OPERATIONS[name]):
            cells += 1
            status, said = asked(people[who][scopes], method, world.path(address), name)
            if fault := fault_of(OPERATIONS[name], who, scopes, status, said):
                wrong.append(f"{name} by {who} with {scopes}: {fault} ({said})")
    print(f"{cells} cells, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong)


def fault_of(gate, who, scopes, status, said):
    """What is wrong with an answer; empty when all is well."""
    if status >= 500:
        return f"answers {status}"
    if gate.scope not in scopes:
        return "" if status in (403, 404) else f"a token that is not for it gets {status}"
    if allowed(gate, who):
        return f"is kept out ({status})" if status in (401, 403) else ""
    return "" if (status, said) == (404, "missing") else f"answers {status}"


def allowed(gate, who):
    """Whether the role is enough."""
    if gate.action is None or who == "superuser":
        return True
    return who != "stranger" and may(Role(who), gate.action)


def test_who_is_allowed_gets_what_is_there(there, world):
    for name, method, _path, address in operations():
        if method == "GET":
            status, _said = asked(there[2]["admin"][ALL], method, world.path(address), name)
            assert (name, status) == (name, 200)


def test_rows_of_another_project_are_not_found(there, world):
    _world, elsewhere, programs = there
    for name, method, _path, address in operations():
        theirs = address.parts - {"project_id", "action"}
        if theirs:
            parts = elsewhere.parts | {"project_id": world.project.pk}
            assert (name, *asked(programs["admin"][ALL], method, address.of(parts), name)) == (
                name, 404, "missing",
            )  # fmt: skip


def test_no_other_method_is_answered(there, world):
    by_path = {}
    for _name, method, path, address in operations():
        by_path.setdefault(path, (address, set()))[1].add(method)
    for address, allowed_methods in by_path.values():
        for method in set(METHODS) - allowed_methods:
            answer = there[2]["admin"][ALL].ask(method, world.path(address).removeprefix(ROOT))
            assert (address.name, method, answer.status_code) == (address.name, method, 405)


def test_whoever_lost_their_role_is_out_at_once(there, world):
    person = a_user(world.project, Role.RESEARCHER)
    program = Program(make_token(person, name="t", scopes=["read"]))
    path = f"/projects/{world.project.pk}/runs"
    assert program.get(path).status_code == 200
    person.memberships.update(role=Role.ANNOTATOR)
    assert program.get(path).status_code == 404
    person.memberships.all().delete()
    assert program.get(path).status_code == 404


def test_every_action_of_an_operation_is_in_the_table():
    assert {gate.action for gate in OPERATIONS.values()} - {None} <= set(LEAST)
