"""The interface as a whole: its addresses, who may ask, and the schema that describes it."""

from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from webapp.api.bearer import bearer
from webapp.api.errors import add_handlers
from webapp.api.resources import ROUTERS
from webapp.api.schemas import ErrorSchema

ROOT = "/api/v1"
REFUSED = {
    "description": "Refused, in words.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorSchema"}}},
}
SAID = """What the pages do, as JSON. Send `Authorization: Bearer TOKEN`; the page “API tokens” makes one.

Lists come in parts: send `next` as `cursor`. A request that writes may carry an `Idempotency-Key`: the same
key with the same request is done once and answered alike for a day, with another request it is refused."""


class Service(NinjaAPI):
    """Ours, with operations that are called as their functions are, and refusals in the schema."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The function's name."""
        return operation.view_func.__name__

    def get_operation_url_name(self, operation: Operation, router: object) -> str:
        """The same."""
        return operation.view_func.__name__

    def get_openapi_schema(self, **_: Any) -> OpenAPISchema:  # noqa: ANN401 - as ninja's
        """The schema of all addresses; each may refuse."""
        schema = OpenAPISchema(self, ROOT.strip("/") + "/")
        schema["components"]["schemas"]["ErrorSchema"] = ErrorSchema.model_json_schema()
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"] |= {"4XX": REFUSED, "5XX": REFUSED}
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
for each in ROUTERS:
    service.add_router("", each)
