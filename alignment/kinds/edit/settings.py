"""Settings of edits: which facts, in which layer, and how the new answers are found."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from alignment.kinds.edit.facts import facts_in
from alignment.kinds.settings.costs import (
    CalibrationName,
    CostSettings,
    answers_to_read,
    prompts_to_read,
)
from alignment.seam.errors import DataError
from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said

ReadingName = Literal["conversation", "text"]
READINGS: Mapping[ReadingName, str] = {
    "conversation": _("As turns of a conversation"),
    "text": _("As texts that go on"),
}
TRACED = -1
FACTS, SEARCH = _("Facts"), _("How an answer is found")


class FactSettings(Settings):
    """What a model is to say, and where that is written."""

    lines: str = setting(
        "",
        _("Facts, one a line"),
        help=_(
            "subject | prompt | new answer, and after that, where there are some, | paraphrases | neighbours, "
            "several apart by ;. Neighbours are prompts whose answers are to stay. The prompt names the subject."
        ),
        topic=FACTS,
        max_length=100_000,
    )
    reading: ReadingName = setting(
        "conversation",
        _("Prompts are read"),
        help=_("A prompt is a user's turn that the model answers, or the beginning of a text."),
        topic=FACTS,
        choices=READINGS,
    )
    layer: int = setting(
        TRACED,
        _("Layer"),
        help=_(
            "Counted from 0; with -1 that one is taken which, when it alone is undisturbed, brings back most of "
            "an answer whose subject was blurred."
        ),
        topic=FACTS,
        ge=TRACED,
        le=1000,
    )
    steps: int = setting(
        25,
        _("Steps"),
        help=_("Of Adam, for what the layer is to write where the subject ends."),
        topic=SEARCH,
        ge=1,
        le=1000,
    )
    learning_rate: float = setting(
        0.5, _("Learning rate"), help=_("Of these steps."), topic=SEARCH, advanced=True, gt=0, le=10
    )
    contexts: int = setting(
        4,
        _("Contexts"),
        help=_("Other prompts that are put before a fact's, so that the answer holds in them too."),
        topic=SEARCH,
        advanced=True,
        ge=0,
        le=64,
    )
    closeness: float = setting(
        0.0625,
        _("Closeness"),
        help=_("Weight of the KL by which the model says something else of the subject itself."),
        topic=SEARCH,
        advanced=True,
        ge=0,
        le=100,
    )
    most_change: float = setting(
        4.0,
        _("Largest change"),
        help=_("Of what the layer writes there, as a multiple of its norm."),
        topic=SEARCH,
        advanced=True,
        gt=0,
        le=100,
    )
    damping: float = setting(
        0.001,
        _("Damping"),
        help=_("Share of the mean that is added to the keys' moment: more trusts the texts less."),
        topic=SEARCH,
        advanced=True,
        gt=0,
        le=10,
    )


class EditConfig(CostSettings, FactSettings):
    """Editing: facts that a model says from now on, by a change of rank one each, and what else that changes."""

    answers: CalibrationName = answers_to_read()
    prompts: int = prompts_to_read(128)

    @model_validator(mode="after")
    def _lines_are_facts(self) -> Self:
        try:
            facts_in(self.lines, said(_("Facts")))
        except DataError as error:
            raise ConflictError("lines", str(error)) from error
        return self
