"""Align several divergences from one pool of completions."""

from alignment.kinds.align import needed_by
from alignment.kinds.align.words import goal, tilt
from alignment.kinds.inputs import CLASSIFIER, CODE, POLICY, PROMPTS, REFERENCE, REWARD
from alignment.kinds.kind import ArtifactType, Given, Group, Kind, Prompts
from alignment.kinds.population.results import CURVES, PopulationResults
from alignment.kinds.population.settings import PopulationConfig
from alignment.kinds.settings.divergences import DIVERGENCES, short
from alignment.seam import memory
from alignment.seam.settings import ALWAYS
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


def needed_memory(config: PopulationConfig, shape: memory.Shape | None) -> int:
    """Bytes: every agent learns; the reference and the reward model are there once."""
    if shape is None:
        return 0
    drawn = config.prompts_per_step * config.completions_per_prompt
    agents = len(config.divergences) * memory.trained(shape, moments=config.moments(shape.width))
    beside = memory.read(shape, 1 + bool(config.reward_weight) + config.classed)
    return agents + beside + memory.stepping(shape, drawn)


def needed_seconds(config: PopulationConfig, timing: Timing) -> float:
    """As an alignment of several policies."""
    return needed_by(config, timing, len(config.divergences))


def sentence(config: PopulationConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Aligns {agents} copies of {policy} to {goal} in {steps} steps of {samples} completions that all of "
            "them share, by {divergences} at beta {beta:g}, each at most {budget:g} nats from {reference}.{tilt}"
        ),
        agents=len(config.divergences),
        policy=given.names["policy"],
        reference=given.names["reference"],
        goal=goal(given),
        steps=config.steps,
        samples=config.prompts_per_step * config.completions_per_prompt,
        divergences=", ".join(short(said(DIVERGENCES[name])) for name in config.divergences),
        beta=config.beta,
        budget=config.kl_budget,
        tilt=tilt(config, given),
    )


KIND = Kind(
    name="population",
    title=_("Align a population"),
    lead=_(
        "Several divergences at once, a model of each; they learn from each other's answers, so that "
        "all of them cost less than they would alone."
    ),
    group=Group.ALIGN,
    makes=(ArtifactType.MODEL,),
    made=_("a model of each divergence"),
    suggested=_("Population"),
    opened=("Objective",),
    settings=PopulationConfig,
    fixed=("inference_weight", "inference_temperature", "inference_weights"),
    results=PopulationResults,
    curves=CURVES,
    inputs=(POLICY, REFERENCE, PROMPTS, REWARD, CLASSIFIER, CODE),
    prompts=Prompts("train", 1),
    run="alignment.kinds.population.run:align",
    command="population",
    shared=True,
    saves=True,
    encoder_decoders=ALWAYS,
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
