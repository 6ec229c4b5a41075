"""Answer prompts."""

from alignment.kinds.generate.results import CURVES, GenerateResults
from alignment.kinds.generate.settings import TASKS, GenerateConfig
from alignment.kinds.inputs import PROMPTS
from alignment.kinds.kind import NOTHING, ArtifactType, Given, Group, Input, Kind, Prompts
from alignment.kinds.settings.drawing import BEST, OURS
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


def needed_memory(config: GenerateConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model, and the completions that it writes at once; none where a server does it.

    A reward model that keeps the best is as large as the model.
    """
    if shape is None or config.engine == "server":
        return 0
    each = config.drawn_for_each
    rows = max(memory.SAMPLED_AT_ONCE, each) * config.completions_per_prompt
    return memory.read(shape, 1 + (each > 1)) + memory.sampling(shape, rows)


def needed_seconds(config: GenerateConfig, timing: Timing) -> float:
    """What is written; 0 where a server does it, of which nobody knows."""
    if config.engine == "server":
        return 0.0
    prompts = min(config.prompts, timing.extent.prompts)
    return timing.writing(prompts, config.completions_per_prompt, config.max_new_tokens)


def sentence(config: GenerateConfig, given: Given) -> str:
    """What such a run will do."""
    alone = config.labels_per_task == 1
    if config.task != "compare":
        return said(
            _(
                "{policy} answers {prompts} prompts with {completions} completions each; they become tasks "
                "({tasks}), each for so many annotators: {people}."
            ),
            policy=given.names.get("policy", config.server_model),
            prompts=min(config.prompts, given.prompts),
            completions=config.completions_per_prompt,
            tasks=said(TASKS[config.task]),
            people=config.labels_per_task,
        )
    return said(
        _(
            "{policy} answers {prompts} prompts with {completions} completions each; every pair becomes a "
            "task for {people} annotator."
        )
        if alone
        else _(
            "{policy} answers {prompts} prompts with {completions} completions each; every pair becomes a "
            "task for {people} annotators."
        ),
        policy=given.names.get("policy", config.server_model),
        prompts=min(config.prompts, given.prompts),
        completions=config.completions_per_prompt,
        people=config.labels_per_task,
    )


KIND = Kind(
    name="generate",
    title=_("Answer prompts"),
    lead=_(
        "A model answers the project's prompts; its answers become tasks for annotators, such as pairs to compare."
    ),
    group=Group.LOOK,
    makes=(ArtifactType.COMPLETIONS,),
    made=_("answers and tasks to label"),
    suggested=_("Answers"),
    opened=("New tasks",),
    settings=GenerateConfig,
    results=GenerateResults,
    curves=CURVES,
    inputs=(
        PROMPTS,
        Input(
            role="policy",
            types=(ArtifactType.MODEL,),
            title=_("Model"),
            help=_("Whose completions the annotators will compare."),
            empty=_("none, as a server answers with its own"),
            when=OURS,
        ),
        Input(
            role="reward",
            types=(ArtifactType.REWARD,),
            title=_("Reward model"),
            help=_("Whose best of several completions is kept."),
            topic=_("New tasks"),
            empty=NOTHING,
            when=BEST,
        ),
    ),
    prompts=Prompts("train", 1),
    run="alignment.kinds.generate.run:generate",
    command="generate",
    shared=False,
    saves=False,
    encoder_decoders={"engine": ("sampler",), "placement": ("one",)},
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
