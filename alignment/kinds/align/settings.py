"""Settings of alignment runs: the target, the divergence, the loop."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import ValidationInfo, model_validator

from alignment.kinds.settings.adapters import (
    RANKED,
    AdapterSettings,
    BaseWeightSettings,
    KeptAdapterSettings,
)
from alignment.kinds.settings.computation import ComputationSettings
from alignment.kinds.settings.divergences import DIVERGENCES, OFFLINE, UNBOUNDED, DivergenceName
from alignment.kinds.settings.evaluation import PromptLookSettings
from alignment.kinds.settings.gradient import GradientSettings
from alignment.kinds.settings.loop import SamplingSettings, StepSettings
from alignment.kinds.settings.objectives import (
    FDPG,
    OBJECTIVES,
    ObjectiveName,
    PolicyGradientSettings,
    PreferenceTermSettings,
    SignalSettings,
)
from alignment.kinds.settings.placement import LEARNED_ON, PlacementName, placed
from alignment.kinds.settings.schedule import LoopScheduleSettings
from alignment.kinds.settings.selection import PromptSelectionSettings
from alignment.kinds.settings.target import TargetSettings
from alignment.seam.settings import STORED, ConflictError, Settings, narrowed, setting
from alignment.seam.words import _, said

EstimatorName = Literal["score", "surrogate", "rao_blackwell"]
ESTIMATORS: Mapping[EstimatorName, str] = {
    "score": _("Score function"),
    "surrogate": _("Surrogate"),
    "rao_blackwell": _("Rao-Blackwell, for reverse KL"),
}
ServedName = Literal["as_trained", "int8"]
SERVED_WEIGHTS: Mapping[ServedName, str] = {
    "as_trained": _("As trained"),
    "int8": _("INT8"),
}
WRITTEN = {"learning_rate", "warmup", "max_gradient_norm", "sample_every", "sample_prompts"}


def order(*, of: str) -> Any:  # noqa: ANN401 - as `setting`
    """The order of the alpha divergence, read where it is chosen in the setting of this name."""
    return setting(
        0.5,
        _("Order"),
        help=_(
            "Of the alpha divergence, and read by it alone: 0 is forward KL, 1/2 four times "
            "Hellinger's, 1 reverse KL."
        ),
        topic=_("Objective"),
        ge=-3,
        le=3,
        when={of: ("alpha",)},
    )


class OneDivergence(Settings):
    """What sets an alignment run apart from a population, whose agents minimise one each."""

    objective: ObjectiveName = setting(
        "fdpg",
        _("Objective"),
        help=_(
            "f-DPG minimises any divergence from the target. RLOO, GRPO and PPO, as known from "
            "elsewhere, raise the reward less beta times the KL: reverse KL from the same target. Where there is "
            "nothing to learn, the first two stay at the reference; GRPO and PPO drift about 0.14 and 0.1 nats from it."
        ),
        topic=_("Objective"),
        choices=OBJECTIVES,
    )
    divergence: DivergenceName = setting(
        "jensen_shannon",
        _("Divergence"),
        help=_(
            "What is minimised between policy and target; Jensen-Shannon balances reward and "
            "diversity, reverse KL seeks reward, forward KL covers the target."
        ),
        topic=_("Objective"),
        when=FDPG,
        choices=DIVERGENCES,
    )


class ObjectiveSettings(Settings):
    """How far from the target, how near to the reference, and what of the deployed model counts."""

    alpha: float = order(of="divergence")
    beta: float = setting(
        0.35,
        _("Beta"),
        help=_("Reward per nat of distance from the reference; smaller means stronger alignment."),
        topic=_("Objective"),
        unit=_("reward / nat"),
        gt=0,
        le=100,
    )
    kl_budget: float = setting(
        4.0,
        _("KL budget"),
        help=_("Training stops when the policy is this far from the reference."),
        topic=_("Objective"),
        unit=_("nats"),
        gt=0,
        le=1000,
    )
    estimator: EstimatorName = setting(
        "score",
        _("Estimator"),
        help=_(
            "Of the gradient: the score's with a baseline, a surrogate that needs no weights for "
            "old samples, or for reverse KL the exact KL of every next token: about as noisy while the "
            "target is far, noisier near it."
        ),
        topic=_("Objective"),
        advanced=True,
        choices=ESTIMATORS,
    )
    weight_limit: float = setting(
        0.0,
        _("Limit of importance weights"),
        help=_("Larger weights of old samples are cut to it, at the price of a bias; 0 cuts none."),
        topic=_("Objective"),
        ge=0,
        le=1e6,
        advanced=True,
        when={"estimator": ("score",)},
    )
    pseudo_reward_limit: float = setting(
        0.0,
        _("Limit of pseudo-rewards"),
        help=_("Larger ones are cut to it, at the price of a bias; 0 cuts none."),
        topic=_("Objective"),
        ge=0,
        le=1e6,
        advanced=True,
        when={"estimator": ("score", "surrogate")},
    )
    inference_weight: float = setting(
        0.0,
        _("Weight of the deployed model"),
        help=_("Of a second divergence, between the target and the policy as it will be served."),
        topic=_("Deployment"),
        ge=0,
        le=100,
    )
    inference_temperature: float = setting(
        1.0,
        _("Temperature when deployed"),
        help=_("At which the served policy will draw its completions."),
        topic=_("Deployment"),
        ge=0.1,
        le=2.0,
        beside=("inference_weight",),
    )
    inference_weights: ServedName = setting(
        "as_trained",
        _("Weights when deployed"),
        help=_("As they are trained, or rounded to INT8 with one scale per output channel."),
        topic=_("Deployment"),
        beside=("inference_weight",),
        choices=SERVED_WEIGHTS,
    )


# In this order, from the last: the objective, the target, the steps, the sampling.
class TargetedSettings(
    GradientSettings,
    PromptSelectionSettings,
    SamplingSettings,
    StepSettings,
    TargetSettings,
    ObjectiveSettings,
):
    """Target, loop and safety of every run that brings policies to a target."""

    @model_validator(mode="before")
    @classmethod
    def _an_earlier_version_kept_its_rate(cls, values: object, info: ValidationInfo) -> object:
        """What a version stored that knew no decay means what it meant; it stored all that it knew."""
        if info.context == STORED and isinstance(values, Mapping) and values.keys() >= WRITTEN:
            return {"decay": 0.0, "damping": False, **values}
        return values

    @model_validator(mode="after")
    def _target_can_be_met(self) -> "TargetedSettings":
        if not (self.scored or self.demands):
            raise ConflictError(
                "reward_weight",
                said(
                    _(
                        "the target is the reference itself: give the reward model or a rule a weight, or "
                        "set a constraint or a wished mean"
                    )
                ),
            )
        if self.length_mean and not 1 < self.length_mean < self.max_new_tokens:
            raise ConflictError(
                "length_mean",
                said(
                    _(
                        "the mean length must be above 1 and below the completion length limit of "
                        "{max_new_tokens} tokens"
                    ),
                    max_new_tokens=self.max_new_tokens,
                ),
            )
        phrase = self.share_of.casefold()
        if phrase and self.hard and phrase in self.must_contain.casefold():
            raise ConflictError(
                "share_of",
                said(
                    _(
                        "every completion that must contain “{must_contain}” contains “{share_of}”, so its "
                        "share is 1"
                    ),
                    must_contain=self.must_contain,
                    share_of=self.share_of,
                ),
            )
        return self

    def infinite(self, divergence: DivergenceName) -> str:
        """Why a divergence is infinite with this target; empty where it is not."""
        above = divergence == "alpha" and self.alpha > 1 - 1e-6
        if not self.hard or (divergence not in UNBOUNDED and not above):
            return ""
        finite = [name for name in get_args(DivergenceName) if name not in UNBOUNDED]
        return (
            f"{divergence} is infinite wherever the policy may break a hard constraint; "
            f"soften it, or take {', '.join(finite[:-1])} or alpha of an order below 1"
        )


# In this order the objective comes first.
class AlignConfig(
    KeptAdapterSettings,
    BaseWeightSettings,
    AdapterSettings,
    ComputationSettings,
    PreferenceTermSettings,
    SignalSettings,
    PolicyGradientSettings,
    PromptLookSettings,
    LoopScheduleSettings,
    TargetedSettings,
    OneDivergence,
):
    """Bring a policy to the target p(x) ~ reference(x) exp(reward(x) / beta) by its own completions."""

    alpha: float = narrowed(TargetedSettings, "alpha", **FDPG)
    estimator: EstimatorName = narrowed(TargetedSettings, "estimator", **FDPG)
    weight_limit: float = narrowed(TargetedSettings, "weight_limit", **FDPG)
    pseudo_reward_limit: float = narrowed(TargetedSettings, "pseudo_reward_limit", **FDPG)
    inference_weight: float = narrowed(TargetedSettings, "inference_weight", **FDPG)
    inference_temperature: float = narrowed(TargetedSettings, "inference_temperature", **FDPG)
    inference_weights: ServedName = narrowed(TargetedSettings, "inference_weights", **FDPG)
    damping: bool = narrowed(TargetedSettings, "damping", objective=("fdpg", "rloo"))
    compile: bool = setting(
        default=False,
        title=_("Compile"),
        help=_(
            "Fuses operations of scoring and learning, after a minute or so; refused where there is "
            "no GPU."
        ),
        topic=_("Computation"),
        advanced=True,
        when={"objective": ("fdpg", "rloo", "grpo")},
    )
    placement: PlacementName = placed(LEARNED_ON, beside=RANKED)

    @property
    def damped(self) -> bool:
        """Whether steps are damped; GRPO and PPO are computed as they were published."""
        return self.damping and self.objective in ("fdpg", "rloo")

    @property
    def minimised(self) -> DivergenceName:
        """The divergence from the target that the objective makes small."""
        return self.divergence if self.objective == "fdpg" else "reverse_kl"

    @model_validator(mode="after")
    def _estimator_fits(self) -> "AlignConfig":
        reverse = self.divergence == "reverse_kl" or (
            self.divergence == "alpha" and abs(self.alpha - 1) < 1e-6
        )
        once = self.updates_per_step == 1 and not self.replay_share
        if self.estimator == "rao_blackwell" and not (reverse and once):
            raise ConflictError(
                "estimator",
                said(
                    _(
                        "the Rao-Blackwell estimator is for reverse KL with one update per step and no replay"
                    )
                ),
            )
        return self

    @model_validator(mode="after")
    def _what_is_compiled_is_in_one_piece(self) -> "AlignConfig":
        if self.compile and self.placement == "spread":
            words = _(
                "layers on several devices are not compiled; turn it off, or choose one device"
            )
            raise ConflictError("compile", said(words))
        return self

    @model_validator(mode="after")
    def _stored_completions_can_be_read(self) -> "AlignConfig":
        if self.stored_share and self.estimator != "surrogate":
            raise ConflictError(
                "estimator",
                said(
                    _(
                        "the {estimator} estimator needs the log-probabilities that samples were drawn at, "
                        "and nobody is sure of those of stored completions; take the surrogate, or a share "
                        "of 0"
                    ),
                    estimator=self.estimator,
                ),
            )
        if self.stored_share + self.replay_share > 0.9:
            raise ConflictError(
                "stored_share",
                said(
                    _(
                        "a tenth of a step's prompts at least has to be answered anew; lower one of the "
                        "shares"
                    )
                ),
            )
        return self

    @model_validator(mode="after")
    def _preferences_decide_the_policy(self) -> "AlignConfig":
        if self.preference_divergence not in OFFLINE:
            raise ConflictError(
                "preference_divergence",
                said(
                    _(
                        "with {divergence} pairs do not decide the policy, as its f'(0) is finite or its "
                        "loss unknown; take {offline}"
                    ),
                    divergence=self.preference_divergence,
                    offline=", ".join(OFFLINE),
                ),
            )
        return self

    @model_validator(mode="after")
    def _adapter_can_be_served(self) -> "AlignConfig":
        if self.lora_rank and self.inference_weight and self.inference_weights == "int8":
            raise ConflictError(
                "lora_rank",
                said(
                    _(
                        "a LoRA adapter is not rounded with its model; train all weights (rank 0) for INT8"
                    )
                ),
            )
        return self

    @model_validator(mode="after")
    def _objective_allows_the_target(self) -> "AlignConfig":
        if self.objective != "fdpg" and self.hard:
            raise ConflictError(
                "objective",
                said(
                    _(
                        "to {objective} a broken hard constraint is a reward of minus infinity; soften the "
                        "constraint, or take fdpg with a divergence such as jensen_shannon"
                    ),
                    objective=self.objective,
                ),
            )
        if reason := self.infinite(self.minimised):
            raise ConflictError("divergence", reason)
        return self
