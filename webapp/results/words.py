"""Stored settings in people's words, for pages that show what a run was told."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from pydantic.fields import FieldInfo

from alignment.kinds import KINDS
from alignment.kinds.settings.divergences import DIVERGENCES, agent_title, short
from alignment.kinds.settings.objectives import OBJECTIVES
from alignment.seam.events import Fitted
from alignment.seam.memory import PROGRAM
from alignment.seam.records import Receipts
from alignment.seam.results import Entry
from alignment.seam.settings import extra_of, words_of
from webapp.runs.models import Run, State
from webapp.site.templatetags.display import duration, estimate, filesize, number

SPELLED = {
    "kl": "KL",
    "nll": "NLL",
    "z": "Z",
}  # parts of the names of what this version does not know


class Setting(NamedTuple):
    """One setting of a run as it is shown."""

    title: str
    value: str
    unit: str


def described(kind: str, config: Mapping[str, object]) -> list[Setting]:
    """A run's settings under their titles; one that is no longer known keeps its name."""
    fields = KINDS[kind].settings.model_fields
    rows = []
    for name, value in config.items():
        field = fields.get(name)
        title, unit = (field.title or name, extra_of(field)["unit"]) if field else (name, "")
        rows.append(Setting(title, setting_in_words(value, field), unit))
    return rows


def setting_in_words(value: object, field: FieldInfo | None = None) -> str:
    """A setting's value as it is read; names that may be chosen by the words that the setting has for them."""
    words = words_of(field) if field else {}
    if isinstance(value, str):
        return _(words[value]) if value in words else value
    if isinstance(value, list | tuple):
        return ", ".join(short(_(words[name]) if name in words else name) for name in value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def aim_in_words(config: Mapping[str, Any]) -> str:
    """What a stored alignment minimises by its settings, as sentences name it."""
    objective = config.get("objective", "fdpg")
    return _(DIVERGENCES[config["divergence"]] if objective == "fdpg" else OBJECTIVES[objective])


class _Agent(NamedTuple):
    """What a population's run says of one agent; all but the title are stored Estimates."""

    title: str
    reward: Mapping[str, object]
    gain: Mapping[str, object]
    kl: Mapping[str, object]
    divergence: Mapping[str, object] | None  # where some target was seen
    stopped: bool  # by its KL budget


def agents(summary: Mapping[str, Any]) -> list[_Agent]:
    """The agents of a population, in the order of its settings; none for other runs."""
    return [
        _Agent(
            agent_title(name),
            found["reward"],
            found["reward_gain"],
            found["kl_reference"],
            found.get("divergence_target"),
            found["stopped_by"] == "kl_budget",
        )
        for name, found in summary.get("agents", {}).items()
    ]


class Finding(NamedTuple):
    """One entry of a run's summary; an Estimate has its interval, anything else is just a value."""

    title: str
    estimate: Mapping[str, object] | None
    value: str


def findings(kind: str, summary: Mapping[str, object]) -> tuple[list[Finding], list[Finding]]:
    """What a run reported at its end: its Estimates, and the rest but for tables and what stands elsewhere."""
    rows = [
        Finding(entry.title, value, "")
        if isinstance(value, Mapping)
        else Finding(entry.title, None, fact_in_words(value, entry))
        for name, value in summary.items()
        if not isinstance(value, list) and (not isinstance(value, Mapping) or "value" in value)
        if not (entry := entry_of(kind, name)).aside
    ]
    return [row for row in rows if row.estimate], [row for row in rows if not row.estimate]


def entry_of(kind: str, name: str) -> Entry:
    """How a stored result is shown: by its kind, by another that has it, or by its name alone."""
    kinds = [KINDS[kind], *KINDS.values()] if kind in KINDS else KINDS.values()
    known = (one.results.entry(name) for one in kinds)
    return next(filter(None, known), Entry(spelled(name)))


class _Table(NamedTuple):
    """Rows that a run reported under one title."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(kind: str, summary: Mapping[str, Any]) -> list[_Table]:
    """The lists in a run's summary, whose rows have the same columns."""
    return [
        _Table(
            entry_of(kind, name).title,
            [entry_of(kind, column).title for column in rows[0]],
            [[_in_words(value) for value in row.values()] for row in rows],
        )
        for name, rows in summary.items()
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping)
        if not entry_of(kind, name).aside
    ]


def too_long(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for each input of which rows were dropped or cut, as too long for a model."""
    rows = [Fitted.model_validate(row) for row in summary.get("rows", [])]
    return [row.sentence for row in rows if not row.all_fit]


def forecast_in_words(run: Run) -> str:
    """What a run was expected to take, beside what it took once it is known; empty where nobody knew."""
    seconds, memory = run.forecast_seconds, int(run.forecast.get("memory") or 0)
    if not seconds or (run.is_final and run.state != State.SUCCEEDED):
        return ""
    if not run.is_final:
        return _("It was expected to take about {time}.").format(time=duration(seconds))
    words = _("Forecast: {time}; it took {took}.")
    held = int(run.forecast.get("held") or 0)
    if memory and held:
        words = _("Forecast: {time} and {size} of memory; it took {took} and held {held} at most.")
    return words.format(
        time=duration(seconds),
        took=duration(run.seconds),
        size=filesize(memory + PROGRAM),
        held=filesize(held),
    )


def receipts_of(summary: Mapping[str, object]) -> Receipts | None:
    """What a run was checked for, where its kind is checked."""
    found = summary.get("receipts")
    return Receipts.model_validate(found) if found else None


def fact_in_words(value: object, entry: Entry) -> str:
    """A result that is no Estimate as it is read."""
    if entry.share and isinstance(value, float):
        return f"{100 * value:.1f} %"
    if isinstance(value, str) and value in entry.words:
        return _(entry.words[value])
    return _in_words(value)


def _in_words(entry: object) -> str:
    """A value of a summary as it is read."""
    if entry is None:
        return "—"
    if isinstance(entry, Mapping):
        return estimate(entry)
    if isinstance(entry, bool):
        return _("yes") if entry else _("no")
    if isinstance(entry, int):
        return f"{entry:,}"
    return number(entry, 4) if isinstance(entry, float) else str(entry)


def spelled(name: str) -> str:
    """A name as a title."""
    parts = name.replace("/", "_").split("_")
    words = " ".join(SPELLED.get(part, part) for part in parts).strip()
    return words[:1].upper() + words[1:]
