"""What is logged of a request: one line, as other web servers write it, without secrets."""

import re
from types import SimpleNamespace

import pytest

from webapp.serving.access import entry

TOKEN = "aB3-_x" * 8


def answered(uri="/", **headers):
    """A request that was answered, as the server has it."""
    request = SimpleNamespace(command="GET", request_uri=uri, version="1.1", headers=headers)
    return SimpleNamespace(
        request=request,
        status="410 Gone",
        sent=3,
        content_length=None,
        channel=SimpleNamespace(addr=("127.0.0.1", 5)),
    )


def test_a_line_has_what_other_servers_lines_have():
    said = entry(answered("/p/1/?a=b", USER_AGENT="curl", REFERER="http://a/"))
    assert re.fullmatch(
        r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /p/1/\?a=b HTTP/1\.1" 410 3 "http://a/" "curl"',
        said,
    )


def test_no_token_is_in_it():
    said = entry(answered(f"/join/{TOKEN}/", REFERER=f"https://a.example/setup/{TOKEN}/"))
    assert TOKEN not in said
    assert "GET /join/…/ HTTP/1.1" in said


@pytest.mark.parametrize("sign", ["\x1b", "\n", "\r", "\x85", "\u2028", "\x00"])
def test_what_a_stranger_sends_forges_no_entry(sign):
    said = entry(answered(f"/{sign}", USER_AGENT=f'x" 200 1{sign}'))
    assert sign not in said
    assert said.count("\n") == 0
    assert r'"x\" 200 1?"' in said


def test_what_was_no_request_has_a_line_too():
    asked = answered()
    del asked.request.command, asked.request.request_uri
    assert '"- - HTTP/1.1" 410' in entry(asked)
