"""What a setting is: everything a form and a `--help` need to show it."""

from collections.abc import Collection, Mapping
from copy import copy
from types import MappingProxyType
from typing import Any, Literal, Self, TypedDict, Unpack, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

from alignment.seam.words import _, said

STORED: Mapping[str, bool] = MappingProxyType({"stored": True})  # context of a validation
ALWAYS: Mapping[str, tuple[str, ...]] = MappingProxyType({})
NONE: Mapping[str, str] = MappingProxyType({})


class Extra(TypedDict):
    """What a setting says of itself beyond its title, help and bounds: the arguments of `setting`."""

    unit: str
    topic: str
    advanced: bool
    dashboard: bool
    when: dict[str, list[str]]
    beside: list[str]
    words: dict[str, str]


class ConflictError(ValueError):
    """Settings that do not go together; `setting` is the one to change first."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


class Details(TypedDict, total=False):
    """What else a setting may have.

    `when` names choices that it is read for: {"divergence": ("alpha",)}; all of them must be made.
    `beside` names settings of which one at least must not be 0 or empty, else nothing reads it.
    `dashboard` says that only the web app reads it, since it is about what is stored there.
    `choices` has the words of each value that it may take, where these are names.
    """

    unit: str
    advanced: bool
    dashboard: bool
    when: Mapping[str, tuple[str, ...]]
    beside: tuple[str, ...]
    choices: Mapping[Any, str]
    ge: float
    gt: float
    le: float
    min_length: int
    max_length: int


BOUNDS = ("ge", "gt", "le", "min_length", "max_length")  # as pydantic takes them


def setting(
    default: Any,  # noqa: ANN401 - a field of any type
    title: str,
    *,
    help: str,
    topic: str,
    **more: Unpack[Details],
) -> Any:  # noqa: ANN401 - pydantic's Field is typed so
    """A field with everything a form and a `--help` need to show it."""
    extra = Extra(
        unit=more.get("unit", ""),
        topic=topic,
        advanced=more.get("advanced", False),
        dashboard=more.get("dashboard", False),
        when={name: list(values) for name, values in more.get("when", ALWAYS).items()},
        beside=list(more.get("beside", ())),
        words={str(value): words for value, words in more.get("choices", NONE).items()},
    )
    plain: dict[str, Any] = {**extra}
    bounds: dict[str, Any] = {name: bound for name, bound in more.items() if name in BOUNDS}
    return Field(default, title=title, description=help, json_schema_extra=plain, **bounds)


class Settings(BaseModel):
    """Settings of a run; what was changed and is read by nothing is refused, not ignored."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:  # noqa: ANN401 - as pydantic's
        """Raise TypeError where a name that may be chosen has no words, or words stand for nothing."""
        for name, info in cls.model_fields.items():
            values, words = set(names_of(info.annotation)), set(words_of(info))
            if lacking := ", ".join(sorted(values ^ words)):
                raise TypeError(
                    f"{cls.__name__}.{name} has values and words that do not agree: {lacking}."
                )

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> Self:
        """What was accepted once, by this version or an earlier one: what nothing reads is let pass."""
        return cls.model_validate(values, context=STORED)

    @model_validator(mode="after")
    def _nothing_is_changed_in_vain(self, info: ValidationInfo) -> Self:
        if info.context == STORED:
            return self
        for name, field in type(self).model_fields.items():
            if getattr(self, name) != field.default and (reason := self.unread(name)):
                usual = said(_("nothing")) if field.default == "" else field.default
                raise ConflictError(
                    name,
                    said(
                        _("{reason}; leave it at {usual}, or change that"),
                        reason=reason,
                        usual=usual,
                    ),
                )
        return self

    def unread(self, name: str) -> str:
        """Why nothing reads a setting; empty where something does."""
        fields = type(self).model_fields
        info = fields[name]
        extra = extra_of(info)
        for choice, values in extra["when"].items():
            if choice in fields and not self.chosen(choice) & set(values):
                made = ", ".join(sorted(self.chosen(choice)))
                takers = said(_(" and ")).join(values)
                words = _("{made} does not read “{title}”, {takers} does")
                if len(values) > 1:
                    words = _("{made} does not read “{title}”, {takers} do")
                return said(words, made=made, title=said(info.title or ""), takers=takers)
            if choice in fields and (reason := self.unread(choice)):
                return reason
        beside = extra["beside"]
        if beside and not any(getattr(self, other) for other in beside):
            titles = said(_(" and ")).join(
                f"“{said(fields[other].title or '')}”" for other in beside
            )
            return said(
                _("“{title}” says nothing without {titles}"),
                title=said(info.title or ""),
                titles=titles,
            )
        return ""

    def chosen(self, choice: str) -> set[str]:
        """The value of a choice as `when` writes it, or the values of one that takes several."""
        made = getattr(self, choice)
        return {str(one).lower() for one in (made if isinstance(made, tuple) else (made,))}


def is_chosen(config: Settings, name: str, values: Collection[str]) -> bool:
    """Whether one of these values is chosen in the setting of this name."""
    return bool(config.chosen(name) & set(values))


def names_of(annotation: object) -> tuple[str, ...]:
    """The names that a setting of this type takes; none where it takes no names."""
    if get_origin(annotation) is tuple:
        return names_of(get_args(annotation)[0])
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def words_of(info: FieldInfo) -> Mapping[str, str]:
    """The words of each name that a setting takes."""
    return extra_of(info)["words"] if info.json_schema_extra else NONE


def extra_of(info: FieldInfo) -> Extra:
    """What a setting says of itself."""
    extra: Any = info.json_schema_extra  # pydantic takes any JSON, and functions
    found: Extra = extra
    return found


def narrowed(config: type[Settings], name: str, **when: tuple[str, ...]) -> Any:  # noqa: ANN401
    """A setting as another class has it, read only for these choices as well."""
    field = copy(config.model_fields[name])
    extra = extra_of(field)
    asked = {choice: list(values) for choice, values in when.items()}
    plain: dict[str, Any] = {**extra, "when": extra["when"] | asked}
    field.json_schema_extra = plain
    return field
