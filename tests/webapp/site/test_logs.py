"""No log holds the token of a one-time link."""

import logging

import pytest
from django.conf import settings
from django.urls import reverse

from webapp.site.logs import PlainFormatter, without_tokens

TOKEN = "aB3-_x" * 8


@pytest.mark.parametrize("name", ["accounts:setup", "accounts:invitation", "accounts:reset"])
@pytest.mark.parametrize(
    "line",
    [
        "{}", "GET {} HTTP/1.1", "https://attune.example{}", "Gone: {}", "{}?next=/p/1/", '"{}" 200 "-"',
        "GET //x/..{} HTTP/1.1", "first\nsecond {}\nthird",
    ],
)  # fmt: skip
def test_a_link_is_cut_after_its_purpose(name, line):
    path = reverse(name, args=[TOKEN])
    said = without_tokens(line.format(path))
    assert TOKEN not in said
    assert said == line.format(path.replace(TOKEN, "…"))


@pytest.mark.parametrize("letter", [1, 2, 3])
def test_an_address_that_is_written_otherwise_is_cut_too(letter):
    path = reverse("accounts:invitation", args=[TOKEN])
    coded = f"{path[:letter]}%{ord(path[letter]):02x}{path[letter + 1 :]}%0a%1b[2J"
    said = without_tokens(f"GET {coded} HTTP/1.1")
    assert TOKEN not in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "line", ["GET /p/1/label/ HTTP/1.1", "/p/1/members/reset/", "100% of /join", ""]
)
def test_other_lines_stay_as_they_are(line):
    assert without_tokens(line) == line


def test_refused_requests_and_tracebacks_are_written_without_them():
    given = settings.LOGGING["formatters"]["plain"]
    assert given["()"] == f"{PlainFormatter.__module__}.{PlainFormatter.__name__}"
    writer = PlainFormatter(given["format"], style=given["style"])
    try:
        raise ValueError(f"/reset/{TOKEN}/")
    except ValueError as error:
        found = (type(error), error, error.__traceback__)
        record = logging.LogRecord("django", 30, "", 1, "Gone: %s", (f"/reset/{TOKEN}/",), found)
    said = writer.format(record)
    assert "Traceback" in said
    assert TOKEN not in said
