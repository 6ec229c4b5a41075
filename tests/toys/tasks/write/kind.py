"""A toy kind of task: a form without items, of which an answer has a text and several words."""

from pathlib import Path
from typing import Literal

from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel

from alignment.seam.records import DemonstrationRecord
from webapp.labeling.kinds.descriptor import InWords, TaskKind


class Answer(BaseModel):
    text: str
    tags: list[Literal["short", "kind"]] = []


def records(asked, answer):
    yield DemonstrationRecord(prompt=asked.prompt, completion=answer.text)


KIND = TaskKind(
    folder=Path(__file__).parent,
    title=_("Answer to write"),
    question=_("What would you answer?"),
    items=range(1),
    Answer=Answer,
    ask=lambda _completions: [()],
    records=records,
    agreement="nominal",
    verdict=lambda _answer, _order: "",
    words=lambda answer: InWords(answer.text[:40], degree=", ".join(answer.tags)),
    template="write.html",
    keys=(),
)
