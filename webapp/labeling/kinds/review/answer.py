"""What a reviewer decides, and why."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from alignment.seam.records import Text


class Answer(BaseModel):
    """Accepted, or rejected for a reason."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    decision: Literal["accept", "reject"]
    reason: Text = Field(default="", max_length=2_000)
