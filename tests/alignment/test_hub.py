"""Models of the Hub: a Hub of our own on this machine answers like the real one."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from alignment.kinds.bring.hub import chosen
from alignment.kinds.bring.settings import ImportConfig
from alignment.kinds.spec import RunSpec
from alignment.seam.errors import DataError
from alignment.seam.events import PhaseProgressed, PhaseStarted
from alignment.seam.folders import file_sha256
from alignment.trainer import drive
from tests.cases import cases

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The four requests that fetching a model makes."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.headers_seen.append(dict(self.headers))
        parts = unquote(self.path).split("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "models", "owner", "tiny"] and len(parts) > 5:
            self.describe(*parts[4:6])
        elif parts[:3] == ["owner", "tiny", "resolve"] and parts[3] == COMMIT:
            self.send_file(parts[4])
        else:
            self.refuse("RepoNotFound", 404)

    def do_HEAD(self):
        self.do_GET()

    def describe(self, what, revision):
        if revision not in ("main", COMMIT):
            self.refuse("RevisionNotFound", 404)
        elif what == "tree":
            self.answer(
                [
                    {"type": "file", "path": name, "oid": "0" * 40, "size": len(content)}
                    for name, content in self.server.files.items()
                ]
            )
        else:
            siblings = [{"rfilename": n, "size": len(c)} for n, c in self.server.files.items()]
            self.answer({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings})

    def send_file(self, name):
        self.server.gate.wait()
        content = self.server.files[name]
        tag = hashlib.sha256(content).hexdigest()
        self.answer(content, ETag=f'"{tag}"', **{"X-Repo-Commit": COMMIT})

    def refuse(self, code, status):
        self.answer({"error": code}, status=status, **{"X-Error-Code": code})

    def answer(self, body, status=200, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        """Tests are quiet."""


@pytest.fixture
def hub(policy_folder, monkeypatch, tmp_path):
    """A Hub with one model, which also has pickled weights and code."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files = {path.name: path.read_bytes() for path in policy_folder.iterdir()}
    server.files |= {
        "pytorch_model.bin": b"pickle",
        "modeling_own.py": b"import os",
        "README.md": b"#",
    }
    server.asked, server.headers_seen, server.gate = [], [], threading.Event()
    server.gate.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # as the trainer is started
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def add(tmp_path):
    def run(**settings):
        config = {"source": "hub", "name": "owner/tiny"} | settings
        folder = tmp_path / "run"
        folder.mkdir()
        return list(drive(RunSpec(kind="import", run=1, epoch=1, config=config), folder))

    return run


def test_a_branch_is_fetched_and_its_commit_kept(hub, add, policy_folder, tmp_path):
    summary = add()[-1].summary
    assert (summary["hub_name"], summary["revision"]) == ("owner/tiny", COMMIT)
    kept = tmp_path / "run" / "output"
    assert sum("main" in path for path in hub.asked) == 1  # a branch may move meanwhile
    name = "model.safetensors"
    assert file_sha256(kept / name) == file_sha256(policy_folder / name)


def test_neither_pickles_nor_code_nor_a_token_cross_the_wire(hub, add):
    add(revision=COMMIT)
    fetched = " ".join(path for path in hub.asked if "/resolve/" in path)
    assert "model.safetensors" in fetched
    assert not any(name in fetched for name in ("pytorch_model.bin", "modeling_own", "README"))
    assert not any("authorization" in map(str.lower, headers) for headers in hub.headers_seen)


@pytest.mark.slow
def test_what_has_come_is_told_while_it_comes(hub, add):
    events = add()
    phases = [event.name for event in events if isinstance(event, PhaseStarted)]
    assert phases[0] == "asking the Hub"
    told = [event for event in events if isinstance(event, PhaseProgressed)]
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert "fetching" not in phases or (told[-1].done, told[-1].unit) == (told[-1].total, "MB")


def test_a_wish_to_stop_ends_the_fetching(hub, tmp_path):
    hub.gate.clear()  # no file ever comes
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"source": "hub", "name": "owner/tiny"}
    events = drive(RunSpec(kind="import", run=1, epoch=1, config=config), folder)
    assert next(events).type == "ready"
    (folder / "control.json").write_text('{"stop": "now"}')
    assert [event.type for event in events][-1] == "stopped"
    assert not (folder / "incoming").exists()


@cases(("changes", "words"), [
    ({"name": "owner/other"}, "no public model called owner/other"),
    ({"revision": "v9"}, "has no revision v9"),
    ({"limit_gib": 1e-6}, "GB are allowed here"),
])  # fmt: skip
def test_what_cannot_be_had_is_said_in_words(hub, add, changes, words):
    with pytest.raises(DataError, match=words):
        add(**changes)


def test_without_a_network_the_other_ways_are_named(hub, add, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="cannot be reached from the worker"):
        add()


def test_a_hub_that_is_switched_off_is_not_asked(hub, add, monkeypatch):
    monkeypatch.setenv("ATTUNE_HUB", "0")
    with pytest.raises(DataError, match="switched off"):
        add()
    assert hub.asked == []


def test_a_model_without_safetensors_is_refused():
    with pytest.raises(DataError, match="no safetensors"):
        chosen(["config.json", "pytorch_model.bin"])


def test_files_below_the_top_and_in_other_layouts_are_not_fetched():
    names = ["model.safetensors", "consolidated.safetensors", "onnx/config.json", "config.json"]
    assert chosen(names) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["owner/model", "gpt2", "A-b_c.1/x"])
def test_a_name_on_the_hub_is_taken(name):
    assert ImportConfig(source="hub", name=name).name == name


@pytest.mark.parametrize("name", ["", "../x", "a/b/c", "-x", "a b", "https://hub/x", "x\n"])
def test_another_name_is_not(name):
    with pytest.raises(ValueError, match="not a name on the Hub"):
        ImportConfig(source="hub", name=name)
