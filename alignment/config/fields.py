"""What a setting is: everything a form and a `--help` need to show it."""

from collections.abc import Mapping
from copy import copy
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

ALWAYS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class ConflictError(ValueError):
    """Settings that do not go together; `setting` is the one to change first."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


def setting(  # noqa: PLR0913 - a setting has this many parts
    default: Any,  # noqa: ANN401 - a field of any type
    title: str,
    *,
    help: str,
    topic: str,
    unit: str = "",
    advanced: bool = False,
    dashboard: bool = False,
    when: Mapping[str, tuple[str, ...]] = ALWAYS,
    **bounds: Any,  # noqa: ANN401 - numbers, as pydantic takes them
) -> Any:  # noqa: ANN401 - pydantic's Field is typed so
    """A field with everything a form and a `--help` need to show it.

    `when` names choices that it is read for: {"divergence": ("alpha",)}; all of them must be made.
    `dashboard` says that only the web app reads it, since it is about what is stored there.
    """
    choices = {name: list(values) for name, values in when.items()}
    extra: dict[str, Any] = {"unit": unit, "topic": topic, "advanced": advanced}
    extra |= {"dashboard": dashboard, "when": choices}
    return Field(default, title=title, description=help, json_schema_extra=extra, **bounds)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def narrowed(config: type[Settings], name: str, **when: tuple[str, ...]) -> Any:  # noqa: ANN401
    """A setting as another class has it, read only for these choices as well."""
    field = copy(config.model_fields[name])
    extra: Any = field.json_schema_extra
    asked = {choice: list(values) for choice, values in when.items()}
    field.json_schema_extra = extra | {"when": extra["when"] | asked}
    return field
