"""Settings of a classifier: what its classes are, what it reads, and how it learns."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from alignment.kinds.pretrain.settings import BAD, BadName
from alignment.kinds.settings.evaluation import LookSettings
from alignment.kinds.settings.fitting import Fitting
from alignment.kinds.settings.flags import FLAGS, FlagName
from alignment.kinds.settings.gradient import GradientSettings
from alignment.kinds.settings.schedule import CourseSettings
from alignment.kinds.settings.splits import SPLITS, SplitName
from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said

SourceName = Literal["people", "file"]
SOURCES: Mapping[SourceName, str] = {
    "people": _("What people said here"),
    "file": _("A file of texts"),
}
HeadName = Literal["text", "word", "span"]
HEADS: Mapping[HeadName, str] = {
    "text": _("Each text has one"),
    "word": _("Each word has one: sequence labelling"),
    "span": _("Which part of a text answers a question: reading comprehension"),
}
MeaningName = Literal["flags", "verdicts"]
MEANINGS: Mapping[MeaningName, str] = {
    "flags": _("Whether an answer was flagged"),
    "verdicts": _("Whether an answer was found good"),
}
FlaggedName = Literal["worse", "both"]
FLAGGED: Mapping[FlaggedName, str] = {
    "worse": _("The answer that was not preferred"),
    "both": _("All answers that were shown"),
}
ReadsName = Literal["answer", "conversation"]
READS: Mapping[ReadsName, str] = {
    "answer": _("The text alone"),
    "conversation": _("The prompt and the text"),
}
PEOPLE: Mapping[str, tuple[str, ...]] = {"source": ("people",)}
FILE: Mapping[str, tuple[str, ...]] = {"source": ("file",)}
FLAGGING: Mapping[str, tuple[str, ...]] = {**PEOPLE, "meaning": ("flags",)}
CLASSES, TRAINING = _("Classes"), _("Training")


class ClassSettings(Settings):
    """Which texts there are, and what their classes mean."""

    source: SourceName = setting(
        "people",
        _("Classes are"),
        help=_("What people said of answers in a project, or a column of a file."),
        topic=CLASSES,
        choices=SOURCES,
    )
    meaning: MeaningName = setting(
        "flags",
        _("A class says"),
        help=_(
            "Flags are set beside an answer to a task. Good is what was preferred or marked above the middle, "
            "bad what was not, or what a verdict says so of."
        ),
        topic=CLASSES,
        choices=MEANINGS,
        when=PEOPLE,
    )
    flag: FlagName = setting(
        "any",
        _("Flag"),
        help=_("The one that counts."),
        topic=CLASSES,
        choices=FLAGS,
        when=FLAGGING,
    )
    flagged: FlaggedName = setting(
        "worse",
        _("A flag is about"),
        help=_(
            "Where several answers were shown: all of them, or what was not preferred; of a tie all of them."
        ),
        topic=CLASSES,
        choices=FLAGGED,
        when=FLAGGING,
        advanced=True,
    )
    labels: SplitName = setting(
        "train",
        _("Labels used"),
        help=_("Prompts of this split."),
        topic=CLASSES,
        advanced=True,
        dashboard=True,
        choices=SPLITS,
        when=PEOPLE,
    )
    head: HeadName = setting(
        "text",
        _("What is told"),
        help=_(
            "One class of each text, a tag of each of its words, or where in it a question is answered."
        ),
        topic=CLASSES,
        choices=HEADS,
        when=FILE,
    )
    text_column: str = setting(
        "text",
        _("Column of the text"),
        help=_("What is read; of words a list, or with spaces between them."),
        topic=CLASSES,
        max_length=100,
        min_length=1,
        when=FILE,
    )
    class_column: str = setting(
        "label",
        _("Column of the class"),
        help=_(
            "A word or a number, of which every different one is a class; of words a list of tags; of a question its "
            "answer, as it stands in the text."
        ),
        topic=CLASSES,
        max_length=100,
        min_length=1,
        when=FILE,
    )
    prompt_column: str = setting(
        "",
        _("Column of the prompt"),
        help=_("What the text answers, or the question about it; empty where there is none."),
        topic=CLASSES,
        max_length=100,
        when=FILE,
        advanced=True,
    )
    bad_lines: BadName = setting(
        "refuse",
        _("Rows that cannot be read"),
        help=_("Each is named by its line and column; how many they were is said."),
        topic=CLASSES,
        choices=BAD,
        when=FILE,
        advanced=True,
    )
    reads: ReadsName = setting(
        "answer",
        _("It reads"),
        help=_("The text alone, or behind its prompt."),
        topic=CLASSES,
        choices=READS,
        advanced=True,
    )

    @model_validator(mode="after")
    def _heads_have_their_columns(self) -> Self:
        if self.head == "span" and not self.prompt_column:
            raise ConflictError("prompt_column", said(_("name the column of the questions")))
        if self.head != "text" and self.reads == "conversation":
            raise ConflictError("reads", said(_("words are told by their text alone")))
        return self

    @model_validator(mode="after")
    def _prompts_are_there(self) -> Self:
        if self.source == "file" and self.reads == "conversation" and not self.prompt_column:
            raise ConflictError(
                "prompt_column", said(_("name the column of the prompts, as they are to be read"))
            )
        return self


class LearningSettings(Settings):
    """How a classifier learns."""

    epochs: int = setting(
        5, _("Epochs"), help=_("Passes over the texts."), topic=TRAINING, ge=1, le=1000
    )
    batch: int = setting(
        32,
        _("Batch"),
        help=_("Texts per step."),
        topic=TRAINING,
        unit=_("texts"),
        ge=1,
        le=1024,
    )
    learning_rate: float = setting(
        5e-4, _("Learning rate"), help=_("Peak of the schedule."), topic=TRAINING, gt=0, le=0.1
    )
    held_out: float = setting(
        0.2,
        _("Held-out share"),
        help=_(
            "Share of the prompts, or of texts without one, that only measure the result; 0 holds out none."
        ),
        topic=TRAINING,
        ge=0,
        le=0.5,
        advanced=True,
    )


# In this order what is told apart comes first.
class ClassifyConfig(
    GradientSettings, Fitting, LookSettings, CourseSettings, LearningSettings, ClassSettings
):
    """A classifier: tells the classes of texts, learned from a file or from what people said of answers."""

    @model_validator(mode="after")
    def _tagged_words_stay(self) -> Self:
        if self.head != "text" and self.overlong == "cut_left":
            raise ConflictError("overlong", said(_("of words that have tags none is cut")))
        return self
