"""Settings of the objectives beside f-DPG, and which objective reads which setting."""

from collections.abc import Mapping
from typing import Literal

from alignment.kinds.settings.divergences import DIVERGENCES, DivergenceName
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

AveragedName = Literal["completions", "tokens"]
AVERAGED: Mapping[AveragedName, str] = {
    "completions": _("Completions, each by the mean of its tokens"),
    "tokens": _("All tokens of a step"),
}

FDPG = {"objective": ("fdpg",)}
GROUPED = {"objective": ("rloo", "grpo")}
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


class SignalSettings(Settings):
    """What RLOO, GRPO and PPO make of completions that say little, and how they keep the policy from narrowing."""

    clip_above: float = setting(
        0.0,
        _("Ratio clip above"),
        help=_(
            "Where probabilities rise; larger than the other lets unlikely tokens become likelier, as in DAPO. 0 takes "
            "the same for both."
        ),
        topic=_("Objective"),
        ge=0,
        le=10,
        advanced=True,
        when=CLIPPED,
    )
    averaged: AveragedName = setting(
        "completions",
        _("The loss is a mean over"),
        help=_("With all tokens alike, long completions teach as much a token as short ones."),
        topic=_("Objective"),
        advanced=True,
        choices=AVERAGED,
        when=GRPO,
    )
    leave_cut_out: bool = setting(
        default=False,
        title=_("Leave cut completions out"),
        help=_(
            "Those that reached the length limit add nothing to the loss, as nobody knows how they end."
        ),
        topic=_("Objective"),
        advanced=True,
        when=CLIPPED,
    )
    redraws: int = setting(
        0,
        _("Draw again"),
        help=_(
            "A prompt whose completions have one reward teaches nothing: other prompts take the place of such ones, so "
            "many times a step at most; 0 keeps them."
        ),
        topic=_("Objective"),
        unit=_("times"),
        ge=0,
        le=64,
        advanced=True,
        when=GROUPED,
    )
    entropy_weight: float = setting(
        0.0,
        _("Weight of the entropy"),
        help=_(
            "Of the next token's distribution, which the loss then keeps wide; 0 leaves it out."
        ),
        topic=_("Objective"),
        ge=0,
        le=10,
        advanced=True,
        when=CLIPPED,
    )
    least_entropy: float = setting(
        0.0,
        _("Least entropy"),
        help=_(
            "The entropy counts while that of a step's completions is below this; 0 counts it always."
        ),
        topic=_("Objective"),
        unit=_("nats / token"),
        ge=0,
        le=20,
        advanced=True,
        when=CLIPPED,
        beside=("entropy_weight",),
    )


class PreferenceTermSettings(Settings):
    """Pairs that people judged, learned from beside the policy's own completions."""

    preference_weight: float = setting(
        0.0,
        _("Weight of preferences"),
        help=_(
            "Of f-DPO's loss of a snapshot's pairs, at the same beta, beside f-DPG's of the policy's own completions; "
            "0 reads none."
        ),
        topic=_("Preferences"),
        ge=0,
        le=1000,
        advanced=True,
        when=FDPG,
    )
    preference_divergence: DivergenceName = setting(
        "reverse_kl",
        _("Divergence of the preferences"),
        help=_(
            "Of f-DPO's loss. With reverse KL its optimum is the target itself, where people judge by the reward."
        ),
        topic=_("Preferences"),
        advanced=True,
        choices=DIVERGENCES,
        when=FDPG,
        beside=("preference_weight",),
    )
    preferences_per_update: int = setting(
        16,
        _("Pairs per update"),
        help=_("Pairs that one update learns from."),
        topic=_("Preferences"),
        unit=_("pairs"),
        ge=1,
        le=4096,
        advanced=True,
        when=FDPG,
        beside=("preference_weight",),
    )
