"""Objectives on labels that are there already: the losses of `preferences` on pairs and thumbs.

The frozen reference's log-probabilities are computed once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from alignment.kinds.prefer.settings import SCORED, PreferConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.estimators import clipped, grouped_interval
from alignment.maths.preferences import (
    Sides,
    f_dpo_margins,
    hinge_losses,
    ipo_losses,
    kto_losses,
    logistic_losses,
    odds_margins,
    score_of,
    simpo_margins,
)
from alignment.models.computation import set_up
from alignment.models.control_tokens import controls, counted
from alignment.models.distributed import all_sum, shard
from alignment.models.inputs import same_model
from alignment.models.lora import size_of
from alignment.models.overlong import Reader, fitting_labels, policies_of
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of, written
from alignment.models.training import (
    SCORED_AT_ONCE,
    Progress,
    Run,
    StepLoss,
    Trainee,
    fit,
    in_parts,
    ready,
    scored,
)
from alignment.objectives.start import start_on_answers
from alignment.reward.labels import L, divided, refuse_few, says_something
from alignment.reward.selection import choosing, passed_over
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import Checked, Finished, PhaseStarted
from alignment.seam.folders import committed
from alignment.seam.progress import counting, split, through
from alignment.seam.records import LabelRecord, PairRecord, ThumbRecord, read_jsonl, texts_of
from alignment.seam.words import _

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """Two completions of a prompt with the reference's log-probabilities of both."""

    key: str
    chosen: Written
    rejected: Written
    chosen_reference: float
    rejected_reference: float

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return max(self.chosen.length, self.rejected.length)


@dataclass(frozen=True)
class Thumb:
    """A completion that was liked or not, with the reference's log-probability of it."""

    key: str
    row: Written
    reference: float
    good: bool


def prefer(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind prefer: train `policy` against `reference` on `pairs`, or on `thumbs`."""
    config = PreferConfig.stored(spec.config)
    torch.manual_seed(spec.seed)
    yield from (prefer_thumbs if "thumbs" in spec.inputs else prefer_pairs)(spec, folder, config)


def prefer_pairs(spec: RunSpec, folder: Path, config: PreferConfig) -> Progress:
    """Of two completions one was preferred; writes `folder/output`."""
    pairs_read = list(read_jsonl(folder / spec.inputs["pairs"], PairRecord))
    records, told = fitting_labels(
        [pair for pair in pairs_read if says_something(pair)],
        "pairs",
        _readers_of(spec, folder),
        config.overlong,
    )
    refuse_few(records, "pairs with different completions")
    if not told.all_fit:
        yield told
    known, held = divided(records, config.held_out)
    fitted = yield from choosing(folder / spec.inputs["policy"], config, known, spec.seed)
    one, reference, same = models_of(spec, folder, config)
    policy, run = one.policy, Run.of(spec, folder)
    yield ready(policy, len(fitted), config, run)
    yield PhaseStarted(name=_("scoring by the reference"))
    pairs, judged = both(lambda rows: pairs_of(reference, rows), fitted, held)
    keys, answers = [pair.key for pair in pairs], [pair.chosen for pair in pairs]
    start = start_on_answers(policy, reference, answers, keys, same=same)
    yield Checked(kl_start=start)
    loss = preference_step(policy, reference, pairs, config)
    lengths = [pair.length for pair in pairs]
    if (yield from fit(one, config, lengths, loss, run)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    summary = {
        **measures(policy, judged, config),
        "pairs_train": len(pairs),
        "pairs_heldout": len(judged),
        **passed_over(known, fitted),
        "pairs_without_difference": len(pairs_read) - told.read,
        "rows": [told.counts],
        "loss": config.loss,
        "beta": config.beta,
        "parameters": size_of(policy.model),
        **({"kl_start": start.model_dump()} if start else {}),
        **_control_tokens(policy, records),
    }
    with committed(folder / "output") as output:
        one.result.save(output)
    yield Finished(summary=summary)


def prefer_thumbs(spec: RunSpec, folder: Path, config: PreferConfig) -> Progress:
    """Single completions were liked or not, which KTO alone reads; writes `folder/output`."""
    if config.loss != "kto":
        raise ConfigError(_("Thumbs are read by KTO alone; set the loss to kto, or give pairs."))
    thumbs_read = list(read_jsonl(folder / spec.inputs["thumbs"], ThumbRecord))
    readers = _readers_of(spec, folder)
    records, told = fitting_labels(thumbs_read, "thumbs", readers, config.overlong)
    if not told.all_fit:
        yield told
    known, held = divided(records, config.held_out)
    fitted = yield from choosing(folder / spec.inputs["policy"], config, known, spec.seed)
    if {record.good for record in fitted} != {True, False}:
        raise DataError(_("KTO needs completions that were liked and others that were not."))
    one, reference, same = models_of(spec, folder, config)
    policy, run = one.policy, Run.of(spec, folder)
    yield ready(policy, len(fitted), config, run)
    yield PhaseStarted(name=_("scoring by the reference"))
    thumbs, judged = both(lambda rows: thumbs_of(reference, rows), fitted, held)
    keys, answers = [thumb.key for thumb in thumbs], [thumb.row for thumb in thumbs]
    start = start_on_answers(policy, reference, answers, keys, same=same)
    yield Checked(kl_start=start)
    loss = thumb_step(policy, reference, thumbs, config)
    lengths = [thumb.row.length for thumb in thumbs]
    if (yield from fit(one, config, lengths, loss, run)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    summary = {
        **thumb_measures(policy, reference, judged, config),
        "thumbs_train": len(thumbs),
        "thumbs_heldout": len(judged),
        **passed_over(known, fitted),
        "rows": [told.counts],
        "loss": config.loss,
        "beta": config.beta,
        "parameters": size_of(policy.model),
        **({"kl_start": start.model_dump()} if start else {}),
        **_control_tokens(policy, records),
    }
    with committed(folder / "output") as output:
        one.result.save(output)
    yield Finished(summary=summary)


def _control_tokens(policy: Policy, records: Sequence[LabelRecord]) -> dict[str, int]:
    """How many prompts and answers hold control tokens, which are text there, where some do."""
    texts = (text for record in records for text in texts_of(record))
    return counted(controls(policy.tokenizer).held, (row.prompt for row in records), texts)


def _readers_of(spec: RunSpec, folder: Path) -> list[Reader]:
    """Policy and reference, before they are loaded."""
    return policies_of(*(folder / spec.inputs[role] for role in ("policy", "reference")))


def models_of(spec: RunSpec, folder: Path, config: PreferConfig) -> tuple[Trainee, Policy, bool]:
    """Policy, reference, and whether they are one model; raises ConfigError where they read different tokens."""
    folders = {role: folder / spec.inputs[role] for role in ("policy", "reference")}
    policy, reference = (Policy.load(path, role) for role, path in folders.items())
    policy.check_prompts(reference)
    set_up(reference, config, backward=False)
    return Trainee.of(policy, config, spec.seed), reference, same_model(*folders.values())


def both(
    known: Callable[[Sequence[L]], list[T]], fitted: Sequence[L], held: Sequence[L]
) -> tuple[list[T], list[T]]:
    """What the reference says of the labels to learn from, and of those held out."""
    with counting(len(fitted) + len(held), _("labels")):
        first, second = split(len(fitted), len(held))
        with first:
            learned = known(fitted)
        with second:
            return learned, known(held)


def pairs_of(reference: Policy, records: Sequence[PairRecord]) -> list[Pair]:
    """The pairs as tokens, with the log-probabilities that the reference gives them."""
    chosen = [written(reference, r.prompt.messages, r.chosen) for r in records]
    rejected = [written(reference, r.prompt.messages, r.rejected) for r in records]
    known = (scored(reference, side).tolist() for side in through((chosen, rejected), 2))
    keys = [record.prompt.key for record in records]
    return [Pair(*row) for row in zip(keys, chosen, rejected, *known, strict=True)]


def thumbs_of(reference: Policy, records: Sequence[ThumbRecord]) -> list[Thumb]:
    """The thumbs as tokens, with the log-probabilities that the reference gives them."""
    rows = [written(reference, r.prompt.messages, r.completion) for r in records]
    known = scored(reference, rows).tolist()
    return [
        Thumb(record.prompt.key, row, logps, record.good)
        for record, row, logps in zip(records, rows, known, strict=True)
    ]


def sides_of(policy: Policy, pairs: Sequence[Pair]) -> Sides:
    """What the losses know of the chosen and of the rejected completions, with gradient."""
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    logps = completion_token_logps(policy.model, rollouts_of(policy, rows)).sum(1)
    known = [p.chosen_reference for p in pairs] + [p.rejected_reference for p in pairs]
    tokens = logps.new_tensor([len(row.completion) for row in rows])
    ratios = logps - logps.new_tensor(known)
    return Sides(*ratios.chunk(2), *logps.chunk(2), *tokens.chunk(2))


def preference_step(
    policy: Policy, reference: Policy, pairs: Sequence[Pair], config: PreferConfig
) -> StepLoss:
    """The loss of a batch of pairs."""

    def step(batch: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        kl = torch.zeros((), device=policy.device)
        if config.loss == "kto":
            kl = mismatched(policy, reference, [pairs[place].chosen for place in batch])
        tokens = sum(len(pairs[place].chosen.completion) for place in batch)
        mine, share = shard(batch)
        ours = [pairs[place] for place in mine]
        for part in in_parts(policy, [2 * pair.length for pair in ours]):
            weight = share * len(part) / len(ours)
            sides = sides_of(policy, [ours[place] for place in part])
            loss = weight * losses(sides, kl, config).mean()
            if sft := sft_weight(config):
                loss = loss - sft * (share > 0) * sides.chosen_logps.sum() / tokens
            yield loss, {name: weight * value for name, value in curves_of(sides, config).items()}

    return step


def sft_weight(config: PreferConfig) -> float:
    """Of the chosen completions' loss a token beside that of the pairs, of which ORPO's is a part."""
    return 1.0 if config.loss == "orpo" else config.sft_weight


def curves_of(sides: Sides, config: PreferConfig) -> dict[str, float]:
    """What is drawn of pairs, in the mean."""
    margins = margins_of(sides, config).detach()
    return {
        "preference/accuracy": (margins > 0).float().mean().item(),
        "preference/margin": margins.mean().item(),
        "ratio/chosen": sides.chosen.detach().mean().item(),
        "ratio/rejected": sides.rejected.detach().mean().item(),
    }


def margins_of(sides: Sides, config: PreferConfig) -> Tensor:
    """(n,) how far the policy's implied rewards put the chosen completions ahead."""
    if config.loss == "simpo":
        return simpo_margins(sides, config.beta, 0.0)
    if config.loss == "orpo":
        return odds_margins(sides)
    implied = config.divergence if config.loss in SCORED else "reverse_kl"
    score = score_of(implied, config.alpha)
    return f_dpo_margins(sides, score, config.beta, per_token=config.per_token)


def losses(sides: Sides, kl: Tensor, config: PreferConfig) -> Tensor:
    """(n,) losses of pairs; for KTO a pair is a thumb up and a thumb down."""
    match config.loss:
        case "ipo":
            return ipo_losses(margins_of(sides, config) / config.beta, config.beta)
        case "hinge":
            return hinge_losses(margins_of(sides, config))
        case "orpo":
            return config.beta * logistic_losses(odds_margins(sides))
        case "kto":
            return kto_of_pairs(sides, kl, config.beta)
        case "simpo":
            margins = simpo_margins(sides, config.beta, config.target_margin)
            return logistic_losses(margins, config.flipped, robust=config.robust)
        case _:
            margins = margins_of(sides, config)
            return logistic_losses(margins, config.flipped, robust=config.robust)


def kto_of_pairs(sides: Sides, kl: Tensor, beta: float) -> Tensor:
    """(n,) the mean of a thumb up and a thumb down."""
    good = torch.ones_like(sides.chosen, dtype=torch.bool)
    up = kto_losses(sides.chosen, good, kl, beta)
    return (up + kto_losses(sides.rejected, ~good, kl, beta)) / 2


def mismatched(policy: Policy, reference: Policy, answers: Sequence[Written]) -> Tensor:
    """() mean log-ratio of each completion beside the next other prompt; 0 where there is one prompt."""
    rows = list(beside_others(answers, policy.room))
    if not rows:
        return torch.zeros((), device=policy.device)
    mine, share = shard(rows)
    with torch.no_grad():
        ours, theirs = (
            completion_token_logps(one.model, rollouts_of(one, mine)).sum(1)
            for one in through((policy, reference), 2)
        )
    return all_sum(share * (ours - theirs).mean())


def beside_others(
    answers: Sequence[Written], room_beside: Callable[[int], int]
) -> Iterator[Written]:
    """Each completion beside the next prompt that it was not written for, if one leaves it room."""
    for place, answer in enumerate(answers):
        following = (*answers[place + 1 :], *answers[:place])
        room = room_beside(len(answer.completion))
        others = (one.prompt for one in following if one.prompt != answer.prompt)
        other = next((prompt for prompt in others if len(prompt) <= room), None)
        if other is not None:
            yield Written(other, answer.completion)


def thumb_step(
    policy: Policy, reference: Policy, thumbs: Sequence[Thumb], config: PreferConfig
) -> StepLoss:
    """The loss of a batch of thumbs."""

    def step(batch: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        kl = mismatched(policy, reference, [thumbs[place].row for place in batch])
        mine, share = shard(batch)
        ours = [thumbs[place] for place in mine]
        for part in in_parts(policy, [thumb.row.length for thumb in ours]):
            weight = share * len(part) / len(ours)
            ratios, good = thumb_ratios(policy, [ours[place] for place in part])
            loss = weight * kto_losses(ratios, good, kl, config.beta).mean()
            right = ((ratios.detach() > kl) == good).float().mean().item()
            yield loss, {"preference/accuracy": weight * right, "kl/mismatched": weight * kl.item()}

    return step


def thumb_ratios(policy: Policy, thumbs: Sequence[Thumb]) -> tuple[Tensor, Tensor]:
    """(n,) log-ratios of the completions, with gradient, and which of them were liked."""
    rows = rollouts_of(policy, [thumb.row for thumb in thumbs])
    logps = completion_token_logps(policy.model, rows).sum(1)
    known = logps.new_tensor([thumb.reference for thumb in thumbs])
    return logps - known, torch.tensor([thumb.good for thumb in thumbs], device=logps.device)


@torch.no_grad()
def measures(policy: Policy, pairs: Sequence[Pair], config: PreferConfig) -> dict[str, Any]:
    """How often the held-out labels' winner gained more, and the loss of the policy's implied rewards."""
    starts = range(0, len(pairs), SCORED_AT_ONCE)
    with counting(len(pairs), _("labels")):
        each = [
            margins_of(sides_of(policy, pairs[start : start + SCORED_AT_ONCE]), config)
            for start in through(starts, len(starts))
        ]
    margins = torch.cat(each)
    keys = [pair.key for pair in pairs]
    right = (margins > 0).double() + 0.5 * (margins == 0).double()
    nll = logistic_losses(margins)
    return {
        "accuracy": clipped(grouped_interval(right.tolist(), keys)).model_dump(),
        "nll": grouped_interval(nll.tolist(), keys, unit="nats").model_dump(),
    }


@torch.no_grad()
def thumb_measures(
    policy: Policy, reference: Policy, thumbs: Sequence[Thumb], config: PreferConfig
) -> dict[str, Any]:
    """How often a held-out completion is on its side of the mean log-ratio, and the loss."""
    starts = range(0, len(thumbs), SCORED_AT_ONCE)
    with counting(len(thumbs), _("labels")):
        matching, reading = split(2, 1)
        with matching:
            kl = mismatched(policy, reference, [thumb.row for thumb in thumbs])
        with reading:
            each = [
                thumb_ratios(policy, thumbs[start : start + SCORED_AT_ONCE])
                for start in through(starts, len(starts))
            ]
    ratios, good = (torch.cat(side) for side in zip(*each, strict=True))
    keys = [thumb.key for thumb in thumbs]
    right = ((ratios > kl) == good).double()
    return {
        "accuracy": clipped(grouped_interval(right.tolist(), keys)).model_dump(),
        "kto": grouped_interval(
            kto_losses(ratios, good, kl, config.beta).tolist(), keys
        ).model_dump(),
    }
