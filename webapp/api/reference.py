"""What the page of the interface shows, read from its schema."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from webapp.api.service import Service

EXAMPLES = 3  # levels deep that a body is spelled out


class Endpoint(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    name: str
    words: str
    parameters: list[str]
    body: str  # as JSON, by its types
    answer: str


@cache
def topics(service: Service) -> dict[str, list[Endpoint]]:
    """All of them by their tag, in the order in which they were added."""
    schema = service.get_openapi_schema()
    known = schema["components"]["schemas"]
    found: dict[str, list[Endpoint]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            entry = _endpoint(path, method, operation, known)
            found.setdefault(operation["tags"][0], []).append(entry)
    return found


def _endpoint(
    path: str, method: str, operation: Mapping[str, Any], known: Mapping[str, Any]
) -> Endpoint:
    asked = [one for one in operation.get("parameters", ()) if one["in"] != "path"]
    sent = operation.get("requestBody", {}).get("content", {})
    answers = operation["responses"].items()
    good = [one["content"] for code, one in answers if str(code)[0] == "2" and "content" in one]
    return Endpoint(
        method.upper(),
        path,
        operation["operationId"],
        operation.get("description", ""),
        [one["name"] for one in asked],
        _in_words(sent, known),
        _in_words(good[0] if good else {}, known),
    )


def _in_words(content: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    for one in content.values():
        return json.dumps(_shape(one["schema"], known, EXAMPLES), indent=1, ensure_ascii=False)
    return ""


def _shape(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> object:
    """A schema as the JSON that it describes, with the names of types as values."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return _shape(known[name], known, depth)
    if (either := schema.get("anyOf")) is not None:
        return " | ".join(str(_shape(one, known, 0)) for one in either)
    if depth and schema.get("properties"):
        below = schema["properties"].items()
        return {key: _shape(one, known, depth - 1) for key, one in below}
    if depth and schema.get("items"):
        return [_shape(schema["items"], known, depth - 1)]
    return schema.get("format") or schema.get("type", "…")
