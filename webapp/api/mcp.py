"""The API for models: the Model Context Protocol over HTTP, one message a request, with nothing kept between two.

A client of the newest revision asks without a word before; older ones shake hands first. Both are answered with
JSON: nothing is pushed, so no stream is open. Who may do what is the API's to say, by token and role.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from webapp.api.bearer import ApiRequest, bearer
from webapp.api.errors import LimitError, refuse, say_limited, say_unknown
from webapp.api.service import ROOT
from webapp.api.tools import JSON_TYPE, Said, Tool, all_tools, call_tool, read_address

MODERN = ("2026-07-28",)  # revisions without a handshake
SHAKEN = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")  # with one, the newest first
SCHEME = "attune:///"  # begins the addresses of what can be read
NAME = {"name": "attune", "title": "Attune", "version": "1"}
INSTRUCTIONS = """Attune collects human feedback, trains reward models on it and aligns language models.
Begin with list_projects; most tools want a project_id. Refusals say what to try. Long work answers a job or a run:
ask get_job or get_run until its state is done, succeeded, failed or cancelled."""
KEPT = {"ttlMs": 60_000, "cacheScope": "private"}  # how long a client may keep what does not change
FRESH = {"ttlMs": 0, "cacheScope": "private"}
PARSE, INVALID, METHOD, PARAMS = -32700, -32600, -32601, -32602
HEADERS, VERSION = -32020, -32022
ABLE: dict[str, Any] = {"tools": {}, "resources": {}}

Params = Mapping[str, Any]
Result = dict[str, Any]


class RpcError(Exception):
    """A message cannot be answered: the protocol's code, and why."""

    def __init__(self, code: int, words: str, data: object = None) -> None:
        super().__init__(words)
        self.code, self.data = code, data


@csrf_exempt
@require_POST
def mcp(request: HttpRequest) -> HttpResponse:
    """Answer one message of a client whose token works."""
    if not _is_own(request):
        return refuse(403, "origin", _("This page is of another site."))
    try:
        token = bearer(request)
    except LimitError as error:
        return say_limited(request, error)
    if not token:
        return say_unknown()
    vars(request)["auth"] = token
    number: object = None
    try:
        message = _message_of(request)
        number = message.get("id")
        if "id" not in message or "method" not in message:
            return HttpResponse(status=202)  # nothing that waits for an answer
        _check_headers(request, message)
        result = _result_of(request, message)  # type: ignore[arg-type]  # it has a token now
    except RpcError as error:
        return _error(number, error)
    return JsonResponse(
        {"jsonrpc": "2.0", "id": number, "result": {"resultType": "complete"} | result}
    )


def _is_own(request: HttpRequest) -> bool:
    """Whether no page of another site has sent this: a browser says whose page it shows."""
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.get_host()
    except ValueError:  # no address at all
        return False


def _message_of(request: HttpRequest) -> dict[str, Any]:
    """What was sent; raises RpcError where it is no single message."""
    try:
        message = json.loads(request.body)
    except RequestDataTooBig:
        raise RpcError(INVALID, "This is too much for one message.") from None
    except (ValueError, RecursionError, UnreadablePostError):
        raise RpcError(PARSE, "Send one JSON object.") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID, "Send one JSON-RPC 2.0 message, not many.")
    if not isinstance(message.get("params", {}), dict):
        raise RpcError(PARAMS, "The parameters are an object.")
    return message


def _check_headers(request: HttpRequest, message: Params) -> None:
    """Raise RpcError for a revision that is not spoken here, and where headers and message differ."""
    version = request.headers.get("Mcp-Protocol-Version", SHAKEN[0])
    if version not in (*MODERN, *SHAKEN):
        said = {"supported": [*MODERN, *SHAKEN], "requested": version}
        raise RpcError(VERSION, "This revision of the protocol is not spoken here.", said)
    method = request.headers.get("Mcp-Method", message["method"])
    if version in MODERN and method != message["method"]:
        raise RpcError(HEADERS, "The header Mcp-Method names another method.")


def _error(number: object, error: RpcError) -> JsonResponse:
    told: dict[str, Any] = {"code": error.code, "message": str(error)}
    if error.data is not None:
        told["data"] = error.data
    status = {METHOD: 404}.get(error.code, 400)
    return JsonResponse({"jsonrpc": "2.0", "id": number, "error": told}, status=status)


def _result_of(request: ApiRequest, message: Params) -> Result:
    answer = METHODS.get(message["method"] if isinstance(message["method"], str) else "")
    if answer is None:
        raise RpcError(METHOD, "There is no such method here.")
    return answer(request, message.get("params", {}))


def _initialize(_request: ApiRequest, params: Params) -> Result:
    asked = params.get("protocolVersion")
    version = asked if asked in SHAKEN else SHAKEN[0]
    told = {"protocolVersion": version, "capabilities": ABLE, "serverInfo": NAME}
    return told | {"instructions": INSTRUCTIONS}


def _discover(_request: ApiRequest, _params: Params) -> Result:
    told = {"supportedVersions": [*MODERN, *SHAKEN], "capabilities": ABLE}
    about = {"io.modelcontextprotocol/serverInfo": NAME}
    return KEPT | told | {"instructions": INSTRUCTIONS, "_meta": about}


def _ping(_request: ApiRequest, _params: Params) -> Result:
    return {}


def _list_tools(_request: ApiRequest, _params: Params) -> Result:
    return KEPT | {"tools": [_as_tool(tool) for tool in all_tools().values()]}


def _as_tool(tool: Tool) -> Result:
    about = {"readOnlyHint": tool.reads, "openWorldHint": False}
    told = {"name": tool.name, "description": tool.words, "inputSchema": tool.schema}
    return told | {"annotations": about}


def _call(request: ApiRequest, params: Params) -> Result:
    """What the operation says; a refusal is a result too: its words are for the model."""
    tool, given = all_tools().get(str(params.get("name"))), params.get("arguments") or {}
    if tool is None or not isinstance(given, dict):
        raise RpcError(PARAMS, "There is no tool of this name, or its arguments are no object.")
    if missing := [name for name in tool.places if given.get(name) is None]:
        raise RpcError(PARAMS, f"Missing: {', '.join(missing)}.")
    try:
        said = call_tool(request, tool, given)
    except Http404:
        raise RpcError(PARAMS, "Nothing can be at such an address.") from None
    result: Result = {"content": [_text(said)], "isError": said.status >= 400}
    if isinstance(said.value, dict):
        result["structuredContent"] = said.value
    return result


def _text(said: Said) -> Result:
    return {"type": "text", "text": said.text or "done"}


def _list_resources(request: ApiRequest, params: Params) -> Result:
    """The person's projects; all else that can be read is found from there."""
    cursor = {"cursor": params["cursor"]} if params.get("cursor") else {}
    found = _good(call_tool(request, all_tools()["list_projects"], cursor))
    rows = [
        {"uri": f"{SCHEME}projects/{one['id']}", "name": one["name"], "mimeType": JSON_TYPE}
        for one in found["items"]
    ]
    more = {"nextCursor": found["next"]} if found["next"] else {}
    return FRESH | {"resources": rows} | more


def _list_templates(_request: ApiRequest, _params: Params) -> Result:
    rows = [
        {
            "uriTemplate": SCHEME + tool.path.removeprefix(f"{ROOT}/"),
            "name": tool.name,
            "description": tool.words,
            "mimeType": JSON_TYPE,
        }
        for tool in all_tools().values()
        if tool.reads and tool.places
    ]
    return KEPT | {"resourceTemplates": rows}


def _read(request: ApiRequest, params: Params) -> Result:
    uri = str(params.get("uri", ""))
    if not uri.startswith(SCHEME):
        raise RpcError(PARAMS, f"Addresses begin with {SCHEME}.")
    try:
        said = read_address(request, uri.removeprefix(SCHEME))
    except Http404:
        raise RpcError(PARAMS, "Nothing is read at such an address.") from None
    _good(said)
    return FRESH | {"contents": [{"uri": uri, "mimeType": JSON_TYPE, "text": said.text}]}


def _good(said: Said) -> Any:  # noqa: ANN401 - JSON
    """What was answered; raises RpcError in the API's own words where that was a refusal."""
    if said.status >= 400:
        raise RpcError(PARAMS, said.value["error"], said.value)
    return said.value


METHODS: dict[str, Callable[[ApiRequest, Params], Result]] = {
    "initialize": _initialize,
    "server/discover": _discover,
    "ping": _ping,
    "tools/list": _list_tools,
    "tools/call": _call,
    "resources/list": _list_resources,
    "resources/templates/list": _list_templates,
    "resources/read": _read,
}
