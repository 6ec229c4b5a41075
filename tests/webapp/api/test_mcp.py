"""The API for models: driven by the protocol's official client, and by messages that no client would send."""

import json
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx2
import pytest

from tests.factories import a_project, a_user, some_labels, some_tasks
from tests.webapp.addresses import client_with, session_of
from tests.webapp.api.operations import OPERATIONS
from webapp.accounts.roles import Role
from webapp.api.mcp import MODERN, SHAKEN
from webapp.api.scopes import Scope
from webapp.api.tokens import make_token
from webapp.api.tools import all_tools
from webapp.audit.models import AuditEntry
from webapp.datasets.models import Snapshot
from webapp.jobs.models import Job

pytestmark = pytest.mark.once

# What takes or answers a file, which no model has.
NO_TOOLS = {"upload_file", "download_file"}


def driven(url, token, act, mode="auto"):
    """What comes of an act of the official client."""
    from mcp import Client  # noqa: PLC0415 - seconds for who drives it, and nobody else
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

    async def drive():
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers) as wire,
            Client(streamable_http_client(f"{url}/mcp", http_client=wire), mode=mode) as client,
        ):
            return await act(client)

    with ThreadPoolExecutor(1) as apart:  # browser tests leave a loop running in this thread
        return apart.submit(anyio.run, drive).result()


def token_of(project, role, *scopes):
    person = a_user(project, role)
    return make_token(person, name="model", scopes=list(scopes or Scope))


async def freeze_of(client, project):
    return await client.call_tool("freeze_snapshot", {"project_id": project.pk})


def test_the_official_client_lists_reads_and_freezes(live_server):
    """By the newest revision, and by the handshake of those before it."""
    project = a_project()
    some_labels(some_tasks(project, 2))
    token = token_of(project, Role.RESEARCHER)

    async def work(client):
        tools = {tool.name for tool in (await client.list_tools()).tools}
        read = await client.call_tool("get_project", {"project_id": project.pk})
        frozen = await freeze_of(client, project)
        (there,) = (await client.list_resources()).resources
        text = (await client.read_resource(str(there.uri))).contents[0].text
        templates = (await client.list_resource_templates()).resource_templates
        return tools, read, frozen, json.loads(text), [one.uri_template for one in templates]

    for mode in ("auto", "legacy"):
        tools, read, frozen, seen, templates = driven(live_server.url, token, work, mode)
        assert tools == OPERATIONS.keys() - NO_TOOLS
        assert (read.is_error, read.structured_content["name"]) == (False, project.name)
        assert json.loads(frozen.content[0].text)["number"] == 1
        assert seen == read.structured_content
        assert "attune:///projects/{project_id}/runs/{run_id}" in templates
    assert Snapshot.objects.get().labels == 2
    entry = AuditEntry.objects.get(act="snapshot.frozen")
    assert (entry.via, entry.project_id) == ("model", project.pk)


def test_the_official_client_is_refused_by_role_scope_and_token(live_server):
    project = a_project()
    annotator = token_of(project, Role.ANNOTATOR)
    reader = token_of(project, Role.RESEARCHER, Scope.READ)

    from mcp import MCPError  # noqa: PLC0415

    async def act(client):
        with pytest.raises(MCPError, match="nothing here"):
            await client.read_resource(f"attune:///projects/{project.pk + 1}")
        with pytest.raises(MCPError, match="no tool"):
            await client.call_tool("explode", {})
        return await freeze_of(client, project)

    refused = [driven(live_server.url, one, act) for one in (annotator, reader)]
    assert [one.is_error for one in refused] == [True, True]
    assert [one.structured_content["kind"] for one in refused] == ["missing", "scope"]
    with pytest.raises(BaseExceptionGroup):
        driven(live_server.url, "attune_wrong", act)


@pytest.fixture
def ask(project):
    """A message of an admin's program, and what came of it."""
    token = token_of(project, Role.ADMIN)
    client = client_with(None)

    def ask(method, params=None, **headers):
        sent = {"jsonrpc": "2.0", "id": 1, "method": method} | (
            {"params": params} if params else {}
        )
        return send(client, json.dumps(sent), token, **headers)

    ask.token, ask.client = token, client
    return ask


def send(client, text, token, **headers):
    told = {"Authorization": f"Bearer {token}"} if token else {}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/mcp", text, content_type="application/json", headers=told)


def call(ask, name, **given):
    """What a tool answers, and whether it is a refusal."""
    result = ask("tools/call", {"name": name, "arguments": given}).json()["result"]
    return result["isError"], result.get("structuredContent")


def test_every_tool_is_called_by_what_its_schema_says(project):
    for tool in all_tools().values():
        assert tool.schema["required"][: len(tool.places)] == tool.places
        assert "#/components/" not in json.dumps(tool.schema)
        assert tool.words
        names = [*tool.places, *tool.query]
        assert len(set(names)) == len(names) <= len(tool.schema["properties"])


@pytest.mark.twice
def test_what_is_sent_goes_into_address_query_and_body(project, ask):
    turn = {"role": "user", "content": "Why?"}
    made = call(ask, "add_prompts", project_id=project.pk, prompts=[{"messages": [turn]}])
    assert made == (False, {"sent": 1, "added": 1})
    split = project.prompts.get().split
    failed, found = call(ask, "list_prompts", project_id=project.pk, split=split, limit=1)
    assert (failed, found["items"][0]["messages"]) == (False, [turn])
    assert call(ask, "list_prompts", project_id=project.pk, split="none of ours")[1]["items"] == []


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("list_prompts", {"project_id": "1/runs"}, "invalid"),
        ("list_prompts", {"project_id": "x"}, "invalid"),
        ("list_prompts", {"project_id": None}, None),
        ("list_prompts", {"colour": "red"}, "invalid"),
        ("add_prompts", {"colour": "red"}, "invalid"),
        ("act_on_run", {"run_id": 1, "action": "../../../projects"}, "missing"),
        ("get_run", {"run_id": 1}, "missing"),
    ],
)
def test_what_is_wrong_is_refused_as_by_the_api(project, ask, name, given, kind):
    answer = ask("tools/call", {"name": name, "arguments": {"project_id": project.pk} | given})
    if kind is None:
        assert answer.json()["error"]["code"] == -32602
    else:
        result = answer.json()["result"]
        assert (result["isError"], result["structuredContent"]["kind"]) == (True, kind)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -32700), ("{", -32700), ("[" * 100_000, -32700), ("\ufeff", -32700), ("[]", -32600),
        ("1", -32600), ('{"id": 1, "method": "ping"}', -32600), ('{"jsonrpc": "2.0", "id": 1, "method": []}', -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "explode"}', -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 1}}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_project", "arguments": [1]}}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "file:///etc/passwd"}}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "attune:///../../p/1"}}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "attune:///projects/1/../2"}}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "attune:///projects/9%2F9"}}', -32602),
        (json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "y" * 3_000_000}}), -32600),
    ],
)  # fmt: skip
def test_what_no_client_would_send_is_an_error_of_the_protocol(ask, text, code):
    answer = send(ask.client, text, ask.token)
    assert answer.json()["error"]["code"] == code
    assert answer.status_code == (404 if code == -32601 else 400)


def test_a_file_is_no_resource(project, ask, var):
    job = Job.objects.create(
        project=project, kind="export", state="done", result={"file": "a.txt"}, key="e"
    )
    job.folder.mkdir(parents=True)
    (job.folder / "a.txt").write_text("a")
    at = f"attune:///projects/{project.pk}/jobs/{job.pk}"
    told = ask("resources/read", {"uri": at}).json()["result"]["contents"][0]["text"]
    assert json.loads(told)["file"] == "a.txt"
    refused = ask("resources/read", {"uri": f"{at}/file"}).json()["error"]
    assert refused["message"].startswith("Nothing is read")


def test_what_waits_for_no_answer_gets_none(ask):
    for text in ({"method": "notifications/initialized"}, {"id": 1, "result": {}}):
        answer = send(ask.client, json.dumps({"jsonrpc": "2.0"} | text), ask.token)
        assert (answer.status_code, answer.content) == (202, b"")


def test_revisions_are_agreed_on(ask):
    for asked, told in ((SHAKEN[-1], SHAKEN[-1]), ("1999-01-01", SHAKEN[0])):
        answer = ask("initialize", {"protocolVersion": asked}).json()["result"]
        assert answer["protocolVersion"] == told
    assert MODERN[0] in ask("server/discover").json()["result"]["supportedVersions"]
    unknown = ask("ping", mcp_protocol_version="1999-01-01")
    assert unknown.json()["error"]["data"]["requested"] == "1999-01-01"
    other = ask("ping", mcp_protocol_version=MODERN[0], mcp_method="tools/list")
    assert other.json()["error"]["code"] == -32020


@pytest.mark.twice
def test_only_a_token_opens_it_and_no_page_of_another_site(ask, project):
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert send(ask.client, ping, "").status_code == 401
    assert send(ask.client, ping, "attune_wrong").status_code == 401
    signed_in = client_with(session_of(a_user(project, Role.ADMIN)))
    assert send(signed_in, ping, "").status_code == 401
    assert ask("ping", Origin="https://evil.example").status_code == 403
    assert ask("ping", Origin="http://testserver").status_code == 200
    assert ask.client.get("/mcp").status_code == 405


def test_wrong_tokens_come_so_often_at_most(ask):
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    found = {send(ask.client, ping, "attune_wrong").status_code for _ in range(12)}
    assert found == {401, 429}


def test_a_removal_says_that_it_is_done(project, ask):
    failed, made = call(
        ask, "make_webhook", project_id=project.pk, url="https://a.example/", acts=["run.ended"]
    )
    assert not failed
    given = {"project_id": project.pk, "webhook_id": made["webhook"]["id"], "action": "remove"}
    result = ask("tools/call", {"name": "act_on_webhook", "arguments": given}).json()["result"]
    assert (result["isError"], result["content"]) == (False, [{"type": "text", "text": "done"}])
