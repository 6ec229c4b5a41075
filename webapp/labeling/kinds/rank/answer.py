"""An order of answers, as it was given: the letters are those of the card."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from webapp.labeling.kinds.descriptor import LETTERS

MOST = 9  # answers
ORDER = re.compile(rf"[{LETTERS[:MOST]}]([>=][{LETTERS[:MOST]}])*")


def _tidied(sent: object) -> object:
    """Capitals without spaces, and those that are tied in the order of their letters."""
    if not isinstance(sent, str):
        return sent
    tied = ("".join(sent.upper().split())).split(">")
    return ">".join("=".join(sorted(each.split("="))) for each in tied)


def _an_order(text: str) -> str:
    letters = re.findall(r"[A-Z]", text)
    if not ORDER.fullmatch(text) or len(set(letters)) < len(letters):
        raise ValueError("letters, each once, with > or = between them")
    return text


class Answer(BaseModel):
    """The letters from best to worst, as `B>A=C`."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    ranking: Annotated[str, BeforeValidator(_tidied), AfterValidator(_an_order)]

    @property
    def groups(self) -> list[list[int]]:
        """Positions from best to worst; those of one group are equally good."""
        groups = self.ranking.split(">")
        return [[LETTERS.index(letter) for letter in group.split("=")] for group in groups]

    @property
    def places(self) -> list[int]:
        """All the positions that it ranks."""
        return sorted(place for group in self.groups for place in group)
