"""Objectives on completions that are there already: preferences of pairs, and imitation.

`prefer` brings a policy to what labels say by the losses of `preferences`; the frozen reference's
log-probabilities are computed once. `imitate` (supervised fine-tuning) raises the likelihood of
completions, and only theirs: the prompt's tokens add nothing to the loss.
"""

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alignment.batches import similar_lengths
from alignment.config import PreferConfig, RunSpec, SftConfig
from alignment.errors import ConfigError, DataError, DivergedError
from alignment.estimators import clipped, grouped_interval
from alignment.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.folders import committed
from alignment.policies import Policy
from alignment.preferences import f_dpo_losses, ipo_losses, kto_losses, score_of
from alignment.records import DemonstrationRecord, PairRecord, read_jsonl
from alignment.reward import divided, usable
from alignment.scoring import completion_token_logps
from alignment.texts import Written, rollouts_of, written

Progress = Generator[Event, str | None, None]
StepLoss = Callable[[Sequence[int]], tuple[Tensor, dict[str, float]]]

SCORED_AT_ONCE = 64  # completions
WARMUP = 0.1  # share of the steps
MIN_DEMONSTRATIONS = 2
ALPACA = "### Instruction:\n{prompt}\n\n### Response:\n"
PLACE = "{prompt}"


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


def prefer(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind prefer: train `policy` against `reference` on `pairs`; writes `folder/output`."""
    config = PreferConfig.model_validate(spec.config)
    torch.manual_seed(spec.seed)
    records = usable(read_jsonl(folder / spec.inputs["pairs"], PairRecord))
    fitted, held = divided(records, config.held_out)
    policy = Policy.load(folder / spec.inputs["policy"])
    reference = Policy.load(folder / spec.inputs["reference"])
    if policy.tokenizer.get_vocab() != reference.tokenizer.get_vocab():
        raise ConfigError("The policy and the reference have different tokenizers; take one model.")
    yield ready(policy, len(fitted), config)
    yield PhaseStarted(name="scoring by the reference")
    pairs, judged = pairs_of(reference, fitted), pairs_of(reference, held)
    loss = preference_step(policy, reference, pairs, config)
    yield from fit(policy, config, [pair.length for pair in pairs], loss)
    yield PhaseStarted(name="measuring")
    summary = {
        **measures(policy, judged, config),
        "pairs_train": len(pairs),
        "pairs_heldout": len(judged),
        "pairs_cut": sum(side.cut for p in pairs + judged for side in (p.chosen, p.rejected)),
        "loss": config.loss,
        "beta": config.beta,
    }
    with committed(folder / "output") as output:
        policy.save(output)
    yield Finished(summary=summary)


def imitate(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind sft: train `policy` on `demonstrations`, or on the chosen sides of `pairs`."""
    config = SftConfig.model_validate(spec.config)
    torch.manual_seed(spec.seed)
    records = demonstrations(spec, folder)
    fitted, held = divided(records, config.held_out)
    policy = with_template(Policy.load(folder / spec.inputs["policy"]), config)
    yield ready(policy, len(fitted), config)
    rows = [written(policy, record.prompt.messages, record.completion) for record in fitted]
    yield from fit(policy, config, [row.length for row in rows], imitation_step(policy, rows))
    yield PhaseStarted(name="measuring")
    judged = [written(policy, record.prompt.messages, record.completion) for record in held]
    nll = -scored(policy, judged) / torch.tensor([len(row.completion) for row in judged])
    keys = [record.prompt.key for record in held]
    summary = {
        "nll": grouped_interval(nll.tolist(), keys, unit="nats / token").model_dump(),
        "demonstrations_train": len(rows),
        "demonstrations_heldout": len(judged),
        "demonstrations_cut": sum(row.cut for row in rows + judged),
    }
    with committed(folder / "output") as output:
        policy.save(output)
    yield Finished(summary=summary)


def demonstrations(spec: RunSpec, folder: Path) -> list[DemonstrationRecord]:
    """What is imitated, each once; raises DataError where there is too little of it."""
    if "demonstrations" in spec.inputs:
        path = folder / spec.inputs["demonstrations"]
        found = list(read_jsonl(path, DemonstrationRecord))
    else:
        pairs = read_jsonl(folder / spec.inputs["pairs"], PairRecord)
        found = [DemonstrationRecord(prompt=p.prompt, completion=p.chosen) for p in pairs]
    kept = {(row.prompt.key, row.completion): row for row in found if row.completion.strip()}
    if len(kept) < MIN_DEMONSTRATIONS:
        raise DataError(f"There are {len(kept)} completions to imitate; collect more.")
    return list(kept.values())


def with_template(policy: Policy, config: SftConfig) -> Policy:
    """The policy, reading prompts by the settings' template; it is saved with the tokenizer."""
    text = {"own": "", "alpaca": ALPACA, "custom": config.custom_template}[config.prompt_template]
    if text:
        before, after = (repr(part) for part in text.split(PLACE))
        said = "{{ messages[-1]['content'] }}"
        policy.tokenizer.chat_template = "{{ " + before + " }}" + said + "{{ " + after + " }}"
    return policy


def ready(policy: Policy, count: int, config: PreferConfig | SftConfig) -> Ready:
    """The first event, with the steps to come."""
    total = config.epochs * math.ceil(count / config.batch)
    return Ready(total_steps=total, threads=torch.get_num_threads(), device=str(policy.device))


def fit(
    policy: Policy, config: PreferConfig | SftConfig, lengths: Sequence[int], loss_of: StepLoss
) -> Progress:
    """Epochs of optimizer steps over batches of examples of similar length."""
    yield PhaseStarted(name="training")
    optimizer = torch.optim.AdamW(
        policy.model.parameters(), lr=config.learning_rate, weight_decay=0.0
    )
    total = config.epochs * math.ceil(len(lengths) / config.batch)
    epochs = (similar_lengths(lengths, config.batch) for _ in range(config.epochs))
    for step, batch in enumerate((batch for epoch in epochs for batch in epoch), start=1):
        started = time.perf_counter()
        rate = config.learning_rate * schedule(step, total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, metrics = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0).item()
        if not (math.isfinite(norm) and math.isfinite(loss.item())):
            raise DivergedError(
                f"The loss was {loss.item()} at step {step}; try a lower learning rate."
            )
        optimizer.step()
        metrics |= {"loss": loss.item(), "grad/norm": norm, "lr": rate}
        metrics["seconds/step"] = time.perf_counter() - started
        yield StepDone(step=step, total=total, metrics=metrics)


def schedule(step: int, total: int) -> float:
    """Warm-up, then down to zero, as a share of the peak; steps count from 1."""
    warmup = max(1, round(WARMUP * total))
    return min(step / warmup, (total - step + 1) / max(1, total - warmup + 1))


def pairs_of(reference: Policy, records: Sequence[PairRecord]) -> list[Pair]:
    """The pairs as tokens, with the log-probabilities that the reference gives them."""
    chosen = [written(reference, r.prompt.messages, r.chosen) for r in records]
    rejected = [written(reference, r.prompt.messages, r.rejected) for r in records]
    known = (scored(reference, side).tolist() for side in (chosen, rejected))
    keys = [record.prompt.key for record in records]
    return [Pair(*row) for row in zip(keys, chosen, rejected, *known, strict=True)]


@torch.no_grad()
def scored(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """(n,) log-probabilities of completions, summed over tokens."""
    starts = range(0, len(rows), SCORED_AT_ONCE)
    parts = [rows[start : start + SCORED_AT_ONCE] for start in starts]
    found = [completion_token_logps(policy.model, rollouts_of(policy, p)).sum(1) for p in parts]
    return torch.cat(found).cpu()


def ratios(policy: Policy, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """(n,) log-ratios of the chosen and of the rejected completions, with gradient."""
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    logps = completion_token_logps(policy.model, rollouts_of(policy, rows)).sum(1)
    known = [p.chosen_reference for p in pairs] + [p.rejected_reference for p in pairs]
    chosen, rejected = (logps - logps.new_tensor(known)).chunk(2)
    return chosen, rejected


def preference_step(
    policy: Policy, reference: Policy, pairs: Sequence[Pair], config: PreferConfig
) -> StepLoss:
    """The loss of a batch of pairs."""

    def step(batch: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        some = [pairs[place] for place in batch]
        chosen, rejected = ratios(policy, some)
        kl = mismatched(policy, reference, some) if config.loss == "kto" else chosen.new_zeros(())
        loss = losses(chosen, rejected, kl, config).mean()
        margin = (chosen - rejected).detach()
        return loss, {
            "preference/accuracy": (margin > 0).float().mean().item(),
            "preference/margin": config.beta * margin.mean().item(),
            "ratio/chosen": chosen.detach().mean().item(),
            "ratio/rejected": rejected.detach().mean().item(),
        }

    return step


def losses(chosen: Tensor, rejected: Tensor, kl: Tensor, config: PreferConfig) -> Tensor:
    """(n,) losses of pairs; for KTO a pair is a thumb up and a thumb down."""
    if config.loss == "ipo":
        return ipo_losses(chosen, rejected, config.beta)
    if config.loss == "kto":
        good = torch.ones_like(chosen, dtype=torch.bool)
        up, down = (
            kto_losses(u, thumb, kl, config.beta)
            for u, thumb in ((chosen, good), (rejected, ~good))
        )
        return (up + down) / 2
    return f_dpo_losses(chosen, rejected, score_of(config.divergence, config.alpha), config.beta)


def mismatched(policy: Policy, reference: Policy, pairs: Sequence[Pair]) -> Tensor:
    """() mean log-ratio of each chosen completion beside the next pair's prompt."""
    others = [*pairs[1:], pairs[0]]
    rows = []
    for pair, other in zip(pairs, others, strict=True):
        room = policy.context_length - len(other.chosen.prompt)
        kept = pair.chosen.completion[:room]
        rows.append(Written(other.chosen.prompt, kept, cut=len(kept) < len(pair.chosen.completion)))
    return (scored(policy, rows) - scored(reference, rows)).mean().to(policy.device)


def imitation_step(policy: Policy, rows: Sequence[Written]) -> StepLoss:
    """The mean negative log-likelihood per token of a batch of completions."""

    def step(batch: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        rollouts = rollouts_of(policy, [rows[place] for place in batch])
        logps = completion_token_logps(policy.model, rollouts)
        loss = -logps.sum() / rollouts.mask.sum()
        return loss, {"nll/token": loss.item()}

    return step


@torch.no_grad()
def measures(policy: Policy, pairs: Sequence[Pair], config: PreferConfig) -> dict[str, Any]:
    """How often the held-out labels' winner gained more, and their loss, over prompts."""
    starts = range(0, len(pairs), SCORED_AT_ONCE)
    each = [ratios(policy, pairs[start : start + SCORED_AT_ONCE]) for start in starts]
    chosen, rejected = (torch.cat(side) for side in zip(*each, strict=True))
    keys = [pair.key for pair in pairs]
    right = (chosen > rejected).double() + 0.5 * (chosen == rejected).double()
    nll = f_dpo_losses(chosen, rejected, score_of("reverse_kl", 1.0), config.beta)
    return {
        "accuracy": clipped(grouped_interval(right.tolist(), keys)).model_dump(),
        "nll": grouped_interval(nll.tolist(), keys, unit="nats").model_dump(),
    }
