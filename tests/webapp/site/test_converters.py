"""Numbers in addresses that no row can have lead nowhere, and nothing breaks on them."""

import pytest
from django.urls import NoReverseMatch, Resolver404, get_resolver, resolve, reverse
from django.urls.converters import IntConverter

from tests.webapp.addresses import a_world, addresses, client_with, session_of
from webapp.site.converters import RowConverter

NUMBERS = [
    "0",
    "00",
    "007",
    "9" * 18,
    "9223372036854775807",
    "9223372036854775808",
    "9" * 5000,
    "-1",
    "\u0663",
]


def converters(resolver):
    for entry in resolver.url_patterns:
        yield from entry.pattern.converters.values()
        if hasattr(entry, "url_patterns"):
            yield from converters(entry)


def test_every_number_in_an_address_is_that_of_a_row():
    found = [type(one) for one in converters(get_resolver())]
    assert RowConverter in found
    assert IntConverter not in found


@pytest.mark.parametrize("number", [1, 999_999_999_999_999_999])
def test_what_a_row_can_have_is_an_address(number):
    assert reverse("project", args=[number]) == f"/p/{number}/"


@pytest.mark.parametrize("number", [0, -1, 10**18])
def test_what_no_row_can_have_is_none(number):
    with pytest.raises(NoReverseMatch):
        reverse("project", args=[number])


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("person", ["anonymous", "admin"])
def test_no_number_breaks_an_address(db, var, person):
    world = a_world(var)
    session = session_of(world.people["admin"]) if person == "admin" else None
    client, broken = client_with(session), []
    client.raise_request_exception = False
    numbered = {name for name, value in world.parts.items() if isinstance(value, int)}
    for address in addresses():
        for part in address.parts & numbered:
            marked = world.parts | world.own.get(address.name, {}) | {part: 987654321}
            paths = [address.of(marked).replace("987654321", number) for number in NUMBERS]
            for path in filter(leads_somewhere, paths):
                status = client.get(path).status_code
                broken += [(path, status)] if status not in (302, 401, 404, 405) else []
    assert broken == []


def leads_somewhere(path):
    """Whether a view is asked: else the answer is the same for all."""
    try:
        return bool(resolve(path))
    except Resolver404:
        return False


@pytest.mark.parametrize("number", NUMBERS)
def test_where_no_row_can_be_there_is_no_page(number, client, admin_user):
    client.force_login(admin_user)
    assert client.get(f"/p/{number}/").status_code == 404
    assert leads_somewhere(f"/p/{number}/") == (number == "9" * 18)
