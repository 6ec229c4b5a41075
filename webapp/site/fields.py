"""Forms drawn from the settings of `alignment.kinds`: no field is typed twice."""

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from django import forms
from django.db.models import Model, QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from alignment.seam.settings import extra_of, words_of
from webapp.site.words import Words

Row = TypeVar("Row", bound=Model)
SEVERAL_LINES = 10_000  # characters: a text that may be so long is written on several lines
BOUNDS = {Ge: "ge", Gt: "gt", Le: "le", MinLen: "min_length", MaxLen: "max_length"}


class DrawnField(forms.Field):
    """A field that knows its place on the page, and the choices that it is asked for."""

    topic: str | None = None  # None: it stands by itself
    advanced = False
    unit = ""
    asked: Mapping[str, Sequence[str]] = MappingProxyType({})  # values by the choice's field
    untouched: object = None  # its value where nothing reads it and nobody sent it

    @cached_property
    def when(self) -> str:
        """What it is asked for, as the page's script reads it."""
        return json.dumps(dict(self.asked))


class DrawnChoices(DrawnField, forms.MultipleChoiceField):
    """Several of a setting's names."""


class DrawnChoice(DrawnField, forms.ChoiceField):
    """One of a setting's names."""


class DrawnSwitch(DrawnField, forms.BooleanField):
    """A setting that is on or off."""


class DrawnText(DrawnField, forms.CharField):
    """A setting that is a text."""


class DrawnCount(DrawnField, forms.IntegerField):
    """A setting that is a whole number."""


class DrawnNumber(DrawnField, forms.FloatField):
    """A setting that is a number."""


class Topic(NamedTuple):
    """Fields that belong together; `more` are folded away."""

    title: str
    fields: list[forms.BoundField]
    more: list[forms.BoundField]

    @property
    def wrong(self) -> bool:
        """Whether something in here has to be mended."""
        return any(field.errors for field in self.fields + self.more)

    @property
    def wrong_below(self) -> bool:
        """Whether something in the folded part has to be mended."""
        return any(field.errors for field in self.more)


def drawn_fields(
    section: str, config: BaseModel, *, without: Iterable[str] = ()
) -> dict[str, DrawnField]:
    """One form field per setting, named `section-setting`, filled with the config's values."""
    kind, language = type(config), get_language()
    return {
        f"{section}-{name}": _filled(_blank(kind, name, section, language), getattr(config, name))
        for name in kind.model_fields
        if name not in without
    }


@lru_cache(maxsize=2048)
def _blank(kind: type[BaseModel], name: str, section: str, _language: str | None) -> DrawnField:
    """The field without a value, in the language that is spoken now: all forms have copies of it."""
    return drawn_field(kind.model_fields[name], None, section=section)


def _filled(blank: DrawnField, value: object) -> DrawnField:
    """A field of its own, but for the widget: who changes that copies it."""
    field = copy(blank)
    field.initial = value
    return field


def drawn_field(info: FieldInfo, value: object, *, section: str = "") -> DrawnField:
    """The form field of one setting, with its title, help, unit, bounds and choices."""
    extra, title = extra_of(info), info.title or ""
    kind, bounds = field_kind(info)
    field = kind(
        label=_(title),
        help_text=f"{_(info.description or '')} {bounds_in_words(info)}".strip(),
        initial=value,
        **bounds,
    )
    field.topic, field.advanced = extra["topic"], extra["advanced"]
    said = extra["unit"] in title.lower()  # and once is enough
    field.unit = "" if said or not extra["unit"] else _(extra["unit"])
    field.asked = {f"{section}-{name}": asked for name, asked in extra["when"].items()}
    field.untouched = info.default
    if extra["when"]:
        field.required = False  # it is not sent while it is hidden
    if kind is DrawnNumber:
        field.widget.attrs["step"] = "any"
    return field


def field_kind(info: FieldInfo) -> tuple[type[DrawnField], dict[str, Any]]:
    """The class of a setting's form field and what limits it; an open bound is left to pydantic."""
    if get_origin(info.annotation) is tuple:
        return DrawnChoices, {"choices": choices_of(info), "widget": forms.CheckboxSelectMultiple}
    if get_origin(info.annotation) is Literal:
        return DrawnChoice, {"choices": choices_of(info)}
    if info.annotation is bool:
        return DrawnSwitch, {"required": False}
    if info.annotation is str:
        # The config says where an empty text is no answer.
        long = (limit(info, MaxLen) or 0) >= SEVERAL_LINES
        text = {"widget": forms.Textarea if long else forms.TextInput, "required": False}
        return DrawnText, text | {"max_length": limit(info, MaxLen)}
    limits = {"min_value": limit(info, Ge), "max_value": limit(info, Le)}
    kind = DrawnCount if info.annotation is int else DrawnNumber
    return kind, limits


def choices_of(info: FieldInfo) -> list[tuple[str, str]]:
    """The names that a setting takes, with their words."""
    return [(name, _(words)) for name, words in words_of(info).items()]


def limit(info: FieldInfo, kind: type[Ge | Gt | Le | MinLen | MaxLen]) -> float | None:
    """The setting's bound of this kind, if it has one."""
    found = [getattr(rule, BOUNDS[kind]) for rule in info.metadata if isinstance(rule, kind)]
    return found[0] if found else None


def bounds_in_words(info: FieldInfo) -> str:
    """What may be entered, as the last sentence of a field's help."""
    if get_origin(info.annotation) is tuple:
        return _("From {low} to {high} of them.").format(
            low=limit(info, MinLen), high=limit(info, MaxLen)
        )
    if (longest := limit(info, MaxLen)) is not None:
        return _("From 0 to {n} characters.").format(n=f"{longest:,}")
    low, above, high = limit(info, Ge), limit(info, Gt), limit(info, Le)
    if low is not None and high is not None:
        return _("From {low} to {high}.").format(low=_shown(low), high=_shown(high))
    if above is not None and high is not None:
        return _("Above {low}, at most {high}.").format(low=_shown(above), high=_shown(high))
    return _one_bound(low, above, high)


def _one_bound(low: float | None, above: float | None, high: float | None) -> str:
    """What may be entered where only one side is bounded; empty where none is."""
    if low is not None:
        return _("At least {bound}.").format(bound=_shown(low))
    if above is not None:
        return _("Above {bound}.").format(bound=_shown(above))
    return _("At most {bound}.").format(bound=_shown(high)) if high is not None else ""


def _shown(bound: float) -> str:
    """A bound without the point of a whole number."""
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:,}"


def topics_of(form: forms.Form) -> list[Topic]:
    """The drawn fields of a form by topic, in the order of the configs; nothing is folded twice."""
    topics: dict[str, Topic] = {}
    for bound in form:
        field = bound.field
        if isinstance(field, DrawnField) and field.topic is not None:
            topic = topics.setdefault(field.topic, Topic(field.topic, [], []))
            (topic.more if field.advanced else topic.fields).append(bound)
    return [
        topic if topic.fields else Topic(topic.title, topic.more, []) for topic in topics.values()
    ]


def drawn(form: forms.Form, name: str) -> DrawnField:
    """The drawn field of this name; raises TypeError where it is of another kind."""
    field = form.fields[name]
    if not isinstance(field, DrawnField):
        raise TypeError(f"“{name}” is not drawn from a setting.")
    return field


def offer_rows(form: forms.Form, name: str, rows: QuerySet[Row]) -> None:
    """Let a field choose among rows; raises TypeError where it chooses among none."""
    field = form.fields[name]
    if not isinstance(field, forms.ModelChoiceField):
        raise TypeError(f"“{name}” does not choose among rows.")
    field.queryset = rows


def offer_names(form: forms.Form, name: str, choices: Iterable[tuple[str, Words]]) -> None:
    """Let a field choose among names with their words; raises TypeError where it chooses among none."""
    field = form.fields[name]
    if not isinstance(field, forms.ChoiceField):
        raise TypeError(f"“{name}” does not choose among names.")
    field.widget = copy(field.widget)  # which other forms may have too
    field.choices = list(choices)


def values_of(form: forms.Form, section: str) -> dict[str, Any]:
    """The cleaned values of one section, by setting; what nothing reads and nobody sent is untouched."""
    prefix = f"{section}-"
    return {
        name.removeprefix(prefix): value
        if name in form.data or is_read(form, name)
        else drawn(form, name).untouched
        for name, value in form.cleaned_data.items()
        if name.startswith(prefix)
    }


def is_read(form: forms.Form, name: str) -> bool:
    """Whether the choices that were made read this field."""
    for choice, values in drawn(form, name).asked.items():
        made = form.cleaned_data.get(choice)
        chosen = {str(one).lower() for one in (made if isinstance(made, list) else [made])}
        if choice in form.fields and not (chosen & set(values) and is_read(form, choice)):
            return False
    return True


def add_errors(form: forms.Form, error: ValidationError, *, section: str = "") -> None:
    """Put what a config refused beside the fields it is about."""
    for problem in error.errors():
        place = getattr(problem.get("ctx", {}).get("error"), "setting", "")
        name = "-".join(str(part) for part in (section, *problem["loc"], place) if part)
        ours = problem["type"] == "value_error"  # said in the reader's language already
        text = problem["msg"].removeprefix("Value error, ") if ours else _(problem["msg"])
        form.add_error(name if name in form.fields else None, f"{text[0].upper()}{text[1:]}.")
