"""Secrets planted wherever one may be: the whole stack and a real run leave them nowhere."""

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest
from django.conf import settings

from tests import postgres
from tests.webapp.machine.test_stack import started
from webapp.operations import stack

pytestmark = [pytest.mark.once, pytest.mark.stack, pytest.mark.prove, pytest.mark.timeout(600)]
VARIABLES = (
    "ATTUNE_SECRET_KEY", "ATTUNE_GENERATION_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SSH_AUTH_SOCK", "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY", "OPENAI_API_KEY", "GITHUB_TOKEN", "PGPASSWORD",
    "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_SECRET", "EMAIL_HOST_PASSWORD", "SENTRY_DSN",
)  # fmt: skip
# A model, and a run that answers prompts by it, in the stack's own database.
RUN = """
from pathlib import Path
from tempfile import mkdtemp
from tests.factories import a_run
from tests.labs import a_lab
from tests.tiny import SHORT, stored_models
lab = a_lab()
models = stored_models(lab, Path(mkdtemp()))
run = a_run(lab, "generate", {"prompts": 5} | SHORT, inputs={"policy": models["policy"]})
"""
STATE = (
    "from webapp.runs.models import Run; print(Run.objects.get().state, Run.objects.get().message)"
)
READS = "import os, sys; os.setuid(65534); os.listdir(sys.argv[1]) if os.path.isdir(sys.argv[1]) else open(sys.argv[1])"
PATIENCE = 240  # seconds


def canary(name):
    """A secret that says where it was planted."""
    return f"canary-{name.lower().replace('_', '-')}-{secrets.token_hex(8)}"


@pytest.fixture
def var():
    """Below a folder that everybody may enter, which those of pytest are not."""
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "var"
        folder.mkdir()
        yield folder


@pytest.fixture
def planted(tmp_path):
    """Each variable that may hold a secret with one in it, and servers that ask for theirs."""
    found = {name: canary(name) for name in VARIABLES}
    for name in ("HTTPS_PROXY", "HF_ENDPOINT", "MLFLOW_TRACKING_URI"):
        found[name] = f"http://me:{canary(name)}@127.0.0.1:9/"
    command = stack.broker_command()
    command[command.index("--unixsocket") + 1] = str(tmp_path / "own.sock")
    password = canary("redis")
    (tmp_path / "redis.conf").write_text(f"requirepass {password}\n")
    command.insert(1, str(tmp_path / "redis.conf"))
    broker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    found["REDIS_URL"] = f"redis+socket://:{password}@{tmp_path}/own.sock?virtual_host=0"
    try:
        if postgres.binaries() is None:
            pytest.skip(f"PostgreSQL: {postgres.NOT_INSTALLED}")
        with postgres.server() as server:
            found["DATABASE_URL"] = server.url.replace("attune:@", f"attune:{canary('database')}@")
            yield found
    finally:
        broker.kill()
        broker.wait()


def manage(var, environment, code):
    """What a script said in the stack's own environment."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", code],
        cwd=settings.BASE_DIR,
        env=os.environ | environment | {"ATTUNE_VAR": str(var)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.split()


def token_of(client):
    """The form's, of a cookie that is named by an installation with a key of its own."""
    return next(value for name, value in client.cookies.items() if name.startswith("csrf_"))


def become_admin(url, link):
    """By the link, with a password; then fail to sign in with another one. Both, and the link's token."""
    typed = [canary("password"), canary("wrong-password")]
    with httpx.Client(base_url=url, follow_redirects=True, trust_env=False, timeout=60) as client:
        page = client.get(link)
        words = {"username": "ada", "password1": typed[0], "password2": typed[0]}
        token = token_of(client)
        made = client.post(page.url, data=words | {"csrfmiddlewaretoken": token})
        assert made.status_code == 200
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        client.get("/accounts/login/")
        words = {"login": "ada", "password": typed[1]}
        token = {"csrfmiddlewaretoken": token_of(client)}
        headers = {"Authorization": f"Bearer {canary('bearer')}"}
        client.post("/accounts/login/", data=words | token, headers=headers)
    return [*typed, link.split("/")[4]]


def processes(run):
    """The command lines of all its programs, and the environments of its trainers and of the spare."""
    lines, environments = [], []
    for one in psutil.Process(run.process.pid).children(recursive=True):
        try:
            line = one.cmdline()
            lines.append(" ".join(line))
            if "alignment" in line and {"run", "spare"} & set(line):
                environments.append(str(one.environ()))
        except psutil.Error:
            continue
    return lines, environments


def watched(run, var, environment):
    """The command lines and environments that were there until the run was over."""
    lines, environments = set(), set()
    end, state = time.monotonic() + PATIENCE, ""
    asked = 0.0
    while state not in ("succeeded", "failed"):
        assert time.monotonic() < end, state
        if time.monotonic() > asked + 10:
            state, asked = manage(var, environment, STATE)[0], time.monotonic()
        found = processes(run)
        lines.update(found[0])
        environments.update(found[1])
    assert state == "succeeded", manage(var, environment, STATE)
    return lines, environments


def test_secrets_are_nowhere_but_where_they_belong(var, planted):
    port = stack.free_port()
    with started(var, "--port", str(port), ATTUNE_SPARE="1", **planted) as run:
        run.until("(the link works once)")
        link = run.said().split("(the link works once): ")[1].split()[0]
        typed = become_admin(f"http://127.0.0.1:{port}", link)
        manage(var, planted, RUN)
        lines, environments = watched(run, var, planted)
        closed = [path for path in (var, *var.iterdir()) if path.name != "out.txt"]
        readable = [path for path in closed if os.geteuid() == 0 and others_may_read(path)]
    (var / "out.txt").unlink()  # where the link is told to whoever started it
    every = [part for value in planted.values() for part in value.split("@")[0].split(":")[-1:]]
    assert all(one.startswith("canary") for one in every)
    written = {path: path.read_bytes() for path in var.rglob("*") if path.is_file()}
    assert {path.name for path in written} >= {
        "web.log",
        "worker.log",
        "events.jsonl",
        "stdout.log",
        "config.json",
    }
    leaks = [
        (one, where)
        for one in (*every, *typed)
        for where, text in [*written.items(), *((line, line.encode()) for line in lines)]
        if one.encode() in text
    ]
    assert leaks == []
    assert environments
    assert [one for one in (*every, *typed) for told in environments if one in told] == []
    assert readable == []


def others_may_read(path):
    """Whether another user of the machine may list or read it."""
    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", READS, path], capture_output=True, check=False
    )
    return not asked.returncode
