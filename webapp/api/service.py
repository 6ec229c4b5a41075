"""The interface as a whole: its addresses, who may ask, and the schema that describes it."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from webapp.api.bearer import bearer
from webapp.api.errors import add_handlers, refuse
from webapp.api.known import only_known
from webapp.api.once import answered_once
from webapp.api.resources import ROUTERS
from webapp.api.schemas import ErrorSchema

ROOT = "/api/v1"
REFUSED = {
    "description": "refused, in words",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorSchema"}}},
}
TOO_LARGE = {**REFUSED, "description": "more than one request may send"}
SAID = """What the pages do, as JSON. Send `Authorization: Bearer TOKEN`; the page “API tokens” makes one.

Lists come in parts: send `next` as `cursor`. A request that writes may carry an `Idempotency-Key`: the same
key with the same request is done once and answered alike for a day, with another request it is refused."""


def _in_words(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The view; a method that it does not take is refused as all else is."""

    @wraps(view)
    def look(request: HttpRequest, **parts: object) -> HttpResponseBase:
        response = view(request, **parts)
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return response
        words = _("This address takes {methods}.").format(methods=response["Allow"])
        refused = refuse(405, "method", words)
        refused["Allow"] = response["Allow"]
        return refused

    return look


class Service(NinjaAPI):
    """Ours, with operations that are called as their functions are, and refusals in the schema."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The function's name."""
        return operation.view_func.__name__

    def get_operation_url_name(self, operation: Operation, router: object) -> str:
        """The same."""
        return operation.operation_id or operation.view_func.__name__

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        """The addresses of operations; at the root itself there is nothing."""
        patterns = [each for each in super()._get_urls() if isinstance(each, URLPattern)]
        return [
            path(str(one.pattern), _in_words(one.callback), name=one.name)
            for one in patterns
            if one.name != "api-root"
        ]

    def get_openapi_schema(self, **_: Any) -> OpenAPISchema:  # noqa: ANN401 - as ninja's
        """The schema of all addresses; each may refuse."""
        schema = OpenAPISchema(self, ROOT.strip("/") + "/")
        schema["components"]["schemas"]["ErrorSchema"] = ErrorSchema.model_json_schema()
        for methods in schema["paths"].values():
            for operation in methods.values():
                operation["responses"] |= {"4XX": REFUSED, "5XX": REFUSED}
                if "requestBody" in operation:
                    operation["responses"][413] = TOO_LARGE
        return schema


service = Service(
    title="Attune",
    version="1",
    description=SAID,
    auth=bearer,
    docs_url=None,
    openapi_url=None,
    urls_namespace="api",
)
add_handlers(service)
service.add_decorator(only_known, mode="view")
service.add_decorator(answered_once, mode="view")
for each in ROUTERS:
    service.add_router("", each)
