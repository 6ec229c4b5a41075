"""The file that describes one run."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from alignment.kinds import KINDS
from alignment.kinds.kind import Kind
from alignment.seam.settings import Settings


class RunSpec(BaseModel):
    """`config.json` of a run folder: all a trainer needs to know, and nothing of the web app.

    `inputs` names files and folders by role (`Kind.files`), absolute or relative to the run folder.
    """

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    kind: str
    run: int
    epoch: int
    seed: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    threads: int | None = None
    config: dict[str, Any]
    inputs: Annotated[dict[str, str], Field(default_factory=dict)]
    resume_from: str | None = None
    dry: bool = False  # one step of everything, of which nothing is kept
    extends: str | None = None  # folder of the run whose checkpoint this one began with
    cache: str | None = None  # folder for what may be kept between runs, by content hash

    @field_validator("kind")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in KINDS:
            raise ValueError(f"there is no kind of run “{name}”; there are {', '.join(KINDS)}")
        return name

    @property
    def described(self) -> Kind:
        """The kind itself."""
        return KINDS[self.kind]

    def settings(self) -> Settings:
        """The kind's own config; raises pydantic's ValidationError where it is wrong."""
        return self.described.settings.stored(self.config)

    @classmethod
    def load(cls, folder: Path) -> "RunSpec":
        """Read `config.json` of a run folder."""
        return cls.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
