"""What an on-policy run is about, the state that decides its next step, and how both begin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.bandits import Bandit
from alignment.maths.estimators import ZCache
from alignment.models.bounds import TrainingProgress
from alignment.models.computation import set_up
from alignment.models.gradients import adamw, decaying
from alignment.models.lora import WithoutAdapter, adapted, trained
from alignment.models.policies import Policy
from alignment.models.sharding import spread
from alignment.models.texts import Written
from alignment.models.trials import sampler
from alignment.objectives.pairs import Pair
from alignment.objectives.signal import Noise
from alignment.objectives.values import ValueHead
from alignment.sampling.sampling import Rollouts, parted, sample
from alignment.sampling.scoring import (
    completion_token_logps,
)
from alignment.seam.errors import DataError, DivergedError
from alignment.seam.events import Fitted
from alignment.seam.progress import split
from alignment.seam.records import Estimate, PromptRecord
from alignment.seam.words import _
from alignment.targets.moments import fit_moments
from alignment.targets.targets import Coded, Scorer, Target, Values, no_class, target_of

PROMPTS_AT_ONCE = 64  # of the reference phase
DRAWING = 4  # times as long as reading, about: to draw a completion


@dataclass(frozen=True)
class Problem:
    """What a run aligns: prompts, where it starts from, and what it is drawn to.

    The last `deployment` of the prompts are asked of the deployed policy alone, and then it is asked no others.
    """

    prompts: Sequence[PromptRecord]
    start: Path  # folder of the policy
    reference: Policy
    reward: Scorer
    config: AlignConfig
    chance: Scorer = no_class  # of the class that the settings name
    code: Coded | None = None  # that gives completions a reward
    reading: Callable[[Rollouts], Tensor] | None = (
        None  # of the reference, where the reward has it do more
    )
    seed: int = 0
    demonstrations: Sequence[Written] = ()  # texts whose likelihood every update raises
    preferences: Sequence[Pair] = ()  # that every update learns from
    stored: Sequence["Stored"] = ()  # completions that others drew, in whole groups of a prompt
    deployment: int = 0
    held: Sequence[PromptRecord] = ()  # that are looked at while others teach
    same: bool = False  # whether the folder of the policy holds what the reference is
    told: Sequence[Fitted] = ()  # which rows of the inputs fit the models
    passed_over: int = 0  # prompts that were not chosen
    ids: list[list[int]] = field(init=False)  # of the prompts' tokens
    held_ids: list[list[int]] = field(init=False)
    target: Target = field(init=False)

    def __post_init__(self) -> None:
        if len(self.prompts) <= self.deployment:
            raise DataError(_("There is no prompt to train on; add prompts to the train split."))
        for name, prompts in (("ids", self.prompts), ("held_ids", self.held)):
            ids = [self.reference.prompt_ids(prompt.messages) for prompt in prompts]
            object.__setattr__(self, name, ids)
        object.__setattr__(self, "target", self._target())
        self.reference.model.requires_grad_(requires_grad=False)

    def _target(self) -> Target:
        return target_of(self.config, self.reward, self.reference, self.chance, self.code)

    @property
    def counts(self) -> dict[str, object]:
        """What became of the inputs' rows, as a run's summary tells it."""
        found: dict[str, object] = {"rows": [told.counts for told in self.told]}
        return found | ({"prompts_passed_over": self.passed_over} if self.passed_over else {})

    def reference_logps(self, rollouts: Rollouts) -> Tensor:
        """(n, length) log-probabilities of the completions' tokens under the reference, 0 where masked."""
        if self.reading is not None:
            return self.reading(rollouts)
        return completion_token_logps(self.reference.model, rollouts)

    @property
    def trained(self) -> int:
        """How many prompts the divergence in training is about, the first ones."""
        return len(self.prompts) - self.deployment


@dataclass
class Known:
    """What is known of the target and its reference, which the agents of a population share."""

    generator: torch.Generator  # of all that is drawn
    z: ZCache
    reference_rewards: list[float] = field(
        default_factory=list
    )  # means, of prompts prepared so far
    seen: dict[str, Tensor] = field(
        default_factory=dict
    )  # of the reference, until lambda is fitted
    fit: dict[str, Any] = field(default_factory=dict)  # lambda and how sure it is, once fitted
    bandit: Bandit = field(default_factory=Bandit)  # what shares out a population's completions
    held_z: ZCache = field(default_factory=ZCache)  # of held-out prompts, by the reference alone

    @property
    def lambdas(self) -> list[float]:
        """Of the target's wished means; empty where there are none."""
        return [row["lambda"] for row in self.fit.get("wishes", [])]


@dataclass
class State:
    """Everything that decides the next step; a checkpoint holds all of it."""

    policy: Policy
    optimizer: torch.optim.Optimizer
    known: "Known"
    step: int = 0
    over_budget: bool = False
    start: Estimate | None = None  # KL to the reference before the first step, where they differ
    noise: Noise = field(default_factory=Noise)  # of the gradients so far
    taught: int = 0  # prompts of all steps so far that had an estimate of Z to learn by
    mismatch: float = 0.0  # nats per token, largest so far between sampler and scorer
    measured: dict[str, Tensor] = field(default_factory=dict)  # last weights seen within the budget
    value_head: ValueHead | None = None  # PPO's
    adapter: PeftModel | None = None  # of LoRA
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    replay: list["Kept"] = field(default_factory=list)  # of the last steps, the oldest first
    stored: list["Kept"] = field(default_factory=list)  # what others drew; of the inputs, not saved

    @property
    def lambdas(self) -> list[float]:
        """Of the target's wished means; empty where there are none."""
        return self.known.lambdas


@dataclass(frozen=True)
class Scored:
    """Completions with what the target says of them."""

    rollouts: Rollouts
    values: Values
    reference_token_logps: Tensor  # (n, length), 0 where masked
    log_weights: Tensor  # (n,) log P - log sampler, fp64

    @property
    def reference_logps(self) -> Tensor:
        """(n,) log-probabilities of the completions under the reference."""
        return self.reference_token_logps.sum(1)

    @property
    def rewards(self) -> Tensor:
        """(n,) the reward model's and the rule's, weighted."""
        return self.values.rewards

    @property
    def log_scores(self) -> Tensor:
        """(n,) log P, fp64."""
        return self.log_weights + self.rollouts.logps.double()

    def rows(self, picked: Tensor) -> "Scored":
        """The completions of these numbers."""
        return Scored(
            self.rollouts.rows(picked),
            self.values.rows(picked),
            self.reference_token_logps[picked],
            self.log_weights[picked],
        )


class Stored(NamedTuple):
    """A completion that was there before the run, and the number of its prompt."""

    place: int
    text: Written


class Kept(NamedTuple):
    """A step's completions: the numbers of its prompts, and as many completions of each."""

    places: tuple[int, ...]
    scored: Scored


def begin(problem: Problem) -> State:
    """The state before anything was drawn, of the policy that the problem starts from."""
    return fresh(problem, *starting_policy(problem))


def starting_policy(problem: Problem) -> tuple[Policy, PeftModel | None]:
    """The policy to train; with LoRA the handle of its adapter, beside the reference where it can be."""
    config = problem.config
    if not config.lora_rank:
        return fully_tuned(starting_model(problem), config), None
    one_model = isinstance(problem.reference.model, WithoutAdapter)
    base = problem.reference if one_model else starting_model(problem)
    policy, adapter = adapted(base, config.lora_rank, problem.seed, config)
    return set_up(policy, config, backward=True), adapter


def starting_model(problem: Problem) -> Policy:
    """What the run starts from, which it will draw from; the same model was tried as the reference."""
    placement = problem.reference.placement
    if problem.same:
        return Policy.load(problem.start, "policy", placement=placement)
    return sampler(problem.start, "policy", placement)


def fully_tuned(policy: Policy, config: AlignConfig) -> Policy:
    """A policy all of whose weights are trained."""
    set_up(policy, config, backward=True)
    spread(policy.model)
    return policy


def fresh(problem: Problem, policy: Policy, adapter: PeftModel | None = None) -> State:
    """The state before anything was drawn; raises ConfigError for a foreign tokenizer."""
    policy.check_prompts(problem.reference)
    generator = torch.Generator().manual_seed(problem.seed)
    head = value_head(problem, policy)
    optimizer = adam(policy, head, problem.config)
    known = Known(generator, ZCache())
    return State(policy, optimizer, known, value_head=head, adapter=adapter)


def value_head(problem: Problem, policy: Policy) -> ValueHead | None:
    """A value head that has learned nothing, for the objective that has one."""
    if problem.config.objective != "ppo":
        return None
    return ValueHead.of(policy.model, problem.config.value_weight, problem.seed)


def adam(policy: Policy, head: ValueHead | None, config: AlignConfig) -> torch.optim.Optimizer:
    """AdamW, without decay unless that was asked for: the target says how far from the reference the policy belongs.

    `pace` of a group is its learning rate as a share of the policy's, `own` says that it is the policy's.
    """
    weights: list[Any] = list(trained(policy.model).values())
    parts = decaying(weights, config.weight_decay)
    groups: list[dict[str, Any]] = [{**part, "pace": 1.0, "own": True} for part in parts]
    if head is not None:
        pace = config.value_learning_rate / config.learning_rate
        groups.append({"params": list(head.parameters()), "pace": pace, "own": False})
    return adamw(
        groups, config, lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )


def prepare(problem: Problem, state: State) -> None:
    """Draw the reference completions of the next prompts: their first estimates of Z."""
    config, chosen = problem.config, next_prompts(problem, state)
    drawing, judging = split(DRAWING, 1)
    with drawing:
        rollouts = sample(
            problem.reference,
            [problem.ids[place] for place in chosen],
            completions=config.reference_completions,
            max_new_tokens=config.max_new_tokens,
            generator=state.known.generator,
        )
    without = [0.0] * len(problem.target.wishes)  # as lambda is fitted to these completions
    with judging:
        scored = score(problem, rollouts, without, token_logps=rollouts.token_logps)
    means = scored.rewards.view(len(chosen), -1).mean(1)
    state.known.reference_rewards += means.tolist()
    if problem.target.wishes:
        keep_for_fit(problem, state, scored)
    else:
        learn_z(problem, state.known.z, chosen, scored.log_weights)


def next_prompts(problem: Problem, state: State) -> range:
    """Numbers of the prompts that `prepare` asks the reference next; none once it was asked all."""
    done = len(state.known.reference_rewards)
    return range(done, min(done + PROMPTS_AT_ONCE, len(problem.prompts)))


def keep_for_fit(problem: Problem, state: State, scored: Scored) -> None:
    """Add a batch of the reference's completions; the last one fits lambda and learns every Z."""
    n = problem.config.reference_completions
    added = {
        "log_weights": scored.log_weights.view(-1, n),
        "features": scored.values.features.view(-1, n, len(problem.target.wishes)),
    }
    for name, rows in added.items():
        state.known.seen[name] = torch.cat(
            [*([state.known.seen[name]] if name in state.known.seen else []), rows.cpu()]
        )
    if len(state.known.reference_rewards) == len(problem.prompts):
        # The means are wished for over the training prompts.
        state.known.fit.update(
            fitted(
                problem,
                **{name: rows[: problem.trained] for name, rows in state.known.seen.items()},
            )
        )
        tilts = state.known.seen["features"] @ torch.tensor(state.lambdas, dtype=torch.float64)
        everyone = range(len(problem.prompts))
        learn_z(
            problem, state.known.z, everyone, (state.known.seen["log_weights"] + tilts).flatten()
        )
        state.known.seen.clear()


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
    token_logps: Tensor | None = None,
) -> Scored:
    """Rewards, reference and target of completions; `token_logps` are the reference's, if known."""
    reading, judging = split(float(token_logps is None), 1)
    if token_logps is None:
        with reading, torch.no_grad():
            token_logps = parted(rollouts, problem.reference_logps)
    with judging:
        values = _asked(problem, rollouts)
    if values.rewards.isnan().any() or values.rewards.isposinf().any():
        raise DivergedError(
            _(
                "The reward of a completion was not a number; train the reward model again with a "
                "lower learning rate."
            )
        )
    log_scores = problem.target.log_scores(token_logps.sum(1), values, lambdas)
    return Scored(rollouts, values, token_logps, log_scores - rollouts.logps.double())


def _asked(problem: Problem, rollouts: Rollouts) -> Values:
    """What the target needs to know of completions."""
    target = problem.target

    def table(part: Rollouts) -> Tensor:
        found = target.values(problem.reference, part)
        columns = (found.rewards[:, None], found.satisfied, found.features, found.coded)
        return torch.cat(columns, 1)

    found = parted(rollouts, table)
    wishes = 1 + len(target.constraints)
    coded = wishes + len(target.wishes)
    return Values(found[:, 0], found[:, 1:wishes], found[:, wishes:coded], found[:, coded:])


def learn_z(problem: Problem, z: ZCache, chosen: Sequence[int], log_weights: Tensor) -> None:
    """Add these prompts' samples to their estimates of Z; log_weights has shape (n,)."""
    for place, weights in zip(chosen, log_weights.view(len(chosen), -1).cpu(), strict=True):
        z.update(problem.prompts[place].key, weights)
