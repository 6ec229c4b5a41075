"""The client of one file, against a real server and against one that has bad days."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from subprocess import run

import pytest

from tests.factories import a_project, a_user, some_prompts
from webapp.accounts.roles import Role
from webapp.api import attune_client
from webapp.api.attune_client import ApiError, Client
from webapp.api.scopes import Scope
from webapp.api.tokens import make_token
from webapp.jobs.execution import claim, execute
from webapp.jobs.models import Job, State
from webapp.projects.models import Project, Prompt

pytestmark = pytest.mark.once


def work(_seconds=0.0):
    """What a worker does while the client waits."""
    for job in Job.objects.filter(state=State.QUEUED):
        execute(claim(job.pk))


@pytest.fixture
def client(live_server):
    person = a_user(a_project(), Role.ADMIN)
    return Client(live_server.url, make_token(person, name="c", scopes=list(Scope)), wait=work)


def test_a_program_does_all_of_it_by_the_client(client, tmp_path):
    (project,) = client.list("projects")
    at = f"projects/{project['id']}"
    some_prompts(Project.objects.get(), 5)
    assert len(list(client.list(f"{at}/prompts", limit=2))) == 5
    turns = [{"role": "user", "content": "Why?"}]
    for _ in range(2):
        made = client.post(f"{at}/prompts", {"prompts": [{"messages": turns}]}, key="one")
        assert made == {"sent": 1, "added": 1}
    assert Prompt.objects.count() == 6
    with pytest.raises(ApiError, match="wrong") as refused:
        client.get(f"{at}/prompts", limit=0)
    assert (refused.value.status, refused.value.kind) == (422, "invalid")
    assert list(refused.value.fields) == ["limit"]
    rows = [{"prompt": "é?", "chosen": "Yes.", "rejected": "No."}, {"prompt": ""}]
    file = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    looked = client.upload(f"{at}/imports", 'a"\r\nb.jsonl', file, format="guess")
    seen = client.follow(f"{at}/jobs/{looked['id']}")
    assert (seen["state"], seen["result"]["refused"]) == ("done", 1)
    to = tmp_path / "bad.txt"
    assert client.download(f"{at}/jobs/{looked['id']}/file", str(to)) == to.stat().st_size > 0
    chosen = {"become": "prompts", "leave_out": True}
    taken = client.post(f"{at}/imports/{looked['id']}/take", {"options": chosen})
    assert client.follow(f"{at}/jobs/{taken['id']}")["state"] == "done"
    assert Prompt.objects.count() == 7
    assert client.post(f"{at}/tasks/next") == {"card": None}


@pytest.fixture
def moody():
    """A server that answers as it is told, and remembers what it was asked."""
    server = HTTPServer(("127.0.0.1", 0), Moody)
    server.answers, server.asked = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Moody(BaseHTTPRequestHandler):
    """Answers with the next status, its headers and its words."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, words = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": len(words), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(words)

    do_GET = do_POST  # noqa: N815 - as http.server calls it

    def log_message(self, *_):
        """Nothing."""


def asking(moody, *answers, **options):
    """A client of it, and how long it has waited each time."""
    moody.answers += answers
    waited = []
    url = f"http://127.0.0.1:{moody.server_port}"
    return Client(url, "attune_x", wait=waited.append, **options), waited


BUSY = 409, {"Retry-After": "1"}, b'{"error": "Wait.", "kind": "busy", "fields": {}}'
GOOD = 200, {}, b'{"good": true}'


def test_what_is_refused_for_a_while_is_sent_again_under_the_same_key(moody):
    client, waited = asking(
        moody, (503, {"Retry-After": "7"}, b"away"), (429, {}, b"{}"), BUSY, GOOD
    )
    assert client.post("anything") == {"good": True}
    assert waited == [7.0, 2.0, 1.0]
    assert len({headers["Idempotency-Key"] for _path, headers in moody.asked}) == 1
    assert len(moody.asked) == 4


def test_what_is_refused_for_good_is_told_at_once(moody):
    client, waited = asking(
        moody, (409, {}, b'{"error": "Over.", "kind": "refused", "fields": {}}')
    )
    with pytest.raises(ApiError, match=r"^Over\.$"):
        client.post("anything")
    assert waited == []


def test_it_gives_up_after_its_tries(moody):
    client, waited = asking(moody, *[(503, {}, b"<html>")] * 3, tries=3)
    with pytest.raises(ApiError, match="answers 503") as refused:
        client.get("anything")
    assert (len(waited), refused.value.kind) == (2, "")


def test_a_server_that_is_away_is_asked_again(moody):
    client, waited = asking(moody, tries=2)
    client.root = "http://127.0.0.1:9/api/v1/"
    with pytest.raises(OSError, match="refused"):
        client.get("anything")
    assert len(waited) == 1


def test_a_token_is_not_sent_where_a_server_points(moody):
    elsewhere = {"Location": f"http://127.0.0.1:{moody.server_port}/else"}
    client, _waited = asking(moody, (302, elsewhere, b""), GOOD)
    with pytest.raises(ApiError, match="answers 302"):
        client.get("anything")
    assert len(moody.asked) == 1


def test_an_address_is_one_of_the_web():
    with pytest.raises(ValueError, match="https://"):
        Client("file:///etc", "attune_x")


def test_it_needs_nothing_but_python():
    """Alone, isolated from all that is installed."""
    code = f"exec(open({attune_client.__file__!r}).read()); print(Client('http://x', 't').root)"
    done = run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "http://x/api/v1/\n"
