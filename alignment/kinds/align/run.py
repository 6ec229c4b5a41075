"""The on-policy loop: draw completions, score them, move the policy by an objective's loss.

f-DPG brings the policy to the target p(x|c) of `targets` by minimising an f-divergence: Go et al.,
"Aligning Language Models with Preferences through f-divergence Minimization" (ICML 2023).
Departures: 1. Z_c is estimated per prompt, from the reference's completions and from earlier steps;
this step's samples enter it after the step, so the gradient is unbiased given the estimate.
2. The baseline is the mean pseudo-reward of the same prompt's other completions.
3. The sampler's log-probabilities serve as log policy in u: the weights are the same, and their
largest distance from the scorer's is a metric of every step.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from alignment.classification.model import class_chance
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.selection import SelectionSettings
from alignment.kinds.sft.run import demonstrations
from alignment.kinds.spec import RunSpec
from alignment.models.bounds import HeldOut
from alignment.models.classifier_checks import reads_prompts
from alignment.models.computation import check_device, set_up
from alignment.models.devices import ONE, Placement
from alignment.models.distributed import world
from alignment.models.inputs import same_model
from alignment.models.lora import kept_adapter, merged, shared
from alignment.models.overlong import Reader, fitting_labels, fitting_prompts, policies_of
from alignment.models.sharding import SHARDING
from alignment.models.stepping import Loop, steps
from alignment.models.texts import drawn_texts, written
from alignment.models.training import longest_of
from alignment.models.trials import sampler
from alignment.objectives.looks import looks_of, next_held, prepare_held, prompts_apart
from alignment.objectives.pairs import pairs_of
from alignment.objectives.problem import Problem, State, begin, next_prompts, prepare
from alignment.objectives.receipts import receipts, with_contract
from alignment.objectives.replay import answered_anew
from alignment.objectives.result import choose_result, measured
from alignment.objectives.saving import restore, save
from alignment.objectives.start import FAR_PROMPTS, start_facts, start_of
from alignment.objectives.steps import guarded, train_step
from alignment.objectives.stored import groups, stored
from alignment.reward import RewardModel
from alignment.reward.code import CodeReward
from alignment.reward.labels import refuse_few, says_something
from alignment.reward.reading import SharedReading
from alignment.reward.selection import chosen_prompts
from alignment.sampling.sampling import sample
from alignment.seam.errors import ConfigError
from alignment.seam.events import (
    Checked,
    Event,
    Finished,
    Fitted,
    PhaseStarted,
    Ready,
    SampleDrawn,
)
from alignment.seam.folders import committed
from alignment.seam.progress import counting, split, taking
from alignment.seam.records import (
    DemonstrationRecord,
    PairRecord,
    PromptRecord,
    Receipts,
    read_jsonl,
)
from alignment.seam.variables import EngineVariables, read
from alignment.seam.words import _
from alignment.targets.targets import Scorer, no_reward, save_target

Progress = Generator[Event, str | None, None]

ROLES = ("policy", "reference", "reward", "prompts")


def align(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind align: train `inputs["policy"]` against `inputs["reference"]` and `["reward"]`."""
    config = AlignConfig.stored(spec.config)
    inputs = read_inputs(spec, folder, config)
    yield from (told for told in inputs.told if not told.all_fit)
    inputs = yield from with_chosen(inputs, config, spec.seed, Placement.of(config))
    problem = read_problem(spec, folder, config, inputs)
    yield from tune(problem, folder, folder / spec.resume_from if spec.resume_from else None)


@dataclass(frozen=True)
class Inputs:
    """The rows of a run that fit the models which read them; what became of the others is told."""

    paths: Mapping[str, Path]
    prompts: list[PromptRecord]
    deployment: list[PromptRecord]
    demonstrations: list[DemonstrationRecord]
    preferences: list[PairRecord]
    told: list[Fitted]
    held: list[PromptRecord]  # that are looked at
    passed_over: int = 0  # prompts that were not chosen


def read_inputs(spec: RunSpec, folder: Path, config: AlignConfig) -> Inputs:
    """What a run reads, before a model is loaded; raises ConfigError where inputs are missing, DataError."""
    paths = spec_inputs(spec, folder, config)
    policies = policies_of(paths["policy"], paths["reference"])
    judges = [Reader.of_reward(paths["reward"])] if config.reward_weight else []
    if config.classed and reads_prompts(paths["classifier"]):
        judges.append(Reader.of_reward(paths["classifier"]))
    told: list[Fitted] = []

    def fitting(role: str, rows: Sequence[PromptRecord]) -> list[PromptRecord]:
        room, readers = config.max_new_tokens, policies + judges
        found = fitting_prompts(rows, role, readers, room, config.overlong)
        told.append(found.told)
        return found.rows

    deployment = deployment_prompts(paths, config)
    asked = fitting("prompts", first_prompts(paths["prompts"], config))
    prompts, held = held_back(asked, paths, config, fitting)
    imitated: list[DemonstrationRecord] = []
    if config.demonstration_weight:
        rows = demonstrations(spec, folder)
        found = fitting_labels(rows, "demonstrations", policies, config.overlong)
        imitated = found.rows
        told.append(found.told)
    preferred: list[PairRecord] = []
    if config.preference_weight:
        pairs = read_jsonl(paths["preferences"], PairRecord)
        usable = [pair for pair in pairs if says_something(pair)]
        refuse_few(usable, "pairs with different completions")
        found = fitting_labels(usable, "preferences", policies, config.overlong)
        preferred = found.rows
        told.append(found.told)
    return Inputs(
        paths=paths,
        prompts=prompts,
        deployment=fitting("deployment", deployment) if deployment else [],
        demonstrations=imitated,
        preferences=preferred,
        told=told,
        held=held,
    )


def held_back(
    prompts: list[PromptRecord],
    paths: Mapping[str, Path],
    config: AlignConfig,
    fitting: Callable[[str, Sequence[PromptRecord]], list[PromptRecord]],
) -> tuple[list[PromptRecord], list[PromptRecord]]:
    """The prompts to learn from, and those that are looked at; raises DataError where none is left to learn from."""
    if not config.evaluate_every:
        return prompts, []
    own = None
    if config.evaluate_on == "own":
        own = fitting("evaluation", list(read_jsonl(paths["evaluation"], PromptRecord)))
    return prompts_apart(prompts, own, config.evaluation_prompts)


def with_chosen(
    inputs: Inputs, config: SelectionSettings, seed: int, placement: Placement = ONE
) -> Generator[Event, str | None, Inputs]:
    """The same with those prompts that the settings choose."""
    if config.most_of(len(inputs.prompts)) == len(inputs.prompts):
        return inputs
    yield PhaseStarted(name=_("choosing prompts"))
    prompts = chosen_prompts(inputs.paths["policy"], config, inputs.prompts, seed, placement)
    return replace(inputs, prompts=prompts, passed_over=len(inputs.prompts) - len(prompts))


def first_prompts(path: Path, config: AlignConfig) -> list[PromptRecord]:
    """As many prompts of a file as take part."""
    return list(islice(read_jsonl(path, PromptRecord), config.prompts))


def read_problem(
    spec: RunSpec, folder: Path, config: AlignConfig, rows: Inputs | None = None
) -> Problem:
    """What a run folder's inputs and these settings say; raises ConfigError where some are missing."""
    rows = rows or read_inputs(spec, folder, config)
    inputs, prompts, deployment = rows.paths, rows.prompts, rows.deployment
    placement = Placement.of(config, learns=True)
    reference = sampler(inputs["reference"], "reference", placement)
    check_device(config, reference.device)
    if config.lora_rank and inputs["reference"].resolve() == inputs["policy"].resolve():
        reference = shared(reference)
    set_up(reference, config, backward=False)
    asked = prompts + deployment + rows.held
    turns = [prompt.messages for prompt in asked]
    reward: Scorer = no_reward
    beside: SharedReading | None = None
    if config.reward_weight:
        model = RewardModel.load(inputs["reward"], placement=placement).knowing(reference, turns)
        beside = SharedReading.of(model, reference)
        reward = beside.score if beside else model.score
    code = None
    if config.code_weight:
        code = CodeReward.load(inputs["code"], config, [reference], asked, own=not spec.run)
    return Problem(
        prompts=prompts + deployment,
        deployment=len(deployment),
        held=rows.held,
        start=inputs["policy"],
        same=same_model(inputs["policy"], inputs["reference"]),
        reference=reference,
        demonstrations=[
            written(reference, row.prompt.messages, row.completion) for row in rows.demonstrations
        ],
        preferences=pairs_of(reference, rows.preferences),
        stored=stored(inputs["completions"], reference, prompts, config)
        if config.stored_share
        else (),
        reward=reward,
        chance=class_chance(config, inputs, [reference], turns),
        code=code,
        reading=beside.token_logps if beside else None,
        config=config,
        seed=spec.seed,
        told=rows.told,
        passed_over=rows.passed_over,
    )


def deployment_prompts(inputs: Mapping[str, Path], config: AlignConfig) -> list[PromptRecord]:
    """What the deployed policy will be asked, where that is known; raises ConfigError where nobody asks it."""
    if "deployment" not in inputs:
        return []
    if not config.inference_weight:
        raise ConfigError(
            _(
                "There are prompts of the deployment, and the deployed model has no weight; give it "
                "one."
            )
        )
    return first_prompts(inputs["deployment"], config)


def spec_inputs(spec: RunSpec, folder: Path, config: AlignConfig) -> dict[str, Path]:
    """Where each input is; raises ConfigError naming those that are missing."""
    needed = ROLES if config.reward_weight else [role for role in ROLES if role != "reward"]
    missing = [role for role in needed if role not in spec.inputs]
    if config.demonstration_weight and not {"demonstrations", "pairs"} & spec.inputs.keys():
        missing.append("demonstrations")
    if config.preference_weight and "preferences" not in spec.inputs:
        missing.append("preferences")
    if config.stored_share and "completions" not in spec.inputs:
        missing.append("completions")
    if config.classed and "classifier" not in spec.inputs:
        missing.append("classifier")
    if config.evaluate_every and config.evaluate_on == "own" and "evaluation" not in spec.inputs:
        missing.append("evaluation")
    if config.code_weight and "code" not in spec.inputs:
        missing.append("reward from code")
    if missing:
        raise ConfigError(
            _("The run names no {missing} among its inputs.").format(
                missing=" and no ".join(missing)
            )
        )
    return {role: folder / path for role, path in spec.inputs.items()}


Stage = Literal["before", "after"]


@dataclass(frozen=True)
class Course:
    """What a run of one policy, or of several that share what they know, does at each point of its course."""

    problem: Problem  # of the first policy, as is the state
    state: State
    look: Callable[[], Checked]
    show: Callable[[Stage], Iterator[SampleDrawn]]
    take: Callable[[], Mapping[str, float]]
    save: Callable[[], Event]
    over: Callable[[], bool]
    policies: int = 1


def tune(problem: Problem, folder: Path, resume: Path | None = None) -> Progress:
    """Train from the start or from a checkpoint; the aligned policy becomes `folder/output`.

    "save" sent where `followed` hears it saves a checkpoint and ends the run.
    """
    started = time.perf_counter()
    check_processes(problem)
    state, bit_exact = restore(problem, resume) if resume else (begin(problem), True)
    held = looks_of(problem, state)
    course = Course(
        problem,
        state,
        look=lambda: checked(problem, state, new=resume is None),
        show=lambda stage: draw_samples(problem, state, stage),
        take=lambda: timed(state, lambda: step_and_look(problem, state, held)),
        save=lambda: save(state, folder),
        over=lambda: state.over_budget or bool(state.progress.ended_by(problem.config, held)),
    )
    yield ready(course, bit_exact=bit_exact)
    if (yield from followed(course, new=resume is None)) == "save":
        return
    yield PhaseStarted(name=_("measuring the result"))
    with counting(measured(problem) + len(shown(problem)), _("completions")):
        measuring, showing = split(measured(problem), len(shown(problem)))
        with measuring:
            summary = choose_result(problem, state) | start_facts(state)
        with showing:
            yield from draw_samples(problem, state, "after")
    proof = with_contract(receipts(problem.config), state)
    save_result(problem, state, proof, folder)
    summary["receipts"] = proof.model_dump()
    summary |= problem.counts
    yield Finished(summary={**summary, "seconds": time.perf_counter() - started})


def step_and_look(problem: Problem, state: State, held: HeldOut | None) -> dict[str, float]:
    """A step's metrics, and those of the look that is due after it."""
    told = train_step(problem, state)
    if held is not None and held.is_due(state.step, problem.config.steps):
        told |= state.progress.look(held, state.policy.model, state.step)
    return told


def timed(state: State, take: Callable[[], dict[str, float]]) -> dict[str, float]:
    """A step, with a full GPU told in words, and its time counted."""
    started = time.perf_counter()
    told = guarded(take, state.step + 1, _("completions per prompt, fewer prompts per step"))
    state.progress.seconds += longest_of(time.perf_counter() - started, state.policy.device)
    return told


def ready(course: Course, *, bit_exact: bool) -> Ready:
    """The first event, with the steps to come."""
    return Ready(
        total_steps=course.problem.config.steps,
        threads=torch.get_num_threads(),
        device=str(course.state.policy.device),
        resumed_step=course.state.step,
        bit_exact=bit_exact,
    )


def followed(course: Course, *, new: bool) -> Generator[Event, str | None, str | None]:
    """All that comes before the result is measured; "save" if that was asked and a checkpoint saved.

    It is heard in answer to a StepDone, and before each batch of the reference's completions.
    """
    problem, state, config = course.problem, course.state, course.problem.config
    if new:
        yield from beginning(course)
    else:
        yield course.look()
    if (yield from ask_reference(problem, state)) == "save":
        yield course.save()
        return "save"
    yield PhaseStarted(name=_("training"))
    loop = Loop(
        config.steps,
        take=lambda _step: course.take(),
        save=lambda _step: course.save(),
        every=config.checkpoint_every,
        beside=lambda step: samples_due(course, step),
        over=course.over,
        keeps_end=config.keep_end,
    )
    return (yield from steps(loop, state.step))


def beginning(course: Course) -> Iterator[Event]:
    """Where a new run starts, and what the reference answers."""
    drawn = course.policies * len(shown(course.problem))
    yield PhaseStarted(name=_("looking at the start"))
    with counting(FAR_PROMPTS + drawn, _("completions")):
        looking, showing = split(FAR_PROMPTS, drawn)
        with looking:
            found = course.look()
        yield found
        with showing:
            yield from course.show("before")


def samples_due(course: Course, step: int) -> Iterator[SampleDrawn]:
    """Samples after a step, where it is their turn; those of the last one come with the result."""
    config = course.problem.config
    if step % config.sample_every == 0 and step < config.steps:
        yield from course.show("after")


def checked(problem: Problem, state: State, *, new: bool) -> Checked:
    """What is known before the first step, of which a new run looks where it starts; raises StartError."""
    if new:
        state.start = start_of(problem, state)
    return Checked(receipts=receipts(problem.config), kl_start=state.start)


def save_result(problem: Problem, state: State, checked: Receipts, folder: Path) -> None:
    """Commit `output`: the whole policy, what it was aimed at, and its receipts."""
    with committed(folder / "output") as output:
        adapter = state.adapter
        if adapter and problem.config.keep_adapter:
            kept_adapter(adapter).save(output)
        (merged(state.policy, adapter) if adapter else state.policy).save(output)
        save_target(problem.config, state.lambdas, output)
        checked.store(output)


def check_processes(problem: Problem) -> None:
    """Raise ConfigError where several processes cannot share a step."""
    size, config = world().size, problem.config
    fewest = min(filter(None, (problem.trained, problem.deployment, len(problem.held))))
    if size > 1 and min(answered_anew(config), fewest) < size:
        raise ConfigError(
            _(
                "Each of the {size} processes needs a prompt of its own in every step; ask for more "
                "prompts, and more of them per step, or fewer processes."
            ).format(size=size)
        )
    if size == 1 or not read(EngineVariables).sharding:
        return
    if config.lora_rank or (config.inference_weight and config.inference_weights == "int8"):
        raise ConfigError(
            _(
                "An adapter, or weights that are rounded, need a whole model in every process; unset "
                "{sharding}."
            ).format(sharding=SHARDING)
        )


class ReferencePhase(NamedTuple):
    """Prompts that the reference answers before the first step: how many, which come next, and how they are asked."""

    name: str
    total: int
    following: Callable[[Problem, State], range]
    ask: Callable[[Problem, State], None]


def batch_by_batch(
    asked: ReferencePhase, problem: Problem, state: State
) -> Generator[Event, str | None, str | None]:
    """The phase in which the reference answers them; "save" if that was asked meanwhile."""
    batch = asked.following(problem, state)
    left = asked.total - batch.start
    with counting(left, _("prompts")) as phase:
        while batch:
            begins = PhaseStarted(name=asked.name)
            if (yield phase.event if phase.done else begins) == "save":
                return "save"
            with taking(len(batch) / left):
                asked.ask(problem, state)
            batch = asked.following(problem, state)
    return None


def ask_reference(problem: Problem, state: State) -> Generator[Event, str | None, str | None]:
    """What training needs to know first: "save" if that was asked meanwhile.

    The reference's completions of all prompts, batch by batch, then what it says of stored ones.
    """
    known = ReferencePhase(_("reference completions"), len(problem.prompts), next_prompts, prepare)
    of_held = _("reference completions of held-out prompts")
    for asked in (known, ReferencePhase(of_held, len(problem.held), next_held, prepare_held)):
        if (yield from batch_by_batch(asked, problem, state)) == "save":
            return "save"
    if problem.stored:
        yield PhaseStarted(name=_("scoring stored completions"))
        with counting(len(problem.stored), _("completions")), taking(1):
            state.stored = groups(problem, state)
    return None


def shown(problem: Problem) -> Sequence[PromptRecord]:
    """The fixed prompts whose completions are shown."""
    return problem.prompts[: min(problem.config.sample_prompts, problem.trained)]


def draw_samples(problem: Problem, state: State, stage: Stage) -> Iterator[SampleDrawn]:
    """One completion of each fixed prompt by the reference before, by the policy after; always by the same chances."""
    policy = state.policy if stage == "after" else problem.reference
    prompts = shown(problem)
    if not prompts:
        return
    rollouts = sample(
        policy,
        problem.ids[: len(prompts)],
        completions=1,
        max_new_tokens=problem.config.max_new_tokens,
        generator=torch.Generator().manual_seed(problem.seed + 1),
    )
    rewards = problem.target.rewards(policy, rollouts)[0].tolist()
    for prompt, text, reward in zip(prompts, drawn_texts(policy, rollouts), rewards, strict=True):
        yield SampleDrawn(
            step=state.step,
            stage=stage,
            prompt_key=prompt.key,
            prompt=prompt.text,
            completion=text,
            reward=reward,
        )
