"""Targets: unnormalised distributions that a policy is brought to, as energies that add up.

    log P(x|c) = log a(x|c) + r(x, c) / beta + sum_j log b_j(x, c) + lambda . phi(x, c)

a is the reference, r a reward (RLHF), b_j in {0, 1} constraints, hard or softened, and phi features
whose means under the target are wished for (Khalifa et al., 2021); `moments` fits their lambda. What a
classifier says of a completion, p(class | x), may be part of r, a feature, or by p >= 1/2 a constraint.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Protocol

import torch
from pydantic import BaseModel
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.rules import WeightedRule
from alignment.models.policies import Policy
from alignment.models.texts import drawn_texts
from alignment.sampling.sampling import Rollouts
from alignment.seam.errors import DataError
from alignment.seam.settings import STORED
from alignment.seam.words import _
from alignment.targets.rules import RULES, Rule, contains, matches

Scorer = Callable[[Policy, Rollouts], Tensor]  # (n,), one number per completion

FILE = "target.json"
NAME_LENGTH = 32


@dataclass(frozen=True)
class Wish:
    """A feature, and the mean that it should have under the target, over prompts."""

    name: str
    feature: Scorer
    mean: float


@dataclass(frozen=True)
class Values:
    """What a target needs to know of n completions, in fp64."""

    rewards: Tensor  # (n,)
    satisfied: Tensor  # (n, constraints), 0 or 1
    features: Tensor  # (n, wishes)
    coded: Tensor  # (n, parts) what code says, which is in the rewards already

    def rows(self, picked: Tensor) -> "Values":
        """Of the completions of these numbers."""
        columns = (self.rewards, self.satisfied, self.features, self.coded)
        return Values(*(column[picked] for column in columns))


class Coded(Protocol):
    """Code that gives each completion a number, or several."""

    @property
    def names(self) -> Sequence[str]:
        """Of the numbers, once it was asked."""

    def score(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n, parts) fp64, the parts of each completion's reward."""


@dataclass(frozen=True)
class Target:
    """The parts of log P beside the reference; with `soften` = 0 the constraints are hard."""

    reward: Scorer
    beta: float
    constraints: tuple[Scorer, ...] = ()
    soften: float = 0.0
    wishes: tuple[Wish, ...] = ()
    code: Coded | None = None
    code_weight: float = 0.0

    def rewards(self, policy: Policy, rollouts: Rollouts) -> tuple[Tensor, Tensor]:
        """(n,) rewards in all, fp64, and (n, parts) what code says of the completions."""
        found = self.reward(policy, rollouts).double()
        if self.code is None:
            return found, found.new_zeros(len(found), 0)
        coded = self.code.score(policy, rollouts).to(found.device)
        return found + self.code_weight * coded.sum(1), coded

    def values(self, policy: Policy, rollouts: Rollouts) -> Values:
        """Ask every part about the completions."""

        def columns(scorers: Sequence[Scorer]) -> Tensor:
            found = [score(policy, rollouts).double() for score in scorers]
            return torch.stack(found, 1) if found else torch.zeros(len(rollouts.prompts), 0)

        rewards, coded = self.rewards(policy, rollouts)
        device = rewards.device
        features = columns([wish.feature for wish in self.wishes])
        satisfied = columns(self.constraints).to(device)
        return Values(rewards, satisfied, features.double().to(device), coded)

    def log_scores(
        self, reference_logps: Tensor, values: Values, lambdas: Sequence[float]
    ) -> Tensor:
        """(n,) log P in fp64; -inf where a hard constraint is not met."""
        found = reward_target(reference_logps.double(), values.rewards, self.beta)
        if self.constraints:
            found = found + constraint_energy(values.satisfied, self.soften)
        if self.wishes:
            found = found + moment_energy(values.features, lambdas)
        return found

    @property
    def hard(self) -> bool:
        """Whether P may be 0."""
        return bool(self.constraints) and self.soften == 0


def parts(target: Target, values: Values) -> Iterator[tuple[str, Tensor]]:
    """What the target asks beside the reward: (n,) parts of what code says, constraints met, wished features."""
    if target.code is not None:
        for name, column in zip(target.code.names, values.coded.T, strict=True):
            yield f"part/{name}", column
    if target.constraints:
        yield "constraints/met", values.satisfied.prod(1)
    for wish, column in zip(target.wishes, values.features.T, strict=True):
        yield f"feature/{wish.name}", column


def reward_target(reference_logps: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """log a(x|c) + r(x, c) / beta, shape (n,): the optimum of RLHF with KL weight beta."""
    assert reference_logps.shape == rewards.shape
    return reference_logps + rewards / beta


def constraint_energy(satisfied: Tensor, soften: float) -> Tensor:
    """(n,) sums over constraints (n, k) of log b, or of log(soften + (1 - soften) b)."""
    return torch.log(soften + (1 - soften) * satisfied).sum(1)


def moment_energy(features: Tensor, lambdas: Sequence[float]) -> Tensor:
    """(n,) lambda . phi of features (n, k)."""
    assert features.shape[1] == len(lambdas)
    return features @ features.new_tensor(lambdas)


def no_reward(policy: Policy, rollouts: Rollouts) -> Tensor:
    """(n,) zeros, where the target is made of constraints and wished means alone."""
    return torch.zeros(len(rollouts.prompts), device=rollouts.tokens.device)


def no_class(policy: Policy, rollouts: Rollouts) -> Tensor:
    """What stands for a class's probability where no part of a target asks for it."""
    raise AssertionError("a target asks for a class, and was given no classifier")


def likely(chance: Scorer) -> Scorer:
    """1 where a class is at least as likely as not, else 0."""
    return lambda policy, rollouts: (chance(policy, rollouts) >= 0.5).double()


def of_texts(rule: Rule) -> Scorer:
    """A rule asked about the completions' texts."""

    def score(policy: Policy, rollouts: Rollouts) -> Tensor:
        texts = [text.strip() for text in drawn_texts(policy, rollouts)]
        return rule(texts).to(rollouts.tokens.device)

    return score


def weighted(parts: Sequence[tuple[float, Scorer]]) -> Scorer:
    """The weighted sum of scorers; those of weight 0 are not asked."""
    asked = [(weight, score) for weight, score in parts if weight]

    def total(policy: Policy, rollouts: Rollouts) -> Tensor:
        zero = torch.zeros(len(rollouts.prompts), device=rollouts.tokens.device)
        return sum((weight * score(policy, rollouts) for weight, score in asked), zero)

    return total


def _length(policy: Policy, rollouts: Rollouts) -> Tensor:
    """(n,) tokens of the completions, with the end-of-text token."""
    return rollouts.lengths.double()


def target_of(
    config: AlignConfig,
    reward: Scorer,
    reference: Policy,
    chance: Scorer = no_class,
    code: Coded | None = None,
) -> Target:
    """The target that a run's settings describe, with this as its reward model, its class's probability and its code."""
    rules = [contains(config.must_contain)] if config.must_contain else []
    rules += [matches(config.must_match)] if config.must_match else []
    required = [of_texts(rule) for rule in rules]
    required += [likely(chance)] if config.class_required else []
    wishes = [Wish("class", chance, config.class_mean)] if config.class_mean else []
    if config.share_of:
        phrase = of_texts(contains(config.share_of))
        wishes.append(Wish("phrase", phrase, config.share))
    if config.length_mean:
        wishes.append(Wish("length", _length, config.length_mean))
    for rule in config.wishes:
        feature = of_texts(RULES[rule.name](rule.text, reference))
        wishes.append(Wish(_named(rule, {wish.name for wish in wishes}), feature, rule.weight))
    return Target(
        reward=reward_of(config, reward, reference, chance),
        beta=config.beta,
        constraints=tuple(required),
        soften=config.soften,
        wishes=tuple(wishes),
        code=code,
        code_weight=config.code_weight,
    )


def _named(rule: WeightedRule, taken: Collection[str]) -> str:
    """A short name of what a rule finds, unlike those that are taken, for metrics and files."""
    words = re.sub(r"\W+", "_", f"{rule.name} {rule.text}".casefold()).strip("_")[:NAME_LENGTH]
    numbers = (f"{words}_{number}" for number in count(2))
    return next(name for name in chain([words], numbers) if name not in taken)


def reward_of(
    config: AlignConfig, reward: Scorer, reference: Policy, chance: Scorer = no_class
) -> Scorer:
    """The reward model with the rules and the class of the settings, each by its weight."""
    if config.reward_weight == 1 and not config.rules and not config.class_weight:
        return reward  # in its own precision
    rules = [
        (rule.weight, of_texts(RULES[rule.name](rule.text, reference))) for rule in config.rules
    ]
    return weighted([(config.reward_weight, reward), *rules, (config.class_weight, chance)])


def save_target(config: AlignConfig, lambdas: Sequence[float], folder: Path) -> None:
    """Write beside a policy what it was aimed at, so that an evaluation can measure it by that."""
    stored = _Stored(config=config, lambdas=list(lambdas))
    (folder / FILE).write_text(stored.model_dump_json(indent=1), encoding="utf-8")


def load_target(folder: Path) -> tuple[AlignConfig, list[float]] | None:
    """What `save_target` wrote beside a policy, if it did."""
    if not (folder / FILE).exists():
        return None
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        stored = _Stored.model_validate_json(text, context=STORED)
    except ValueError as error:
        raise DataError(
            _(
                "{file} beside the policy does not say what it was aimed at in a way that this "
                "version reads; align it again, or take the file away and say it in the settings."
            ).format(file=FILE)
        ) from error
    return stored.config, stored.lambdas


class _Stored(BaseModel):
    config: AlignConfig
    lambdas: list[float]
