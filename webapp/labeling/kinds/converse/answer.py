"""A conversation as it was led: what was said at each turn, the two answers, and how they compare."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from alignment.seam.records import Text
from webapp.labeling.composition import MOST_TURNS
from webapp.labeling.kinds.compare import Choice

LONGEST_SAID = 20_000  # characters of what somebody says


class TurnSaid(BaseModel):
    """One turn; in the first the prompt speaks, and nothing else is said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    said: Text = ""
    left: Text
    right: Text
    choice: Choice

    @model_validator(mode="after")
    def _one_goes_on(self) -> "TurnSaid":
        if self.choice in (Choice.TIE, Choice.BOTH_BAD):
            raise ValueError("no answer goes on")
        return self

    @property
    def chosen(self) -> str:
        """The answer with which the conversation goes on."""
        return self.left if self.choice < Choice.TIE else self.right

    @property
    def rejected(self) -> str:
        """The other one."""
        return self.right if self.choice < Choice.TIE else self.left


def _turns(sent: Any) -> Any:  # noqa: ANN401 - whatever a form or a row holds
    return tuple(sent) if isinstance(sent, list) else sent


class Answer(BaseModel):
    """That a conversation is over, with its turns: those that have an answer which goes on.

    The server has them; `said` is what somebody wrote since, to which no model has answered.
    """

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    said: Text = ""
    ended: Literal["yes"]
    turns: Annotated[tuple[TurnSaid, ...], BeforeValidator(_turns)] = Field(
        default=(), max_length=MOST_TURNS
    )
