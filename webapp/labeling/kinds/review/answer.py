"""What a reviewer decides, and why, or in which words it may be used."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alignment.seam.records import Text
from webapp.labeling.kinds.writing import with_plain_lines

LONGEST_PROMPT = 20_000  # characters


class Answer(BaseModel):
    """Accepted, perhaps in other words (`text`, where it `was` written so), or rejected for a reason."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    decision: Literal["accept", "reject"]
    reason: Text = Field(default="", max_length=2_000)
    text: Text = Field(default="", max_length=LONGEST_PROMPT)
    was: Text = Field(default="", max_length=2 * LONGEST_PROMPT)

    @model_validator(mode="before")
    @classmethod
    def _changed_words(cls, sent: Any) -> Any:  # noqa: ANN401 - whatever a form sends
        """A form sends the words with either button: they are told where somebody accepts others."""
        if not isinstance(sent, dict) or not isinstance(sent.get("text", ""), str):
            return sent
        text, was = (with_plain_lines(str(sent.get(name, ""))).rstrip() for name in ("text", "was"))
        said = {name: value for name, value in sent.items() if name not in ("text", "was")}
        changed = sent.get("decision") == "accept" and text.strip() not in ("", was.strip())
        return said | ({"text": text, "was": was} if changed else {})
