"""f-DPG: bring a policy to the target p(x|c) of `targets` by minimising an f-divergence.

Go et al., "Aligning Language Models with Preferences through f-divergence Minimization" (ICML 2023).
Departures: 1. Z_c is estimated per prompt, from the reference's completions and from earlier steps;
this step's samples enter it after the step, so the gradient is unbiased given the estimate.
2. The baseline is the mean pseudo-reward of the same prompt's other completions.
3. The sampler's log-probabilities serve as log policy in u: the weights are the same, and their
largest distance from the scorer's is a metric of every step.
"""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from alignment import checkpoints
from alignment.config import AlignConfig, RunSpec
from alignment.divergences import Divergence, divergence_of
from alignment.errors import ConfigError, DataError, DivergedError, OutOfMemoryError
from alignment.estimators import ZCache, ess_fraction, estimate, paired_estimate
from alignment.events import Event, Finished, PhaseStarted, Ready, SampleDrawn, StepDone
from alignment.folders import committed
from alignment.moments import fit_moments
from alignment.objectives.losses import (
    importance,
    leave_one_out,
    limited,
    rao_blackwell_loss,
    score_loss,
)
from alignment.policies import Policy
from alignment.quantisation import int8_weights
from alignment.records import PromptRecord, read_jsonl
from alignment.reward import RewardModel
from alignment.sampling import Rollouts, sample
from alignment.scoring import (
    Batch,
    batches,
    completion_logits,
    completion_token_kls,
    completion_token_logps,
    token_logps,
)
from alignment.targets import Scorer, Target, Values, save_target, target_of

Progress = Generator[Event, str | None, None]

ROLES = ("policy", "reference", "reward", "prompts")
PROMPTS_AT_ONCE = 64  # of the reference phase
MEASURED_PROMPTS, MEASURED_COMPLETIONS = 64, 4  # of the final KL


@dataclass(frozen=True)
class Problem:
    """What a run aligns: prompts, where it starts from, and what it is drawn to."""

    prompts: Sequence[PromptRecord]
    start: Path  # folder of the policy
    reference: Policy
    reward: Scorer
    config: AlignConfig
    seed: int = 0
    ids: list[list[int]] = field(init=False)  # of the prompts' tokens
    target: Target = field(init=False)

    def __post_init__(self) -> None:
        if not self.prompts:
            raise DataError("There is no prompt to train on; add prompts to the train split.")
        ids = [self.reference.prompt_ids(prompt.messages) for prompt in self.prompts]
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "target", target_of(self.config, self.reward))
        self.reference.model.requires_grad_(requires_grad=False)


@dataclass
class State:
    """Everything that decides the next step; a checkpoint holds all of it."""

    policy: Policy
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    z: ZCache
    reference_rewards: list[float]  # means per prompt, of the prompts prepared so far
    step: int = 0
    over_budget: bool = False
    measured: dict[str, Tensor] = field(default_factory=dict)  # last weights seen within the budget
    seen: dict[str, Tensor] = field(
        default_factory=dict
    )  # of the reference, until lambda is fitted
    fit: dict[str, Any] = field(default_factory=dict)  # lambda and how sure it is, once fitted

    @property
    def lambdas(self) -> list[float]:
        """Of the target's wished means; empty where there are none."""
        return [row["lambda"] for row in self.fit.get("wishes", [])]


@dataclass(frozen=True)
class Scored:
    """Completions with what the target says of them; all but the rollouts have shape (n,)."""

    rollouts: Rollouts
    values: Values
    reference_logps: Tensor
    log_weights: Tensor  # log P - log sampler, fp64

    @property
    def rewards(self) -> Tensor:
        """(n,) the reward model's and the rule's, weighted."""
        return self.values.rewards


def align(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind align: train `inputs["policy"]` against `inputs["reference"]` and `["reward"]`."""
    config = AlignConfig.model_validate(spec.config)
    inputs = spec_inputs(spec, folder, config)
    problem = Problem(
        prompts=list(read_jsonl(inputs["prompts"], PromptRecord))[: config.prompts],
        start=inputs["policy"],
        reference=Policy.load(inputs["reference"]),
        reward=RewardModel.load(inputs["reward"]).score if config.reward_weight else no_reward,
        config=config,
        seed=spec.seed,
    )
    yield from tune(problem, folder, folder / spec.resume_from if spec.resume_from else None)


def no_reward(policy: Policy, rollouts: Rollouts) -> Tensor:
    """(n,) zeros, where the target is made of constraints and wished means alone."""
    return torch.zeros(len(rollouts.prompts), device=rollouts.tokens.device)


def spec_inputs(spec: RunSpec, folder: Path, config: AlignConfig) -> dict[str, Path]:
    """Where each input is; raises ConfigError naming those that are missing."""
    needed = ROLES if config.reward_weight else [role for role in ROLES if role != "reward"]
    missing = [role for role in needed if role not in spec.inputs]
    if missing:
        raise ConfigError(f"The run names no {' and no '.join(missing)} among its inputs.")
    return {role: folder / path for role, path in spec.inputs.items()}


def tune(problem: Problem, folder: Path, resume: Path | None = None) -> Progress:
    """Train from the start or from a checkpoint; the aligned policy becomes `folder/output`.

    "save" sent in answer to a PhaseStarted or a StepDone saves a checkpoint and ends the run.
    """
    started = time.perf_counter()
    state, bit_exact = restore(problem, resume) if resume else (begin(problem), True)
    config = problem.config
    yield Ready(
        total_steps=config.steps,
        threads=torch.get_num_threads(),
        device=str(state.policy.device),
        resumed_step=state.step,
        bit_exact=bit_exact,
    )
    if resume is None:
        yield from draw_samples(problem, problem.reference, 0, "before")
    while (done := len(state.reference_rewards)) < len(problem.prompts):
        phase = f"reference completions: {done} of {len(problem.prompts)} prompts"
        if (yield PhaseStarted(name=phase)) == "save":
            yield save(state, folder)
            return
        prepare(problem, state)
    yield PhaseStarted(name="training")
    while state.step < config.steps and not state.over_budget:
        metrics = guarded_step(problem, state)
        asked = yield StepDone(step=state.step, total=config.steps, metrics=metrics)
        if asked == "save" or state.step % config.checkpoint_every == 0:
            yield save(state, folder)
        if asked == "save":
            return
        if state.step % config.sample_every == 0 and state.step < config.steps:
            yield from draw_samples(problem, state.policy, state.step, "after")
    yield PhaseStarted(name="measuring the result")
    summary = choose_result(problem, state)
    yield from draw_samples(problem, state.policy, state.step, "after")
    with committed(folder / "output") as output:
        state.policy.save(output)
        save_target(config, state.lambdas, output)
    yield Finished(summary={**summary, "seconds": time.perf_counter() - started})


def begin(problem: Problem) -> State:
    """The state before anything was drawn."""
    policy = Policy.load(problem.start)
    if policy.tokenizer.get_vocab() != problem.reference.tokenizer.get_vocab():
        raise ConfigError(
            "The policy and the reference have different tokenizers; take the model that the "
            "policy was trained from as the reference."
        )
    generator = torch.Generator().manual_seed(problem.seed)
    return State(policy, adam(policy, problem.config), generator, ZCache(), [])


def restore(problem: Problem, checkpoint: Path) -> tuple[State, bool]:
    """The state of a checkpoint, and whether this machine will continue it bit by bit."""
    tensors, facts = checkpoints.load(checkpoint)
    policy = Policy.load(checkpoint / checkpoints.POLICY)
    optimizer = adam(policy, problem.config)
    checkpoints.restore_optimizer(optimizer, checkpoints.below("optimizer", tensors))
    generator = torch.Generator()
    generator.set_state(tensors["generator"])
    measured = checkpoints.below("measured", tensors)
    seen = checkpoints.below("seen", tensors)
    state = State(
        policy,
        optimizer,
        generator,
        ZCache(facts["z"]),
        facts["reference_rewards"],
        step=facts["step"],
        over_budget=facts["over_budget"],
        measured={name: tensor.to(policy.device) for name, tensor in measured.items()},
        seen=seen,
        fit=facts["fit"],
    )
    return state, facts["machine"] == checkpoints.machine()


def save(state: State, folder: Path) -> Event:
    """Commit a checkpoint of the state below the run folder."""
    tensors = {
        "generator": state.generator.get_state(),
        **checkpoints.named("optimizer", checkpoints.optimizer_tensors(state.optimizer)),
        **checkpoints.named("measured", state.measured),
        **checkpoints.named("seen", state.seen),
    }
    facts: dict[str, Any] = {
        "z": state.z.state_dict(),
        "reference_rewards": state.reference_rewards,
        "over_budget": state.over_budget,
        "fit": state.fit,
    }
    return checkpoints.save(folder, state.step, state.policy, tensors, facts)


def adam(policy: Policy, config: AlignConfig) -> torch.optim.Optimizer:
    """AdamW without decay: the target says how far from the reference the policy belongs."""
    parameters = policy.model.parameters()
    return torch.optim.AdamW(
        parameters, lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
    )


def prepare(problem: Problem, state: State) -> None:
    """Draw the reference completions of the next prompts: their first estimates of Z."""
    config, done = problem.config, len(state.reference_rewards)
    chosen = range(done, min(done + PROMPTS_AT_ONCE, len(problem.prompts)))
    rollouts = sample(
        problem.reference,
        [problem.ids[place] for place in chosen],
        completions=config.reference_completions,
        max_new_tokens=config.max_new_tokens,
        generator=state.generator,
    )
    without = [0.0] * len(problem.target.wishes)  # as lambda is fitted to these completions
    scored = score(problem, rollouts, without, reference_logps=rollouts.logps)
    means = scored.rewards.view(len(chosen), -1).mean(1)
    state.reference_rewards += means.tolist()
    if problem.target.wishes:
        keep_for_fit(problem, state, scored)
    else:
        learn_z(problem, state.z, chosen, scored.log_weights)


def keep_for_fit(problem: Problem, state: State, scored: Scored) -> None:
    """Add a batch of the reference's completions; the last one fits lambda and learns every Z."""
    n = problem.config.reference_completions
    added = {
        "log_weights": scored.log_weights.view(-1, n),
        "features": scored.values.features.view(-1, n, len(problem.target.wishes)),
    }
    for name, rows in added.items():
        state.seen[name] = torch.cat(
            [*([state.seen[name]] if name in state.seen else []), rows.cpu()]
        )
    if len(state.reference_rewards) == len(problem.prompts):
        state.fit = fitted(problem, **state.seen)
        tilts = state.seen["features"] @ torch.tensor(state.lambdas, dtype=torch.float64)
        everyone = range(len(problem.prompts))
        learn_z(problem, state.z, everyone, (state.seen["log_weights"] + tilts).flatten())
        state.seen = {}


def fitted(problem: Problem, log_weights: Tensor, features: Tensor) -> dict[str, Any]:
    """Lambda of every wished mean, with what it achieves on the reference's completions."""
    wishes = problem.target.wishes
    fit = fit_moments(
        log_weights,
        features,
        [wish.mean for wish in wishes],
        [wish.name for wish in wishes],
        torch.Generator().manual_seed(problem.seed),
    )
    columns = (fit.lambdas, fit.low, fit.high, fit.achieved)
    rows = zip(wishes, *(column.tolist() for column in columns), strict=True)
    names = ("lambda", "low", "high", "achieved")
    return {
        "ess_fraction": fit.ess,
        "wishes": [
            {"name": wish.name, "wished": wish.mean, **dict(zip(names, row, strict=True))}
            for wish, *row in rows
        ],
    }


def score(
    problem: Problem,
    rollouts: Rollouts,
    lambdas: Sequence[float],
    reference_logps: Tensor | None = None,
) -> Scored:
    """Rewards, reference and target of completions that were drawn at temperature 1."""
    if reference_logps is None:
        with torch.no_grad():
            reference_logps = completion_token_logps(problem.reference.model, rollouts).sum(1)
    values = problem.target.values(problem.reference, rollouts)
    if values.rewards.isnan().any() or values.rewards.isposinf().any():
        raise DivergedError(
            "The reward of a completion was not a number; train the reward model again with a "
            "lower learning rate."
        )
    log_scores = problem.target.log_scores(reference_logps, values, lambdas)
    return Scored(rollouts, values, reference_logps, log_scores - rollouts.logps.double())


def learn_z(problem: Problem, z: ZCache, chosen: Sequence[int], log_weights: Tensor) -> None:
    """Add these prompts' samples to their estimates of Z; log_weights has shape (n,)."""
    for place, weights in zip(chosen, log_weights.view(len(chosen), -1).cpu(), strict=True):
        z.update(problem.prompts[place].key, weights)


def guarded_step(problem: Problem, state: State) -> dict[str, float]:
    """`train_step`, with a full GPU told in words that help."""
    try:
        return train_step(problem, state)
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"The device ran out of memory at step {state.step + 1}; try fewer completions per "
            "prompt, fewer prompts per step or a smaller completion length limit."
        ) from error


def train_step(problem: Problem, state: State) -> dict[str, float]:
    """Draw, score, and move the policy; the metrics of the step."""
    started = time.perf_counter()
    config = problem.config
    chosen = prompts_of_step(problem, state.step)
    drawn = [draw(problem, state, chosen, term) for term in terms_of(config)]
    watch_budget(problem, state, drawn[0].scored)
    rate = config.learning_rate * min(1.0, (state.step + 1) / max(1, config.warmup))
    moved = [update(problem, state, drawn, rate, old=k > 0) for k in range(config.updates_per_step)]
    for term in drawn:
        learn_z(problem, state.z, chosen, term.scored.log_weights)
    state.step += 1
    train = drawn[0]
    return {
        **moved[-1],
        "logp/mismatch": moved[0]["logp/mismatch"],  # later ones have moved away on purpose
        "lr": rate,
        "baseline/mean": train.rho.mean().item(),
        "logz/mean": train.log_z[train.known.cpu()].mean().item(),
        "prompts/skipped": float((~train.known).sum()),
        **described(train.scored, train.u, divergence_of(config), train.known),
        **{n: column.mean().item() for n, column in parts(problem.target, train.scored.values)},
        **deployed(drawn[1:], divergence_of(config)),
        "seconds/step": time.perf_counter() - started,
    }


@dataclass(frozen=True)
class Term:
    """A way in which the policy is used, and how much its divergence from the target weighs."""

    weight: float = 1.0
    temperature: float = 1.0
    int8: bool = False

    def used(self, policy: Policy) -> AbstractContextManager[None]:
        """The policy's weights as they are in this use."""
        return int8_weights(policy.model) if self.int8 else nullcontext()


@dataclass(frozen=True)
class Drawn:
    """A step's completions of one term, with what its loss needs; u and rho are (prompts, n)."""

    term: Term
    scored: Scored
    log_z: Tensor  # (prompts,)
    known: Tensor  # (prompts,) bool: some sample with P > 0 was seen
    u: Tensor
    rho: Tensor


def terms_of(config: AlignConfig) -> list[Term]:
    """The divergence in training and, where it has a weight, that of the deployed policy."""
    served = Term(
        config.inference_weight, config.inference_temperature, config.inference_weights == "int8"
    )
    return [Term(), *([served] if served.weight else [])]


def draw(problem: Problem, state: State, chosen: Sequence[int], term: Term) -> Drawn:
    """Completions of the chosen prompts as the term's policy answers them."""
    with term.used(state.policy):
        rollouts = sample(
            state.policy,
            [problem.ids[place] for place in chosen],
            completions=problem.config.completions_per_prompt,
            max_new_tokens=problem.config.max_new_tokens,
            temperature=term.temperature,
            generator=state.generator,
        )
    scored = score(problem, rollouts, state.lambdas)
    log_z = torch.tensor([state.z.log_z(problem.prompts[place].key) for place in chosen])
    u = log_z.to(scored.log_weights)[:, None] - scored.log_weights.view(len(chosen), -1)
    known = (log_z != -math.inf).to(u.device)
    return Drawn(
        term, scored, log_z, known, u, pseudo_rewards(problem.config, u, known[:, None])[0]
    )


def pseudo_rewards(config: AlignConfig, u: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """rho(u) within its limit, 0 where the prompt is not known; and which were cut."""
    rho = divergence_of(config).pseudo_reward(u).where(known, 0.0)
    return limited(rho, config.pseudo_reward_limit)


def update(
    problem: Problem, state: State, drawn: Sequence[Drawn], rate: float, *, old: bool
) -> dict[str, float]:
    """One optimizer update; `old` says that the policy has moved since the samples were drawn."""
    model, config = state.policy.model, problem.config
    state.optimizer.zero_grad()
    parts = [backward(problem, state, term, old=old) for term in drawn]
    loss = sum(part.loss.item() for part in parts)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm).item()
    if not (math.isfinite(norm) and math.isfinite(loss)):
        raise DivergedError(
            f"The loss was {loss} and its gradient {norm} at step {state.step + 1}; try a "
            "lower learning rate or a larger beta."
        )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    train = parts[0]
    metrics = {"loss": loss, "grad/norm": norm, "logp/mismatch": train.mismatch.item()}
    if config.pseudo_reward_limit:
        metrics["rho/clipped"] = train.clipped.item()
    if config.weight_limit:
        metrics["weights/truncated"] = train.truncated.item()
    return metrics


@dataclass
class Part:
    """What one term added to the gradient; shares are of its samples."""

    loss: Tensor
    mismatch: Tensor  # largest distance of the sampler's log-probabilities from the scorer's
    clipped: Tensor
    truncated: Tensor


def backward(problem: Problem, state: State, drawn: Drawn, *, old: bool) -> Part:
    """Add the gradient of one term's loss, batch by batch."""
    rollouts, term = drawn.scored.rollouts, drawn.term
    zero = torch.zeros((), device=drawn.u.device, dtype=torch.float64)
    part = Part(zero, zero.float(), zero, zero)
    with term.used(state.policy):
        for batch in batches(rollouts):
            share = len(batch.rows) / len(rollouts.prompts)
            logits = completion_logits(state.policy.model, batch) / term.temperature
            logps = token_logps(logits, batch)
            weights, clipped, truncated = loss_weights(problem.config, drawn, batch, logps, old=old)
            if problem.config.estimator == "rao_blackwell":
                loss = less_noisy_loss(problem, drawn, batch, logits, logps)
            else:
                loss = score_loss(logps.sum(1), weights.to(logps.dtype))
            (term.weight * share * loss).backward()  # type: ignore[no-untyped-call]
            part.loss = part.loss + term.weight * share * loss.detach()
            sampled = rollouts.token_logps[batch.rows, : logps.shape[1]]
            part.mismatch = torch.maximum(part.mismatch, (logps.detach() - sampled).abs().max())
            part.clipped = part.clipped + share * clipped.double().mean()
            part.truncated = part.truncated + share * truncated.double().mean()
    return part


def loss_weights(
    config: AlignConfig, drawn: Drawn, batch: Batch, logps: Tensor, *, old: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What every completion's log-probability is multiplied by; and whose rho, whose weight was cut.

    The baseline stays that of the samples when they were drawn: it need not know the new policy.
    """
    rows = batch.rows
    moved = logps.detach().sum(1).double() - drawn.scored.rollouts.logps[rows].double()
    shift = moved if old else torch.zeros_like(moved)
    known = drawn.known.repeat_interleave(drawn.u.shape[1])[rows]
    rho, clipped = pseudo_rewards(config, drawn.u.flatten()[rows] + shift, known)
    if config.estimator == "surrogate":
        return rho, clipped, torch.zeros_like(clipped)
    weights, truncated = importance(shift, config.weight_limit)
    return weights * (rho - leave_one_out(drawn.rho).flatten()[rows]), clipped, truncated


def less_noisy_loss(
    problem: Problem, drawn: Drawn, batch: Batch, logits: Tensor, logps: Tensor
) -> Tensor:
    """The Rao-Blackwell loss of a batch, with the same baseline as the score's."""
    rows, scored = batch.rows, drawn.scored
    with torch.no_grad():
        reference = completion_logits(problem.reference.model, batch).log_softmax(-1)
    chances = logits.log_softmax(-1)
    kls = (chances.exp() * (chances - reference)).sum(-1).gather(1, batch.places)
    kls = kls.masked_fill(~batch.mask, 0.0)
    known = drawn.known.repeat_interleave(drawn.u.shape[1])[rows].to(kls.dtype)
    energies = scored.rollouts.logps.double() - scored.reference_logps.double() - drawn.u.flatten()
    returns = (energies - leave_one_out(drawn.rho).flatten())[rows].to(kls.dtype)
    return rao_blackwell_loss(logps * known[:, None], kls * known[:, None], returns * known)


def deployed(drawn: Sequence[Drawn], divergence: Divergence) -> dict[str, float]:
    """The metrics of the deployed policy, where it has a term."""
    return {
        name: value
        for term in drawn
        for name, value in (
            ("inference/reward", term.scored.rewards.mean().item()),
            ("inference/divergence", divergence.terms(term.u[term.known]).mean().item()),
        )
    }


def watch_budget(problem: Problem, state: State, scored: Scored) -> None:
    """Keep the weights while KL(policy || reference) is within its budget; else note that it is not.

    The log-ratios of the step's samples are free but noisy; near the budget the exact KL of every
    token decides, at the price of two forwards.
    """
    budget, rollouts = problem.config.kl_budget, scored.rollouts
    mean, error = prompt_mean(rollouts.logps - scored.reference_logps, problem)
    if mean + 2 * error > budget:
        kls = completion_token_kls(state.policy.model, problem.reference.model, rollouts)
        mean, error = prompt_mean(kls.sum(1), problem)
        state.over_budget = mean + error > budget
    if not state.over_budget:
        weights = state.policy.model.named_parameters()
        state.measured = {name: weight.detach().clone() for name, weight in weights}


def prompt_mean(values: Tensor, problem: Problem) -> tuple[float, float]:
    """Mean of a step's values (n,) and its standard error, from the means of the prompts."""
    means = values.view(-1, problem.config.completions_per_prompt).mean(1)
    error = means.std().item() / math.sqrt(len(means)) if len(means) > 1 else 0.0
    return means.mean().item(), error


def described(scored: Scored, u: Tensor, divergence: Divergence, known: Tensor) -> dict[str, float]:
    """The metrics that need nothing but the step's samples."""
    rollouts = scored.rollouts
    return {
        "reward/mean": scored.rewards.mean().item(),
        "reward/std": scored.rewards.std().item(),
        "kl/reference": (rollouts.logps - scored.reference_logps).mean().item(),
        "divergence/target": divergence.terms(u[known]).mean().item(),
        "ess/fraction": ess_fraction(scored.log_weights.view(u.shape)).mean().item(),
        "length/mean": rollouts.lengths.double().mean().item(),
        "length/truncated": rollouts.truncated.double().mean().item(),
        "entropy/mean": -(rollouts.token_logps.sum() / rollouts.mask.sum()).item(),
    }


def parts(target: Target, values: Values) -> Iterator[tuple[str, Tensor]]:
    """What the target asks beside the reward: (n,) constraints met, features with a wished mean."""
    if target.constraints:
        yield "constraints/met", values.satisfied.prod(1)
    for wish, column in zip(target.wishes, values.features.T, strict=True):
        yield f"feature/{wish.name}", column


def prompts_of_step(problem: Problem, step: int) -> list[int]:
    """Numbers of the step's prompts: one seeded permutation of all after another."""
    count = len(problem.prompts)
    size = min(problem.config.prompts_per_step, count)
    first = step * size
    orders = {
        lap: torch.randperm(
            count, generator=torch.Generator().manual_seed(problem.seed * 1_000_003 + lap)
        ).tolist()
        for lap in {first // count, (first + size - 1) // count}
    }
    return [orders[place // count][place % count] for place in range(first, first + size)]


def draw_samples(
    problem: Problem, policy: Policy, step: int, stage: Literal["before", "after"]
) -> Iterator[SampleDrawn]:
    """One completion of each fixed prompt, always from the same random numbers."""
    shown = problem.prompts[: problem.config.sample_prompts]
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
    for prompt, ids, reward in zip(shown, rollouts.completion_ids(), rewards, strict=True):
        yield SampleDrawn(
            step=step,
            stage=stage,
            prompt_key=prompt.key,
            prompt=prompt.text,
            completion=policy.text(ids),
            reward=reward,
        )


def choose_result(problem: Problem, state: State) -> dict[str, Any]:
    """Leave the newest policy within the KL budget in the state; its measurements.

    Candidates: the newest weights, the last ones a step saw within the budget, the start.
    """
    stopped = state.over_budget
    if stopped or measure(problem, state)["kl_reference"]["value"] > problem.config.kl_budget:
        state.policy.model.load_state_dict(state.measured, strict=False)
        stopped = True
    found = measure(problem, state)
    if found["kl_reference"]["value"] > problem.config.kl_budget:
        state.policy.model.load_state_dict(Policy.load(problem.start).model.state_dict())
        found = measure(problem, state)
    steps = {"steps": state.step, "stopped_by": "kl_budget" if stopped else "steps"}
    return {**steps, **found}


def measure(problem: Problem, state: State) -> dict[str, Any]:
    """KL to the reference (Rao-Blackwell) and reward, from fresh completions of training prompts."""
    places = range(min(MEASURED_PROMPTS, len(problem.prompts)))
    rollouts = sample(
        state.policy,
        [problem.ids[place] for place in places],
        completions=MEASURED_COMPLETIONS,
        max_new_tokens=problem.config.max_new_tokens,
        generator=torch.Generator().manual_seed(problem.seed + 2),
    )
    kls = completion_token_kls(state.policy.model, problem.reference.model, rollouts).sum(1)
    values = problem.target.values(state.policy, rollouts)
    kl, reward = (t.view(len(places), -1).mean(1).tolist() for t in (kls, values.rewards))
    before = state.reference_rewards[: len(places)]
    return {
        "kl_reference": estimate(kl, "nats").model_dump(),
        "reward": estimate(reward).model_dump(),
        "reward_gain": paired_estimate(before, reward).model_dump(),
        "divergence": problem.config.divergence,
        "beta": problem.config.beta,
        **{
            name: estimate(column.view(len(places), -1).mean(1).tolist()).model_dump()
            for name, column in parts(problem.target, values)
        },
        **({"fit": state.fit} if state.fit else {}),
    }
