"""Measure a policy against its reference."""

from dataclasses import replace

from alignment.kinds.evaluate.results import CURVES, EvaluateResults
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.inputs import CLASSIFIER, CODE, PROMPTS
from alignment.kinds.kind import NOTHING, ArtifactType, Given, Group, Input, Kind, Prompts
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

MODELS = 4  # policy, reference, reward model, judge
FEWEST_HELD_OUT = 8  # prompts

RATED = 3  # models that read each answer: policy, reference, reward model
WEIGHED, WEIGHED_ANSWERS, WEIGHED_AT_ONCE = (
    32,
    128,
    4,
)  # prompts that log Z is of, answers, prompts at once


def needed_memory(config: EvaluateConfig, shape: memory.Shape | None) -> int:
    """Bytes: all models that read, and the completions that are written or weighed at once."""
    if shape is None:
        return 0
    compared = memory.SAMPLED_AT_ONCE * config.completions_per_prompt
    rows = max(compared, memory.WEIGHED_AT_ONCE)
    return memory.read(shape, MODELS) + memory.sampling(shape, rows)


def needed_seconds(config: EvaluateConfig, timing: Timing) -> float:
    """Both models' answers, read by both and by whoever rates them, and many more to some prompts for log Z."""
    prompts = min(config.prompts, timing.extent.prompts)
    limit, copies = config.max_new_tokens, config.completions_per_prompt
    compared = timing.writing(prompts, copies, limit) + RATED * timing.reading(prompts * copies)
    some = min(prompts, WEIGHED)
    weighed = timing.writing(some, WEIGHED_ANSWERS, limit, WEIGHED_AT_ONCE)
    return 2 * compared + weighed + RATED * timing.reading(some * WEIGHED_ANSWERS)


def sentence(config: EvaluateConfig, given: Given) -> str:
    """What such a run will do."""
    judges = {
        "held_out_labels": _("by {judge}"),
        "utility": _("by the simulated utility"),
        "none": _("by nobody"),
    }
    few = given.prompts <= config.prompts
    rewarded = said(_("; measures the gain of {reward} too"), reward=given.names.get("reward"))
    return said(
        _(
            "Compares {policy} with {reference} on {prompts} held-out prompts, {completions} answers each, "
            "judged {judged}{gain}."
        ),
        policy=given.names["policy"],
        reference=given.names["reference"],
        prompts=said(_("all {count}"), count=given.prompts) if few else config.prompts,
        completions=config.completions_per_prompt,
        judged=said(judges[config.judge], judge=given.names.get("judge")),
        gain=rewarded if "reward" in given.names else "",
    )


KIND = Kind(
    name="evaluate",
    title=_("Evaluate a model"),
    lead=_(
        "A model against its reference on held-out prompts, judged by somebody who was not optimised."
    ),
    group=Group.LOOK,
    makes=(ArtifactType.SCORES,),
    made=_("a verdict with intervals"),
    suggested=_("Evaluation"),
    opened=("Evaluation",),
    settings=EvaluateConfig,
    results=EvaluateResults,
    curves=CURVES,
    inputs=(
        Input(
            role="policy",
            types=(ArtifactType.MODEL,),
            title=_("Model"),
            help=_("The model to judge."),
        ),
        Input(
            role="reference",
            types=(ArtifactType.MODEL,),
            title=_("Reference"),
            help=_("What it is compared with: where it started from."),
            empty=_("choose a model"),
        ),
        PROMPTS,
        Input(role="answers", when={"known_answers": ("given",)}),
        Input(
            role="reward",
            types=(ArtifactType.REWARD,),
            title=_("Reward model"),
            help=_("The one that was optimised; its gain is measured too."),
            empty=_("none, as the model was aimed at none"),
            spared="policy",
        ),
        Input(
            role="judge",
            types=(ArtifactType.REWARD,),
            title=_("Judge model"),
            help=_(
                "A reward model of other labels than the first, read where labels decide; train one on the "
                "validation labels."
            ),
            empty=NOTHING,
            when={"judge": ("held_out_labels",)},
        ),
        replace(
            CLASSIFIER,
            help=_("Whose classes are looked for in the answers."),
            empty="",
            beside=(),
            when={"classes": ("counted",)},
        ),
        replace(
            CODE,
            help=_("The one that the model was aimed at; its gain is measured as a reward's."),
            empty=_("none, as the model was aimed at none"),
            beside=(),
            spared="policy",
        ),
    ),
    prompts=Prompts("test", FEWEST_HELD_OUT),
    run="alignment.kinds.evaluate.run:evaluate",
    command="evaluate",
    shared=False,
    saves=False,
    encoder_decoders={"placement": ("one",)},
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
