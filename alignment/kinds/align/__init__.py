"""Align a policy to a target by its own completions."""

import math

from alignment.kinds.align.results import CURVES, AlignResults
from alignment.kinds.align.settings import AlignConfig, TargetedSettings
from alignment.kinds.align.words import aim, goal, tilt
from alignment.kinds.inputs import CLASSIFIER, CODE, POLICY, PROMPTS, REFERENCE, REWARD
from alignment.kinds.kind import NOTHING, ArtifactType, Given, Group, Input, Kind, Prompts, Rows
from alignment.kinds.settings.evaluation import LOOKED, OWN
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

KNOWN_AT_ONCE = 64  # prompts whose reference answers are written together
MEASURED, FEW = 64, 4  # prompts of the final KL, and answers to each, as to those of a look


def needed_memory(config: AlignConfig, shape: memory.Shape | None) -> int:
    """Bytes: the policy that learns, its reference and the reward model, and a step."""
    if shape is None:
        return 0
    drawn = config.prompts_per_step * config.completions_per_prompt
    rounded = config.base_weights == "nf4"
    judges = memory.read(shape, int(bool(config.reward_weight)) + config.classed)
    return (
        memory.trained(shape, config.lora_rank, config.moments(shape.width), four_bits=rounded)
        + memory.read(shape, four_bits=rounded)
        + judges
        + memory.read(shape, int(config.keeps_best and not config.lora_rank))
        + memory.stepping(shape, drawn)
        + memory.kept(shape, drawn * config.max_new_tokens)
    )


def needed_seconds(config: AlignConfig, timing: Timing) -> float:
    """The reference's answers, the steps, the looks, and what the result is measured by."""
    return needed_by(config, timing, 1) + looking_seconds(config, timing)


def looking_seconds(config: AlignConfig, timing: Timing) -> float:
    """Of all looks, the one that measures the result, and the reference's answers to held-out prompts."""
    if not config.evaluate_every:
        return 0.0
    held, limit, readers = config.evaluation_prompts, config.max_new_tokens, readers_of(config)
    known = timing.writing(held, config.reference_completions, limit, KNOWN_AT_ONCE)
    known += readers * timing.reading(held * config.reference_completions)
    look = timing.writing(held, FEW, limit) + readers * timing.reading(held * FEW)
    return known + (math.ceil(config.steps / config.evaluate_every) + 1) * look


def readers_of(config: TargetedSettings) -> int:
    """How many models read each answer that the policy wrote."""
    return 1 + bool(config.reward_weight) + config.classed


def needed_by(config: TargetedSettings, timing: Timing, policies: int) -> float:
    """The same of so many policies, which learn from each other's answers."""
    prompts = min(config.prompts, timing.extent.prompts)
    limit, copies = config.max_new_tokens, config.completions_per_prompt
    readers = readers_of(config)
    known = timing.writing(prompts, config.reference_completions, limit, KNOWN_AT_ONCE)
    known += readers * timing.reading(prompts * config.reference_completions)
    rows = config.prompts_per_step * copies
    step = timing.writing(config.prompts_per_step, max(1, copies // policies), limit) * policies
    step += readers * timing.reading(rows)
    step += policies * config.updates_per_step * timing.learning(rows, rows)
    measured = timing.writing(MEASURED, FEW, limit) + (1 + readers) * timing.reading(MEASURED * FEW)
    return known + config.steps * step + policies * measured


def sentence(config: AlignConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Aligns {policy} to {goal} in {steps} steps of {samples} completions by {aim} at beta {beta:g}, at "
            "most {budget:g} nats from {reference}.{tilt}"
        ),
        policy=given.names["policy"],
        reference=given.names["reference"],
        goal=goal(given),
        steps=config.steps,
        samples=config.prompts_per_step * config.completions_per_prompt,
        aim=aim(config),
        beta=config.beta,
        budget=config.kl_budget,
        tilt=tilt(config, given),
    )


KIND = Kind(
    name="align",
    title=_("Align a model"),
    lead=_(
        "The model answers, a reward model scores, and better answers become likelier: f-DPG of any "
        "divergence, RLOO, GRPO or PPO."
    ),
    group=Group.ALIGN,
    makes=(ArtifactType.MODEL,),
    made=_("a model"),
    suggested=_("Aligned model"),
    opened=("Objective",),
    settings=AlignConfig,
    results=AlignResults,
    curves=CURVES,
    inputs=(
        POLICY,
        REFERENCE,
        PROMPTS,
        REWARD,
        CLASSIFIER,
        CODE,
        Input(
            role="labels",
            types=(ArtifactType.SNAPSHOT,),
            title=_("Demonstrations"),
            help=_(
                "A snapshot whose written and preferred answers the policy stays able to write; read where "
                "demonstrations have a weight."
            ),
            empty=NOTHING,
            topic="Demonstrations",
            files=("demonstrations", "pairs"),
            rows=Rows.IMITATED,
            beside=("demonstration_weight",),
        ),
        Input(
            role="preferences",
            types=(ArtifactType.SNAPSHOT,),
            title=_("Preferences"),
            help=_(
                "A snapshot whose pairs are learned from; read where preferences have a weight."
            ),
            empty=NOTHING,
            topic="Preferences",
            rows=Rows.PAIRS,
            beside=("preference_weight",),
        ),
        Input(
            role="completions",
            types=(ArtifactType.COMPLETIONS,),
            title=_("Stored completions"),
            help=_(
                "Answers that were generated before, by any model or server; read where stored completions "
                "have a share."
            ),
            empty=NOTHING,
            topic="Replay",
            rows=Rows.STORED,
            beside=("stored_share",),
        ),
        Input(role="deployment", optional=True),
        Input(role="evaluation", when=OWN, beside=LOOKED),
    ),
    prompts=Prompts("train", 1),
    run="alignment.kinds.align.run:align",
    command="align",
    shared=True,
    saves=True,
    encoder_decoders={"placement": ("one",)},
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
