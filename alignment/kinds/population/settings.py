"""Settings of a population: several divergences from one pool of samples."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from alignment.kinds.align.settings import AlignConfig, TargetedSettings, order
from alignment.kinds.settings.divergences import DIVERGENCES, DivergenceName
from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said

SharingName = Literal["equal", "thompson", "exp3"]
SHARINGS: Mapping[SharingName, str] = {
    "equal": _("Equally"),
    "thompson": _("By progress (Thompson)"),
    "exp3": _("By progress, wary of change (Exp3)"),
}
FEWEST = 2  # completions of a prompt by each agent: the baseline leaves one out


class SeveralDivergences(Settings):
    """What sets a population apart from an alignment run."""

    divergences: tuple[DivergenceName, ...] = setting(
        ("jensen_shannon", "reverse_kl", "forward_kl"),
        _("Divergences"),
        help=_(
            "One agent each: policies that start alike and learn from each other's completions, "
            "at less cost than runs of their own."
        ),
        topic=_("Objective"),
        min_length=2,
        max_length=10,
        choices=DIVERGENCES,
    )


class PopulationConfig(TargetedSettings, SeveralDivergences):
    """f-DPG of several divergences at once: every agent learns from every agent's completions."""

    alpha: float = order(of="divergences")
    completions_per_prompt: int = setting(
        12,
        _("Completions per prompt"),
        help=_(
            "Samples per prompt and step of all agents together; each draws its share of them, two "
            "at least, and learns from all."
        ),
        topic=_("Training"),
        unit=_("completions"),
        ge=4,
        le=1024,
    )

    sharing: SharingName = setting(
        "equal",
        _("Completions are shared out"),
        help=_(
            "Who draws them: all agents as many, or a bandit gives more to those that get nearer to their "
            "targets by each; two at least, and all learn from all of them."
        ),
        topic=_("Training"),
        advanced=True,
        choices=SHARINGS,
    )

    @model_validator(mode="after")
    def _agents_differ(self) -> "PopulationConfig":
        twice = [name for name, count in Counter(self.divergences).items() if count > 1]
        if twice:
            raise ConflictError(
                "divergences",
                said(
                    _("{twice} is named twice; every agent has a divergence of its own"),
                    twice=twice[0],
                ),
            )
        least = FEWEST * len(self.divergences)
        if self.completions_per_prompt < least:
            raise ConflictError(
                "completions_per_prompt",
                said(
                    _("{n} agents need at least {least} completions per prompt"),
                    n=len(self.divergences),
                    least=least,
                ),
            )
        return self

    @model_validator(mode="after")
    def _every_agent_can_learn(self) -> "PopulationConfig":
        if self.estimator == "rao_blackwell":
            raise ConflictError(
                "estimator",
                said(_("the Rao-Blackwell estimator is for one policy's own completions")),
            )
        if self.inference_weight:
            raise ConflictError(
                "inference_weight",
                said(_("a population has no term of the deployed model; set its weight to 0")),
            )
        for name in self.divergences:
            if reason := self.infinite(name):
                raise ConflictError("divergences", reason)
        return self

    def agent(self, name: DivergenceName) -> AlignConfig:
        """The settings of one agent, as those of an alignment run."""
        shared = {field: getattr(self, field) for field in TargetedSettings.model_fields}
        if name != "alpha":
            del shared["alpha"]
        return AlignConfig.stored({**shared, "divergence": name})
