"""Settings of the objectives beside f-DPG, and which objective reads which setting."""

from typing import Literal

from alignment.seam.settings import Settings, setting

ObjectiveName = Literal["fdpg", "rloo", "grpo", "ppo"]
KlPlaceName = Literal["reward", "loss"]

FDPG = {"objective": ("fdpg",)}
CLIPPED = {"objective": ("rloo", "grpo", "ppo")}
GRPO, PPO = {"objective": ("grpo",)}, {"objective": ("ppo",)}


class PolicyGradientSettings(Settings):
    """What RLOO, GRPO and PPO read, and a term that every objective may have."""

    clip: float = setting(
        0.2,
        "Ratio clip",
        help="A new policy gains nothing from moving a probability further than this from the old "
        "one's, as a share.",
        topic="Objective",
        gt=0,
        le=10,
        when=CLIPPED,
    )
    kl_in: KlPlaceName = setting(
        "reward",
        "KL is part of",
        help="The reward, token by token, or the loss, by the estimator k3.",
        topic="Objective",
        when={"objective": ("grpo", "ppo")},
    )
    group_scaling: bool = setting(
        default=True,
        title="Scale by group and length",
        help="Advantages are divided by their standard deviation among a prompt's completions, "
        "losses by the completion's length; off as in Dr. GRPO.",
        topic="Objective",
        when=GRPO,
    )
    discount: float = setting(
        1.0,
        "Discount",
        help="Of later rewards, per token.",
        topic="Objective",
        ge=0,
        le=1,
        advanced=True,
        when=PPO,
    )
    gae_lambda: float = setting(
        0.95,
        "GAE lambda",
        help="0 trusts the value of the next token, 1 the rewards that came.",
        topic="Objective",
        ge=0,
        le=1,
        when=PPO,
    )
    value_clip: float = setting(
        0.2,
        "Value clip",
        help="The value gains nothing from moving further than this in one step.",
        topic="Objective",
        unit="reward",
        gt=0,
        le=1000,
        advanced=True,
        when=PPO,
    )
    value_learning_rate: float = setting(
        1e-3,
        "Learning rate of the value",
        help="Of the head that predicts the reward to come; its warm-up is the policy's.",
        topic="Objective",
        gt=0,
        le=0.1,
        advanced=True,
        when=PPO,
    )
    value_weight: float = setting(
        0.1,
        "Weight of the value",
        help="Of its loss in the layers it shares with the policy; with 0 its head alone learns.",
        topic="Objective",
        ge=0,
        le=10,
        advanced=True,
        when=PPO,
    )
    demonstration_weight: float = setting(
        0.0,
        "Weight of demonstrations",
        help="Of the likelihood of texts, such as the chosen sides of a snapshot's pairs, which "
        "keeps the policy able to write them (PPO-ptx); 0 reads none.",
        topic="Demonstrations",
        ge=0,
        le=1000,
        advanced=True,
    )
    demonstrations_per_update: int = setting(
        16,
        "Demonstrations per update",
        help="Texts whose likelihood one update raises.",
        topic="Demonstrations",
        unit="texts",
        ge=1,
        le=4096,
        advanced=True,
        beside=("demonstration_weight",),
    )
    replay_share: float = setting(
        0.0,
        "Share of replay",
        help="Of a step's prompts, those whose completions are of earlier steps: they cost no "
        "sampling, but the policy has moved since; 0 keeps none.",
        topic="Replay",
        ge=0,
        le=0.9,
        advanced=True,
    )
    replay_steps: int = setting(
        4,
        "Steps kept",
        help="How many of the last steps' completions may be replayed.",
        topic="Replay",
        unit="steps",
        ge=1,
        le=1000,
        advanced=True,
        beside=("replay_share",),
    )
    stored_share: float = setting(
        0.0,
        "Share of stored completions",
        help="Of a step's prompts, those whose completions any model has generated before: they cost "
        "no sampling. How likely that model found them is not known for sure, so the surrogate alone "
        "learns from them; 0 reads none.",
        topic="Replay",
        ge=0,
        le=0.9,
        when=FDPG,
        advanced=True,
    )
