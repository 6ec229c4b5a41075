"""Forms drawn from the settings of `alignment.kinds`: no field is typed twice."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from django import forms
from django.utils.translation import gettext as _
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from alignment.seam.settings import words_of

BOUNDS = {Ge: "ge", Gt: "gt", Le: "le", MinLen: "min_length", MaxLen: "max_length"}


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
) -> dict[str, forms.Field]:
    """One form field per setting, named `section-setting`, filled with the config's values."""
    return {
        f"{section}-{name}": drawn_field(info, getattr(config, name), section=section)
        for name, info in type(config).model_fields.items()
        if name not in without
    }


def drawn_field(info: FieldInfo, value: object, *, section: str = "") -> forms.Field:
    """The form field of one setting, with its title, help, unit, bounds and choices."""
    extra: Mapping[str, Any] = info.json_schema_extra  # type: ignore[assignment]
    kind, bounds = field_kind(info)
    field = kind(
        label=_(info.title),
        help_text=f"{_(info.description)} {bounds_in_words(info)}".strip(),
        initial=value,
        **bounds,
    )
    field.topic, field.advanced = extra["topic"], extra["advanced"]
    said = extra["unit"] in info.title.lower()  # and once is enough
    field.unit = "" if said else _(extra["unit"])
    field.when = json.dumps({f"{section}-{name}": asked for name, asked in extra["when"].items()})
    field.untouched = info.default  # what it stays at where nothing reads it
    if extra["when"]:
        field.required = False  # it is not sent while it is hidden
    if kind is forms.FloatField:
        field.widget.attrs["step"] = "any"
    return field


def field_kind(info: FieldInfo) -> tuple[type[forms.Field], dict[str, Any]]:
    """The class of a setting's form field and what limits it; an open bound is left to pydantic."""
    if get_origin(info.annotation) is tuple:
        boxes = {"choices": choices_of(info)}
        return forms.MultipleChoiceField, boxes | {"widget": forms.CheckboxSelectMultiple}
    if get_origin(info.annotation) is Literal:
        return forms.ChoiceField, {"choices": choices_of(info)}
    if info.annotation is bool:
        return forms.BooleanField, {"required": False}
    if info.annotation is str:
        # The config says where an empty text is no answer.
        return forms.CharField, {"max_length": limit(info, MaxLen), "required": False}
    limits = {"min_value": limit(info, Ge), "max_value": limit(info, Le)}
    return forms.IntegerField if info.annotation is int else forms.FloatField, limits


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
    high = limit(info, Le)
    if (low := limit(info, Ge)) is not None:
        return _("From {low} to {high}.").format(low=shown(low), high=shown(high))
    if (above := limit(info, Gt)) is not None:
        return _("Above {low}, at most {high}.").format(low=shown(above), high=shown(high))
    if (longest := limit(info, MaxLen)) is not None:
        return _("From 0 to {n} characters.").format(n=f"{longest:,}")
    return ""


def shown(bound: float) -> str:
    """A bound without the point of a whole number."""
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:,}"


def topics_of(form: forms.Form) -> list[Topic]:
    """The drawn fields of a form by topic, in the order of the configs; nothing is folded twice."""
    topics: dict[str, Topic] = {}
    for field in form:
        if (title := getattr(field.field, "topic", None)) is not None:
            topic = topics.setdefault(title, Topic(title, [], []))
            (topic.more if field.field.advanced else topic.fields).append(field)
    return [
        topic if topic.fields else Topic(topic.title, topic.more, []) for topic in topics.values()
    ]


def values_of(form: forms.Form, section: str) -> dict[str, Any]:
    """The cleaned values of one section, by setting; what nothing reads and nobody sent is untouched."""
    prefix = f"{section}-"
    return {
        name.removeprefix(prefix): value
        if name in form.data or is_read(form, name)
        else form.fields[name].untouched
        for name, value in form.cleaned_data.items()
        if name.startswith(prefix)
    }


def is_read(form: forms.Form, name: str) -> bool:
    """Whether the choices that were made read this field."""
    for choice, values in json.loads(form.fields[name].when).items():
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
        text = _(problem["msg"].removeprefix("Value error, "))
        form.add_error(name if name in form.fields else None, f"{text[0].upper()}{text[1:]}.")
