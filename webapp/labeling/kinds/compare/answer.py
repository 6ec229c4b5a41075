"""The answer to a comparison, as it was given: A is what stood first."""

from typing import Annotated

from django.db.models import IntegerChoices
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel, BeforeValidator, ConfigDict


class Choice(IntegerChoices):
    """The scale of seven, and both bad."""

    BOTH_BAD = 0, _("both bad")
    LEFT_MUCH = 1, _("A much better")
    LEFT = 2, _("A better")
    LEFT_SLIGHTLY = 3, _("A slightly better")
    TIE = 4, _("tie")
    RIGHT_SLIGHTLY = 5, _("B slightly better")
    RIGHT = 6, _("B better")
    RIGHT_MUCH = 7, _("B much better")

    @classmethod
    def of(cls, *, left_won: bool, strength: int) -> "Choice":
        """A preference, from 1 for slightly to 3 for much better."""
        return cls(cls.TIE + (-strength if left_won else strength))


def _number(sent: object) -> object:
    """A form sends text."""
    return int(sent) if isinstance(sent, str) and sent.isdecimal() else sent


class Answer(BaseModel):
    """A choice on the scale."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    choice: Annotated[Choice, BeforeValidator(_number)]

    @property
    def better(self) -> int | None:
        """The position of the preferred answer; None for a tie or both bad."""
        if self.choice in (Choice.BOTH_BAD, Choice.TIE):
            return None
        return 0 if self.choice < Choice.TIE else 1

    @property
    def strength(self) -> int:
        """1 slightly, 2 better, 3 much better; 0 without a preference."""
        return 0 if self.better is None else abs(self.choice - Choice.TIE)
