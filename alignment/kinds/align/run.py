"""The on-policy loop: draw completions, score them, move the policy by an objective's loss.

f-DPG brings the policy to the target p(x|c) of `targets` by minimising an f-divergence: Go et al.,
"Aligning Language Models with Preferences through f-divergence Minimization" (ICML 2023).
Departures: 1. Z_c is estimated per prompt, from the reference's completions and from earlier steps;
this step's samples enter it after the step, so the gradient is unbiased given the estimate.
2. The baseline is the mean pseudo-reward of the same prompt's other completions.
3. The sampler's log-probabilities serve as log policy in u: the weights are the same, and their
largest distance from the scorer's is a metric of every step.
"""

import math
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.sft.run import demonstrations
from alignment.kinds.spec import RunSpec
from alignment.maths.divergences import divergence_of
from alignment.maths.estimators import estimate, paired_estimate
from alignment.models.computation import check_device, set_up
from alignment.models.control_tokens import controls, counted
from alignment.models.distributed import world
from alignment.models.inputs import same_model
from alignment.models.lora import forget, load_trained, merged, shared, size_of
from alignment.models.overlong import Reader, fitting_labels, fitting_prompts, policies_of
from alignment.models.policies import Policy
from alignment.models.sharding import SHARDING, load_whole
from alignment.models.stepping import Loop, steps
from alignment.models.texts import drawn_texts, written
from alignment.models.trials import sampler
from alignment.objectives.problem import (
    Problem,
    Scored,
    State,
    begin,
    prepare,
    score,
)
from alignment.objectives.receipts import receipts, with_contract
from alignment.objectives.replay import answered_anew
from alignment.objectives.saving import restore, save
from alignment.objectives.start import start_facts, start_of
from alignment.objectives.steps import guarded_step, token_kls
from alignment.objectives.stored import groups, stored
from alignment.reward import RewardModel
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
from alignment.seam.records import DemonstrationRecord, Estimate, PromptRecord, Receipts, read_jsonl
from alignment.seam.words import _
from alignment.targets.targets import no_reward, parts, save_target

Progress = Generator[Event, str | None, None]

ROLES = ("policy", "reference", "reward", "prompts")
MEASURED_PROMPTS, MEASURED_COMPLETIONS = 64, 4  # of the final KL


def align(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind align: train `inputs["policy"]` against `inputs["reference"]` and `["reward"]`."""
    config = AlignConfig.stored(spec.config)
    inputs = read_inputs(spec, folder, config)
    yield from (told for told in inputs.told if not told.all_fit)
    problem = read_problem(spec, folder, config, inputs)
    yield from tune(problem, folder, folder / spec.resume_from if spec.resume_from else None)


@dataclass(frozen=True)
class Inputs:
    """The rows of a run that fit the models which read them; what became of the others is told."""

    paths: Mapping[str, Path]
    prompts: list[PromptRecord]
    deployment: list[PromptRecord]
    demonstrations: list[DemonstrationRecord]
    told: list[Fitted]


def read_inputs(spec: RunSpec, folder: Path, config: AlignConfig) -> Inputs:
    """What a run reads, before a model is loaded; raises ConfigError where inputs are missing, DataError."""
    paths = spec_inputs(spec, folder, config)
    policies = policies_of(paths["policy"], paths["reference"])
    judges = [Reader.of_reward(paths["reward"])] if config.reward_weight else []
    told: list[Fitted] = []

    def fitting(role: str, rows: Sequence[PromptRecord]) -> list[PromptRecord]:
        room, readers = config.max_new_tokens, policies + judges
        found = fitting_prompts(rows, role, readers, room, config.overlong)
        told.append(found.told)
        return found.rows

    deployment = deployment_prompts(paths, config)
    prompts = fitting("prompts", first_prompts(paths["prompts"], config))
    imitated: list[DemonstrationRecord] = []
    if config.demonstration_weight:
        rows = demonstrations(spec, folder)
        found = fitting_labels(rows, "demonstrations", policies, config.overlong)
        imitated = found.rows
        told.append(found.told)
    return Inputs(
        paths=paths,
        prompts=prompts,
        deployment=fitting("deployment", deployment) if deployment else [],
        demonstrations=imitated,
        told=told,
    )


def first_prompts(path: Path, config: AlignConfig) -> list[PromptRecord]:
    """As many prompts of a file as take part."""
    return list(islice(read_jsonl(path, PromptRecord), config.prompts))


def read_problem(
    spec: RunSpec, folder: Path, config: AlignConfig, rows: Inputs | None = None
) -> Problem:
    """What a run folder's inputs and these settings say; raises ConfigError where some are missing."""
    rows = rows or read_inputs(spec, folder, config)
    inputs, prompts, deployment = rows.paths, rows.prompts, rows.deployment
    reference = sampler(inputs["reference"], "reference")
    check_device(config, reference.device)
    if config.lora_rank and inputs["reference"].resolve() == inputs["policy"].resolve():
        reference = shared(reference)
    set_up(reference, config, backward=False)
    reward = no_reward
    if config.reward_weight:
        turns = [prompt.messages for prompt in prompts + deployment]
        reward = RewardModel.load(inputs["reward"]).knowing(reference, turns).score
    return Problem(
        prompts=prompts + deployment,
        deployment=len(deployment),
        start=inputs["policy"],
        same=same_model(inputs["policy"], inputs["reference"]),
        reference=reference,
        demonstrations=[
            written(reference, row.prompt.messages, row.completion) for row in rows.demonstrations
        ],
        stored=stored(inputs["completions"], reference, prompts, config)
        if config.stored_share
        else (),
        reward=reward,
        config=config,
        seed=spec.seed,
        told=rows.told,
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
    if config.stored_share and "completions" not in spec.inputs:
        missing.append("completions")
    if missing:
        raise ConfigError(
            _("The run names no {missing} among its inputs.").format(
                missing=" and no ".join(missing)
            )
        )
    return {role: folder / path for role, path in spec.inputs.items()}


def tune(problem: Problem, folder: Path, resume: Path | None = None) -> Progress:
    """Train from the start or from a checkpoint; the aligned policy becomes `folder/output`.

    "save" sent in answer to a PhaseStarted or a StepDone saves a checkpoint and ends the run.
    """
    started = time.perf_counter()
    check_processes(problem)
    state, bit_exact = restore(problem, resume) if resume else (begin(problem), True)
    config = problem.config
    yield Ready(
        total_steps=config.steps,
        threads=torch.get_num_threads(),
        device=str(state.policy.device),
        resumed_step=state.step,
        bit_exact=bit_exact,
    )
    yield checked(problem, state, new=resume is None)
    if resume is None:
        yield from draw_samples(problem, problem.reference, 0, "before")
    if (yield from ask_reference(problem, state)) == "save":
        yield save(state, folder)
        return
    yield PhaseStarted(name="training")
    loop = Loop(
        config.steps,
        take=lambda _: guarded_step(problem, state),
        save=lambda _: save(state, folder),
        every=config.checkpoint_every,
        beside=lambda step: samples_due(problem, state.policy, step),
        over=lambda: state.over_budget,
    )
    if (yield from steps(loop, state.step)) == "save":
        return
    yield PhaseStarted(name="measuring the result")
    summary = choose_result(problem, state) | start_facts(state)
    yield from draw_samples(problem, state.policy, state.step, "after")
    proof = with_contract(receipts(config), state)
    save_result(problem, state, proof, folder)
    summary["receipts"] = proof.model_dump()
    summary["rows"] = problem.counts
    yield Finished(summary={**summary, "seconds": time.perf_counter() - started})


def samples_due(problem: Problem, policy: Policy, step: int) -> Iterator[SampleDrawn]:
    """Samples after a step, where it is their turn; those of the last one come with the result."""
    config = problem.config
    if step % config.sample_every == 0 and step < config.steps:
        yield from draw_samples(problem, policy, step, "after")


def checked(problem: Problem, state: State, *, new: bool) -> Checked:
    """What is known before the first step, of which a new run looks where it starts; raises StartError."""
    if new:
        state.start = start_of(problem, state)
    return Checked(receipts=receipts(problem.config), kl_start=state.start)


def save_result(problem: Problem, state: State, checked: Receipts, folder: Path) -> None:
    """Commit `output`: the whole policy, what it was aimed at, and its receipts."""
    with committed(folder / "output") as output:
        adapter = state.adapter
        (merged(state.policy, adapter) if adapter else state.policy).save(output)
        save_target(problem.config, state.lambdas, output)
        checked.store(output)


def check_processes(problem: Problem) -> None:
    """Raise ConfigError where several processes cannot share a step."""
    size, config = world().size, problem.config
    fewest = min(problem.trained, problem.deployment or problem.trained)
    if size > 1 and min(answered_anew(config), fewest) < size:
        raise ConfigError(
            _(
                "Each of the {size} processes needs a prompt of its own in every step; ask for more "
                "prompts, and more of them per step, or fewer processes."
            ).format(size=size)
        )
    if size == 1 or not os.environ.get(SHARDING):
        return
    if config.lora_rank or (config.inference_weight and config.inference_weights == "int8"):
        raise ConfigError(
            _(
                "An adapter, or weights that are rounded, need a whole model in every process; unset "
                "{sharding}."
            ).format(sharding=SHARDING)
        )


def ask_reference(problem: Problem, state: State) -> Generator[Event, str | None, str | None]:
    """What training needs to know first: "save" if that was asked meanwhile.

    The reference's completions of all prompts, batch by batch, then what it says of stored ones.
    """
    while (done := len(state.known.reference_rewards)) < len(problem.prompts):
        phase = f"reference completions: {done} of {len(problem.prompts)} prompts"
        if (yield PhaseStarted(name=phase)) == "save":
            return "save"
        prepare(problem, state)
    if problem.stored:
        yield PhaseStarted(name="scoring stored completions")
        state.stored = groups(problem, state)
    return None


def draw_samples(
    problem: Problem, policy: Policy, step: int, stage: Literal["before", "after"]
) -> Iterator[SampleDrawn]:
    """One completion of each fixed prompt, always from the same random numbers."""
    shown = problem.prompts[: min(problem.config.sample_prompts, problem.trained)]
    if not shown:
        return
    rollouts = sample(
        policy,
        problem.ids[: len(shown)],
        completions=1,
        max_new_tokens=problem.config.max_new_tokens,
        generator=torch.Generator().manual_seed(problem.seed + 1),
    )
    rewards = problem.target.reward(policy, rollouts).tolist()
    for prompt, text, reward in zip(shown, drawn_texts(policy, rollouts), rewards, strict=True):
        yield SampleDrawn(
            step=step,
            stage=stage,
            prompt_key=prompt.key,
            prompt=prompt.text,
            completion=text,
            reward=reward,
        )


def choose_result(problem: Problem, state: State) -> dict[str, Any]:
    """Leave the newest policy within the KL budget in the state; its measurements.

    Candidates: the newest weights, the last ones a step saw within the budget, the start. Raises ConfigError
    where no step had anything to learn from.
    """
    check_taught(problem.config, state)
    stopped = state.over_budget
    if stopped or measure(problem, state)["kl_reference"]["value"] > problem.config.kl_budget:
        load_trained(state.policy.model, state.measured)
        stopped = True
    found = measure(problem, state)
    if found["kl_reference"]["value"] > problem.config.kl_budget:
        back_to_start(problem, state)
        found = measure(problem, state)
    steps = {"steps": state.step, "stopped_by": "kl_budget" if stopped else "steps"}
    read = {"stored_completions": len(problem.stored)} if problem.stored else {}
    held = counted(controls(state.policy.tokenizer).held, problem.prompts)
    return {**steps, **read, **found, **held, "parameters": size_of(state.policy.model)}


def check_taught(config: AlignConfig, state: State) -> None:
    """Raise ConfigError where every prompt was skipped in every step: the policy is what it was."""
    if state.taught or not state.step or config.demonstration_weight:
        return
    raise ConfigError(
        _(
            "Nothing was learned in {step:,} steps: no completion of any prompt was in the "
            "target, so that all prompts were skipped. Ask for what the model writes now and "
            "then, soften the constraint (soften), or draw more completions per prompt."
        ).format(step=state.step)
    )


def back_to_start(problem: Problem, state: State) -> None:
    """Undo all training."""
    if state.adapter is not None:
        forget(state.policy.model)
    else:
        load_whole(state.policy.model, Policy.load(problem.start).model.state_dict())


def measure(problem: Problem, state: State) -> dict[str, Any]:
    """KL to the reference (Rao-Blackwell) and reward, from fresh completions of training prompts."""
    places = range(min(MEASURED_PROMPTS, problem.trained))
    rollouts = sample(
        state.policy,
        [problem.ids[place] for place in places],
        completions=MEASURED_COMPLETIONS,
        max_new_tokens=problem.config.max_new_tokens,
        generator=torch.Generator().manual_seed(problem.seed + 2),
    )
    kls = token_kls(problem, state, rollouts).sum(1)
    scored = score(problem, rollouts, state.lambdas)
    kl, reward = (t.view(len(places), -1).mean(1).tolist() for t in (kls, scored.rewards))
    before = state.known.reference_rewards[: len(places)]
    return {
        "kl_reference": estimate(kl, "nats").model_dump(),
        "reward": estimate(reward).model_dump(),
        "reward_gain": paired_estimate(before, reward).model_dump(),
        **_distance(problem, state, scored),
        "objective": problem.config.objective,
        "divergence": problem.config.minimised,
        "beta": problem.config.beta,
        **{
            name.replace("/", "_"): estimate(
                column.view(len(places), -1).mean(1).tolist()
            ).model_dump()
            for name, column in parts(problem.target, scored.values)
        },
        **fit_summary(problem, state),
    }


def _distance(problem: Problem, state: State, scored: Scored) -> dict[str, Any]:
    """D_f(policy || target) given the estimates of Z, over those of the first prompts that have one."""
    places = range(len(scored.rewards) // MEASURED_COMPLETIONS)
    log_z = torch.tensor([state.known.z.log_z(problem.prompts[place].key) for place in places])
    u = log_z.double()[:, None] - scored.log_weights.cpu().view(len(places), -1)
    terms = divergence_of(problem.config).terms(u[log_z != -math.inf])
    return (
        {"divergence_target": estimate(terms.mean(1).tolist()).model_dump()} if len(terms) else {}
    )


def fit_summary(problem: Problem, state: State) -> dict[str, Any]:
    """Lambda of every wished mean with its interval, and what it achieved on the reference."""
    found: dict[str, Any] = {}
    for row in state.known.fit.get("wishes", []):
        name, count = row["name"], problem.trained
        found[f"lambda_{name}"] = Estimate(
            value=row["lambda"], low=row["low"], high=row["high"], n=count
        ).model_dump()
        found[f"wished_{name}"], found[f"achieved_{name}"] = row["wished"], row["achieved"]
    return found | ({"fit_ess_fraction": state.known.fit["ess_fraction"]} if found else {})
