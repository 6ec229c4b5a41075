"""Every kind of run with its settings, and the file that describes one run."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.bring.settings import ImportConfig
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.population.settings import PopulationConfig
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.sft.settings import SftConfig
from alignment.seam.settings import Settings

Kind = Literal[
    "pretrain",
    "import",
    "sft",
    "prefer",
    "generate",
    "reward",
    "align",
    "population",
    "evaluate",
]


CONFIGS: dict[Kind, type[Settings]] = {
    "pretrain": PretrainConfig,
    "import": ImportConfig,
    "sft": SftConfig,
    "prefer": PreferConfig,
    "generate": GenerateConfig,
    "reward": RewardConfig,
    "align": AlignConfig,
    "population": PopulationConfig,
    "evaluate": EvaluateConfig,
}


class Reads(NamedTuple):
    """The roles of a kind's inputs: one of each group is needed, the others may be given."""

    needed: tuple[tuple[str, ...], ...] = ()
    optional: tuple[str, ...] = ()


READS: dict[Kind, Reads] = {
    "pretrain": Reads(),
    "import": Reads(optional=("source", "root", "base")),  # source may not leave root; no Hub's is
    "sft": Reads((("policy",), ("demonstrations", "pairs"))),
    "prefer": Reads((("policy",), ("reference",), ("pairs", "thumbs"))),
    "generate": Reads((("prompts",),), ("policy",)),
    "reward": Reads((("backbone",), ("pairs",)), ("reference",)),
    "align": Reads(
        (("policy",), ("reference",), ("prompts",)),
        ("reward", "demonstrations", "pairs", "completions", "deployment"),
    ),
    "population": Reads((("policy",), ("reference",), ("prompts",)), ("reward",)),
    "evaluate": Reads((("policy",), ("reference",), ("prompts",)), ("reward", "judge")),
}


class RunSpec(BaseModel):
    """`config.json` of a run folder: all a trainer needs to know, and nothing of the web app.

    `inputs` names files and folders by role (`READS`), absolute or relative to the run folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    run: int
    epoch: int
    seed: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    threads: int | None = None
    config: dict[str, Any]
    inputs: Annotated[dict[str, str], Field(default_factory=dict)]
    resume_from: str | None = None
    cache: str | None = None  # folder for what may be kept between runs, by content hash

    def settings(self) -> Settings:
        """The kind's own config; raises pydantic's ValidationError where it is wrong."""
        return CONFIGS[self.kind].stored(self.config)

    @classmethod
    def load(cls, folder: Path) -> "RunSpec":
        """Read `config.json` of a run folder."""
        return cls.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
