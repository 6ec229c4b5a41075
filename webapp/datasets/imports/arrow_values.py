"""Values of Arrow's columns as JSON has them: what JSON has no words for becomes the nearest that it has.

A moment becomes text, an exact number a number, a map an object, and bytes the text that they are in UTF-8, or an
object with their base64, which no reader takes for a text.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
from django.utils.translation import gettext as _

from alignment.rows.found import BadRow
from webapp.datasets.errors import ImportRefusal

Test = Callable[[pa.DataType], bool]
Change = Callable[[pa.DataType], pa.DataType]
AS_THEY_ARE: tuple[Test, ...] = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_null,
)
LISTS: tuple[Test, ...] = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
)


def check_names(fields: Iterable[pa.Field]) -> None:
    """Raise ImportRefusal where two columns, or two fields of one object, have one name: one would be lost."""
    names: set[str] = set()
    for field in fields:
        if field.name in names:
            raise ImportRefusal(
                _("The table has two columns “{twice}”. Rename one of them.").format(
                    twice=field.name[:40]
                )
            )
        names.add(field.name)
        check_names(_inside(field.type))


def rows_as_json(batch: pa.RecordBatch) -> list[dict[str, Any] | BadRow]:
    """The rows of a batch as JSON would have them; one in which a map names something twice is a bad one."""
    columns = [_cast(_cast(column, _without_zone), _written) for column in batch.columns]
    other = [field.name for field in batch.schema if not _is_plain(field.type)]
    rows = pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    return [_row(row, other) for row in rows] if other else rows


def _cast(column: pa.Array, change: Change) -> pa.Array:
    kind = _changed(column.type, change)
    return column if kind == column.type else column.cast(kind)


def _inside(kind: pa.DataType) -> list[pa.Field]:
    """The fields that a type is made of."""
    return [kind.field(place) for place in range(kind.num_fields)]


def _is_plain(kind: pa.DataType) -> bool:
    """Whether JSON has the values of a column as Python does."""
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if any(test(kind) for test in AS_THEY_ARE):
        return True
    nested = pa.types.is_struct(kind) or any(test(kind) for test in LISTS)
    return nested and all(_is_plain(field.type) for field in _inside(kind))


def _changed(kind: pa.DataType, change: Change) -> pa.DataType:
    """The type with whatever is in it changed; `change` gives what has nothing in it."""
    if pa.types.is_dictionary(kind):
        value = _changed(kind.value_type, change)
        return kind if value == kind.value_type else value
    inside = [field.with_type(_changed(field.type, change)) for field in _inside(kind)]
    if inside == _inside(kind):
        return kind if inside else change(kind)
    if pa.types.is_struct(kind):
        return pa.struct(inside)
    if pa.types.is_map(kind):
        return pa.map_(_changed(kind.key_type, change), _changed(kind.item_type, change))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inside[0], kind.list_size)
    return pa.large_list(inside[0]) if pa.types.is_large_list(kind) else pa.list_(inside[0])


def _without_zone(kind: pa.DataType) -> pa.DataType:
    """Moments in UTC, since a machine may not know the zone; what others add to Arrow's types as it is stored."""
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return _changed(kind.storage_type, _without_zone)
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind


def _written(kind: pa.DataType) -> pa.DataType:
    """Times as text, since Python has not all of theirs."""
    timed = pa.types.is_temporal(kind) and not pa.types.is_interval(kind)
    return pa.string() if timed else kind


def _row(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any] | BadRow:
    try:
        return row | {name: _plain(row[name]) for name in names}
    except BadRow as error:
        return error


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """A value as JSON has it; raises BadRow."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return _object(value) if value and type(value[0]) is tuple else [*map(_plain, value)]
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral() else float(value)
    return str(value)


def _object(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """A map; raises BadRow where it names something twice."""
    found = {str(_plain(name)): _plain(value) for name, value in pairs}
    if len(found) < len(pairs):
        names = [str(_plain(name)) for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRow(_("the column “{name}” is in it twice").format(name=twice[:40]))
    return found


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
