"""What a run reports at its end, typed: each number with its title, and what it means.

A kind of run names all that it reports in a class of its own; the trainer refuses anything else, and
pages and tables are drawn from it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alignment.seam.records import Estimate
from alignment.seam.settings import NONE
from alignment.seam.words import _

STOPS: Mapping[str, str] = {
    "steps": _("its last step"),
    "kl_budget": _("its KL budget"),
    "minutes": _("its bound of minutes"),
    "tokens": _("its bound of tokens"),
    "patience": _("held-out examples, which gained no more"),
}


class Entry(NamedTuple):
    """How one result is shown."""

    title: str
    meaning: str = ""
    share: bool = False  # a number from 0 to 1 that is read in percent
    words: Mapping[str, str] = NONE  # of the names that it may be
    aside: bool = False  # shown in a place of its own, or for programs alone


class Family(NamedTuple):
    """Results that are named after what a person wished for: `feature_` and a rule's name."""

    before: str
    title: str  # with {} where the name stands
    meaning: str
    after: str = ""

    def part(self, name: str) -> str:
        """What stands between beginning and end; empty where the name is none of the family."""
        mine = name.startswith(self.before) and name.endswith(self.after)
        return name.removeprefix(self.before).removesuffix(self.after) if mine else ""


def result(
    title: str,
    *,
    name: str | None = None,
    meaning: str = "",
    share: bool = False,
    words: Mapping[Any, str] = NONE,
    aside: bool = False,
) -> Any:  # noqa: ANN401 - pydantic's Field is typed so
    """A field of Results; `name` is how it is stored where that is no name of Python's."""
    entry = Entry(title, meaning, share, dict(words), aside)
    return Field(None, alias=name, title=title, json_schema_extra={"entry": entry})  # type: ignore[dict-item]  # pydantic takes JSON; an Entry never leaves Python


class Results(BaseModel):
    """What every kind may report; a kind's own class adds to it, in the order in which it is read."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="allow", populate_by_name=True)

    families: ClassVar[tuple[Family, ...]] = ()

    rows: list[dict[str, Any]] | None = result(_("Rows and the models' context"), aside=True)
    prompts_with_control_tokens: int | None = result(
        _("Prompts that hold control tokens, read as text; many servers obey them")
    )
    answers_with_control_tokens: int | None = result(
        _("Answers that hold control tokens, read as text; many servers obey them")
    )
    seconds: float | None = result(_("Time in the trainer (s)"))
    tried_seconds: float | None = result(_("One step of everything took (s)"))
    whole_seconds: float | None = result(_("The whole would take about (s)"))

    @model_validator(mode="after")
    def _nothing_is_unknown(self) -> Self:
        for name in self.model_extra or {}:
            if not any(family.part(name) for family in self.families):
                raise ValueError(f"{type(self).__name__} has no “{name}”")
        return self

    @classmethod
    def entries(cls) -> dict[str, Entry]:
        """How each result that has a name of its own is shown, by the name that it is stored under."""
        fields = cls.model_fields.items()
        return {info.alias or name: _entry_of(info.json_schema_extra) for name, info in fields}

    @classmethod
    def entry(cls, name: str) -> Entry | None:
        """How a stored result is shown; None where this version knows none of that name."""
        if (known := cls.entries().get(name)) is not None:
            return known
        for family in cls.families:
            if part := family.part(name):
                return Entry(family.title.format(cls._called(part, family)), family.meaning)
        return None

    @classmethod
    def _called(cls, part: str, family: Family) -> str:
        """The title of what a member of a family is about: another result, or a wish of somebody's."""
        known = (cls.entry(part) or cls.entry(f"{part}_after")) if family.after else None
        return known.title.removesuffix(" after") if known else part.replace("_", " ").capitalize()


class ModelResults(Results):
    """What is known of a model that was trained or brought."""

    parameters: int | None = result(_("Parameters"))
    stopped_by: str | None = result(_("Stopped by"), words=STOPS)
    best_step: int | None = result(_("Step whose weights are kept"))
    shape: dict[str, int] | None = result(_("Shape"), aside=True)  # what decides its memory


class StartedResults(ModelResults):
    """What is known of a policy that was trained beside a reference."""

    kl_start: Estimate | None = result(_("KL of the start to the reference (nats)"))
    beta: float | None = result(_("Beta"))


def _entry_of(extra: Any) -> Entry:  # noqa: ANN401 - what pydantic keeps of a field
    """What `result` noted of a field."""
    found: Entry = extra["entry"]
    return found
