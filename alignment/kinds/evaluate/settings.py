"""Settings of evaluations."""

from typing import Literal

from alignment.kinds.settings.divergences import DivergenceName
from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import Settings, setting

JudgeName = Literal["held_out_labels", "utility", "none"]


class EvaluateConfig(Settings):
    """Policy against reference on held-out prompts, judged by someone who is not the reward."""

    judge: JudgeName = setting(
        "held_out_labels",
        "Judge",
        help="Who decides the win rate: a second reward model trained on labels of other prompts, "
        "the simulated utility (demo projects), or nobody.",
        topic="Evaluation",
    )
    prompts: int = setting(
        256,
        "Held-out prompts",
        help="How many prompts of the test split are answered.",
        topic="Evaluation",
        unit="prompts",
        ge=8,
        le=100_000,
    )
    completions_per_prompt: int = setting(
        4,
        "Completions per prompt",
        help="Answers of each model per held-out prompt.",
        topic="Evaluation",
        unit="completions",
        ge=1,
        le=64,
    )
    max_new_tokens: int = setting(
        48,
        "Completion length limit",
        help="A completion that reaches the limit is cut there.",
        topic="Evaluation",
        unit="tokens",
        ge=1,
        le=4096,
    )
    overlong: OverlongName = overlong("Evaluation")
    beta: float = setting(
        0.35,
        "Beta",
        help="Of the target, where the policy does not say itself what it was aimed at: aligned ones do.",
        topic="Evaluation",
        unit="reward / nat",
        gt=0,
        le=100,
        advanced=True,
    )
    divergence: DivergenceName = setting(
        "jensen_shannon",
        "Divergence",
        help="From the target, where the policy does not say itself which one was minimised.",
        topic="Evaluation",
        advanced=True,
    )
    alpha: float = setting(
        0.5,
        "Order",
        help="Of the alpha divergence, where the policy does not say it itself.",
        topic="Evaluation",
        ge=-3,
        le=3,
        advanced=True,
        when={"divergence": ("alpha",)},
    )
