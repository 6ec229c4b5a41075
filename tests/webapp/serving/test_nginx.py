"""The guide's nginx before the web program: who came, by what, and what its logs must not have."""

import httpx
import pytest

from tests import nginx
from tests.webapp.serving.conftest import until

TOKEN = "aB3-_x" * 8


@pytest.fixture
def proxy(web, tmp_path):
    with nginx.before(tmp_path, web.port) as proxy:
        yield proxy


@pytest.fixture
def browser(proxy):
    headers = {"Host": f"{nginx.NAME}:{proxy.secure}"}
    url = f"https://127.0.0.1:{proxy.secure}"
    with httpx.Client(base_url=url, headers=headers, verify=False, trust_env=False) as browser:
        yield browser


def test_the_application_is_told_who_came_and_by_what(web, browser, proxy):
    browser.get("/p/1/", headers={"X-Forwarded-For": "forged", "X-Forwarded-Proto": "http"})
    seen = web.seen[0]
    assert seen["wsgi.url_scheme"] == "https"
    assert seen["HTTP_X_FORWARDED_FOR"] == "forged, 127.0.0.1"
    assert seen["HTTP_HOST"] == f"{nginx.NAME}:{proxy.secure}"
    plain = f"http://127.0.0.1:{proxy.plain}/p/1/?a=b"
    answer = httpx.get(plain, headers={"Host": nginx.NAME}, trust_env=False)
    assert answer.headers["Location"] == f"https://{nginx.NAME}/p/1/?a=b"


def test_a_body_comes_whole(web, browser):
    web.limits[""] = 9 << 20
    body = b"x" * (8 << 20)
    assert browser.post("/", content=body).status_code == 200
    assert len(web.seen[0]["body"]) == len(body)


@pytest.mark.parametrize(
    ("written", "purpose"),
    [("/join", "join"), ("/%6aoin", "join"), ("/setup", "setup"), ("/re%73et", "reset")],
)
def test_its_logs_have_no_token(web, browser, proxy, written, purpose):
    path = f"{written}/{TOKEN}/"
    browser.get(path, headers={"Referer": f"https://{nginx.NAME}{path}"})
    web.end()
    assert browser.get(path).status_code == 502  # it has something to complain of
    assert browser.get("/p/1/").status_code == 502
    until(lambda: '"GET /p/1/"' in proxy.logs())  # written once the answer is away
    assert TOKEN not in proxy.logs()
    assert f"/{purpose}/..." in proxy.logs()
    assert "Connection refused" in proxy.logs()


def test_of_one_address_there_are_not_too_many_connections(proxy):
    text = (proxy.folder / "attune.conf").read_text()
    assert "limit_conn attune_addresses" in text
    for timeout in ("client_header_timeout", "client_body_timeout"):
        assert f"{timeout} 20s;" in text
