"""A thumb for one answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Up for a good answer, down for one that is not."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    thumb: Literal["up", "down"]
