"""What a kind of run is: all that the trainer, the command line and the web app know of it.

Torch-free. A kind is a folder of this package, whose `KIND` says everything once.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alignment.seam.curves import Curve
from alignment.seam.memory import Shape
from alignment.seam.results import Results
from alignment.seam.settings import ALWAYS, Settings, is_chosen
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


class ArtifactType(StrEnum):
    """What is stored by hash: what runs read and make."""

    MODEL = "model"
    ENCODER = "encoder"
    REWARD = "reward"
    SNAPSHOT = "snapshot"
    COMPLETIONS = "completions"
    SCORES = "scores"
    CORPUS = "corpus"
    TEXTS = "texts"
    CLASSIFIER = "classifier"
    CODE = "code"


class Work(StrEnum):
    """Classes of work, each with a queue and workers of its own."""

    RUNS = "runs"  # one after the other, for minutes or days
    LIVE = "live"  # answered within seconds, by workers that take nothing else


class Rows(StrEnum):
    """Forms in which the rows of an artifact are given to the trainer."""

    PAIRS = "pairs"  # of a snapshot: a preferred and another answer
    THUMBS = "thumbs"  # of a snapshot: answers that were liked or not, each by itself
    IMITATED = "imitated"  # of a snapshot: what people wrote, and what they preferred
    LABELS = "labels"  # of a snapshot: whatever people said, with who said it
    JUDGED = "judged"  # of a snapshot: what each person said at once, with their flags
    STORED = "stored"  # of completions: texts with their prompts


class Group(StrEnum):
    """The headings under which kinds are offered."""

    MODEL = _("A model to begin with")
    ALIGN = _("Align it to labels")
    SMALLER = _("Make it smaller")
    EDIT = _("Change what it knows")
    LOOK = _("See what it does")


ITSELF = _("the start model itself")
NOTHING = _("none")
ASIDE = (
    "reward",
    "judge",
    "rater",
    "tokenizer",
)  # roles of models that rate texts, or lend their tokens


Choices = Mapping[str, tuple[str, ...]]  # values of settings


def all_chosen(config: Settings, choices: Choices) -> bool:
    """Whether settings hold one of the values of each choice."""
    return all(is_chosen(config, name, values) for name, values in choices.items())


@dataclass(frozen=True, kw_only=True)
class Input:
    """One thing that a kind reads: a stored artifact, rows of the project, or a file of the command line's.

    It is read where its choices are made (`when`) and one of its settings says something (`beside`),
    as a setting is. `files` are the names that the trainer has for it, one of which is given.
    """

    role: str
    types: tuple[ArtifactType, ...] = ()  # none: not an artifact
    title: str = ""
    help: str = ""
    empty: str = ""  # the choice of none, where that is one
    topic: str = ""  # of the settings it stands with; none is the head of the form
    files: tuple[str, ...] = ()
    rows: Rows | None = (
        None  # how the rows of an artifact are written for the trainer; None: its folder
    )
    instead: Mapping[tuple[str, str], Rows] = field(
        default_factory=dict
    )  # what rows are written where a setting has a value
    when: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: ALWAYS)
    beside: tuple[str, ...] = ()
    optional: bool = False  # the run goes without it
    spared: str = ""  # the role that some artifacts of it make this one needless

    @property
    def names(self) -> tuple[str, ...]:
        """What the trainer calls it."""
        return self.files or (self.role,)

    @property
    def always(self) -> bool:
        """Whether every run of the kind needs it."""
        return not (self.when or self.beside or self.optional or self.spared)

    def rows_for(self, config: Settings) -> Rows | None:
        """How its rows are written for a run with these settings."""
        chosen = (
            rows
            for (name, value), rows in self.instead.items()
            if is_chosen(config, name, (value,))
        )
        return next(chosen, self.rows)

    def is_read(self, config: Settings) -> bool:
        """Whether a run with these settings reads it."""
        return all_chosen(config, self.when) and (
            not self.beside or any(getattr(config, name) for name in self.beside)
        )


@dataclass(frozen=True)
class Prompts:
    """The project's prompts that a kind reads: of which split, and how many at least."""

    split: str
    least: int


@dataclass(frozen=True)
class Given:
    """What a run would read, as its sentence says it: names by role, and counts."""

    names: Mapping[str, str]
    pairs: int = 0  # of the snapshot's split
    written: int = 0  # answers of it that people wrote
    alone: int = 0  # answers of it that they judged by themselves
    prompts: int = 0  # of the project that it may read; one more than it wants is enough
    tilts: Mapping[float, float] = field(
        default_factory=dict
    )  # share of answers that count, by beta


class KindError(TypeError):
    """A descriptor that lacks something; the message names the kind and the field."""


class Kind(BaseModel):
    """A kind of run; raises KindError where a field is missing or is not what it should be."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    title: str
    lead: str  # what it does, for people
    group: Group | None  # None: it is not offered among the others
    makes: tuple[ArtifactType, ...]  # the first, unless the result says otherwise
    made: str  # that in words
    suggested: str  # name of the result
    opened: tuple[str, ...]  # topics that are not folded away
    settings: type[Settings]
    fixed: tuple[str, ...] = ()  # settings that forms do not ask for
    results: type[Results]
    curves: tuple[Curve, ...]
    inputs: tuple[Input, ...]
    prompts: Prompts | None
    held_out: Prompts | None = None  # others that it reads beside those, as `held_out`
    run: str  # module:function
    command: str  # on the command line; empty: none
    work: Work = Work.RUNS
    encoder_decoders: Choices | None = None  # with which it takes T5 and BART; None: never
    encoder_decoders_only: Choices | None = None  # with which it takes nothing else; None: never
    shared: bool  # several processes can share its rows
    saves: bool  # asked to save, it keeps its work
    saves_when: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict
    )  # choices that it does so with
    memory: Callable[
        [Any, Shape | None], int
    ]  # bytes, of settings and the model that it starts from
    seconds: Callable[[Any, Timing], float] | None = (
        None  # that its parts sum up to, of settings; None: nobody knows
    )
    sentence: Callable[[Any, Given], str]  # what a run with these settings will do

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - as pydantic's
        try:
            super().__init__(**fields)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()]
            name = fields.get("name", "without a name")
            raise KindError(
                f"The kind of run “{name}” is not described: {'; '.join(wrong)}."
            ) from None

    def input(self, role: str) -> Input | None:
        """What it reads under this role."""
        return next((one for one in self.inputs if one.role == role), None)

    def input_named(self, role: str) -> Input:
        """What it reads under a role that it has; raises KeyError for another."""
        if (found := self.input(role)) is None:
            raise KeyError(f"A run of kind “{self.name}” reads nothing as {role}.")
        return found

    @property
    def artifacts(self) -> tuple[Input, ...]:
        """Its inputs that are artifacts."""
        return tuple(one for one in self.inputs if one.types)

    def unread(self, config: Settings, given: Collection[str]) -> list[str]:
        """Those of the trainer's names of inputs that were given, but that no run with these settings reads."""
        idle = {name for one in self.inputs if not one.is_read(config) for name in one.names}
        read = {name for one in self.inputs if one.is_read(config) for name in one.names}
        return [name for name in given if name in idle - read]

    @property
    def needed(self) -> tuple[tuple[str, ...], ...]:
        """The trainer's names of what every run of it needs; one of each group."""
        return tuple(one.names for one in self.inputs if one.always)

    @property
    def files(self) -> tuple[str, ...]:
        """The trainer's names of all that it may be given, what is needed first."""
        rest = [name for one in self.inputs if not one.always for name in one.names]
        return tuple(dict.fromkeys([name for group in self.needed for name in group] + rest))

    @property
    def read_prompts(self) -> tuple[Prompts, ...]:
        """The project's prompts that it reads, of one split or of two."""
        return tuple(one for one in (self.prompts, self.held_out) if one)

    @property
    def trains_beside(self) -> bool:
        """Whether it trains a policy beside a reference, which reads the same prompts."""
        roles = {one.role for one in self.inputs}
        return {"policy", "reference"} <= roles and ArtifactType.MODEL in self.makes

    def can_save(self, config: Mapping[str, Any]) -> bool:
        """Whether a run with these stored settings keeps its work when it is asked to save."""
        fields = self.settings.model_fields
        chosen = {name: config.get(name, fields[name].default) for name in self.saves_when}
        return self.saves and all(chosen[name] in self.saves_when[name] for name in chosen)

    def summed(self, config: Settings, timing: Timing) -> float:
        """Seconds that a run's parts sum up to, at most the minutes that it may learn; 0 where nobody knows."""
        found = self.seconds(config, timing) if self.seconds else 0.0
        return min(found, 60 * float(getattr(config, "most_minutes", 0.0)) or found)

    def refusal(self, config: Settings, family: str) -> str:
        """Why it cannot read a model, of this family of encoder-decoders or, where it is "", no such model."""
        when = self.encoder_decoders
        if family and (when is None or not all_chosen(config, when)):
            words = (
                _(
                    "“{title}” takes no encoder-decoder, and this model is one ({family}): it reads a prompt apart "
                    "from what it writes. Choose a model that only decodes, such as GPT-2 or Llama."
                )
                if when is None
                else _(
                    "“{title}” with these settings takes no encoder-decoder, and this model is one ({family})."
                )
            )
            return said(words, title=said(self.title), family=family)
        only = None if family else self.encoder_decoders_only
        if only is not None and all_chosen(config, only):
            words = _(
                "“{title}” with these settings takes encoder-decoders alone, such as T5 and BART, and this "
                "model is none."
            )
            return said(words, title=said(self.title))
        return ""

    def roles(self, config: Settings) -> tuple[str, ...]:
        """The artifacts that a run with these settings needs, by role."""
        return tuple(one.role for one in self.artifacts_read(config) if not one.optional)

    def artifacts_read(self, config: Settings) -> tuple[Input, ...]:
        """The artifacts that a run with these settings reads, those too that it goes without."""
        return tuple(one for one in self.artifacts if one.is_read(config))
