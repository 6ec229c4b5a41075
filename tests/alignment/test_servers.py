"""Completions of a real server on this machine that speaks OpenAI's protocol, well or badly."""

import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from alignment.__main__ import run
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.spec import RunSpec
from alignment.sampling.servers import ALLOWED, RETRIES, check_allowed
from alignment.seam.errors import ConfigError
from alignment.seam.events import Failed, parse_event
from alignment.seam.handing import KEY
from alignment.seam.records import CompletionRecord, read_jsonl, write_jsonl
from tests.alignment.test_loop import records

SECRET = "sk-not-to-be-seen"
NOW = {"Retry-After-Ms": "1", "Content-Type": "application/json"}


class Chat(BaseHTTPRequestHandler):
    """Answers with the status, headers and body that the server's `reply` makes of a request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((self.path, self.headers["Authorization"], body))
            status, headers, reply = self.server.reply(body, len(self.server.asked))
        content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Quiet."""


@contextmanager
def served(reply):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    server.reply, server.asked, server.lock = reply, [], threading.Lock()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(text, *, logps=None, reason="stop", tokens=3):
    """A chat completion, as the protocol has it."""
    told = None if logps is None else {"content": [{"token": "x", "logprob": lp} for lp in logps]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": told}
    return {
        "id": "1",
        "object": "chat.completion",
        "choices": [choice | {"finish_reason": reason}],
        "usage": {"completion_tokens": tokens, "prompt_tokens": 5, "total_tokens": 8},
    }


def fine(body, number):
    return 200, NOW, said(f" {body['messages'][-1]['content']} {body['seed']}", logps=[-0.5, -0.25])


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """Run `generate` against a server; its status, last event, completions and requests."""

    def answered(reply, **settings):
        write_jsonl(tmp_path / "prompts.jsonl", records(3))
        with served(reply) as server:
            host = f"127.0.0.1:{server.server_port}"
            monkeypatch.setenv(ALLOWED, f"{os.environ.get(ALLOWED, '')}, {host}")
            monkeypatch.setenv(KEY, SECRET)
            config = {"engine": "server", "server_url": f"http://{host}/v1", "server_model": "big"}
            inputs = {"prompts": "prompts.jsonl"}
            spec = RunSpec(
                kind="generate", run=1, epoch=1, seed=2, config=config | settings, inputs=inputs
            )
            (tmp_path / "config.json").write_text(spec.model_dump_json())
            status = run(tmp_path)
        last = parse_event((tmp_path / "events.jsonl").read_bytes().splitlines()[-1])
        path = tmp_path / "output" / "completions.jsonl"
        made = list(read_jsonl(path, CompletionRecord)) if path.exists() else []
        return status, last, made, server.asked

    return answered


@pytest.mark.parametrize(
    "address",
    ["https://me:canary@models/v1", "https://models/v1?key=canary", "https://models/v1#canary"],
)
def test_an_address_with_a_secret_in_it_is_no_setting(address):
    with pytest.raises(ValueError, match="without a name, password or key") as refused:
        GenerateConfig(engine="server", server_model="big", server_url=address)
    assert "canary" not in str(refused.value.errors()[0]["msg"])


def test_completions_come_with_the_log_probabilities_that_a_server_tells(answered):
    stops = r"\n\n|User:"
    status, last, made, asked = answered(
        fine, temperature=0.7, max_new_tokens=9, stop_strings=stops
    )
    assert status == 0
    assert last.summary["logps/known"] == 1
    assert [record.prompt_key for record in made[::2]] == [prompt.key for prompt in records(3)]
    assert {record.logps for record in made} == {-0.75}
    assert made[0].text.startswith(" good good ")
    assert (made[0].tokens, made[0].truncated) == (3, False)
    assert len({record.text for record in made}) == len(made) == 6
    path, key, body = asked[0]
    assert (path, key) == ("/v1/chat/completions", f"Bearer {SECRET}")
    expected = {"model": "big", "temperature": 0.7, "max_tokens": 9, "logprobs": True}
    assert expected.items() <= body.items()
    assert body["stop"] == ["\n\n", "User:"]
    assert body["messages"] == [{"role": "user", "content": body["messages"][0]["content"]}]


def test_a_server_need_not_tell_log_probabilities(answered):
    texts = iter(range(99))
    reply = lambda body, number: (200, NOW, said(f"a {next(texts)}", reason="length"))  # noqa: E731
    _, last, made, _ = answered(reply)
    assert {record.logps for record in made} == {None}
    assert {record.truncated for record in made} == {True}
    assert last.summary["logps/known"] == 0


def test_a_server_may_refuse_to_tell_them(answered):
    def reply(body, number):
        if "logprobs" in body:
            return 400, NOW, {"error": {"message": "logprobs are not supported"}}
        return 200, NOW, said(f"a {number}", tokens=1)

    status, _, made, _ = answered(reply)
    assert (status, len(made)) == (0, 6)
    assert {(record.logps, record.tokens) for record in made} == {(None, 1)}


@pytest.mark.parametrize("code", [429, 500])
def test_a_busy_server_is_asked_again(answered, code):
    def reply(body, number):
        return fine(body, number) if number > 4 else (code, NOW, {"error": {"message": "busy"}})

    status, _, made, asked = answered(reply)
    assert (status, len(made), len(asked)) == (0, 6, 10)


def test_a_server_that_stays_busy_is_given_up(answered, tmp_path):
    reply = lambda body, number: (500, NOW, {"error": {"message": "busy"}})  # noqa: E731
    status, last, made, asked = answered(reply, prompts=1)
    assert (status, last.code, made) == (3, "server", [])
    assert "refused with Error code: 500" in last.message
    assert len(asked) == 2 * (1 + RETRIES)
    assert not (tmp_path / "output").exists()


GARBAGE = {
    "no JSON": b"<html>Welcome</html>",
    "no choices": said("a") | {"choices": []},
    "another shape": {"choices": [{"text": "a"}]},
    "a probability above one": said("a", logps=[0.5]),
    "no number": b'{"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"logprob": NaN}]}}]}',
}  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused(answered, garbage):
    _, last, made, _ = answered(lambda body, number: (200, NOW, GARBAGE[garbage]))
    assert (last.code, made) == ("server", [])
    assert "is no chat completion" in last.message


@pytest.mark.parametrize("code", [401, 404])
def test_a_refusal_says_what_to_check_and_never_the_key(answered, tmp_path, capfd, code):
    reply = lambda body, number: (code, NOW, {"error": {"message": f"not with {SECRET}"}})  # noqa: E731
    _, last, _, asked = answered(reply)
    assert isinstance(last, Failed)
    assert {401: KEY, 404: "the name of the model"}[code] in last.message
    assert {key for _, key, _ in asked} == {f"Bearer {SECRET}"}
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in [*written, *capfd.readouterr()] if SECRET in text]


def test_a_redirect_is_not_followed(answered):
    with served(fine) as inside:
        where = {"Location": f"http://127.0.0.1:{inside.server_port}/v1/chat/completions"}
        _, last, _, _ = answered(lambda body, number: (307, NOW | where, {}))
        assert (last.code, inside.asked) == ("server", [])


def test_nobody_there_is_said(tmp_path, monkeypatch, answered):
    with served(fine) as gone:
        host = f"127.0.0.1:{gone.server_port}"
    monkeypatch.setattr("alignment.sampling.servers.RETRIES", 0)
    monkeypatch.setenv(ALLOWED, host)
    _, last, _, _ = answered(fine, server_url=f"http://{host}/v1")
    assert last.message == f"{host} could not be reached; try again later."


REFUSED = [
    "http://other:8000/v1", "http://models:9/v1", "http://models/v1", "https://models.evil/v1",
    "http://models:8000@other/v1", "http://other#models:8000", "http://other\\@models:8000/v1",
    "ftp://models:8000/v1", "models:8000", "http://models:8000/v1?to=other", "http://169.254.169.254/",
    "http://[::1]:8000/v1", "file:///etc/passwd", "http://models:8000/\nv1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_only_listed_hosts_are_asked(address, monkeypatch):
    monkeypatch.setenv(ALLOWED, "http://models:8000, [::1]")
    assert check_allowed("http://models:8000/v1") == "models:8000"
    assert check_allowed("https://[::1]/v1") == "[::1]"
    with pytest.raises(ConfigError, match="is not"):
        check_allowed(address)


@pytest.mark.parametrize(
    ("listed", "address", "asked"),
    [
        ("api.openai.com", "https://api.openai.com/v1", True),
        ("api.openai.com", "http://api.openai.com/v1", False),
        ("https://api.openai.com", "https://api.openai.com/v1", True),
        ("https://api.openai.com", "http://api.openai.com/v1", False),
        ("HTTP://models.lan:8000", "http://models.lan:8000/v1", True),
        ("http://models.lan:8000", "https://models.lan:8000/v1", True),
        ("http://models.lan:8000, other.lan", "http://other.lan/v1", False),
        ("localhost:8000, 127.0.0.1:1, [::1]", "http://localhost:8000/v1", True),
        ("localhost:8000, 127.0.0.1:1, [::1]", "http://127.0.0.1:1/v1", True),
        ("localhost.evil.example", "http://localhost.evil.example/v1", False),
    ],
)
def test_a_key_goes_in_clear_text_only_where_an_admin_wrote_so(monkeypatch, listed, address, asked):
    monkeypatch.setenv(ALLOWED, listed)
    if asked:
        assert check_allowed(address)
    else:
        with pytest.raises(ConfigError, match="by https:// alone"):
            check_allowed(address)


def test_without_a_list_nobody_is_asked(monkeypatch):
    monkeypatch.delenv(ALLOWED, raising=False)
    with pytest.raises(ConfigError, match=ALLOWED):
        check_allowed("http://localhost:8000/v1")


def test_a_server_needs_an_address_and_a_model():
    with pytest.raises(ValidationError, match="an address and the name of a model"):
        GenerateConfig(engine="server", server_url="http://models:8000/v1")
    with pytest.raises(ValidationError, match="an address and the name of a model"):
        GenerateConfig(engine="server", server_model="big")
