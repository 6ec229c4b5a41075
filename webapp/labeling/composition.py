"""How a project asks its tasks: what annotators may say, and what beside an answer. Kinds of task read it."""

from typing import Annotated, Literal, NamedTuple

from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from alignment.kinds.settings.flags import FLAGS, FlagName
from webapp.projects.models import Project
from webapp.site.words import Words

FLAG_NAMES: tuple[FlagName, ...] = tuple(name for name in FLAGS if name != "any")
CONVERSE = "converse"  # the kind of task in which models answer live
MOST_TURNS = 20
MOST_TOKENS = 1024
QUALITY = "quality"  # the scale that every rating has
MOST_ATTRIBUTES = 4
MOST_LEVELS = 9  # a key each
Rationale = Literal["none", "optional", "asked"]
Points = Literal[2, 4, 7]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")
]


class Attribute(BaseModel):
    """Something that answers are rated by besides quality, with words for the ends of its scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[Line, Field(min_length=1)]
    low: Line = ""
    high: Line = ""
    levels: int = Field(default=7, ge=2, le=MOST_LEVELS)

    @property
    def title(self) -> Words:
        """What a person reads."""
        return _("Quality") if self.name == QUALITY else self.name

    @property
    def steps(self) -> list[str]:
        """Its marks from the lowest on, as an answer writes them behind the letter of an item."""
        return [f":{self.name}:{mark}/{self.levels}" for mark in range(1, self.levels + 1)]


class Conversing(BaseModel):
    """Which models of a project answer in conversations, by their keys, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[int, ...] = Field(min_length=1, max_length=2)
    turns: int = Field(default=6, ge=1, le=MOST_TURNS)  # at most
    max_new_tokens: int = Field(default=128, ge=1, le=MOST_TOKENS)  # of an answer
    temperature: float = Field(default=1.0, ge=0.1, le=2.0)

    @property
    def pair(self) -> tuple[int, int]:
        """Whose the two answers of a turn are; both may be one model's."""
        return self.models[0], self.models[-1]


class Composition(BaseModel):
    """The form of a project. Without any choice it asks as it always did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[str, ...] = ()  # for new tasks; none named: every kind there is
    points: Points = 7  # of a comparison
    attributes: tuple[Attribute, ...] = Field(default=(), max_length=MOST_ATTRIBUTES)
    flags: tuple[FlagName, ...] = FLAG_NAMES
    rationale: Rationale = "optional"
    converse: Conversing | None = None  # None: no model answers, and nobody is asked to lead one

    @field_validator("attributes")
    @classmethod
    def _names_differ(cls, given: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
        names = [QUALITY, *(one.name.casefold() for one in given)]
        if len(set(names)) < len(names):
            raise ValueError("two scales have the same name")
        return given

    @property
    def scales(self) -> tuple[Attribute, ...]:
        """What a rating marks: quality, then the project's own."""
        return (Attribute(name=QUALITY), *self.attributes)

    def names(self, kind: str) -> bool:
        """Whether it is among the kinds that are chosen."""
        return not self.kinds or kind in self.kinds

    def offers(self, kind: str) -> bool:
        """Whether new tasks may be of this kind: conversations need a model that answers."""
        return self.names(kind) and (kind != CONVERSE or self.converse is not None)


class Form(NamedTuple):
    """What somebody was asked by, and its number."""

    number: int
    composition: Composition


def composition_of(project: Project) -> Composition:
    """How the project asks now."""
    return Composition.model_validate(project.composition)


def form_of(project: Project, number: int | None = None) -> Form:
    """The form that a page showed which may be older; the present one where there is none of that number."""
    if number not in (None, project.form_version):
        before = project.form_versions.filter(number=number).first()
        if before is not None:
            return Form(before.number, Composition.model_validate(before.composition))
    return Form(project.form_version, composition_of(project))


def converses_somewhere() -> bool:
    """Whether the form of any project lets models answer in conversations."""
    return Project.objects.filter(composition__converse__isnull=False).exists()
