"""The settings of a whole round, and three sets of them to start from."""

from typing import NamedTuple

from django.utils.translation import gettext_noop as _
from pydantic import BaseModel, ConfigDict, Field

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.reward.settings import RewardConfig
from alignment.seam.settings import Settings
from webapp.rounds.smaller import SmallerConfig


class RoundConfig(BaseModel):
    """Everything the runs of a round are told; frozen into the round's row."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    smaller: SmallerConfig = SmallerConfig()
    reward: RewardConfig = RewardConfig()
    align: AlignConfig = AlignConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    generate: GenerateConfig = GenerateConfig()
    seed: int = Field(default=0, ge=0, lt=2**31)

    @property
    def judge(self) -> RewardConfig:
        """The judge is a reward model too, but of other labels than the one that is optimised.

        Caution is for what is optimised; a judge says what it thinks.
        """
        return self.reward.model_copy(update={"labels": "validation", "caution": 0.0})

    @property
    def evaluation(self) -> EvaluateConfig:
        """The evaluation measures the distance to the target that the alignment aimed at."""
        target = self.align.model_dump(include={"beta", "alpha"})
        return self.evaluate.model_copy(update={**target, "divergence": self.align.minimised})

    @property
    def shrinking(self) -> Settings:
        """What makes the policy smaller, compared with what it was made from by whoever can judge it at once."""
        return self.smaller.settings(self.evaluate.judge, self.evaluate.max_new_tokens)

    @property
    def runs(self) -> list[tuple[str, Settings]]:
        """The runs of a round: of each its kind and what it is told."""
        judged = self.evaluate.judge == "held_out_labels"
        return [
            *([(self.smaller.kind, self.shrinking)] if self.smaller.kind else []),
            *(("reward", one) for one in (self.reward, self.judge)[: 1 + judged]),
            ("align", self.align),
            ("evaluate", self.evaluation),
            ("generate", self.generate),
        ]


class Preset(NamedTuple):
    """A set of values under a name that says what it is good for."""

    title: str
    help: str
    config: RoundConfig


PRESETS: dict[str, Preset] = {
    "quick": Preset(
        _("Quick"),
        _("A first look within minutes: few steps, wide intervals."),
        RoundConfig(
            reward=RewardConfig(epochs=2),
            align=AlignConfig(
                steps=20, completions_per_prompt=4, prompts=128, reference_completions=4, warmup=2
            ),
            evaluate=EvaluateConfig(prompts=64, completions_per_prompt=2),
            generate=GenerateConfig(prompts=64),
        ),
    ),
    "balanced": Preset(_("Balanced"), _("Sound numbers from an hour's labels."), RoundConfig()),
    "thorough": Preset(
        _("Thorough"),
        _("More steps at a lower rate, narrower intervals, more new tasks."),
        RoundConfig(
            reward=RewardConfig(epochs=6),
            align=AlignConfig(
                steps=200, prompts_per_step=32, learning_rate=1.5e-4, prompts=2048, warmup=10
            ),
            evaluate=EvaluateConfig(prompts=1024, completions_per_prompt=8),
            generate=GenerateConfig(prompts=1024),
        ),
    ),
}
