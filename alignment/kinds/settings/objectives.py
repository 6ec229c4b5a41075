"""Settings of the objectives beside f-DPG, and which objective reads which setting."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

ObjectiveName = Literal["fdpg", "rloo", "grpo", "ppo"]
OBJECTIVES: Mapping[ObjectiveName, str] = {
    "fdpg": _("f-DPG, of any divergence"),
    "rloo": _("RLOO"),
    "grpo": _("GRPO"),
    "ppo": _("PPO"),
}
KlPlaceName = Literal["reward", "loss"]
KL_PLACES: Mapping[KlPlaceName, str] = {
    "reward": _("The reward"),
    "loss": _("The loss, by k3"),
}

FDPG = {"objective": ("fdpg",)}
CLIPPED = {"objective": ("rloo", "grpo", "ppo")}
GRPO, PPO = {"objective": ("grpo",)}, {"objective": ("ppo",)}


class PolicyGradientSettings(Settings):
    """What RLOO, GRPO and PPO read, and a term that every objective may have."""

    clip: float = setting(
        0.2,
        _("Ratio clip"),
        help=_(
            "A new policy gains nothing from moving a probability further than this from the old "
            "one's, as a share."
        ),
        topic=_("Objective"),
        gt=0,
        le=10,
        when=CLIPPED,
    )
    kl_in: KlPlaceName = setting(
        "reward",
        _("KL is part of"),
        help=_("The reward, token by token, or the loss, by the estimator k3."),
        topic=_("Objective"),
        when={"objective": ("grpo", "ppo")},
        choices=KL_PLACES,
    )
    group_scaling: bool = setting(
        default=True,
        title=_("Scale by group and length"),
        help=_(
            "Advantages are divided by their standard deviation among a prompt's completions, "
            "losses by the completion's length; off as in Dr. GRPO."
        ),
        topic=_("Objective"),
        when=GRPO,
    )
    discount: float = setting(
        1.0,
        _("Discount"),
        help=_("Of later rewards, per token."),
        topic=_("Objective"),
        ge=0,
        le=1,
        advanced=True,
        when=PPO,
    )
    gae_lambda: float = setting(
        0.95,
        _("GAE lambda"),
        help=_("0 trusts the value of the next token, 1 the rewards that came."),
        topic=_("Objective"),
        ge=0,
        le=1,
        when=PPO,
    )
    value_clip: float = setting(
        0.2,
        _("Value clip"),
        help=_("The value gains nothing from moving further than this in one step."),
        topic=_("Objective"),
        unit=_("reward"),
        gt=0,
        le=1000,
        advanced=True,
        when=PPO,
    )
    value_learning_rate: float = setting(
        1e-3,
        _("Learning rate of the value"),
        help=_("Of the head that predicts the reward to come; its warm-up is the policy's."),
        topic=_("Objective"),
        gt=0,
        le=0.1,
        advanced=True,
        when=PPO,
    )
    value_weight: float = setting(
        0.1,
        _("Weight of the value"),
        help=_(
            "Of its loss in the layers it shares with the policy; with 0 its head alone learns."
        ),
        topic=_("Objective"),
        ge=0,
        le=10,
        advanced=True,
        when=PPO,
    )
    demonstration_weight: float = setting(
        0.0,
        _("Weight of demonstrations"),
        help=_(
            "Of the likelihood of texts, such as the chosen sides of a snapshot's pairs, which "
            "keeps the policy able to write them (PPO-ptx); 0 reads none."
        ),
        topic=_("Demonstrations"),
        ge=0,
        le=1000,
        advanced=True,
    )
    demonstrations_per_update: int = setting(
        16,
        _("Demonstrations per update"),
        help=_("Texts whose likelihood one update raises."),
        topic=_("Demonstrations"),
        unit=_("texts"),
        ge=1,
        le=4096,
        advanced=True,
        beside=("demonstration_weight",),
    )
    replay_share: float = setting(
        0.0,
        _("Share of replay"),
        help=_(
            "Of a step's prompts, those whose completions are of earlier steps: they cost no "
            "sampling, but the policy has moved since; 0 keeps none."
        ),
        topic=_("Replay"),
        ge=0,
        le=0.9,
        advanced=True,
    )
    replay_steps: int = setting(
        4,
        _("Steps kept"),
        help=_("How many of the last steps' completions may be replayed."),
        topic=_("Replay"),
        unit=_("steps"),
        ge=1,
        le=1000,
        advanced=True,
        beside=("replay_share",),
    )
    stored_share: float = setting(
        0.0,
        _("Share of stored completions"),
        help=_(
            "Of a step's prompts, those whose completions any model has generated before: they cost "
            "no sampling. How likely that model found them is not known for sure, so the surrogate alone "
            "learns from them; 0 reads none."
        ),
        topic=_("Replay"),
        ge=0,
        le=0.9,
        when=FDPG,
        advanced=True,
    )
