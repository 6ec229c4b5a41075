"""One step of an on-policy objective: draw, score, and move the policy by its loss."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import Divergence, above_tangent, divergence_of
from alignment.maths.estimators import ess_fraction
from alignment.models.distributed import (
    all_max,
    all_sum,
    clip,
    gathered,
    own,
    world,
)
from alignment.models.gradients import exchange
from alignment.models.lora import trained
from alignment.models.schedules import share_of_peak
from alignment.objectives.demonstrations import imitate
from alignment.objectives.laps import places_of_turn
from alignment.objectives.policy_gradients import sampled_entropy
from alignment.objectives.preferences import learn_pairs
from alignment.objectives.problem import Problem, Scored, State, learn_z
from alignment.objectives.redrawing import dull_share, with_signal
from alignment.objectives.replay import answered_anew, mixed, remember
from alignment.objectives.samples import Drawn, Pass, Rated, draw, terms_of
from alignment.objectives.signal import (
    Noise,
    remember_tail,
    share_of_signal,
    share_of_way,
)
from alignment.objectives.table import OBJECTIVES
from alignment.objectives.values import values_at, watched
from alignment.sampling.activations import Activations
from alignment.sampling.sampling import Rollouts, parted
from alignment.sampling.scoring import (
    Batch,
    completion_logits,
    completion_token_kls,
    shared_batches,
    token_logps,
)
from alignment.seam.errors import DivergedError, OutOfMemoryError
from alignment.seam.words import _
from alignment.targets.targets import parts

MISMATCH = "logp/mismatch"


class Lesson(NamedTuple):
    """Completions to learn from, and the objective's verdict on them."""

    drawn: Drawn
    rated: Rated


@dataclass
class Part:
    """What one term added to the gradient."""

    loss: Tensor
    mismatch: Tensor  # largest distance of the sampler's log-probabilities from the scorer's
    means: dict[str, Tensor] = field(default_factory=dict)  # over the completions, for the metrics
    shifts: list[Tensor] = field(default_factory=list)  # log policy - log sampler, where not fresh


Moved = Sequence[dict[str, float]]  # the metrics of an update, of each that learns


@dataclass(frozen=True)
class Turn:
    """A step's completions, to one policy that learns from them or to several that share what they know."""

    states: Sequence[State]  # of all policies
    learning: Sequence[State]  # of those that learn
    known: Tensor  # (prompts,) bool: some sample with P > 0 was seen
    log_z: Tensor  # (prompts,) as it was when they were drawn
    taught: int  # prompts of all that is learned from that had an estimate of Z
    update: Callable[[int], Moved]  # by its number
    remember: Callable[[], None]  # what the completions teach beside, once no update is left
    tell: Callable[[Moved], dict[str, float]]  # the step's metrics, from the last update's


def train_step(problem: Problem, state: State) -> dict[str, float]:
    """Draw, score, and move the policy; the metrics of the step."""
    return step_of(problem.config, lambda: turn_of(problem, state))


def step_of(config: AlignConfig, draw: Callable[[], Turn]) -> dict[str, float]:
    """Draw, score, and move all that learn; the metrics of the step."""
    started = time.perf_counter()
    turn = draw()
    moved = [turn.update(number) for number in range(config.updates_per_step)]
    turn.remember()
    for state in turn.states:
        state.step += 1
        state.taught += turn.taught
    for state, facts in zip(turn.learning, moved[0], strict=True):
        state.mismatch = max(state.mismatch, facts[MISMATCH])
    return {
        **turn.tell(moved[-1]),
        # Later updates have moved away on purpose.
        MISMATCH: max(facts[MISMATCH] for facts in moved[0]),
        "logz/mean": turn.log_z[turn.known.to(turn.log_z.device)].mean().item(),
        "prompts/skipped": float((~turn.known).sum()),
        "seconds/step": time.perf_counter() - started,
    }


def guarded(take: Callable[[], dict[str, float]], step: int, fewer: str) -> dict[str, float]:
    """A step, with a full GPU told in words that help: `fewer` says of what."""
    try:
        return take()
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            _(
                "The device ran out of memory at step {step}; try fewer {fewer} or a smaller completion "
                "length limit."
            ).format(step=step, fewer=fewer)
        ) from error


def turn_of(problem: Problem, state: State) -> Turn:
    """The step's completions of every term, and what one policy learns from them."""
    config = problem.config
    asked = prompts_of_terms(problem, state.step)
    drawn = [
        draw(problem, state, places, term)
        for places, term in zip(asked, terms_of(config), strict=True)
    ]
    if config.redraws:
        asked[0], drawn[0] = with_signal(problem, state, asked[0], drawn[0])
    chosen, train = asked[0], drawn[0]
    watch_budget(problem, state, train.scored, len(chosen))
    lessons = first = lessons_of(problem, state, chosen, drawn)

    def move(number: int) -> list[dict[str, float]]:
        nonlocal lessons
        if number:
            lessons = grown_old(problem, state, chosen, lessons, drawn)
        return [update(problem, state, lessons, number)]

    def learn() -> None:
        for places, one in zip(asked, drawn, strict=True):
            learn_z(problem, state.known.z, places, one.scored.log_weights)
            state.progress.tokens += int(one.scored.rollouts.mask.sum())
        remember(config, state, chosen, train.scored)

    def tell(moved: Sequence[dict[str, float]]) -> dict[str, float]:
        return {
            **moved[0],
            **first[0].rated.metrics,
            **({"prompts/dull": dull_share(config, train)} if config.redraws else {}),
            **described(train.scored, train.u, divergence_of(config), train.known),
            **{n: column.mean().item() for n, column in parts(problem.target, train.scored.values)},
            **deployed(drawn[1:], divergence_of(config)),
        }

    taught = sum(int(lesson.drawn.known.sum()) for lesson in first)
    return Turn([state], [state], train.known, train.log_z, taught, move, learn, tell)


def lessons_of(
    problem: Problem, state: State, chosen: Sequence[int], drawn: Sequence[Drawn]
) -> list[Lesson]:
    """What an update learns from: every term's completions, the first one's among those of earlier steps."""
    whole = [mixed(problem, state, drawn[0], chosen), *drawn[1:]]
    judge = OBJECTIVES[problem.config.objective]
    return [Lesson(one, judge(problem, state, one)) for one in whole]


def grown_old(
    problem: Problem,
    state: State,
    chosen: Sequence[int],
    lessons: Sequence[Lesson],
    drawn: Sequence[Drawn],
) -> list[Lesson]:
    """The next update's lessons: nothing is fresh any more, and others of earlier steps are mixed in."""
    if state.replay or state.stored:
        return lessons_of(problem, state, chosen, [replace(one, fresh=0) for one in drawn])
    return [lesson._replace(drawn=replace(lesson.drawn, fresh=0)) for lesson in lessons]


def update(
    problem: Problem, state: State, lessons: Sequence[Lesson], turn: int
) -> dict[str, float]:
    """One optimizer update, the step's first for turn 0."""
    config = problem.config
    state.optimizer.zero_grad()
    added = [backward(state, lesson) for lesson in lessons]
    loss = sum(part.loss.item() for part in added)
    means = {name: mean.item() for name, mean in added[0].means.items()}
    if added[0].shifts and not state.stored:  # of whom no weights are known
        means["weights/ess"] = ess_fraction(torch.cat(added[0].shifts)).item()
    if config.preference_weight:
        means |= learn_pairs(problem, state, state.step * config.updates_per_step + turn)
        loss += config.preference_weight * means["preference/loss"]
    if config.demonstration_weight:
        nll = imitate(problem, state, state.step * config.updates_per_step + turn)
        means["nll/demonstrations"] = nll
        loss += config.demonstration_weight * nll
    mismatch = max(part.mismatch.item() for part in added)
    drawn = [(one.drawn.u, one.drawn.known) for one in lessons]
    way = way_left(config, state.noise, drawn, again=turn > 0)
    moved = descend(config, state, loss, way, again=turn > 0)
    return {"loss": loss, MISMATCH: mismatch, **moved, **means}


def way_left(
    config: AlignConfig, noise: Noise, drawn: Sequence[tuple[Tensor, Tensor]], *, again: bool
) -> float:
    """The largest `share_of_way` of the terms' u and known; what the first says of its tail is remembered."""
    if config.objective == "fdpg" and not again:
        remember_tail(noise, divergence_of(config), *drawn[0])
    return max(share_of_way(u, known, noise.tail) for u, known in drawn)


def descend(
    config: AlignConfig, state: State, loss: float, way: float, *, again: bool
) -> dict[str, float]:
    """Step along the gradient that the parameters hold; its norm before it was clipped, and the rate taken.

    `way` is the `share_of_way`; `again` says that the gradient comes from the samples of the last one. While
    the target is far the rate neither falls nor is damped: nothing is gained by waiting.
    """
    told = exchange(state.optimizer)
    norm = clip(state.policy.model.parameters(), config.max_gradient_norm)
    if not (math.isfinite(norm) and math.isfinite(loss)):
        raise DivergedError(
            _(
                "The loss was {loss} and its gradient {norm} at step {step}; try a lower learning "
                "rate or a larger beta."
            ).format(loss=loss, norm=norm, step=state.step + 1)
        )
    if state.value_head is not None:
        clip(state.value_head.parameters(), config.max_gradient_norm)
    at = max(state.step, int(config.steps * state.progress.spent(config)))
    rate, fall = rates_at(config, min(at, config.steps - 1))
    taken = fall
    if config.damped:
        taken = max(way, fall * share_of_signal(state.optimizer, state.noise, again=again))
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["pace"] * (taken if group["own"] else fall)
    state.optimizer.step()
    return {**told, "grad/norm": norm, "lr": rate * taken}


def rates_at(config: AlignConfig, step: int) -> tuple[float, float]:
    """The learning rate of a step, counted from 0, as it rises to its peak, and its share as it falls."""
    rise = share_of_peak(step, config.steps, rising=config.warmup, falling=0)
    falling = round(config.decay * config.steps)
    fall = share_of_peak(step, config.steps, rising=0, falling=falling, shape=config.decay_shape)
    return config.learning_rate * rise, fall


def backward(state: State, lesson: Lesson) -> Part:
    """Add the gradient of one term's loss, batch by batch."""
    drawn, rated = lesson
    rollouts, term = drawn.scored.rollouts, drawn.term
    rows, fresh = len(rollouts.prompts), drawn.fresh
    zero = torch.zeros((), device=drawn.u.device, dtype=torch.float64)
    part = Part(zero, zero.float())
    with term.used(state.policy):
        for batch in own_batches(state.policy.model, drawn):
            share = len(batch.rows) / rows
            sampled = rollouts.token_logps[batch.rows, : batch.mask.shape[1]]
            new = batch.rows < fresh
            done = forward(state, batch, term.temperature, sampled, new)
            loss, metrics = rated.loss(done)
            (term.weight * share * loss).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            part.loss = part.loss + term.weight * share * loss.detach()
            distance = (done.logps.detach() - sampled).abs() * new[:, None]
            part.mismatch = torch.maximum(part.mismatch, distance.max())
            part.shifts += [done.shift.detach().double().sum(1)[~new]] if fresh < rows else []
            for name, mean in metrics.items():
                part.means[name] = part.means.get(name, zero) + share * mean
    if rollouts.kept is not None:
        rollouts.kept.forget()  # the next update has other weights
    return met(part, mixed=fresh < rows)


def own_batches(model: PreTrainedModel, drawn: Drawn) -> Iterator[Batch]:
    """Batches of the completions of this process's prompts, numbered among all."""
    rollouts, (prompts, completions) = drawn.scored.rollouts, drawn.u.shape
    if world().size == 1:
        yield from shared_batches(model, rollouts, kept_of(drawn))
        return
    mine = own(prompts)
    device = rollouts.tokens.device
    picked = torch.arange(mine.start * completions, mine.stop * completions, device=device)
    for batch in shared_batches(model, rollouts.rows(picked)):
        yield replace(batch, rows=picked[batch.rows])


def kept_of(drawn: Drawn) -> Activations | None:
    """What was kept of the policy that drew these completions, if it is the one that learns now."""
    kept = drawn.scored.rollouts.kept
    whole = drawn.fresh == len(drawn.scored.rollouts.prompts)
    return kept if kept is not None and whole and kept.hold else None


def met(part: Part, *, mixed: bool) -> Part:
    """The parts of all processes as one; `mixed` says that some completions are not fresh."""
    if world().size == 1:
        return part
    means = {name: all_sum(mean) for name, mean in sorted(part.means.items())}
    shifts = [gathered(torch.cat(part.shifts))] if mixed else []
    return Part(all_sum(part.loss), all_max(part.mismatch), means, shifts)


def forward(state: State, batch: Batch, temperature: float, sampled: Tensor, new: Tensor) -> Pass:
    """The policy's forward over a batch: its sampler's logps (b, length), and (b,) which it is itself."""
    model, head = state.policy.model, state.value_head
    with watched(model, head) as states:
        logits = completion_logits(model, batch, temperature)
    logps = token_logps(logits, batch)
    shift = logps - torch.where(new[:, None], logps.detach(), sampled)
    values = values_at(head, states[-1], batch) if head is not None else None
    return Pass(batch, logits, logps, shift, values)


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


def watch_budget(problem: Problem, state: State, scored: Scored, prompts: int) -> None:
    """Keep the weights while KL(policy || reference) is within its budget; else note that it is not.

    The log-ratios of the step's samples are free but noisy; near the budget the exact KL of every
    token decides, at the price of two forwards.
    """
    budget, rollouts = problem.config.kl_budget, scored.rollouts
    mean, error = prompt_mean(rollouts.logps - scored.reference_logps, prompts)
    if mean + 2 * error > budget:
        kls = token_kls(problem, state, rollouts)
        mean, error = prompt_mean(kls.sum(1), prompts)
        state.over_budget = mean + error > budget
    if not state.over_budget:
        keep_weights(state)


def keep_weights(state: State) -> None:
    """Note the weights as the last ones that were seen within the budget, where those before were."""
    for name, weight in trained(state.policy.model).items():
        if name in state.measured:
            state.measured[name].copy_(weight.detach())
        else:
            state.measured[name] = weight.detach().clone()


def token_kls(problem: Problem, state: State, rollouts: Rollouts) -> Tensor:
    """(n, length) KL(policy || reference) in nats of every token's distribution."""
    models = state.policy.model, problem.reference.model
    return parted(rollouts, lambda part: completion_token_kls(*models, part))


def prompt_mean(values: Tensor, prompts: int) -> tuple[float, float]:
    """Mean of a step's values (n,) and its standard error, from the means of the prompts."""
    means = values.view(prompts, -1).mean(1)
    error = means.std().item() / math.sqrt(len(means)) if len(means) > 1 else 0.0
    return means.mean().item(), error


def described(scored: Scored, u: Tensor, divergence: Divergence, known: Tensor) -> dict[str, float]:
    """The metrics that need nothing but the step's samples."""
    rollouts = scored.rollouts
    return {
        "reward/mean": scored.rewards.mean().item(),
        "reward/std": scored.rewards.std().item(),
        "kl/reference": sampled_kl(scored).mean().item(),
        "divergence/target": divergence.terms(u[known]).mean().item(),
        "ess/fraction": ess_fraction(scored.log_weights.view(u.shape)).mean().item(),
        "length/mean": rollouts.lengths.double().mean().item(),
        "length/truncated": rollouts.truncated.double().mean().item(),
        "entropy/mean": sampled_entropy(scored),
    }


def sampled_kl(scored: Scored) -> Tensor:
    """(n,) estimates of KL(policy || reference) from the policy's completions: k3 token by token, never negative."""
    distance = scored.rollouts.token_logps.double() - scored.reference_token_logps.double()
    return above_tangent(distance.masked_fill(~scored.rollouts.mask, 0.0)).sum(1)


def prompts_of_step(problem: Problem, step: int) -> list[int]:
    """Numbers of the prompts that the step draws completions of."""
    return places_of_turn(step, answered_anew(problem.config), problem.trained, problem.seed)


def prompts_of_terms(problem: Problem, step: int) -> list[list[int]]:
    """The same for each term: the deployed policy has prompts of its own where some are known."""
    chosen = prompts_of_step(problem, step)
    size, seed = answered_anew(problem.config), problem.seed
    served = places_of_turn(step, size, problem.deployment, seed) if problem.deployment else None
    others = chosen if served is None else [problem.trained + place for place in served]
    return [chosen, *[others for _ in terms_of(problem.config)[1:]]]
