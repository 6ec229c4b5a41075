"""Lists in parts, each begun after the last row of the one before."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from ninja import Schema
from pydantic import Field

from webapp.api.errors import FieldsError
from webapp.site.htmx import is_key

MOST = 200  # rows of a part
LARGEST = 2**63 - 1  # key of a row
Row = TypeVar("Row", bound=Model)
Item = TypeVar("Item")
RowId = Annotated[int, Field(ge=1, le=LARGEST)]


class Paging(Schema):
    """Which part of a list is asked for."""

    limit: int = Field(50, ge=1, le=MOST, description=gettext_noop("How many at most."))
    cursor: str = Field(
        "",
        max_length=100,
        description=gettext_noop("The “next” of the part before; nothing begins at the start."),
    )


class PageSchema(Schema, Generic[Item]):
    """A part of a list; `next` is null at its end."""

    items: list[Item]
    next: str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """How the schema calls it."""
        return f"{params[0].__name__}List"


@dataclass(frozen=True)
class ListPart(Generic[Row]):
    """Rows as they are found, to be answered as `PageSchema`."""

    items: list[Row]
    next: str | None


def list_part(rows: QuerySet[Row], paging: Paging, *, newest: bool = False) -> ListPart[Row]:
    """The rows of one part, the oldest first, or the newest. Raises FieldsError for a foreign cursor."""
    if paging.cursor:
        beyond = "pk__lt" if newest else "pk__gt"
        rows = rows.filter(**{beyond: _key_in(paging.cursor)})
    found = list(rows.order_by("-pk" if newest else "pk")[: paging.limit + 1])
    return ListPart(found[: paging.limit], _next(found, paging.limit))


def _next(found: Sequence[Model], limit: int) -> str | None:
    if len(found) <= limit:
        return None
    return base64.urlsafe_b64encode(f"v1:{found[limit - 1].pk}".encode()).decode()


def _key_in(cursor: str) -> int:
    try:
        version, _colon, key = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
    except (ValueError, binascii.Error):
        version, key = "", ""
    if version != "v1" or not is_key(key):
        raise FieldsError(
            {"cursor": _("This is no cursor: send the “next” of an answer as it is.")}
        )
    return int(key)
