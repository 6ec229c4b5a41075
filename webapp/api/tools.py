"""The API's operations as tools of a model: each is called by its name, with what address, query and body hold.

There is no second list: names, words and schemas are those of the OpenAPI schema, and a call is a request to the
operation itself, with the caller's token. What takes or answers a file is left out: a model has none to send.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from django.core.handlers.wsgi import WSGIRequest
from django.http import Http404
from django.urls import Resolver404, resolve

from webapp.api.bearer import ApiRequest
from webapp.api.service import ROOT, service

JSON_TYPE = "application/json"
PLACE = re.compile(r"\{(\w+)\}")
REFERENCE = "#/components/schemas/"
# Of the request that a call comes with, what is not the call's.
FOREIGN = ("HTTP_IDEMPOTENCY_KEY", "HTTP_ACCEPT_ENCODING", "HTTP_CONTENT_ENCODING")

Json = dict[str, Any]


class Tool(NamedTuple):
    """An operation: what it is called, says and takes, and where it is."""

    name: str
    words: str
    method: str
    path: str  # with {names} in it
    query: tuple[str, ...]
    schema: Json

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    @property
    def places(self) -> list[str]:
        """The names in its path."""
        return PLACE.findall(self.path)


class Said(NamedTuple):
    """What an operation answers."""

    status: int
    text: str

    @property
    def value(self) -> Any:  # noqa: ANN401 - JSON
        """The text, read; None where there is none."""
        return json.loads(self.text) if self.text else None


@cache
def all_tools() -> dict[str, Tool]:
    """Every operation that takes and answers JSON, by its name."""
    schema = json.loads(json.dumps(service.get_openapi_schema(), default=str))
    found = (
        _tool(path, method.upper(), operation, schema["components"]["schemas"])
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if _is_json(operation)
    )
    return {tool.name: tool for tool in found}


def _is_json(operation: Mapping[str, Any]) -> bool:
    """Whether neither side sends a file."""
    taken = operation.get("requestBody", {}).get("content", {})
    good = [one for code, one in operation["responses"].items() if str(code).startswith("2")]
    kinds = {*taken, *(kind for one in good for kind in one.get("content", {}))}
    return kinds <= {JSON_TYPE}


def _tool(path: str, method: str, operation: Mapping[str, Any], known: Mapping[str, Any]) -> Tool:
    parameters = operation.get("parameters", [])
    body = operation.get("requestBody", {}).get("content", {}).get(JSON_TYPE, {}).get("schema", {})
    body = known[body["$ref"].removeprefix(REFERENCE)] if "$ref" in body else body
    fields = {one["name"]: one["schema"] for one in parameters} | body.get("properties", {})
    needed = [one["name"] for one in parameters if one["required"]] + body.get("required", [])
    schema = {"type": "object", "properties": fields, "required": needed}
    schema |= {"additionalProperties": False}
    return Tool(
        operation["operationId"],
        operation.get("description", ""),
        method,
        path,
        tuple(one["name"] for one in parameters if one["in"] == "query"),
        _with_parts(schema, known),
    )


def _with_parts(schema: Json, known: Mapping[str, Any]) -> Json:
    """The schema with all that it names in it, as a tool's stands by itself."""
    parts: Json = {}
    wanted = [*_named_in(schema)]
    while wanted:
        if (name := wanted.pop()) not in parts:
            parts[name] = known[name]
            wanted += _named_in(known[name])
    whole = schema | ({"$defs": parts} if parts else {})
    moved: Json = json.loads(json.dumps(whole).replace(REFERENCE, "#/$defs/"))
    return moved


def _named_in(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].removeprefix(REFERENCE)
        for one in schema.values():
            yield from _named_in(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from _named_in(one)


def call_tool(request: ApiRequest, tool: Tool, given: Mapping[str, Any]) -> Said:
    """What the operation answers to the request's token. Raises KeyError for a missing part of its path."""
    rest = dict(given)
    places = {name: str(rest.pop(name)) for name in tool.places}
    query = {name: rest.pop(name) for name in tool.query if name in rest}
    body = b"" if tool.reads else json.dumps(rest).encode()
    if tool.reads:
        query |= rest  # which the operation refuses
    path = PLACE.sub(lambda found: quote(places[found[1]], safe=""), tool.path)
    asked = urlencode({name: one for name, one in query.items() if one is not None}, doseq=True)
    return _ask(request, tool.method, f"{path}?{asked}", body)


def read_address(request: ApiRequest, address: str) -> Said:
    """What is at an address below the API's root, with its query. Raises Http404 for no operation that reads JSON."""
    path, _mark, query = f"{ROOT}/{address}".partition("?")
    if not any(_fits(tool, path) for tool in all_tools().values() if tool.reads):
        raise Http404
    return _ask(request, "GET", f"{path}?{query}", b"")


def _fits(tool: Tool, path: str) -> bool:
    return re.fullmatch(PLACE.sub("[^/?#%]+", tool.path), path) is not None


def _ask(request: ApiRequest, method: str, address: str, body: bytes) -> Said:
    path, _mark, query = address.partition("?")
    environ: Json = {k: v for k, v in request.environ.items() if k not in FOREIGN}  # type: ignore[attr-defined]  # of WSGIRequest, which it is here
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    environ |= {"CONTENT_TYPE": JSON_TYPE, "CONTENT_LENGTH": str(len(body))}
    inner = WSGIRequest(environ | {"wsgi.input": BytesIO(body)})
    vars(inner).update(token=request.auth, user=request.user)
    try:
        found = resolve(path)
    except Resolver404:
        raise Http404 from None
    response = found.func(inner, *found.args, **found.kwargs)
    return Said(response.status_code, response.content.decode())
