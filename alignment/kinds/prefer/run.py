"""Objectives on labels that are there already: the losses of `preferences` on pairs and thumbs.

The frozen reference's log-probabilities are computed once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
from alignment.models.bounds import HELD_OUT, HELD_RIGHT, HeldOut
from alignment.models.computation import set_up
from alignment.models.control_tokens import controls, counted
from alignment.models.devices import Placement
from alignment.models.distributed import all_sum, shard
from alignment.models.inputs import same_model
from alignment.models.lora import size_of
from alignment.models.overlong import Fitting, fitting_labels, policies_of
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of, written
from alignment.models.training import (
    SCORED_AT_ONCE,
    Progress,
    Run,
    StepLoss,
    Trainee,
    TrainingSet,
    fit,
    in_parts,
    ready,
    scored,
)
from alignment.objectives.pairs import Pair, pairs_of, sides_of
from alignment.objectives.rankings import (
    RankedAnswers,
    ranking_losses,
    ranking_step,
    rankings_of,
)
from alignment.objectives.start import start_on_answers
from alignment.reward.labels import (
    L,
    held_apart,
    pairs_in,
    ranked,
    refuse_few,
    says_something,
)
from alignment.reward.selection import choosing, passed_over
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import Checked, Finished, PhaseStarted
from alignment.seam.folders import committed
from alignment.seam.progress import counting, split, through
from alignment.seam.records import (
    Estimate,
    LabelRecord,
    PairRecord,
    RankingRecord,
    ThumbRecord,
    read_labels,
    texts_of,
)
from alignment.seam.words import _

T = TypeVar("T")


@dataclass(frozen=True)
class Thumb:
    """A completion that was liked or not, with the reference's log-probability of it."""

    key: str
    row: Written
    reference: float
    good: bool

    @property
    def chosen(self) -> Written:
        """The completion."""
        return self.row

    @property
    def length(self) -> int:
        """Tokens of it and its prompt."""
        return self.row.length

    tokens = length


Example = Pair | Thumb | RankedAnswers


class Form(NamedTuple):
    """What is learned from: which labels say something, how they are read, and what they say of a policy."""

    name: str  # in the numbers of a summary
    usable: Callable[[Iterable[LabelRecord]], list[Any]]
    check: Callable[[Sequence[Any], Sequence[Any]], None]  # of all and of those to fit; DataError
    read: Callable[[Policy, Sequence[Any]], list[Any]]
    step: Callable[[Policy, Policy, Sequence[Any], PreferConfig], StepLoss]
    glance: Callable[[Policy, Policy, Sequence[Any], PreferConfig], Mapping[str, float]]
    measure: Callable[[Policy, Policy, Sequence[Any], PreferConfig], Mapping[str, Any]]


def prefer(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind prefer: train `policy` against `reference` on `pairs`, `thumbs` or `rankings`; writes `folder/output`."""
    config = PreferConfig.stored(spec.config)
    torch.manual_seed(spec.seed)
    form = form_of(spec, config)
    read, rows = fitting_rows(spec, folder, config, form)
    records, told = rows[0].rows, [one.told for one in rows]
    form.check(records, records)
    yield from (one for one in told if not one.all_fit)
    known, held = held_apart(records, rows[1].rows if rows[1:] else None, config.held_out)
    fitted = yield from choosing(folder / spec.inputs["policy"], config, known, spec.seed)
    form.check(records, fitted)
    one, reference, same = models_of(spec, folder, config)
    policy, run = one.policy, Run.of(spec, folder)
    yield ready(policy, len(fitted), config, run)
    yield PhaseStarted(name=_("scoring by the reference"))
    learned, judged = both(lambda some: form.read(reference, some), fitted, held)
    start = start_of_answers(policy, reference, learned, same=same)
    yield Checked(kl_start=start)
    data = training_set(learned, form.step(policy, reference, learned, config))
    looked_at = HeldOut.of(
        lambda: form.glance(policy, reference, judged, config), config, len(judged)
    )
    if (yield from fit(one, config, data, run, looked_at)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    summary = {
        **(form.measure(policy, reference, judged, config) if judged else {}),
        f"{form.name}_train": len(learned),
        f"{form.name}_heldout": len(judged),
        **passed_over(known, fitted),
        **({"pairs_without_difference": read - told[0].read} if form.name == "pairs" else {}),
        "rows": [one.counts for one in told],
        "loss": config.loss,
        "beta": config.beta,
        **data.progress.told,
        "parameters": size_of(policy.model),
        **({"kl_start": start.model_dump()} if start else {}),
        **_control_tokens(policy, records),
    }
    with committed(folder / "output") as output:
        one.save(output, config)
    yield Finished(summary=summary)


def form_of(spec: RunSpec, config: PreferConfig) -> Form:
    """What a run learns from; raises ConfigError where its loss does not read that."""
    if "thumbs" in spec.inputs:
        if config.loss != "kto":
            raise ConfigError(
                _("Thumbs are read by KTO alone; set the loss to kto, or give pairs.")
            )
        return THUMBS
    if "rankings" in spec.inputs and config.loss != "plackett_luce":
        raise ConfigError(
            _("Rankings are read by Plackett and Luce's loss alone; set the loss to plackett_luce.")
        )
    return RANKINGS if config.loss == "plackett_luce" else PAIRS


def fitting_rows(
    spec: RunSpec, folder: Path, config: PreferConfig, form: Form
) -> tuple[int, list[Fitting]]:
    """How many labels were read; of them and of those to measure by, where these were given, what fits the models."""
    role = next(role for role in ("pairs", "thumbs", "rankings") if role in spec.inputs)
    given = list(read_labels(folder / spec.inputs[role]))
    asked: dict[str, list[Any]] = {role: form.usable(given)}
    if config.evaluate_on == "own":
        asked["evaluation"] = form.usable(read_labels(folder / spec.inputs["evaluation"]))
        if not asked["evaluation"]:
            raise DataError(_("The evaluation holds no labels that this loss reads."))
    readers = policies_of(*(folder / spec.inputs[role] for role in ("policy", "reference")))
    return len(given), [
        fitting_labels(rows, name, readers, config.overlong) for name, rows in asked.items()
    ]


def training_set(examples: Sequence[Example], loss: StepLoss) -> TrainingSet:
    """Examples as what is fitted takes them."""
    lengths, tokens = [one.length for one in examples], [one.tokens for one in examples]
    return TrainingSet(lengths, loss, tokens)


def start_of_answers(
    policy: Policy, reference: Policy, examples: Sequence[Example], *, same: bool
) -> Estimate | None:
    """How far the policy is from its reference before the first step, on the best of the answers."""
    answers, keys = [one.chosen for one in examples], [one.key for one in examples]
    return start_on_answers(policy, reference, answers, keys, same=same)


def usable_pairs(labels: Iterable[LabelRecord]) -> list[PairRecord]:
    """Preferences between different texts, those of rankings included."""
    return [pair for pair in pairs_in(labels) if says_something(pair)]


def usable_rankings(labels: Iterable[LabelRecord]) -> list[LabelRecord]:
    """Rankings and preferences between different texts, where pairs of one ranking are one again."""
    return [
        one
        for one in ranked(labels)
        if isinstance(one, PairRecord | RankingRecord) and says_something(one)
    ]


def check_thumbs(_records: Sequence[ThumbRecord], fitted: Sequence[ThumbRecord]) -> None:
    """Raise DataError where nobody liked anything, or everybody did."""
    if {record.good for record in fitted} != {True, False}:
        raise DataError(_("KTO needs completions that were liked and others that were not."))


def _control_tokens(policy: Policy, records: Sequence[LabelRecord]) -> dict[str, int]:
    """How many prompts and answers hold control tokens, which are text there, where some do."""
    texts = (text for record in records for text in texts_of(record))
    return counted(controls(policy.tokenizer).held, (row.prompt for row in records), texts)


def models_of(spec: RunSpec, folder: Path, config: PreferConfig) -> tuple[Trainee, Policy, bool]:
    """Policy, reference, and whether they are one model; raises ConfigError where they read different tokens."""
    folders = {role: folder / spec.inputs[role] for role in ("policy", "reference")}
    placement = Placement.of(config, learns=True)
    policy, reference = (
        Policy.load(path, role, placement=placement) for role, path in folders.items()
    )
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


def thumbs_of(reference: Policy, records: Sequence[ThumbRecord]) -> list[Thumb]:
    """The thumbs as tokens, with the log-probabilities that the reference gives them."""
    rows = [written(reference, r.prompt.messages, r.completion) for r in records]
    known = scored(reference, rows).tolist()
    return [
        Thumb(record.prompt.key, row, logps, record.good)
        for record, row, logps in zip(records, rows, known, strict=True)
    ]


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
def held_margins(policy: Policy, pairs: Sequence[Pair], config: PreferConfig) -> Tensor:
    """(n,) how far the policy puts the chosen completions of held-out pairs ahead."""
    starts = range(0, len(pairs), SCORED_AT_ONCE)
    each = [
        margins_of(sides_of(policy, pairs[start : start + SCORED_AT_ONCE]), config)
        for start in through(starts, len(starts))
    ]
    return torch.cat(each)


def measures(policy: Policy, pairs: Sequence[Pair], config: PreferConfig) -> dict[str, Any]:
    """How often the held-out labels' winner gained more, and the loss of the policy's implied rewards."""
    with counting(len(pairs), _("labels")):
        margins = held_margins(policy, pairs, config)
    right = (margins > 0).double() + 0.5 * (margins == 0).double()
    return told_of(right, logistic_losses(margins), [pair.key for pair in pairs])


def told_of(right: Tensor, nll: Tensor, keys: Sequence[str]) -> dict[str, Any]:
    """How often held-out labels (n,) are told, and their loss, with intervals over prompts."""
    return {
        "accuracy": clipped(grouped_interval(right.tolist(), keys)).model_dump(),
        "nll": grouped_interval(nll.tolist(), keys, unit="nats").model_dump(),
    }


def glance_at_pairs(
    policy: Policy, _reference: Policy, pairs: Sequence[Pair], config: PreferConfig
) -> dict[str, float]:
    """Loss and accuracy of held-out pairs while others are learned from."""
    margins = held_margins(policy, pairs, config)
    right = (margins > 0).double().mean().item()
    return {HELD_OUT: logistic_losses(margins).mean().item(), HELD_RIGHT: right}


def glance_at_rankings(
    policy: Policy, _reference: Policy, rankings: Sequence[RankedAnswers], config: PreferConfig
) -> dict[str, float]:
    """The same of rankings."""
    losses, right = held_rankings(policy, rankings, config)
    return {HELD_OUT: losses.mean().item(), HELD_RIGHT: right.mean().item()}


def held_rankings(
    policy: Policy, rankings: Sequence[RankedAnswers], config: PreferConfig
) -> tuple[Tensor, Tensor]:
    """(n,) losses of held-out rankings, and how often their best is ahead."""
    starts = range(0, len(rankings), SCORED_AT_ONCE)
    each = [
        ranking_losses(policy, rankings[start : start + SCORED_AT_ONCE], config)
        for start in through(starts, len(starts))
    ]
    losses, right = (torch.cat(side) for side in zip(*each, strict=True))
    return losses, right


def ranking_measures(
    policy: Policy, _reference: Policy, rankings: Sequence[RankedAnswers], config: PreferConfig
) -> dict[str, Any]:
    """How often the best of held-out rankings is ahead of what ranks below it, and their loss."""
    with counting(len(rankings), _("labels")):
        losses, right = held_rankings(policy, rankings, config)
    return told_of(right, losses, [one.key for one in rankings])


@torch.no_grad()
def held_thumbs(
    policy: Policy, reference: Policy, thumbs: Sequence[Thumb], config: PreferConfig
) -> tuple[Tensor, Tensor]:
    """(n,) KTO's losses of held-out completions, and whether each is on its side of the mean log-ratio."""
    starts = range(0, len(thumbs), SCORED_AT_ONCE)
    matching, reading = split(2, 1)
    with matching:
        kl = mismatched(policy, reference, [thumb.row for thumb in thumbs])
    with reading:
        each = [
            thumb_ratios(policy, thumbs[start : start + SCORED_AT_ONCE])
            for start in through(starts, len(starts))
        ]
    ratios, good = (torch.cat(side) for side in zip(*each, strict=True))
    return kto_losses(ratios, good, kl, config.beta), ((ratios > kl) == good).double()


def glance_at_thumbs(
    policy: Policy, reference: Policy, thumbs: Sequence[Thumb], config: PreferConfig
) -> dict[str, float]:
    """Loss and accuracy of held-out thumbs while others are learned from."""
    losses, right = held_thumbs(policy, reference, thumbs, config)
    return {HELD_OUT: losses.mean().item(), HELD_RIGHT: right.mean().item()}


def thumb_measures(
    policy: Policy, reference: Policy, thumbs: Sequence[Thumb], config: PreferConfig
) -> dict[str, Any]:
    """How often a held-out completion is on its side of the mean log-ratio, and the loss."""
    with counting(len(thumbs), _("labels")):
        losses, right = held_thumbs(policy, reference, thumbs, config)
    keys = [thumb.key for thumb in thumbs]
    return {
        "accuracy": clipped(grouped_interval(right.tolist(), keys)).model_dump(),
        "kto": grouped_interval(losses.tolist(), keys).model_dump(),
    }


PAIRS = Form(
    "pairs",
    usable_pairs,
    lambda records, _fitted: refuse_few(records, "pairs with different completions"),
    pairs_of,
    preference_step,
    glance_at_pairs,
    lambda policy, _reference, pairs, config: measures(policy, pairs, config),
)
THUMBS = Form(
    "thumbs",
    lambda labels: [one for one in labels if isinstance(one, ThumbRecord)],
    check_thumbs,
    thumbs_of,
    thumb_step,
    glance_at_thumbs,
    thumb_measures,
)
RANKINGS = Form(
    "rankings",
    usable_rankings,
    lambda records, _fitted: refuse_few(records, "rankings of different completions"),
    rankings_of,
    ranking_step,
    glance_at_rankings,
    ranking_measures,
)
