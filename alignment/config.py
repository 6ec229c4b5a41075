"""The settings of every kind of run, typed once: the command line and the web forms are drawn from them.

Torch-free. Every field carries a title, one line of help, a unit where it has one, bounds, and the
topic it is filed under; `advanced` fields are folded away until somebody asks for them.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["pretrain", "import", "sft", "prefer", "generate", "reward", "align", "evaluate"]
DivergenceName = Literal[
    "jensen_shannon",
    "reverse_kl",
    "forward_kl",
    "total_variation",
    "squared_hellinger",
    "le_cam",
    "jeffreys",
    "pearson_chi2",
    "neyman_chi2",
    "alpha",
]
JudgeName = Literal["held_out_labels", "utility", "none"]
EstimatorName = Literal["score", "surrogate", "rao_blackwell"]
ServedName = Literal["as_trained", "int8"]
RuleName = Literal["no_rule", "contains", "matches", "words", "similarity"]
PreferenceName = Literal["f_dpo", "ipo", "kto"]
PromptTemplateName = Literal["own", "alpaca", "custom"]
OFFLINE: tuple[DivergenceName, ...] = (  # f'(0) = -inf: labels decide the policy's ratios alone
    "reverse_kl",
    "forward_kl",
    "jensen_shannon",
    "squared_hellinger",
    "alpha",
)
UNBOUNDED: tuple[DivergenceName, ...] = ("reverse_kl", "jeffreys", "pearson_chi2")  # f'(inf) = inf
SourceName = Literal["hub", "folder", "upload"]
TemplateName = Literal["own", "chatml", "plain"]
HUB_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


def setting(
    default: Any,  # noqa: ANN401 - a field of any type
    title: str,
    *,
    help: str,
    topic: str,
    unit: str = "",
    advanced: bool = False,
    **bounds: Any,  # noqa: ANN401 - numbers, as pydantic takes them
) -> Any:  # noqa: ANN401 - pydantic's Field is typed so
    """A field with everything a form and a `--help` need to show it."""
    extra: dict[str, Any] = {"unit": unit, "topic": topic, "advanced": advanced}
    return Field(default, title=title, description=help, json_schema_extra=extra, **bounds)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PretrainConfig(_Settings):
    """A small causal language model trained from scratch on a generated corpus."""

    documents: int = setting(
        6000,
        "Documents",
        help="Instruction and answer pairs the grammar writes for training.",
        topic="Corpus",
        ge=100,
        le=1_000_000,
    )
    layers: int = setting(
        2, "Layers", help="Transformer blocks of the model.", topic="Model", ge=1, le=48
    )
    width: int = setting(
        128, "Width", help="Size of the hidden states.", topic="Model", ge=16, le=4096
    )
    heads: int = setting(
        4,
        "Heads",
        help="Attention heads; the width must divide by them.",
        topic="Model",
        ge=1,
        le=64,
    )
    vocabulary: int = setting(
        2048,
        "Vocabulary",
        help="Entries of the byte-level BPE tokenizer.",
        topic="Model",
        unit="tokens",
        ge=300,
        le=65536,
    )
    context: int = setting(
        128,
        "Context length",
        help="Longest prompt and completion together.",
        topic="Model",
        unit="tokens",
        ge=32,
        le=8192,
    )
    steps: int = setting(
        700, "Steps", help="Optimizer steps.", topic="Training", ge=1, le=1_000_000
    )
    batch: int = setting(
        32, "Batch", help="Documents per step.", topic="Training", unit="documents", ge=1, le=4096
    )
    learning_rate: float = setting(
        3e-3, "Learning rate", help="Peak of the cosine schedule.", topic="Training", gt=0, le=0.1
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "PretrainConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide by {self.heads} heads")
        return self


class ImportConfig(_Settings):
    """Somebody's own model, or a LoRA adapter of a known one: fetched, checked, tried and kept."""

    source: SourceName = setting(
        "folder",
        "Source",
        help="The Hugging Face Hub, a folder that an admin allows, or an upload.",
        topic="Model",
    )
    name: str = setting(
        "",
        "Name at its source",
        help="Owner and name on the Hub; elsewhere only for people.",
        topic="Model",
        max_length=200,
    )
    revision: str = setting(
        "main",
        "Revision",
        help="A branch, tag or commit of the Hub; what it stood for is kept as a commit.",
        topic="Model",
        max_length=100,
    )
    template: TemplateName = setting(
        "own",
        "Chat template",
        help="How a conversation becomes the text that the model reads.",
        topic="Model",
    )
    limit_gib: float = setting(
        20.0,
        "Largest size",
        help="A model with larger files is refused.",
        topic="Model",
        unit="GiB",
        gt=0,
        le=10_000,
        advanced=True,
    )

    @model_validator(mode="after")
    def _names_on_the_hub(self) -> "ImportConfig":
        if self.source == "hub" and not HUB_NAME.fullmatch(self.name):
            raise ValueError(f"“{self.name}” is not a name on the Hub; write owner/name")
        if not REVISION.fullmatch(self.revision):
            raise ValueError(f"“{self.revision}” is not a revision")
        return self


class SftConfig(_Settings):
    """Supervised fine-tuning: a policy imitates completions, with no loss on their prompts."""

    prompt_template: PromptTemplateName = setting(
        "own",
        "Prompt template",
        help="How a prompt is written before the model: by its own chat template, as Alpaca does, "
        "or as below; the model keeps it.",
        topic="Imitation",
    )
    custom_template: str = setting(
        "",
        "Custom template",
        help="Text with {prompt} where the last turn stands, up to where the answer begins.",
        topic="Imitation",
        max_length=2000,
        advanced=True,
    )
    labels: Literal["train", "validation"] = setting(
        "train",
        "Labels used",
        help="Prompts of this split, where pairs are imitated.",
        topic="Imitation",
        advanced=True,
    )
    epochs: int = setting(
        3, "Epochs", help="Passes over the completions.", topic="Imitation", ge=1, le=100
    )
    batch: int = setting(
        32, "Batch", help="Examples per step.", topic="Imitation", unit="completions", ge=1, le=1024
    )
    learning_rate: float = setting(
        3e-4, "Learning rate", help="Peak of the schedule.", topic="Imitation", gt=0, le=0.1
    )
    held_out: float = setting(
        0.2,
        "Held-out share",
        help="Share of the prompts whose completions only measure the result.",
        topic="Imitation",
        ge=0.05,
        le=0.5,
        advanced=True,
    )

    @model_validator(mode="after")
    def _template_has_a_place(self) -> "SftConfig":
        if self.prompt_template == "custom" and self.custom_template.count("{prompt}") != 1:
            raise ValueError("the custom template needs {prompt} once")
        return self


class PreferConfig(_Settings):
    """A policy trained on pairs directly, without a reward model: f-DPO, IPO or KTO."""

    loss: PreferenceName = setting(
        "f_dpo",
        "Loss",
        help="f-DPO is DPO for reverse KL; IPO bounds the margin; KTO reads a pair as two thumbs.",
        topic="Preferences",
    )
    divergence: DivergenceName = setting(
        "reverse_kl",
        "Divergence",
        help="From the reference, which f-DPO keeps small.",
        topic="Preferences",
    )
    alpha: float = setting(
        0.5,
        "Order",
        help="Of the alpha divergence, and read by it alone; at most 1.",
        topic="Preferences",
        ge=-3,
        le=1,
        advanced=True,
    )
    beta: float = setting(
        0.1,
        "Beta",
        help="Pull to the reference; smaller means farther from it.",
        topic="Preferences",
        gt=0,
        le=100,
    )
    labels: Literal["train", "validation"] = setting(
        "train",
        "Labels used",
        help="Prompts of this split.",
        topic="Preferences",
        advanced=True,
    )
    epochs: int = setting(
        1, "Epochs", help="Passes over the pairs.", topic="Preferences", ge=1, le=100
    )
    batch: int = setting(
        32, "Batch", help="Examples per step.", topic="Preferences", unit="pairs", ge=1, le=1024
    )
    learning_rate: float = setting(
        1e-4, "Learning rate", help="Peak of the schedule.", topic="Preferences", gt=0, le=0.1
    )
    held_out: float = setting(
        0.2,
        "Held-out share",
        help="Share of the prompts whose pairs only measure the result.",
        topic="Preferences",
        ge=0.05,
        le=0.5,
        advanced=True,
    )

    @model_validator(mode="after")
    def _labels_decide_the_policy(self) -> "PreferConfig":
        if self.loss == "f_dpo" and self.divergence not in OFFLINE:
            raise ValueError(
                f"with {self.divergence} pairs do not decide the policy, as its f'(0) is finite or "
                f"its loss unknown; take {', '.join(OFFLINE)}"
            )
        return self


class GenerateConfig(_Settings):
    """Completions of a policy for the project's prompts, queued as compare tasks."""

    prompts: int = setting(
        256,
        "Prompts",
        help="How many of the project's prompts to answer.",
        topic="New tasks",
        unit="prompts",
        ge=1,
        le=100_000,
    )
    completions_per_prompt: int = setting(
        2,
        "Completions per prompt",
        help="Each prompt's completions are paired into compare tasks.",
        topic="New tasks",
        unit="completions",
        ge=2,
        le=64,
    )
    labels_per_task: int = setting(
        1,
        "Labels per task",
        help="How many different annotators answer each task.",
        topic="New tasks",
        unit="labels",
        ge=1,
        le=9,
    )
    max_new_tokens: int = setting(
        48,
        "Completion length limit",
        help="A completion that reaches the limit is cut there.",
        topic="New tasks",
        unit="tokens",
        ge=1,
        le=4096,
    )
    temperature: float = setting(
        1.0,
        "Temperature",
        help="Below 1 the model repeats its favourites; above 1 it wanders.",
        topic="New tasks",
        ge=0.1,
        le=2.0,
        advanced=True,
    )


class RewardConfig(_Settings):
    """A Bradley-Terry reward model trained on the pairs of a snapshot."""

    labels: Literal["train", "validation"] = setting(
        "train",
        "Labels used",
        help="Prompts of this split; a judge is trained on validation, never on train.",
        topic="Reward model",
        advanced=True,
    )
    epochs: int = setting(
        3, "Epochs", help="Passes over the training pairs.", topic="Reward model", ge=1, le=100
    )
    batch: int = setting(
        32, "Batch", help="Pairs per step.", topic="Reward model", unit="pairs", ge=1, le=1024
    )
    learning_rate: float = setting(
        3e-4,
        "Learning rate",
        help="Peak of the schedule, of all but the head.",
        topic="Reward model",
        gt=0,
        le=0.1,
    )
    weight_decay: float = setting(
        0.05,
        "Weight decay",
        help="Pull of the weights towards zero; more when labels are few.",
        topic="Reward model",
        ge=0,
        le=10,
        advanced=True,
    )
    held_out: float = setting(
        0.2,
        "Held-out share",
        help="Share of the prompts whose pairs only measure accuracy.",
        topic="Reward model",
        ge=0.05,
        le=0.5,
        advanced=True,
    )


class AlignConfig(_Settings):
    """f-DPG: bring the policy to the target p(x) ~ reference(x) exp(reward(x) / beta)."""

    divergence: DivergenceName = setting(
        "jensen_shannon",
        "Divergence",
        help="What is minimised between policy and target; Jensen-Shannon balances reward and "
        "diversity, reverse KL seeks reward, forward KL covers the target.",
        topic="Objective",
    )
    alpha: float = setting(
        0.5,
        "Order",
        help="Of the alpha divergence, and read by it alone: 0 is forward KL, 1/2 four times "
        "Hellinger's, 1 reverse KL.",
        topic="Objective",
        ge=-3,
        le=3,
        advanced=True,
    )
    beta: float = setting(
        0.35,
        "Beta",
        help="Reward per nat of distance from the reference; smaller means stronger alignment.",
        topic="Objective",
        unit="reward / nat",
        gt=0,
        le=100,
    )
    kl_budget: float = setting(
        4.0,
        "KL budget",
        help="The round stops when the policy is this far from the reference.",
        topic="Objective",
        unit="nats",
        gt=0,
        le=1000,
    )
    estimator: EstimatorName = setting(
        "score",
        "Estimator",
        help="Of the gradient: the score's with a baseline, a surrogate that needs no weights for "
        "old samples, or for reverse KL the exact KL of every next token, which is less noisy.",
        topic="Objective",
        advanced=True,
    )
    weight_limit: float = setting(
        0.0,
        "Limit of importance weights",
        help="Larger weights of old samples are cut to it, at the price of a bias; 0 cuts none.",
        topic="Objective",
        ge=0,
        le=1e6,
        advanced=True,
    )
    pseudo_reward_limit: float = setting(
        0.0,
        "Limit of pseudo-rewards",
        help="Larger ones are cut to it, at the price of a bias; 0 cuts none.",
        topic="Objective",
        ge=0,
        le=1e6,
        advanced=True,
    )
    inference_weight: float = setting(
        0.0,
        "Weight of the deployed model",
        help="Of a second divergence, between the target and the policy as it will be served.",
        topic="Deployment",
        ge=0,
        le=100,
    )
    inference_temperature: float = setting(
        1.0,
        "Temperature when deployed",
        help="At which the served policy will draw its completions.",
        topic="Deployment",
        ge=0.1,
        le=2.0,
    )
    inference_weights: ServedName = setting(
        "as_trained",
        "Weights when deployed",
        help="As they are trained, or rounded to INT8 with one scale per output channel.",
        topic="Deployment",
    )
    reward_weight: float = setting(
        1.0,
        "Weight of the reward model",
        help="In the reward; 0 leaves it to the rule, the constraints and the wished means.",
        topic="Target",
        ge=0,
        le=100,
        advanced=True,
    )
    rule: RuleName = setting(
        "no_rule",
        "Rule",
        help="A reward beside the reward model's: whether a phrase or a pattern occurs, how many "
        "words there are, or the TF-IDF cosine to the nearest example.",
        topic="Target",
    )
    rule_text: str = setting(
        "",
        "Text of the rule",
        help="The phrase, the regular expression, or examples separated by bars: |.",
        topic="Target",
        max_length=2000,
    )
    rule_weight: float = setting(
        1.0,
        "Weight of the rule",
        help="In the reward; below 0 what the rule finds is avoided.",
        topic="Target",
        ge=-100,
        le=100,
        advanced=True,
    )
    must_contain: str = setting(
        "",
        "Must contain",
        help="Completions without this phrase are not in the target.",
        topic="Target",
        max_length=200,
    )
    must_match: str = setting(
        "",
        "Must match",
        help="Completions in which this regular expression is not found are not in the target.",
        topic="Target",
        max_length=200,
        advanced=True,
    )
    soften: float = setting(
        0.0,
        "Softness",
        help="Weight left to a completion that breaks a constraint; 0 makes constraints hard.",
        topic="Target",
        ge=0,
        le=0.9,
        advanced=True,
    )
    share_of: str = setting(
        "",
        "Phrase with a share",
        help="A phrase that a given share of the completions should contain.",
        topic="Target",
        max_length=200,
    )
    share: float = setting(
        0.5,
        "Its share",
        help="The wished share of completions with the phrase above.",
        topic="Target",
        gt=0,
        le=0.999,
    )
    length_mean: float = setting(
        0.0,
        "Mean length",
        help="The wished mean length of completions; 0 wishes for none.",
        topic="Target",
        unit="tokens",
        ge=0,
        le=4096,
    )
    steps: int = setting(
        40, "Steps", help="Optimizer steps of the policy.", topic="Training", ge=1, le=100_000
    )
    updates_per_step: int = setting(
        1,
        "Updates per step",
        help="Optimizer updates from one step's samples; from the second on they are old.",
        topic="Training",
        ge=1,
        le=64,
        advanced=True,
    )
    prompts_per_step: int = setting(
        16,
        "Prompts per step",
        help="Different prompts in one step.",
        topic="Training",
        unit="prompts",
        ge=1,
        le=4096,
    )
    completions_per_prompt: int = setting(
        8,
        "Completions per prompt",
        help="Samples per prompt and step; the baseline needs at least two.",
        topic="Training",
        unit="completions",
        ge=2,
        le=1024,
    )
    learning_rate: float = setting(
        5e-4, "Learning rate", help="Peak, after the warm-up.", topic="Training", gt=0, le=0.1
    )
    warmup: int = setting(
        5,
        "Warm-up",
        help="Steps over which the learning rate rises to its peak.",
        topic="Training",
        unit="steps",
        ge=0,
        le=10_000,
        advanced=True,
    )
    max_gradient_norm: float = setting(
        1.0,
        "Gradient clip",
        help="Longest gradient applied; longer ones are scaled down.",
        topic="Training",
        gt=0,
        le=1000,
        advanced=True,
    )
    prompts: int = setting(
        512,
        "Training prompts",
        help="How many prompts of the train split take part.",
        topic="Sampling",
        unit="prompts",
        ge=1,
        le=100_000,
    )
    max_new_tokens: int = setting(
        48,
        "Completion length limit",
        help="A completion that reaches the limit is cut there.",
        topic="Sampling",
        unit="tokens",
        ge=1,
        le=4096,
    )
    reference_completions: int = setting(
        8,
        "Reference completions per prompt",
        help="Drawn once from the reference, for the first estimate of each prompt's Z.",
        topic="Sampling",
        unit="completions",
        ge=1,
        le=1024,
        advanced=True,
    )
    checkpoint_every: int = setting(
        10,
        "Checkpoint every",
        help="Steps between checkpoints; a killed run loses at most these.",
        topic="Safety",
        unit="steps",
        ge=1,
        le=10_000,
        advanced=True,
    )
    sample_every: int = setting(
        20,
        "Samples every",
        help="Steps between the samples shown on the run page.",
        topic="Safety",
        unit="steps",
        ge=1,
        le=10_000,
        advanced=True,
    )
    sample_prompts: int = setting(
        8,
        "Sample prompts",
        help="How many fixed prompts the run page shows samples of.",
        topic="Safety",
        unit="prompts",
        ge=0,
        le=64,
        advanced=True,
    )

    @property
    def plain(self) -> bool:
        """Whether the target is the reference tilted by the reward model alone."""
        parts = (self.must_contain, self.must_match, self.share_of, self.length_mean)
        return self.rule == "no_rule" and self.reward_weight == 1 and not any(parts)

    @property
    def hard(self) -> bool:
        """Whether completions are forbidden altogether."""
        return self.soften == 0 and bool(self.must_contain or self.must_match)

    @model_validator(mode="after")
    def _rules_can_be_read(self) -> "AlignConfig":
        if self.rule not in ("no_rule", "words") and not self.rule_text.strip():
            raise ValueError("the rule has no text")
        patterns = [self.must_match, self.rule_text if self.rule == "matches" else ""]
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"“{pattern}” is no regular expression: {error}") from error
        return self

    @model_validator(mode="after")
    def _estimator_fits(self) -> "AlignConfig":
        reverse = self.divergence == "reverse_kl" or (
            self.divergence == "alpha" and abs(self.alpha - 1) < 1e-6
        )
        if self.estimator == "rao_blackwell" and not (reverse and self.updates_per_step == 1):
            raise ValueError(
                "the Rao-Blackwell estimator is for reverse KL with one update per step"
            )
        return self

    @model_validator(mode="after")
    def _divergence_allows_the_target(self) -> "AlignConfig":
        above = self.divergence == "alpha" and self.alpha > 1 - 1e-6
        if self.hard and (self.divergence in UNBOUNDED or above):
            finite = [name for name in get_args(DivergenceName) if name not in UNBOUNDED]
            raise ValueError(
                f"{self.divergence} is infinite wherever the policy may break a hard constraint; "
                f"soften it, or take {', '.join(finite[:-1])} or alpha of an order below 1"
            )
        return self


class EvaluateConfig(_Settings):
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
    beta: float = setting(
        0.35,
        "Beta",
        help="Of the round that is evaluated; the target is defined by it.",
        topic="Evaluation",
        unit="reward / nat",
        gt=0,
        le=100,
        advanced=True,
    )
    divergence: DivergenceName = setting(
        "jensen_shannon",
        "Divergence",
        help="Of the round that is evaluated.",
        topic="Evaluation",
        advanced=True,
    )
    alpha: float = setting(
        0.5,
        "Order",
        help="Of the round's alpha divergence.",
        topic="Evaluation",
        ge=-3,
        le=3,
        advanced=True,
    )


CONFIGS: dict[Kind, type[_Settings]] = {
    "pretrain": PretrainConfig,
    "import": ImportConfig,
    "sft": SftConfig,
    "prefer": PreferConfig,
    "generate": GenerateConfig,
    "reward": RewardConfig,
    "align": AlignConfig,
    "evaluate": EvaluateConfig,
}


class RunSpec(BaseModel):
    """`config.json` of a run folder: all a trainer needs to know, and nothing of the web app.

    `inputs` names files and folders by role, absolute or relative to the run folder:
    generate: policy, prompts. reward: backbone, pairs. align: policy, reference, reward, prompts.
    sft: policy, and demonstrations or pairs. prefer: policy, reference, pairs.
    evaluate: policy, reference, reward, prompts and, for its judge, judge. pretrain: none. import:
    source and the root it may not leave, or none for the Hub; base for an adapter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    run: int
    epoch: int
    seed: int = 0
    threads: int | None = None
    config: dict[str, Any]
    inputs: Annotated[dict[str, str], Field(default_factory=dict)]
    resume_from: str | None = None
    cache: str | None = None  # folder for what may be kept between runs, by content hash

    def settings(self) -> _Settings:
        """The kind's own config; raises pydantic's ValidationError where it is wrong."""
        return CONFIGS[self.kind].model_validate(self.config)

    @classmethod
    def load(cls, folder: Path) -> "RunSpec":
        """Read `config.json` of a run folder."""
        return cls.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
