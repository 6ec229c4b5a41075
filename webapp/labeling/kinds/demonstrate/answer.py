"""An answer that somebody wrote."""

from pydantic import BaseModel, ConfigDict

from webapp.labeling.kinds.writing import Written


class Answer(BaseModel):
    """The text, as it was written."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    text: Written
