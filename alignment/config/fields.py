"""What a setting is: everything a form and a `--help` need to show it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def setting(
    default: Any,  # noqa: ANN401 - a field of any type
    title: str,
    *,
    help: str,
    topic: str,
    unit: str = "",
    advanced: bool = False,
    **bounds: Any,  # noqa: ANN401 - numbers, as pydantic takes them
) -> Any:  # noqa: ANN401 - pydantic's Field is typed so
    """A field with everything a form and a `--help` need to show it."""
    extra: dict[str, Any] = {"unit": unit, "topic": topic, "advanced": advanced}
    return Field(default, title=title, description=help, json_schema_extra=extra, **bounds)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
