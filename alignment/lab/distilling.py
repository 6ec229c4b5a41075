"""What a student learns in a step: to tell tokens as its teacher does, or to answer as its teacher would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.kinds.distil.settings import DistilConfig
from alignment.lab.calibration import Texts
from alignment.maths.distillation import rewards_beside_teacher, soft_losses
from alignment.maths.divergences import divergence_of
from alignment.maths.estimators import grouped_interval
from alignment.maths.losses import score_loss
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.models.training import Parts, StepLoss
from alignment.sampling.sampling import Rollouts, sample
from alignment.sampling.scoring import (
    Batch,
    batches,
    completion_logits,
    completion_token_kls,
    completion_token_logps,
    shared_batches,
    token_logps,
)
from alignment.seam.errors import ConfigError
from alignment.seam.progress import in_batches
from alignment.seam.records import Estimate
from alignment.seam.words import _

AT_ONCE = 64  # answers that are measured together
APART = 5  # of so many prompts the answers to one only measure


@dataclass(frozen=True)
class TeacherPair:
    """A teacher, which only reads, and its student."""

    teacher: Policy
    student: Policy


class DividedTexts(NamedTuple):
    """Answers that are learned from, and those to other prompts, which only measure."""

    fitted: Texts
    held: Texts


def divided_texts(texts: Texts) -> DividedTexts:
    """Every fifth prompt's answers only measure; raises ConfigError where there is one prompt alone."""
    apart = held_apart(texts.keys)
    pairs = list(zip(texts.rows, texts.keys, strict=True))
    sides = [[pair for pair in pairs if (pair[1] in apart) is held] for held in (False, True)]
    fitted, held = (
        Texts([row for row, _key in side], [key for _row, key in side]) for side in sides
    )
    return DividedTexts(fitted, held)


def held_apart(keys: Sequence[str]) -> set[str]:
    """Every fifth of the prompts; raises ConfigError where there is one alone."""
    known = list(dict.fromkeys(keys))
    apart = set(known[APART - 1 :: APART] or known[1:][-1:])
    if not apart:
        raise ConfigError(
            _("There are answers to one prompt alone; add more, of which some measure the result.")
        )
    return apart


def soft_step(pair: TeacherPair, rows: Sequence[Written], config: DistilConfig) -> StepLoss:
    """The mean loss of the tokens of a batch of answers, by the teacher's chances and by the tokens themselves."""
    weight = config.answer_weight

    def step(places: Sequence[int]) -> Parts:
        rollouts = rollouts_of(pair.student, [rows[place] for place in places])
        tokens = int(rollouts.mask.sum())
        for batch in batches(pair.student.model, rollouts):
            with torch.no_grad():
                known = logits_told(pair.teacher, batch)
            told = logits_told(pair.student, batch)
            losses = soft_losses(told, known, batch.targets[batch.mask], config.temperature)
            near, own = losses.divergence.sum() / tokens, losses.entropy.sum() / tokens
            loss = (1 - weight) * near + weight * own
            yield loss, {"kl/teacher": near.item(), "nll/answers": own.item()}

    return step


def logits_told(policy: Policy, batch: Batch) -> Tensor:
    """(tokens, vocab) logits at the completions' places."""
    logits = completion_logits(policy.model, batch)
    rows = torch.arange(len(logits), device=logits.device)[:, None]
    return logits[rows, batch.places][batch.mask]


def own_step(
    pair: TeacherPair, prompts: Sequence[tuple[int, ...]], config: DistilConfig, seed: int
) -> Callable[[int], Parts]:
    """The loss of a step, by its number: the student's answers to some prompts, drawn by the step's own chances."""

    def step(number: int) -> Parts:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
        some = torch.randperm(len(prompts), generator=generator)[: config.prompts_per_step]
        drawn = sample(
            pair.student,
            [prompts[place] for place in some.tolist()],
            completions=config.samples_per_prompt,
            max_new_tokens=config.max_new_tokens,
            generator=generator,
        )
        yield from own_losses(pair, drawn, config)

    return step


def own_losses(pair: TeacherPair, drawn: Rollouts, config: DistilConfig) -> Parts:
    """f-DPG's loss of completions that the student has drawn, so many to each prompt, with the teacher as target."""
    divergence, count = divergence_of(config), len(drawn.prompts)
    with torch.no_grad():
        known = completion_token_logps(pair.teacher.model, drawn).double().sum(1)
    u = drawn.logps.double() - known
    worth = rewards_beside_teacher(u.view(-1, config.samples_per_prompt), divergence).flatten()
    far = divergence.terms(u)
    for batch in shared_batches(pair.student.model, drawn):
        share = len(batch.rows) / count
        logps = token_logps(completion_logits(pair.student.model, batch), batch).sum(1)
        loss = share * score_loss(logps, worth[batch.rows].to(logps.dtype))
        yield loss, {"divergence/teacher": share * far[batch.rows].mean().item()}


def distance_from_teacher(pair: TeacherPair, texts: Texts) -> Estimate:
    """KL(teacher || student) of the next token in these answers, the mean over their prompts."""
    found: list[float] = []
    for some in in_batches(texts.rows, AT_ONCE, _("answers")):
        rollouts = rollouts_of(pair.teacher, some)
        kls = completion_token_kls(pair.teacher.model, pair.student.model, rollouts).double()
        found += (kls.sum(1) / rollouts.lengths).tolist()
    return grouped_interval(found, texts.keys, "nats")
