"""What a kind of task says of itself; everything else asks it and knows no kind by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_origin

from django.http import QueryDict
from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError
from pydantic import model_validator as validator

from alignment.rows.found import Said
from alignment.seam.records import DemonstrationRecord, FlagRecord, LabelRecord, PromptRecord
from webapp.labeling.composition import Composition
from webapp.site.words import Words

C = TypeVar("C")
Order = Sequence[int]  # the places of a task's items as somebody saw them
Record = LabelRecord | DemonstrationRecord | FlagRecord
MOST_ITEMS = 20  # of one task
LETTERS = ascii_uppercase  # what the items on a card are called
LONGEST_VERDICT = 200  # characters
# What forms of the label page send besides the answer.
RESERVED = frozenset(
    [
        "assignment",
        "client_id",
        "form",
        "rationale",
        "flags",
        "visible_ms",
        "base",
        "page",
        "count",
        "skip",
        "undo",
        "renew",
        "have",
        "want",
        "shown",
        "view",
        "as",
        "csrfmiddlewaretoken",
    ]
)


class KindError(TypeError):
    """A descriptor that cannot be registered: of which kind, and which field is wrong."""

    def __init__(self, kind: str, field: str, why: str) -> None:
        super().__init__(f"Kind of task “{kind}”: its {field} {why}.")
        self.kind, self.field = kind, field


class Key(NamedTuple):
    """Something that a key does; `usual` is the character that does it unless somebody chose another.

    One that decides by itself has a word for its button, and the fields of its answer.
    """

    action: str
    usual: str
    words: Words
    word: Words = ""
    answer: Mapping[str, object] | None = None


class Asked(NamedTuple):
    """What somebody answered about: a prompt, answers in the order they were shown, and by whom."""

    prompt: PromptRecord
    items: Sequence[str]
    annotator: str = ""


class InWords(NamedTuple):
    """An answer for a table: what it says, how strongly, a word beside some of the items shown, and what was spoken."""

    text: Words
    degree: Words = ""
    marks: Mapping[int, Words] = {}  # by position
    spoken: Sequence[Mapping[str, str]] = ()  # messages behind the prompt, as Message has them


def no_objection(_answer: object, _items: Sequence[str]) -> Words:
    """Every answer fits whatever it is about."""
    return ""


class HasText(Protocol):
    """A completion, as far as a kind looks at it."""

    text: str


def field_of(name: str) -> str:
    """The field of an answer that an input of this name belongs to."""
    return name.partition(".")[0]


def no_review(_answer: object) -> str:
    """Of a kind whose answers nobody reviews."""
    return ""


def no_answer(_said: Said) -> None:
    """Of a kind that takes no labels from files."""


class TaskKind(BaseModel):
    """A kind of task. Its folder names it and holds, if need be, its script `card.js`.

    `ask` chooses from the completions of a prompt what to ask about together; `verdict` says an answer
    so that two people who mean the same say the same, whatever order each of them saw; `records` says
    what a model learns from it; `objection` why an answer that is one does not fit the items that were shown,
    "" where it does; `imported` what a file says of answers in the words of the kind, None where it has none;
    `reviewed` the text in an answer that other people judge before it is used, in projects that want it;
    `by_place` whether `records` makes of an answer what depends on the places of its items alone, always as many: one or two.
    The template has two parts: `items` for the card, `controls` below it.
    Where a project's form decides what may be said, `keys_of` gives the keys of a form, and `fits` says
    whether an answer about so many items is one by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    folder: Path
    title: Words
    question: Words
    items: range  # how many completions a task shows; range(1) for forms without any
    Answer: type[BaseModel]
    ask: Callable[[Sequence[Any]], Iterable[Sequence[Any]]]
    records: Callable[[Asked, Any], Iterable[Record]]
    agreement: Literal["nominal", "ordinal", "interval", "ranking"]
    verdict: Callable[[Any, Order], str]
    words: Callable[[Any], InWords]
    template: str
    keys: tuple[Key, ...]
    objection: Callable[[Any, Sequence[str]], Words] = no_objection
    keys_of: Callable[[Composition], tuple[Key, ...]] | None = None
    fits: Callable[[Any, Composition, int], bool] | None = None
    made: bool = True  # by whoever wants some; tasks of another kind come by themselves
    imported: Callable[[Said], BaseModel | None] = no_answer
    reviewed: Callable[[Any], str] = no_review
    by_place: bool = False
    live: bool = False  # models answer while somebody waits; the server has what was said

    @validator(mode="wrap")
    @classmethod
    def _named(cls, given: Any, build: ModelWrapValidatorHandler["TaskKind"]) -> "TaskKind":  # noqa: ANN401
        """Build it; what is missing or wrong is said with the name of the kind and of the field."""
        try:
            return build(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = Path(given.get("folder", "?")).name
            (field, *inside) = first["loc"]
            lacking = first["type"] == "missing" and not inside
            why = "is missing" if lacking else f"is wrong: {first['msg']}"
            raise KindError(name, str(field), why) from None

    @property
    def name(self) -> str:
        """What rows and addresses call it."""
        return self.folder.name

    @property
    def script(self) -> Path | None:
        """What its cards do in a browser, where the page alone does not."""
        path = self.folder / "card.js"
        return path if path.is_file() else None

    @property
    def items_part(self) -> str:
        """The part of its template that a card shows below the prompt."""
        return f"{self.template}#items"

    @property
    def controls_part(self) -> str:
        """The part of its template that answers."""
        return f"{self.template}#controls"

    @property
    def written(self) -> tuple[str, ...]:
        """The fields of an answer that no key gives but somebody fills in: drafts keep them."""
        given = {name for key in self.keys for name in key.answer or ()}
        return tuple(name for name in self.Answer.model_fields if name not in given)

    def composed_keys(self, composition: Composition) -> tuple[Key, ...]:
        """The keys that answer by this form."""
        return self.keys_of(composition) if self.keys_of else self.keys

    def is_answer(self, answer: object, composition: Composition, items: int) -> bool:
        """Whether a valid answer about so many items may be given by this form."""
        return self.fits is None or self.fits(answer, composition, items)

    def fields_of(self, sent: QueryDict) -> dict[str, object]:
        """The answer's fields of a form; an empty one is not there.

        What follows a dot in the name of an input only tells groups of inputs of one field apart.
        """
        fields: dict[str, object] = {}
        for name, field in self.Answer.model_fields.items():
            several = get_origin(field.annotation) in (list, tuple, set)
            names = [one for one in sent if field_of(one) == name]
            values = [value for one in names for value in sent.getlist(one) if value != ""]
            if values:
                fields[name] = values if several else values[-1]
        return fields

    def canonical(self, answer: object) -> str:
        """The answer as JSON, always in the same letters."""
        return self.Answer.model_validate(answer).model_dump_json()


def each_alone(completions: Sequence[C]) -> Iterator[tuple[C]]:
    """Each completion asked about by itself."""
    return ((one,) for one in completions)


def check(kind: TaskKind) -> TaskKind:
    """The kind, if pages and tables can hold it; raises KindError otherwise."""
    if not kind.items or kind.items[0] < 0 or kind.items[-1] > MOST_ITEMS:
        raise KindError(kind.name, "items", f"are not between 0 and {MOST_ITEMS}")
    if taken := sorted(RESERVED & set(kind.Answer.model_fields)):
        raise KindError(kind.name, "Answer", f"has the field {taken[0]}, which every form has")
    return kind
