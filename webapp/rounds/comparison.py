"""Rounds side by side: what they found, and the settings in which they differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext_noop as _
from pydantic.fields import FieldInfo

from alignment.kinds import KINDS
from alignment.kinds.evaluate.results import EvaluateResults
from webapp.results.words import setting_in_words
from webapp.rounds.queries import Standing
from webapp.rounds.smaller import SmallerConfig

MOST = 6  # rounds that a page has room for
PARTS = {
    "smaller": _("size"),
    "reward": _("reward model"),
    "align": _("alignment"),
    "evaluate": _("evaluation"),
    "generate": _("new completions"),
}


class _Row(NamedTuple):
    """One line: what it is about, and what each round has there."""

    title: str
    note: str
    cells: list[Any]


class Comparison(NamedTuple):
    """Rounds in the order of their numbers, a column each."""

    standings: list[Standing]
    numbers: list[_Row]  # cells are Estimates, or None
    settings: list[_Row]  # cells are words; only where they differ


def compared(standings: Sequence[Standing]) -> Comparison:
    """The rounds side by side."""
    return Comparison(list(standings), list(_numbers(standings)), list(_settings(standings)))


def _numbers(standings: Sequence[Standing]) -> Iterator[_Row]:
    for key, entry in EvaluateResults.entries().items():
        found = [standing.summary.get(key) for standing in standings]
        cells = [entry if isinstance(entry, Mapping) else None for entry in found]
        if entry.meaning and any(cells):
            yield _Row(entry.title, entry.meaning, cells)


def _settings(standings: Sequence[Standing]) -> Iterator[_Row]:
    rounds = [standing.round for standing in standings]
    yield from _where_they_differ(_("Labels"), "", [str(row.snapshot) for row in rounds])
    yield from _where_they_differ(_("Start model"), "", [str(row.policy) for row in rounds])
    yield from _where_they_differ(_("Seed"), "", [str(row.config["seed"]) for row in rounds])
    for part, note in PARTS.items():
        configs = [row.config.get(part, {}) for row in rounds]  # earlier ones had no size
        for name in dict.fromkeys(name for config in configs for name in config):
            cells = [_shown(part, config, name) for config in configs]
            yield from _where_they_differ(_title(part, name), note, cells)


def _where_they_differ(title: str, note: str, cells: list[str]) -> Iterator[_Row]:
    if len(set(cells)) > 1:
        yield _Row(title, note, cells)


def fields_of(part: str) -> Mapping[str, FieldInfo]:
    """The settings of a part of a round."""
    settings = SmallerConfig if part == "smaller" else KINDS[part].settings
    return settings.model_fields


def _title(part: str, name: str) -> str:
    field = fields_of(part).get(name)
    return (field.title if field else None) or name


def _shown(part: str, config: Mapping[str, Any], name: str) -> str:
    field = fields_of(part).get(name)
    return setting_in_words(config[name], field) if name in config else "—"
