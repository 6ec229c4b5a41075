"""Stored settings in people's words, for pages that show what a run was told."""

from collections.abc import Mapping
from typing import NamedTuple

from alignment.config import CONFIGS
from webapp.runs.forms import CHOICE_LABELS


class Setting(NamedTuple):
    """One setting of a run as it is shown."""

    title: str
    value: str
    unit: str


def described(kind: str, config: Mapping[str, object]) -> list[Setting]:
    """A run's settings under their titles; one that is no longer known keeps its name."""
    fields = CONFIGS[kind].model_fields
    rows = []
    for name, value in config.items():
        field = fields.get(name)
        shown = CHOICE_LABELS.get(value, value) if isinstance(value, str) else f"{value:g}"
        unit = field.json_schema_extra["unit"] if field else ""
        rows.append(Setting(field.title if field else name, shown, unit))
    return rows
