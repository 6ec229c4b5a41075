"""What became of an answer: another text, or that none is needed."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from webapp.labeling.kinds.writing import Written


class Answer(BaseModel):
    """The edited text, or that the answer is good as it is."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    text: Written | None = None
    good: Literal["yes"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _good_as_it_is(cls, sent: Any) -> Any:  # noqa: ANN401 - whatever a form sends
        """A form sends the text with every button; where it is good, that is the answer's own."""
        return {"good": sent["good"]} if isinstance(sent, dict) and sent.get("good") else sent

    @model_validator(mode="after")
    def _says_something(self) -> "Answer":
        if self.text is None and self.good is None:
            raise ValueError("neither edited nor good as it is")
        return self
